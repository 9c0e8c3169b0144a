//! Every orientation there is, in every format that can say one.

use image::{
    DynamicImage, ImageBuffer, ImageDecoder as _, ImageEncoder as _, Rgba,
    codecs::png::{PngDecoder, PngEncoder},
};

use super::{files::*, *};

/// Where red, green, blue and white are seen, from the top left on, clockwise,
/// when a picture is shown that is stored with them in that order.
const SEEN: [(u8, [&str; 4]); 8] = [
    (1, ["red", "green", "blue", "white"]),
    (2, ["green", "red", "white", "blue"]),
    (3, ["blue", "white", "red", "green"]),
    (4, ["white", "blue", "green", "red"]),
    (5, ["red", "white", "blue", "green"]),
    (6, ["white", "red", "green", "blue"]),
    (7, ["blue", "green", "red", "white"]),
    (8, ["green", "blue", "white", "red"]),
];

fn seen(image: &image::DynamicImage) -> [&'static str; 4] {
    let image = image.to_rgb8();
    let (right, bottom) = (image.width() * 3 / 4, image.height() * 3 / 4);
    let (left, top) = (image.width() / 4, image.height() / 4);
    [(left, top), (right, top), (right, bottom), (left, bottom)].map(|(x, y)| {
        match image.get_pixel(x, y).0.map(|colour| colour > 128) {
            [true, false, false] => "red",
            [false, true, false] => "green",
            [false, false, true] => "blue",
            [true, true, true] => "white",
            other => panic!("{other:?} at {x}, {y}"),
        }
    })
}

#[test]
fn what_is_served_is_upright_and_says_no_place() {
    let stored = corners(96, 64).into();
    for format in [Format::Jpeg, Format::Png, Format::Webp] {
        for (orientation, expected) in SEEN {
            let upload = told_all(format, &picture(format, &stored), orientation);
            let served = serve(format, &upload).unwrap();
            let what = format!("{format:?}, orientation {orientation}");

            let size = if orientation < 5 { (96, 64) } else { (64, 96) };
            assert_eq!((served.shown.width, served.shown.height), size, "{what}");
            let image = served.image(format);
            assert_eq!((image.width(), image.height()), size, "{what}");
            assert_eq!(seen(&image), expected, "{what}");
            assert_eq!(seen(&served.thumbnail()), expected, "{what}: thumbnail");
            assert!(!served.has(SECRET), "{what} says where it was taken");
            assert!(served.has(b"acsp") || format == Format::Png, "{what} lost its profile");
        }
    }
}

/// In all colours that a PNG may have: smooth, so that it gets smaller by being
/// compressed, and noisy, so that it does not.
#[test]
fn a_turned_png_has_every_pixel_it_had() {
    let mut noise = noise();
    let noisy =
        ImageBuffer::from_fn(160, 120, |_, _| Rgba([(); 4].map(|()| noise.next().unwrap())));
    let smooth = ImageBuffer::from_fn(160, 120, |x, y| {
        Rgba([400 * x, 500 * y, 64_000 - 400 * x, 64_000 - 500 * y].map(|sample| sample as u16))
    });
    for (deep, is_noisy) in [(noisy, true), (smooth, false)] {
        let deep = DynamicImage::from(deep);
        let all: [DynamicImage; 8] = [
            deep.to_luma8().into(),
            deep.to_luma_alpha8().into(),
            deep.to_rgb8().into(),
            deep.to_rgba8().into(),
            deep.to_luma16().into(),
            deep.to_luma_alpha16().into(),
            deep.to_rgb16().into(),
            deep.to_rgba16().into(),
        ];
        for stored in all {
            let colours = stored.color();
            let what = format!("{colours:?}, noisy: {is_noisy}");
            let upload = told_all(Format::Png, &picture(Format::Png, &stored), 6);
            let served = serve(Format::Png, &upload).unwrap();
            assert!(served.image(Format::Png) == stored.rotate90(), "{what}");

            let (bytes, pixels) = (served.bytes.len(), stored.as_bytes().len());
            assert_eq!(bytes > pixels, is_noisy, "{what}: {bytes} bytes for {pixels}");
            assert!(bytes < pixels + 1_000, "{what}: {bytes} bytes for {pixels}");
            // It is about colours, of which there are none in grey.
            assert_eq!(profile_in(&served.bytes), colours.has_color().then(profile), "{what}");
        }
    }
}

fn profile_in(png: &[u8]) -> Option<Vec<u8>> {
    PngDecoder::new(io::Cursor::new(png)).unwrap().icc_profile().unwrap()
}

/// One that is as large in the file as may be, and as large decoded.
#[test]
fn a_turned_png_has_a_large_profile_still() {
    let samples = limits::PROFILE_BYTES as usize / 2 - 4_096;
    let mut profile: Vec<u8> = noise().take(samples).flat_map(u16::to_be_bytes).collect();
    profile[16..20].copy_from_slice(b"RGB ");
    let mut png = Vec::new();
    let mut encoder = PngEncoder::new(&mut png);
    encoder.set_icc_profile(profile.clone()).unwrap();
    DynamicImage::from(corners(40, 30)).write_with_encoder(encoder).unwrap();
    let served = serve(Format::Png, &told_all(Format::Png, &png, 6)).unwrap();
    assert!(profile_in(&served.bytes) == Some(profile));
}

#[test]
fn a_picture_that_moves_is_not_turned() {
    let frame = riff_chunk(b"VP8L", &lossless(8, 8));
    let frame =
        |_| riff_chunk(b"ANMF", &[&[0; 6][..], &[7, 0, 0, 7, 0, 0, 9, 0, 0, 0], &*frame].concat());
    let chunks = [
        riff_chunk(b"VP8X", &[0b1010, 0, 0, 0, 7, 0, 0, 7, 0, 0]),
        riff_chunk(b"ANIM", &[0; 6]),
        (0..3).flat_map(frame).collect(),
        riff_chunk(b"EXIF", &exif(6)),
    ];
    let upload = riff(&chunks.concat());
    let served = serve(Format::Webp, &upload).unwrap();
    assert_eq!(served.outline.frames, 3);
    assert!(!served.has(SECRET));
    let without =
        [&upload[..20], &[0b0010], &upload[21..upload.len() - 8 - exif(6).len()]].concat();
    assert_eq!(served.bytes[12..], without[12..], "all frames stay as they are");
}

/// What the encoder makes of a picture of that size: the data of its chunk.
fn lossless(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = image::codecs::webp::WebPEncoder::new_lossless(&mut bytes);
    image::DynamicImage::from(corners(width, height)).write_with_encoder(encoder).unwrap();
    bytes.split_off(20)
}
