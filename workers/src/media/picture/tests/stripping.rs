//! What is left of a file, and what is not.

use super::{files::*, *};

const ALL: [Format; 4] = [Format::Jpeg, Format::Png, Format::Gif, Format::Webp];

#[test]
fn an_upright_picture_keeps_every_pixel_and_loses_all_else() {
    let stored = corners(640, 480).into();
    for format in ALL {
        let bare = picture(format, &stored);
        let upload = told_all(format, &bare, 1);
        assert!(upload.len() > bare.len() + SECRET.len());
        let served = serve(format, &upload).unwrap();
        assert!(!served.has(SECRET), "{format:?}");
        // Not one byte is left of what was added, nor missing of what was there.
        assert!(served.bytes == bare, "{format:?}");
        let thumbnail = served.thumbnail();
        assert_eq!((thumbnail.width(), thumbnail.height()), (320, 240), "{format:?}");
        assert_eq!(served.shown.thumbnail.mime, "image/jpeg", "{format:?}");
    }
}

#[test]
fn cleaning_twice_is_cleaning_once() {
    for format in ALL {
        let upload = told_all(format, &picture(format, &corners(40, 30).into()), 1);
        let once = serve(format, &upload).unwrap();
        let twice = serve(format, &once.bytes).unwrap();
        assert!(once.bytes == twice.bytes, "{format:?}");
    }
}

#[test]
fn transparency_is_seen_through_in_the_thumbnail() {
    for format in [Format::Png, Format::Gif, Format::Webp] {
        let served = serve(format, &picture(format, &transparent(800, 20))).unwrap();
        assert_eq!(served.shown.thumbnail.mime, "image/png", "{format:?}");
        let thumbnail = served.thumbnail().to_rgba8();
        assert_eq!(thumbnail.dimensions(), (320, 8));
        assert_eq!((thumbnail.get_pixel(1, 1).0[3], thumbnail.get_pixel(318, 1).0[3]), (0, 255));
    }
}

#[test]
fn a_small_picture_is_its_own_thumbnail_in_size() {
    let served = serve(Format::Png, &picture(Format::Png, &corners(20, 10).into())).unwrap();
    assert_eq!(served.outline.pixels(), 200);
    assert_eq!((served.thumbnail().width(), served.thumbnail().height()), (20, 10));
}

#[test]
fn a_long_and_thin_picture_has_a_thumbnail() {
    let thin = image::DynamicImage::new_rgb8(1, 20_000);
    let served = serve(Format::Png, &picture(Format::Png, &thin)).unwrap();
    assert_eq!((served.thumbnail().width(), served.thumbnail().height()), (1, 320));
}

/// Grey with sixteen bits, and colours with sixteen and transparency.
#[test]
fn deep_colours_have_a_thumbnail_that_anybody_can_show() {
    let grey = image::DynamicImage::new_luma16(400, 300);
    let colours = image::DynamicImage::new_rgba16(400, 300);
    for (deep, mime) in [(grey, "image/jpeg"), (colours, "image/png")] {
        let mut bytes = Vec::new();
        deep.write_with_encoder(image::codecs::png::PngEncoder::new(&mut bytes)).unwrap();
        let served = serve(Format::Png, &bytes).unwrap();
        assert_eq!(served.outline.pixels(), 2 * 400 * 300, "they take twice the memory");
        assert_eq!(served.shown.thumbnail.mime, mime);
        assert_eq!(
            served.thumbnail().color().bytes_per_pixel()
                / served.thumbnail().color().channel_count(),
            1
        );
    }
}

#[test]
fn the_thumbnail_within_a_jpeg_stays_behind() {
    let jpeg = picture(Format::Jpeg, &corners(40, 30).into());
    let (start, rest) = jpeg.split_at(2);
    let jfif = segment(0xE0, &[b"JFIF\0\x01\x02\0\0\x48\0\x48\x02\x01", &[7; 6][..]].concat());
    let preview = segment(0xE0, &[b"JFXX\0\x10", SECRET].concat());
    let adobe = segment(0xEE, &[b"Adobe\0\x64\0\0\0\0\x01", SECRET].concat());
    let upload = [start, &*jfif, &*preview, &*adobe, rest].concat();
    let served = serve(Format::Jpeg, &upload).unwrap();
    assert!(!served.has(SECRET) && !served.has(&[7; 6]));
    assert!(served.has(b"JFIF\0\x01\x02\0\0\x48\0\x48\0\0"), "the density is kept");
    assert!(served.has(b"Adobe\0\x64\0\0\0\0\x01\xFF"), "how colours are stored is kept");
}

#[test]
fn a_file_that_is_two_files_is_one_afterwards() {
    let archive = b"PK\x03\x04 and so on PK\x05\x06";
    for format in ALL {
        let picture = picture(format, &corners(40, 30).into());
        let served = serve(format, &[&*picture, archive].concat()).unwrap();
        assert!(served.bytes == picture, "{format:?}");
    }
}

#[test]
fn what_moves_goes_on_moving() {
    let mut gif = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut gif);
    encoder.set_repeat(image::codecs::gif::Repeat::Finite(7)).unwrap();
    for _ in 0..3 {
        encoder.encode_frame(image::Frame::new(transparent(30, 20).to_rgba8())).unwrap();
    }
    drop(encoder);
    let served = serve(Format::Gif, &told_all(Format::Gif, &gif, 1)).unwrap();
    assert_eq!(served.outline.frames, 3);
    assert!(served.bytes == gif, "frames, pauses and repeats are as they were");
}

#[test]
fn a_moving_png_goes_on_moving() {
    let png = picture(Format::Png, &corners(40, 30).into());
    let data = memchr::memmem::find(&png, b"IDAT").unwrap() - 4;
    let end = png.len() - 12;
    let control = |number: u8| {
        let sizes = [0, 0, 0, 40, 0, 0, 0, 30];
        chunk(b"fcTL", &[&[0, 0, 0, number][..], &sizes, &[0; 8], &[0, 1, 0, 9, 0, 0]].concat())
    };
    let pixels = png[data + 8..end - 4].to_vec();
    let moving = [
        &png[..data],
        &chunk(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]),
        &control(0),
        &png[data..end],
        &control(1),
        &chunk(b"fdAT", &[&[0, 0, 0, 2], &*pixels].concat()),
        &png[end..],
    ]
    .concat();
    let served = serve(Format::Png, &told_all(Format::Png, &moving, 6)).unwrap();
    assert_eq!(served.outline.frames, 2);
    assert!(served.bytes == moving);
}
