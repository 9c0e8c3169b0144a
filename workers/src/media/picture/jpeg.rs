//! The segments of a JPEG.

use std::io::{BufRead, Seek, Write};

use super::{
    Flaw, Outline, PictureError,
    limits::{PROFILE_BYTES, SCANS},
    parts::{EXIF_PREFIX, Parts, orientation},
};

const START: u8 = 0xD8;
const END: u8 = 0xD9;
const SCAN: u8 = 0xDA;
/// Tables: Huffman, arithmetic coding, quantisation, restart interval.
const TABLES: [u8; 4] = [0xC4, 0xCC, 0xDB, 0xDD];
const JFIF: u8 = 0xE0;
const EXIF: u8 = 0xE1;
const PROFILE: u8 = 0xE2;
const ADOBE: u8 = 0xEE;
const COMMENT: u8 = 0xFE;
/// What a colour profile begins with; other data shares its marker.
const PROFILE_PREFIX: &[u8] = b"ICC_PROFILE\0";
/// The part of Adobe's segment that says how colours are stored.
const ADOBE_BYTES: usize = 12;
/// The part of JFIF's segment before its thumbnail's size.
const JFIF_BYTES: usize = 12;

/// Keeps frame, tables, scans, colour profile, and how colours are stored.
pub(super) fn clean<R: BufRead, W: Write + Seek>(
    parts: &mut Parts<R, W>,
) -> Result<Option<Outline>, PictureError> {
    if parts.array()? != [0xFF, START] {
        return Err(Flaw::Damaged("it does not begin as a JPEG").into());
    }
    parts.put(&[0xFF, START])?;
    let mut jpeg = Jpeg::default();
    let mut marker = next_marker(parts)?;
    loop {
        match marker {
            END => {
                parts.put(&[0xFF, END])?;
                return Ok(jpeg.outline());
            }
            SCAN => {
                jpeg.begin_scan()?;
                let segment = read_segment(parts)?;
                put_segment(parts, SCAN, &segment)?;
                marker = copy_scan(parts)?;
                continue;
            }
            _ => {
                let segment = read_segment(parts)?;
                jpeg.segment(parts, marker, &segment)?;
            }
        }
        marker = next_marker(parts)?;
    }
}

#[derive(Default)]
struct Jpeg {
    frame: Option<Outline>,
    turned: Option<image::metadata::Orientation>,
    scans: u32,
    profile_bytes: u64,
}

impl Jpeg {
    fn segment<R: BufRead, W: Write + Seek>(
        &mut self,
        parts: &mut Parts<R, W>,
        marker: u8,
        segment: &[u8],
    ) -> Result<(), PictureError> {
        match marker {
            _ if TABLES.contains(&marker) => put_segment(parts, marker, segment),
            0xC0..=0xCF => {
                self.begin_frame(segment)?;
                put_segment(parts, marker, segment)
            }
            JFIF if segment.starts_with(b"JFIF\0") && segment.len() >= JFIF_BYTES => {
                // Its thumbnail, which has no pixels from now on, stays behind.
                put_segment(parts, JFIF, &[&segment[..JFIF_BYTES], &[0, 0]].concat())
            }
            PROFILE if segment.starts_with(PROFILE_PREFIX) => {
                self.profile_bytes += segment.len() as u64;
                if self.profile_bytes > PROFILE_BYTES {
                    return Err(Flaw::Damaged("its colour profile is too long").into());
                }
                put_segment(parts, PROFILE, segment)
            }
            ADOBE if segment.starts_with(b"Adobe") && segment.len() >= ADOBE_BYTES => {
                put_segment(parts, ADOBE, &segment[..ADOBE_BYTES])
            }
            EXIF if segment.starts_with(EXIF_PREFIX) => {
                self.turned = self.turned.or(orientation(segment));
                Ok(())
            }
            // Of applications: XMP, IPTC, further previews and the like.
            0xE0..=0xEF | COMMENT => Ok(()),
            _ => Err(Flaw::Damaged("it has a segment that nobody knows").into()),
        }
    }

    /// Frame: precision, height, width, …
    fn begin_frame(&mut self, segment: &[u8]) -> Result<(), Flaw> {
        let &[_, h1, h0, w1, w0, ..] = segment else {
            return Err(Flaw::Damaged("its frame is cut off"));
        };
        let size = [[w1, w0], [h1, h0]].map(|side| u32::from(u16::from_be_bytes(side)));
        let frame = Outline::new(size[0], size[1])?;
        match self.frame.replace(frame) {
            None => Ok(()),
            Some(_) => Err(Flaw::Damaged("it has more than one frame")),
        }
    }

    fn begin_scan(&mut self) -> Result<(), Flaw> {
        if self.frame.is_none() {
            return Err(Flaw::Damaged("its pixels come before their frame"));
        }
        self.scans += 1;
        if self.scans > SCANS { Err(Flaw::Damaged("it has too many passes")) } else { Ok(()) }
    }

    fn outline(self) -> Option<Outline> {
        let frame = self.frame.filter(|_| self.scans > 0)?;
        let orientation = self.turned.unwrap_or(frame.orientation);
        Some(Outline { orientation, frames: 1, ..frame })
    }
}

fn next_marker<R: BufRead, W: Write + Seek>(parts: &mut Parts<R, W>) -> Result<u8, PictureError> {
    if parts.byte()? != 0xFF {
        return Err(Flaw::Damaged("there is something between its segments").into());
    }
    loop {
        match parts.byte()? {
            // Padding.
            0xFF => {}
            marker => return Ok(marker),
        }
    }
}

/// What a segment holds: up to 64 KiB.
fn read_segment<R: BufRead, W: Write + Seek>(
    parts: &mut Parts<R, W>,
) -> Result<Vec<u8>, PictureError> {
    let length = u16::from_be_bytes(parts.array()?);
    let length = length.checked_sub(2).ok_or(Flaw::Damaged("a segment has no length"))?;
    parts.bytes(length.into())
}

fn put_segment<R: BufRead, W: Write + Seek>(
    parts: &mut Parts<R, W>,
    marker: u8,
    segment: &[u8],
) -> Result<(), PictureError> {
    // It was read as one, or is a part of it.
    let length = u16::try_from(segment.len() + 2).unwrap_or(u16::MAX);
    parts.put(&[0xFF, marker])?;
    parts.put(&length.to_be_bytes())?;
    parts.put(segment)
}

/// Keeps a scan's data, and answers the marker after it.
fn copy_scan<R: BufRead, W: Write + Seek>(parts: &mut Parts<R, W>) -> Result<u8, PictureError> {
    loop {
        let buffered = parts.from.fill_buf()?;
        if buffered.is_empty() {
            return Err(Flaw::CutOff.into());
        }
        let Some(data) = memchr::memchr(0xFF, buffered) else {
            let data = buffered.len();
            parts.to.write_all(buffered)?;
            parts.from.consume(data);
            continue;
        };
        parts.to.write_all(&buffered[..data])?;
        parts.from.consume(data);
        match next_marker(parts)? {
            // No marker but an escaped byte, or a restart within the scan.
            inside @ (0x00 | 0xD0..=0xD7) => parts.put(&[0xFF, inside])?,
            marker => return Ok(marker),
        }
    }
}
