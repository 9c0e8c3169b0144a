//! Files that are no picture that anybody should see.

use std::{env, fs, process::Command};

use super::{files::*, *};

const ALL: [Format; 4] = [Format::Jpeg, Format::Png, Format::Gif, Format::Webp];

fn refused(format: Format, bytes: &[u8]) -> String {
    serve(format, bytes).err().expect("is refused").to_string()
}

/// A PNG of that size, as far as it goes.
fn png_header(width: u32, height: u32, depth: u8) -> Vec<u8> {
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    let header = chunk(b"IHDR", &[&*size, &[depth, 6, 0, 0, 0]].concat());
    [b"\x89PNG\r\n\x1a\n", &*header].concat()
}

#[test]
fn what_says_that_it_is_huge_is_refused_before_it_is_decoded() {
    let png = png_header(60_000, 60_000, 8);
    let jpeg =
        [&[0xFF, 0xD8][..], &segment(0xC0, &[8, 0xFF, 0xFF, 0xFF, 0xFF, 1, 1, 0x11, 0])].concat();
    let gif = b"GIF89a\xFF\xFF\xFF\xFF\0\0\0".to_vec();
    let gif_frame = b"GIF89a\x01\0\x01\0\0\0\0\x2C\0\0\0\0\xFF\xFF\xFF\xFF\0\x02\0;".to_vec();
    let webp = riff(&riff_chunk(b"VP8X", &[0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]));
    // The header is modest, the pixels in it are not.
    let canvas = riff_chunk(b"VP8X", &[0, 0, 0, 0, 7, 0, 0, 7, 0, 0]);
    let pixels = riff_chunk(b"VP8L", &[0x2F, 0xFF, 0xFF, 0xFF, 0x0F, 0, 0, 0, 0, 0]);
    let webp_pixels = riff(&[canvas, pixels].concat());
    for (format, bytes) in [
        (Format::Png, png),
        (Format::Jpeg, jpeg),
        (Format::Gif, gif),
        (Format::Gif, gif_frame),
        (Format::Webp, webp),
        (Format::Webp, webp_pixels),
    ] {
        let reason = refused(format, &bytes);
        assert!(reason.contains("the picture is too large: "), "{format:?}: {reason}");
    }
    let reason = refused(Format::Png, &png_header(60_000, 60_000, 8));
    assert!(reason.contains("60000 x 60000") && reason.contains("64 megapixels"), "{reason}");
}

/// Zeros that are small in the file and large in memory, within the limit of
/// pixels: sixteen bits for each of four colours.
#[test]
fn what_becomes_large_when_it_is_decoded_is_refused() {
    let bomb = [png_header(8_000, 8_000, 16), chunk(b"IDAT", &[0x78, 0x9C]), chunk(b"IEND", &[])];
    assert_eq!(refused(Format::Png, &bomb.concat()), Flaw::TooHeavy.to_string());
}

/// Set in a process that was started for one test.
const ALONE: &str = "PETREL_TEST_ALONE";

/// Whether a test runs in a process of its own, whose memory can be measured.
/// If not, it is run in one here, and has to pass there.
fn is_alone(test: &str) -> bool {
    if env::var_os(ALONE).is_some() {
        return true;
    }
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut process = Command::new(env::current_exe().unwrap());
    process.args(["--exact", &format!("{module}::{test}")]).env(ALONE, "1");
    let output = process.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains(" 1 passed"), "{told}");
    false
}

/// The most memory that this process has had so far, in bytes.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    1024 * line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
}

/// A profile of zeros: a thousandth of its size in the file.
#[test]
fn a_profile_that_becomes_large_does_no_harm() {
    if !is_alone("a_profile_that_becomes_large_does_no_harm") {
        return;
    }
    let mut profile = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let megabyte = vec![0; 1 << 20];
    for _ in 0..512 {
        profile.write_all(&megabyte).unwrap();
    }
    let profile = [b"a\0\0", &*profile.finish().unwrap()].concat();
    let mut bytes = Vec::new();
    let image = image::DynamicImage::from(corners(40, 30));
    image.write_with_encoder(image::codecs::png::PngEncoder::new(&mut bytes)).unwrap();
    let (header, rest) = bytes.split_at(8 + 25);
    let upload = [header, &chunk(b"iCCP", &profile), rest].concat();
    // The decoder gives the profile up, or the picture; never the memory.
    match serve(Format::Png, &upload) {
        Ok(served) => assert_eq!(served.shown.width, 40),
        Err(flaw) => assert_eq!(flaw, Flaw::TooHeavy),
    }
    let peak = peak_bytes();
    assert!(peak < 64 << 20, "{peak} bytes");
}

/// Pixels that repeat where the encoder does not look, so that they are small in
/// the upload, but not in what is served.
#[test]
fn what_does_not_get_smaller_is_not_held_while_it_is_turned() {
    if !is_alone("what_does_not_get_smaller_is_not_held_while_it_is_turned") {
        return;
    }
    const SIDE: u32 = 2_400;
    const ROW_BYTES: usize = 8 * SIDE as usize;
    let block: Vec<u8> = noise().take(2_048).flat_map(u16::to_be_bytes).collect();
    let blocks = block.repeat(ROW_BYTES / block.len() + 2);
    let mut pixels = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    for row in 0..SIDE as usize {
        pixels.write_all(&[0]).unwrap();
        let start = row * ROW_BYTES % block.len();
        pixels.write_all(&blocks[start..start + ROW_BYTES]).unwrap();
    }
    let upload = [
        png_header(SIDE, SIDE, 16),
        chunk(b"eXIf", &exif(6)),
        chunk(b"IDAT", &pixels.finish().unwrap()),
        chunk(b"IEND", &[]),
    ];
    let decoded = ROW_BYTES * SIDE as usize;
    let served = serve(Format::Png, &upload.concat()).unwrap();
    assert!(served.bytes.len() > decoded, "it did get smaller: {}", served.bytes.len());
    // The pixels as they are stored, and upright.
    let peak = peak_bytes();
    assert!(peak < 5 * decoded as u64 / 2 + (48 << 20), "{peak} bytes");
}

#[test]
fn what_is_cut_off_anywhere_is_refused() {
    let image = corners(64, 48).into();
    for format in ALL {
        let whole = told_all(format, &picture(format, &image), 1);
        let whole = &whole[..whole.len() - SECRET.len()];
        for length in 0..whole.len() {
            let reason = refused(format, &whole[..length]);
            assert_eq!(reason, "the picture is cut off", "{format:?} after {length} bytes");
        }
    }
}

#[test]
fn what_is_changed_anywhere_is_served_clean_or_refused() {
    let image = corners(24, 16).into();
    for format in ALL {
        let whole = told_all(format, &picture(format, &image), 3);
        for place in 0..whole.len() - SECRET.len() {
            for change in [0x01, 0x80, 0xFF] {
                let mut changed = whole.clone();
                changed[place] ^= change;
                // Some damage cannot be seen.
                if let Ok(served) = serve(format, &changed) {
                    assert!(!served.has(SECRET), "{format:?}: {change:#x} at {place}");
                }
            }
        }
    }
}

#[test]
fn what_moves_for_ever_is_refused() {
    let gif = picture(Format::Gif, &corners(2, 2).into());
    let palette = if gif[10] & 0x80 == 0 { 0 } else { 3 << ((gif[10] & 7) + 1) };
    let (header, rest) = gif.split_at(13 + palette);
    let frame = &rest[..rest.len() - 1];
    let gif = |frames| [header, &frame.repeat(frames), b";"].concat();
    assert_eq!(serve(Format::Gif, &gif(3_000)).unwrap().outline.frames, 3_000);
    assert_eq!(refused(Format::Gif, &gif(1_000_000)), "the picture has more than 3000 frames");

    let pixels = riff_chunk(b"VP8L", &[0x2F, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let frame = riff_chunk(b"ANMF", &[&[0; 16][..], &*pixels].concat());
    let head = riff_chunk(b"VP8X", &[0b10, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let webp = riff(&[head, riff_chunk(b"ANIM", &[0; 6]), frame.repeat(1_000_000)].concat());
    assert_eq!(refused(Format::Webp, &webp), Flaw::TooManyFrames.to_string());

    let control = chunk(b"fcTL", &[0; 26]).repeat(1_000_000);
    let png = [png_header(1, 1, 8), control].concat();
    assert_eq!(refused(Format::Png, &png), Flaw::TooManyFrames.to_string());
}

/// The decoder panics at some of these.
#[test]
fn what_says_two_sizes_is_refused() {
    let pixels = riff_chunk(b"VP8L", &[0x2F, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
    let canvas = |flags| riff_chunk(b"VP8X", &[flags, 0, 0, 0, 3, 0, 0, 3, 0, 0]);
    let frame = riff_chunk(b"ANMF", &[&[0; 16][..], &*pixels].concat());
    let still = riff(&[canvas(0), pixels].concat());
    let moving = riff(&[canvas(0b10), riff_chunk(b"ANIM", &[0; 6]), frame].concat());
    for webp in [still, moving] {
        assert_eq!(refused(Format::Webp, &webp), "the picture is damaged: it says two sizes");
    }
}

#[test]
fn a_jpeg_that_is_gone_over_for_ever_is_refused() {
    let jpeg = picture(Format::Jpeg, &corners(16, 16).into());
    let scan = memchr::memmem::find(&jpeg, &[0xFF, 0xDA]).unwrap();
    let end = jpeg.len() - 2;
    let many = [&jpeg[..scan], &jpeg[scan..end].repeat(100), &jpeg[end..]].concat();
    assert_eq!(refused(Format::Jpeg, &many), "the picture is damaged: it has too many passes");
}

#[test]
fn what_is_something_else_is_refused() {
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
    for format in ALL {
        assert!(refused(format, svg).contains("it does not begin as a"), "{format:?}");
    }
    for (bytes, reason) in [
        (&b"\xFF\xD8\xFF\xD9"[..], "there is no picture in it"),
        (b"\xFF\xD8\xFF\xDA\0\x02", "its pixels come before their frame"),
        (b"\xFF\xD8moin", "there is something between its segments"),
        (b"\xFF\xD8\xFF\x42\0\x02", "it has a segment that nobody knows"),
        (b"\xFF\xD8\xFF\xC0\0\x08\x08\0\x00\0\x09\x01", "it has no size"),
    ] {
        assert_eq!(refused(Format::Jpeg, bytes), format!("the picture is damaged: {reason}"));
    }
    assert!(refused(Format::Gif, b"GIF89a\x01\0\x01\0\0\0\0;").contains("no picture in it"));
}
