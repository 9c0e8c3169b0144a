//! A picture decoded: a small one, and an upright one.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Seek as _, Write as _},
};

use image::{
    ColorType, DynamicImage, ImageDecoder, ImageEncoder, ImageError, ImageReader, ImageResult,
    Limits,
    codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder},
};
use png::Compression;

use super::{
    Flaw, Format, Outline, PictureError,
    limits::{
        DECODED_BYTES, PNG_ASIDE_BYTES, SIDE, THUMBNAIL_PROFILE_BYTES, THUMBNAIL_QUALITY,
        THUMBNAIL_SIDE, TURNED_QUALITY,
    },
    rows::write_png,
};

/// Where a colour profile says which colours it is about.
const PROFILE_COLOURS: std::ops::Range<usize> = 16..20;

/// A picture as it is seen.
#[derive(Debug)]
pub(crate) struct Shown {
    /// Pixels from left to right.
    pub(crate) width: u32,
    /// Pixels from top to bottom.
    pub(crate) height: u32,
    pub(crate) thumbnail: Thumbnail,
}

/// A small picture.
#[derive(Debug)]
pub(crate) struct Thumbnail {
    pub(crate) mime: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// Decodes a picture that was [cleaned](super::clean), or the first frame of
/// one that moves. One that is not upright is encoded anew, in the same file.
///
/// # Errors
/// [`Flaw`], or the disk's.
pub(crate) fn show(
    format: Format,
    outline: &Outline,
    file: &mut File,
) -> Result<Shown, PictureError> {
    let Decoded { mut image, profile } = decode(format, outline, file)?;
    let mut small = shrink(&image);
    if outline.is_turned() {
        small.apply_orientation(outline.orientation);
        image.apply_orientation(outline.orientation);
        encode(format, &image, profile.as_deref(), file).map_err(fault)?;
    }
    let (width, height) = (image.width(), image.height());
    drop(image);
    Ok(Shown { width, height, thumbnail: thumbnail(&small, profile.as_deref())? })
}

struct Decoded {
    image: DynamicImage,
    profile: Option<Vec<u8>>,
}

fn decode(format: Format, outline: &Outline, file: &mut File) -> Result<Decoded, PictureError> {
    file.rewind()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE);
    limits.max_image_height = Some(SIDE);
    // The decoder of PNG does not count the pixels, which are counted below.
    limits.max_alloc = Some(if format == Format::Png { PNG_ASIDE_BYTES } else { DECODED_BYTES });
    let mut reader = ImageReader::with_format(BufReader::new(&mut *file), format.decoder());
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(fault)?;
    if decoder.dimensions() != (outline.width, outline.height) {
        return Err(Flaw::Damaged("it says two sizes").into());
    }
    if decoder.total_bytes() > DECODED_BYTES {
        return Err(Flaw::TooHeavy.into());
    }
    let colours = decoder.color_type();
    let profile = decoder.icc_profile().map_err(fault)?.filter(|profile| fits(profile, colours));
    let image = DynamicImage::from_decoder(decoder).map_err(fault)?;
    Ok(Decoded { image, profile })
}

/// Whether a profile is about the colours of the decoded pixels. One for print
/// is not: its pixels were converted.
fn fits(profile: &[u8], colours: ColorType) -> bool {
    let about = profile.get(PROFILE_COLOURS);
    about == Some(if colours.has_color() { b"RGB " } else { b"GRAY" })
}

fn shrink(image: &DynamicImage) -> DynamicImage {
    if image.width() <= THUMBNAIL_SIDE && image.height() <= THUMBNAIL_SIDE {
        return image.clone();
    }
    image.thumbnail(THUMBNAIL_SIDE, THUMBNAIL_SIDE)
}

/// JPEG is smaller, but has no transparency.
fn thumbnail(small: &DynamicImage, profile: Option<&[u8]>) -> Result<Thumbnail, PictureError> {
    let profile = profile.filter(|profile| profile.len() <= THUMBNAIL_PROFILE_BYTES);
    let mut bytes = Vec::new();
    let is_opaque = small.to_rgba8().pixels().all(|pixel| pixel.0[3] == u8::MAX);
    let mime = if is_opaque {
        let encoder = JpegEncoder::new_with_quality(&mut bytes, THUMBNAIL_QUALITY);
        write(&narrowed(small, false), encoder, profile).map_err(fault)?;
        Format::Jpeg.mime()
    } else {
        write(&narrowed(small, true), PngEncoder::new(&mut bytes), profile).map_err(fault)?;
        Format::Png.mime()
    };
    Ok(Thumbnail { mime, bytes })
}

/// With eight bits for each colour.
fn narrowed(small: &DynamicImage, transparency: bool) -> DynamicImage {
    match (small.color().has_color(), transparency) {
        (true, true) => small.to_rgba8().into(),
        (true, false) => small.to_rgb8().into(),
        (false, true) => small.to_luma_alpha8().into(),
        (false, false) => small.to_luma8().into(),
    }
}

/// Makes a file that picture, in its own format.
fn encode(
    format: Format,
    image: &DynamicImage,
    profile: Option<&[u8]>,
    file: &mut File,
) -> ImageResult<()> {
    match format {
        Format::Jpeg => rewrite(file, |to| {
            write(image, JpegEncoder::new_with_quality(to, TURNED_QUALITY), profile)
        }),
        Format::Png => encode_png(image, profile, file),
        Format::Webp => rewrite(file, |to| write(image, WebPEncoder::new_lossless(to), profile)),
        // It has no way to say that it is to be turned.
        Format::Gif => Ok(()),
    }
}

fn encode_png(image: &DynamicImage, profile: Option<&[u8]>, file: &mut File) -> ImageResult<()> {
    rewrite(file, |to| Ok(write_png(image, profile, Compression::Fast, to)?))?;
    let uncompressed = image.as_bytes().len() + profile.map_or(0, <[u8]>::len);
    if file.stream_position()? <= uncompressed as u64 {
        return Ok(());
    }
    // Noise becomes larger by this compression.
    rewrite(file, |to| Ok(write_png(image, profile, Compression::NoCompression, to)?))
}

/// Puts something else in a file.
fn rewrite(
    file: &mut File,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> ImageResult<()>,
) -> ImageResult<()> {
    file.rewind()?;
    file.set_len(0)?;
    let mut to = BufWriter::new(file);
    write(&mut to)?;
    Ok(to.flush()?)
}

fn write(
    image: &DynamicImage,
    mut encoder: impl ImageEncoder,
    profile: Option<&[u8]>,
) -> ImageResult<()> {
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile.to_vec()).map_err(ImageError::Unsupported)?;
    }
    image.write_with_encoder(encoder)
}

/// Whose fault it is that a picture is not decoded or encoded.
fn fault(error: ImageError) -> PictureError {
    use std::io::ErrorKind::{InvalidData, InvalidInput};
    match error {
        ImageError::Limits(_) => Flaw::TooHeavy.into(),
        ImageError::Unsupported(_) => Flaw::Unsupported.into(),
        ImageError::IoError(error) if !matches!(error.kind(), InvalidData | InvalidInput) => {
            error.into()
        }
        _ => Flaw::Damaged("it cannot be decoded").into(),
    }
}
