//! The chunks of a PNG.

use std::io::{BufRead, Seek, Write};

use super::{
    Flaw, Outline, PictureError,
    limits::{PROFILE_BYTES, SMALL_PART_BYTES},
    parts::Parts,
};

const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
/// What the standard allows for a chunk.
const LONGEST_CHUNK: u32 = i32::MAX as u32;
/// A checksum ends every chunk.
const CHECKSUM_BYTES: u64 = 4;

/// Keeps pixels, also of those that move, palette, transparency and colours.
pub(super) fn clean<R: BufRead, W: Write + Seek>(
    parts: &mut Parts<R, W>,
) -> Result<Option<Outline>, PictureError> {
    if parts.array()? != SIGNATURE {
        return Err(Flaw::Damaged("it does not begin as a PNG").into());
    }
    parts.put(&SIGNATURE)?;
    let mut outline = None;
    loop {
        let length = u32::from_be_bytes(parts.array()?);
        let kind: [u8; 4] = parts.array()?;
        if length > LONGEST_CHUNK {
            return Err(Flaw::Damaged("a chunk is too long").into());
        }
        let Some(outline) = &mut outline else {
            // Nothing comes before it.
            outline = Some(header(parts, length, kind)?);
            continue;
        };
        let rest = u64::from(length) + CHECKSUM_BYTES;
        match &kind {
            b"eXIf" => {
                if let Some(turned) = parts.orientation(rest - CHECKSUM_BYTES)? {
                    outline.orientation = turned;
                }
                parts.skip(CHECKSUM_BYTES)?;
                continue;
            }
            b"fcTL" => outline.add_frame()?,
            _ => {}
        }
        let most = match &kind {
            b"IDAT" | b"fdAT" => u64::MAX,
            b"iCCP" => PROFILE_BYTES,
            b"PLTE" | b"IEND" | b"tRNS" | b"acTL" | b"fcTL" => SMALL_PART_BYTES,
            // How colours, brightness and the pixels' shape are meant.
            b"cHRM" | b"gAMA" | b"sBIT" | b"sRGB" | b"cICP" | b"mDCV" | b"cLLI" | b"bKGD"
            | b"pHYs" => SMALL_PART_BYTES,
            _ => {
                parts.skip(rest)?;
                continue;
            }
        };
        parts.put(&length.to_be_bytes())?;
        parts.put(&kind)?;
        parts.copy_up_to(most, rest)?;
        if &kind == b"IEND" {
            return Ok(Some(*outline));
        }
    }
}

/// Header: width, height, bits for each colour, and how else pixels are stored.
fn header<R: BufRead, W: Write + Seek>(
    parts: &mut Parts<R, W>,
    length: u32,
    kind: [u8; 4],
) -> Result<Outline, PictureError> {
    if (&kind, length) != (b"IHDR", 13) {
        return Err(Flaw::Damaged("it has no header").into());
    }
    let [width, height]: [[u8; 4]; 2] = [parts.array()?, parts.array()?];
    let outline = Outline::new(u32::from_be_bytes(width), u32::from_be_bytes(height))?;
    let depth = parts.byte()?;
    for bytes in [length.to_be_bytes(), kind, width, height] {
        parts.put(&bytes)?;
    }
    parts.put(&[depth])?;
    parts.copy(u64::from(length) - 9 + CHECKSUM_BYTES)?;
    Ok(Outline { is_deep: depth > 8, ..outline })
}
