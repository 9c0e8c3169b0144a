//! The chunks of a WebP.

use std::io::{BufRead, Seek, Write};

use super::{
    Flaw, Outline, PictureError, check_size,
    limits::{PROFILE_BYTES, SMALL_PART_BYTES},
    parts::Parts,
};

/// Flags of an extended file: there is Exif, or XMP.
const METADATA: u8 = 0b0000_1100;
/// Such a file moves.
const MOVES: u8 = 0b0000_0010;
/// Place, size, duration and flags of a frame, before its chunks.
const FRAME_BYTES: u32 = 16;
/// A chunk's name and length.
const CHUNK_BYTES: u32 = 8;

/// Keeps pixels, also of those that move, transparency, and colour profile.
pub(super) fn clean<R: BufRead, W: Write + Seek>(
    parts: &mut Parts<R, W>,
) -> Result<Option<Outline>, PictureError> {
    let head: [u8; 12] = parts.array()?;
    let ([b'R', b'I', b'F', b'F', ..], b"WEBP") = (&head[..], &head[8..]) else {
        return Err(Flaw::Damaged("it does not begin as a WebP").into());
    };
    parts.put(&head)?;
    let mut left = length_of(&head).saturating_sub(4);
    let first = Chunk::read(parts, &mut left)?;
    let outline = match &first.name {
        b"VP8 " | b"VP8L" => {
            let (width, height) = copy_pixels(parts, first)?;
            Outline { frames: 1, ..Outline::new(width, height)? }
        }
        b"VP8X" => copy_extended(parts, first, left)?,
        _ => return Err(Flaw::Damaged("it has no header").into()),
    };
    let end = parts.place()?;
    let length = u32::try_from(end - 8).map_err(|_| Flaw::TooHeavy)?;
    parts.put_at(4, &length.to_le_bytes())?;
    Ok(Some(outline).filter(|outline| outline.frames > 0))
}

/// A chunk whose data comes next.
#[derive(Clone, Copy)]
struct Chunk {
    name: [u8; 4],
    length: u32,
}

impl Chunk {
    /// `left`: how much there is of what the chunk is in.
    fn read<R: BufRead, W: Write + Seek>(
        parts: &mut Parts<R, W>,
        left: &mut u32,
    ) -> Result<Self, PictureError> {
        let head: [u8; 8] = parts.array()?;
        let chunk = Self { name: [head[0], head[1], head[2], head[3]], length: length_of(&head) };
        let size = u64::from(CHUNK_BYTES) + chunk.padded();
        let rest = u64::from(*left).checked_sub(size).ok_or(Flaw::CutOff)?;
        *left = u32::try_from(rest).unwrap_or(u32::MAX);
        Ok(chunk)
    }

    /// The length of its data with the byte that makes it even.
    fn padded(self) -> u64 {
        u64::from(self.length) + u64::from(self.length % 2)
    }

    fn put<R: BufRead, W: Write + Seek>(self, parts: &mut Parts<R, W>) -> Result<(), PictureError> {
        parts.put(&self.name)?;
        parts.put(&self.length.to_le_bytes())
    }
}

/// An extended file: a header, and chunks of many kinds.
fn copy_extended<R: BufRead, W: Write + Seek>(
    parts: &mut Parts<R, W>,
    header: Chunk,
    mut left: u32,
) -> Result<Outline, PictureError> {
    if header.length != 10 {
        return Err(Flaw::Damaged("its header has another length").into());
    }
    let mut flags: [u8; 10] = parts.array()?;
    let [first, _, _, _, w0, w1, w2, h0, h1, h2] = flags;
    let mut outline = Outline::new(side(w0, w1, w2), side(h0, h1, h2))?;
    let moves = first & MOVES != 0;
    flags[0] &= !METADATA;
    header.put(parts)?;
    parts.put(&flags)?;
    while left >= CHUNK_BYTES {
        let chunk = Chunk::read(parts, &mut left)?;
        match &chunk.name {
            b"VP8 " | b"VP8L" if !moves => {
                outline.add_frame()?;
                let size = copy_pixels(parts, chunk)?;
                check_same(size, (outline.width, outline.height))?;
            }
            b"ANMF" if moves => {
                outline.add_frame()?;
                copy_frame(parts, chunk)?;
            }
            b"ALPH" if !moves => copy_chunk(parts, chunk, u64::MAX)?,
            b"ANIM" if moves => copy_chunk(parts, chunk, SMALL_PART_BYTES)?,
            b"ICCP" => copy_chunk(parts, chunk, PROFILE_BYTES)?,
            b"EXIF" => {
                if let Some(turned) = parts.orientation(chunk.padded())? {
                    outline.orientation = turned;
                }
            }
            _ => parts.skip(chunk.padded())?,
        }
    }
    if !moves && outline.frames > 1 {
        return Err(Flaw::Damaged("it has more than one picture").into());
    }
    Ok(outline)
}

/// One of the pictures of a file that moves: chunks in a chunk.
fn copy_frame<R: BufRead, W: Write + Seek>(
    parts: &mut Parts<R, W>,
    frame: Chunk,
) -> Result<(), PictureError> {
    let mut left =
        frame.length.checked_sub(FRAME_BYTES).ok_or(Flaw::Damaged("a frame is empty"))?;
    let place = parts.place()?;
    frame.put(parts)?;
    let head: [u8; FRAME_BYTES as usize] = parts.array()?;
    let [_, _, _, _, _, _, w0, w1, w2, h0, h1, h2, ..] = head;
    parts.put(&head)?;
    let mut pictures = 0;
    while left >= CHUNK_BYTES {
        let chunk = Chunk::read(parts, &mut left)?;
        match &chunk.name {
            b"VP8 " | b"VP8L" => {
                pictures += 1;
                let size = copy_pixels(parts, chunk)?;
                check_same(size, (side(w0, w1, w2), side(h0, h1, h2)))?;
            }
            b"ALPH" => copy_chunk(parts, chunk, u64::MAX)?,
            _ => parts.skip(chunk.padded())?,
        }
    }
    parts.skip(u64::from(left) + u64::from(frame.length % 2))?;
    if pictures != 1 {
        return Err(Flaw::Damaged("a frame is not one picture").into());
    }
    let length = parts.place()? - place - u64::from(CHUNK_BYTES);
    let length = u32::try_from(length).map_err(|_| Flaw::TooHeavy)?;
    parts.put_at(place + 4, &length.to_le_bytes())
}

/// Pixels; answers their size.
fn copy_pixels<R: BufRead, W: Write + Seek>(
    parts: &mut Parts<R, W>,
    chunk: Chunk,
) -> Result<(u32, u32), PictureError> {
    /// What says the size of either kind.
    const HEAD: u64 = 10;
    if chunk.padded() < HEAD {
        return Err(Flaw::Damaged("it has no pixels").into());
    }
    let head: [u8; HEAD as usize] = parts.array()?;
    let (width, height) = match (&chunk.name, head) {
        (b"VP8 ", [_, _, _, 0x9D, 0x01, 0x2A, w0, w1, h0, h1]) => {
            (side(w0, w1 & 0x3F, 0) - 1, side(h0, h1 & 0x3F, 0) - 1)
        }
        (b"VP8L", [0x2F, b0, b1, b2, b3, ..]) => {
            let bits = u32::from_le_bytes([b0, b1, b2, b3]);
            ((bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1)
        }
        _ => return Err(Flaw::Damaged("its pixels are stored in no known way").into()),
    };
    check_size(width, height)?;
    chunk.put(parts)?;
    parts.put(&head)?;
    parts.copy(chunk.padded() - HEAD)?;
    Ok((width, height))
}

/// The decoder takes one size on trust when it reads pixels of another.
fn check_same(pixels: (u32, u32), said: (u32, u32)) -> Result<(), Flaw> {
    if pixels == said { Ok(()) } else { Err(Flaw::Damaged("it says two sizes")) }
}

fn copy_chunk<R: BufRead, W: Write + Seek>(
    parts: &mut Parts<R, W>,
    chunk: Chunk,
    most: u64,
) -> Result<(), PictureError> {
    chunk.put(parts)?;
    parts.copy_up_to(most, chunk.padded())
}

/// Of a chunk: after its name.
fn length_of(head: &[u8]) -> u32 {
    u32::from_le_bytes([head[4], head[5], head[6], head[7]])
}

/// Sides are stored less one, with the lowest byte first.
fn side(b0: u8, b1: u8, b2: u8) -> u32 {
    u32::from_le_bytes([b0, b1, b2, 0]) + 1
}
