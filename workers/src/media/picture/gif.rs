//! The blocks of a GIF.

use std::io::{BufRead, Seek, Write};

use super::{Flaw, Outline, PictureError, check_size, parts::Parts};

const IMAGE: u8 = 0x2C;
const EXTENSION: u8 = 0x21;
const END: u8 = 0x3B;
/// How the next image is shown.
const CONTROL: u8 = 0xF9;
/// Of an application, which is named in its first 11 bytes.
const APPLICATION: u8 = 0xFF;
/// The applications that say how often the images are repeated.
const REPEATS: [&[u8]; 2] = [b"NETSCAPE2.0", b"ANIMEXTS1.0"];
/// What they begin that with.
const REPEAT: u8 = 1;

/// Keeps images, palettes, and how they move.
pub(super) fn clean<R: BufRead, W: Write + Seek>(
    parts: &mut Parts<R, W>,
) -> Result<Option<Outline>, PictureError> {
    let signature: [u8; 6] = parts.array()?;
    if !matches!(&signature, b"GIF87a" | b"GIF89a") {
        return Err(Flaw::Damaged("it does not begin as a GIF").into());
    }
    let screen: [u8; 7] = parts.array()?;
    let [w0, w1, h0, h1, flags, ..] = screen;
    let mut outline = Outline::new(side(w0, w1), side(h0, h1))?;
    parts.put(&signature)?;
    parts.put(&screen)?;
    parts.copy(palette_bytes(flags))?;
    loop {
        match parts.byte()? {
            IMAGE => {
                outline.add_frame()?;
                copy_image(parts)?;
            }
            EXTENSION => match parts.byte()? {
                CONTROL => copy_control(parts)?,
                APPLICATION => application(parts)?,
                // Comments, text, and what nobody knows.
                _ => skip_blocks(parts)?,
            },
            END => {
                parts.put(&[END])?;
                return Ok(Some(outline).filter(|outline| outline.frames > 0));
            }
            _ => return Err(Flaw::Damaged("it has a block that nobody knows").into()),
        }
    }
}

/// Place, size, flags, a palette, the size of a code, and pixels.
fn copy_image<R: BufRead, W: Write + Seek>(parts: &mut Parts<R, W>) -> Result<(), PictureError> {
    let head: [u8; 9] = parts.array()?;
    let [_, _, _, _, w0, w1, h0, h1, flags] = head;
    check_size(side(w0, w1), side(h0, h1))?;
    parts.put(&[IMAGE])?;
    parts.put(&head)?;
    parts.copy(palette_bytes(flags) + 1)?;
    loop {
        let length = parts.byte()?;
        parts.put(&[length])?;
        if length == 0 {
            return Ok(());
        }
        parts.copy(length.into())?;
    }
}

fn copy_control<R: BufRead, W: Write + Seek>(parts: &mut Parts<R, W>) -> Result<(), PictureError> {
    let control: [u8; 6] = parts.array()?;
    if (control[0], control[5]) != (4, 0) {
        return Err(Flaw::Damaged("it does not say how it moves").into());
    }
    parts.put(&[EXTENSION, CONTROL])?;
    parts.put(&control)
}

/// Keeps how often the images are repeated.
fn application<R: BufRead, W: Write + Seek>(parts: &mut Parts<R, W>) -> Result<(), PictureError> {
    let length = parts.byte()?;
    let name = parts.bytes(length.into())?;
    if length == 0 {
        return Ok(());
    }
    if !REPEATS.contains(&&*name) {
        return skip_blocks(parts);
    }
    let length = parts.byte()?;
    if length == 0 {
        return Ok(());
    }
    let repeat = parts.bytes(length.into())?;
    skip_blocks(parts)?;
    if let &[REPEAT, n0, n1, ..] = &*repeat {
        parts.put(&[EXTENSION, APPLICATION, name.len() as u8])?;
        parts.put(&name)?;
        parts.put(&[3, REPEAT, n0, n1, 0])?;
    }
    Ok(())
}

fn skip_blocks<R: BufRead, W: Write + Seek>(parts: &mut Parts<R, W>) -> Result<(), PictureError> {
    loop {
        match parts.byte()? {
            0 => return Ok(()),
            length => parts.skip(length.into())?,
        }
    }
}

/// The flags of a screen and of an image say whether a palette follows, and of
/// how many colours, in the same way.
fn palette_bytes(flags: u8) -> u64 {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

fn side(low: u8, high: u8) -> u32 {
    u16::from_le_bytes([low, high]).into()
}
