//! A PNG written row by row. The encoder of `image` holds what it writes, and
//! pixels of sixteen bits for each colour once more.

use std::io::{self, Write};

use image::{ColorType, DynamicImage};
use png::{BitDepth, Compression, Encoder, Info};

/// How much is in a chunk, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// Encodes a picture as a PNG, of which no more than some rows are held.
///
/// # Errors
/// Those of the writer, or [`io::ErrorKind::InvalidInput`] for colours that no
/// PNG has.
pub(super) fn write_png(
    image: &DynamicImage,
    profile: Option<&[u8]>,
    compression: Compression,
    to: impl Write,
) -> io::Result<()> {
    let colours = image.color();
    let (colour_type, depth) = in_png(colours)?;
    let mut info = Info::with_size(image.width(), image.height());
    info.color_type = colour_type;
    info.bit_depth = depth;
    info.icc_profile = profile.map(Into::into);
    let mut encoder = Encoder::with_info(to, info)?;
    encoder.set_compression(compression);
    let mut writer = encoder.write_header()?;
    let mut rows = writer.stream_writer_with_size(CHUNK_BYTES)?;
    let row_bytes = image.width() as usize * usize::from(colours.bytes_per_pixel());
    let mut row = vec![0; row_bytes];
    for native in image.as_bytes().chunks_exact(row_bytes) {
        row.copy_from_slice(native);
        if depth == BitDepth::Sixteen {
            let (samples, _) = row.as_chunks_mut();
            for sample in samples {
                *sample = u16::from_ne_bytes(*sample).to_be_bytes();
            }
        }
        rows.write_all(&row)?;
    }
    rows.finish()?;
    Ok(writer.finish()?)
}

fn in_png(colours: ColorType) -> io::Result<(png::ColorType, BitDepth)> {
    Ok(match colours {
        ColorType::L8 => (png::ColorType::Grayscale, BitDepth::Eight),
        ColorType::La8 => (png::ColorType::GrayscaleAlpha, BitDepth::Eight),
        ColorType::Rgb8 => (png::ColorType::Rgb, BitDepth::Eight),
        ColorType::Rgba8 => (png::ColorType::Rgba, BitDepth::Eight),
        ColorType::L16 => (png::ColorType::Grayscale, BitDepth::Sixteen),
        ColorType::La16 => (png::ColorType::GrayscaleAlpha, BitDepth::Sixteen),
        ColorType::Rgb16 => (png::ColorType::Rgb, BitDepth::Sixteen),
        ColorType::Rgba16 => (png::ColorType::Rgba, BitDepth::Sixteen),
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    })
}
