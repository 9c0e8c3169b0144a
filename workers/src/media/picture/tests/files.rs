//! Files of all formats, made here.

use std::iter;

use image::{
    DynamicImage, ImageEncoder as _, Rgb, RgbImage, Rgba, RgbaImage,
    codecs::{gif::GifEncoder, jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder},
};

use super::super::Format;

/// A place that nobody is to learn of.
pub(super) const SECRET: &[u8] = b"51.5007N 0.1246W";

/// A picture whose corners tell which way up it is: red, green, blue, white
/// from the top left on, clockwise.
pub(super) fn corners(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| match (x * 2 < width, y * 2 < height) {
        (true, true) => Rgb([255, 0, 0]),
        (false, true) => Rgb([0, 255, 0]),
        (false, false) => Rgb([0, 0, 255]),
        (true, false) => Rgb([255, 255, 255]),
    })
}

/// As [`corners`], in any format, with a profile where there can be one.
pub(super) fn picture(format: Format, image: &DynamicImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    match format {
        Format::Jpeg => {
            let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
            encoder.set_icc_profile(profile()).unwrap();
            image.write_with_encoder(encoder).unwrap();
        }
        Format::Png => {
            let mut encoder = PngEncoder::new(&mut bytes);
            encoder.set_icc_profile(profile()).unwrap();
            image.write_with_encoder(encoder).unwrap();
        }
        Format::Gif => {
            let mut encoder = GifEncoder::new(&mut bytes);
            encoder.encode_frame(image::Frame::new(image.to_rgba8())).unwrap();
        }
        Format::Webp => {
            let mut encoder = WebPEncoder::new_lossless(&mut bytes);
            encoder.set_icc_profile(profile()).unwrap();
            image.write_with_encoder(encoder).unwrap();
        }
    }
    bytes
}

/// A colour profile as far as anybody here reads it.
pub(super) fn profile() -> Vec<u8> {
    let mut profile = vec![0; 160];
    profile[16..20].copy_from_slice(b"RGB ");
    profile[36..40].copy_from_slice(b"acsp");
    profile
}

/// Half of it can be seen through.
pub(super) fn transparent(width: u32, height: u32) -> DynamicImage {
    RgbaImage::from_fn(width, height, |x, _| {
        Rgba([200, 10, 10, if x * 2 < width { 0 } else { 255 }])
    })
    .into()
}

/// Samples in which no compression finds anything, always the same ones.
pub(super) fn noise() -> impl Iterator<Item = u16> {
    let xorshift = |&state: &u64| {
        let state = state ^ (state << 13);
        let state = state ^ (state >> 7);
        Some(state ^ (state << 17))
    };
    iter::successors(Some(0x9E37_79B9_7F4A_7C15), xorshift).map(|state| (state >> 32) as u16)
}

/// Exif with an orientation and a place.
pub(super) fn exif(orientation: u8) -> Vec<u8> {
    let mut tiff = b"MM\0\x2A\0\0\0\x08\0\x02".to_vec();
    // Orientation: a short. The place: a text after both entries.
    tiff.extend([0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0]);
    tiff.extend([0x88, 0x25, 0, 2, 0, 0, 0, SECRET.len() as u8, 0, 0, 0, 38]);
    tiff.extend([0; 4]);
    tiff.extend(SECRET);
    tiff
}

/// XMP with a place.
pub(super) fn xmp() -> Vec<u8> {
    [b"<x:xmpmeta exif:GPSLatitude='", SECRET, b"'/>"].concat()
}

/// The picture with everything in it that is not to be served.
pub(super) fn told_all(format: Format, picture: &[u8], orientation: u8) -> Vec<u8> {
    match format {
        Format::Jpeg => jpeg_with(picture, orientation),
        Format::Png => png_with(picture, orientation),
        Format::Gif => gif_with(picture),
        Format::Webp => webp_with(picture, orientation),
    }
}

pub(super) fn segment(marker: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len() + 2).unwrap().to_be_bytes();
    [&[0xFF, marker], &length[..], data].concat()
}

fn jpeg_with(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let (start, rest) = jpeg.split_at(2);
    [
        start,
        &segment(0xE1, &[b"Exif\0\0", &*exif(orientation)].concat()),
        &segment(0xE1, &[b"http://ns.adobe.com/xap/1.0/\0", &*xmp()].concat()),
        &segment(0xED, &[b"Photoshop 3.0\08BIM\x04\x04\0\0", SECRET].concat()),
        &segment(0xE2, &[b"MPF\0", SECRET].concat()),
        &segment(0xFE, SECRET),
        rest,
        // The film of a moving photograph, with a place of its own.
        SECRET,
    ]
    .concat()
}

pub(super) fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut sum = crc32fast::Hasher::new();
    sum.update(kind);
    sum.update(data);
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    [&length[..], kind, data, &sum.finalize().to_be_bytes()].concat()
}

fn png_with(png: &[u8], orientation: u8) -> Vec<u8> {
    let (header, rest) = png.split_at(8 + 25);
    [
        header,
        &chunk(b"eXIf", &exif(orientation)),
        &chunk(b"tEXt", &[b"Comment\0", SECRET].concat()),
        &chunk(b"iTXt", &[b"XML:com.adobe.xmp\0\0\0\0\0", &*xmp()].concat()),
        &chunk(b"prVt", SECRET),
        rest,
        SECRET,
    ]
    .concat()
}

fn gif_with(gif: &[u8]) -> Vec<u8> {
    let palette = if gif[10] & 0x80 == 0 { 0 } else { 3 << ((gif[10] & 7) + 1) };
    let (header, rest) = gif.split_at(13 + palette);
    let sub_block = [&[SECRET.len() as u8], SECRET, &[0]].concat();
    [header, &[0x21, 0xFE], &sub_block, &[0x21, 0xFF, 11], b"XMP DataXMP", &sub_block, rest, SECRET]
        .concat()
}

pub(super) fn riff_chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap().to_le_bytes();
    [name, &length[..], data, &[0][..data.len() % 2]].concat()
}

pub(super) fn riff(chunks: &[u8]) -> Vec<u8> {
    let length = u32::try_from(chunks.len() + 4).unwrap().to_le_bytes();
    [b"RIFF", &length[..], b"WEBP", chunks].concat()
}

/// The encoder has made an extended file, for the profile.
fn webp_with(webp: &[u8], orientation: u8) -> Vec<u8> {
    let mut chunks = webp[12..].to_vec();
    assert_eq!(&chunks[..4], b"VP8X");
    chunks[8] |= 0b1100;
    chunks.extend(riff_chunk(b"EXIF", &[b"Exif\0\0", &*exif(orientation)].concat()));
    chunks.extend(riff_chunk(b"XMP ", &xmp()));
    chunks.extend(riff_chunk(b"abcd", SECRET));
    [&*riff(&chunks), SECRET].concat()
}
