//! Pictures to upload.

use image::{DynamicImage, ImageFormat, codecs::jpeg::JpegEncoder};

/// A place that nobody is to learn of.
pub(crate) const SECRET: &[u8] = b"48.8584N 2.2945E";

/// 400 by 300 pixels, to be turned by a quarter, with a place in its Exif.
pub(crate) fn jpeg_on_its_side() -> Vec<u8> {
    let mut jpeg = Vec::new();
    DynamicImage::new_rgb8(400, 300).write_with_encoder(JpegEncoder::new(&mut jpeg)).unwrap();
    let mut exif = b"Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0".to_vec();
    exif.extend([0; 4]);
    exif.extend(SECRET);
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    let comment = [&[0xFF, 0xFE, 0, 18], SECRET].concat();
    [&jpeg[..2], &[0xFF, 0xE1], &length, &exif, &comment, &jpeg[2..]].concat()
}

pub(crate) fn png() -> Vec<u8> {
    let mut png = std::io::Cursor::new(Vec::new());
    DynamicImage::new_rgb8(40, 30).write_to(&mut png, ImageFormat::Png).unwrap();
    png.into_inner()
}

pub(crate) fn size_of(picture: &[u8]) -> (u32, u32) {
    let image = image::load_from_memory(picture).unwrap();
    (image.width(), image.height())
}

pub(crate) fn says(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
