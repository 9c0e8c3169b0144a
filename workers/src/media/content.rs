//! What a file is by its content, and whether that is what its owner said.
//!
//! Only some types can be told from content. Who claims one of those, or a
//! picture, sound or video of any type, is believed only when the content
//! shows it. Text shows nothing, but it must not be what a browser would take
//! for something else. Any other claim is inert: nobody shows such a file, it
//! is only saved.

use std::borrow::Cow;

use super::picture::Format;

/// How much of a file is looked at: enough for the first entries of an office
/// document, in bytes.
pub(crate) const HEAD_BYTES: usize = 8 * 1024;

/// Why a claim is not believed; told to whom the file belongs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Lie {
    #[error("it was said to be {claimed}, but is {found}")]
    Other { claimed: String, found: &'static str },
    #[error("it was said to be {claimed}, but is not")]
    NotIt { claimed: String },
    #[error("it was said to be {claimed}, but has markup that a browser would run")]
    Markup { claimed: String },
    #[error("vector graphics are not taken, for they may hold programs")]
    Vector,
    #[error("{claimed} is not taken, as nobody here can remove from it where it was taken")]
    Uncleaned { claimed: String },
}

/// A picture by its name, and a document with scripts by what it can do.
const VECTOR: &str = "image/svg+xml";
const PDF: &str = "application/pdf";

/// Checks what a file is said to be against its first [`HEAD_BYTES`]; answers
/// the type without parameters.
///
/// # Errors
/// [`Lie`].
pub(crate) fn check(claimed: &str, head: &[u8]) -> Result<String, Lie> {
    // Gateways store it so. But a file is served under the name that is believed
    // here, and a picture by another spelling of its name would not be cleaned.
    let essence = claimed.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == VECTOR {
        return Err(Lie::Vector);
    }
    let found = sniff(head);
    let told = match family(&essence) {
        Some(family) => found.and_then(self::family) == Some(family),
        None => match essence.split_once('/') {
            Some(("image" | "audio" | "video", _)) => found == Some(&*essence),
            Some(("text", subtype)) => return check_text(&essence, subtype, head, found),
            _ => true,
        },
    };
    match (told, found) {
        (true, _) => cleaned(essence),
        (false, None) => Err(Lie::NotIt { claimed: essence }),
        (false, Some(found)) => Err(Lie::Other { claimed: essence, found }),
    }
}

/// The type under which a picture is cleaned. One that cannot be is not served
/// as a picture; anything else is as it is.
fn cleaned(essence: String) -> Result<String, Lie> {
    if !essence.starts_with("image/") || Format::of_mime(&essence).is_some() {
        return Ok(essence);
    }
    // One name more for what moves.
    if essence == "image/apng" {
        return Ok(Format::Png.mime().to_owned());
    }
    Err(Lie::Uncleaned { claimed: essence })
}

/// Text is whatever has no bytes that no text has, is no PDF, and no markup
/// unless it says so. What else content seems to be may be how a text begins.
fn check_text(
    essence: &str,
    subtype: &str,
    head: &[u8],
    found: Option<&'static str>,
) -> Result<String, Lie> {
    let claimed = || essence.to_owned();
    let text = one_byte_each(head);
    if found == Some(PDF) || text.iter().any(|byte| is_binary(*byte)) {
        return Err(match found {
            Some(found) => Lie::Other { claimed: claimed(), found },
            None => Lie::NotIt { claimed: claimed() },
        });
    }
    match (markup(&text), subtype) {
        (None, _) | (Some(Markup::Html), "html") | (Some(Markup::Xml), "xml") => Ok(claimed()),
        (Some(_), _) => Err(Lie::Markup { claimed: claimed() }),
    }
}

/// Text with every second byte of UTF-16 left out, which it is if it says so.
fn one_byte_each(head: &[u8]) -> Cow<'_, [u8]> {
    match head {
        [0xFE, 0xFF, rest @ ..] => rest.iter().copied().skip(1).step_by(2).collect(),
        [0xFF, 0xFE, rest @ ..] => rest.iter().copied().step_by(2).collect(),
        _ => head.into(),
    }
}

/// What the MIME Sniffing Standard calls a binary data byte.
fn is_binary(byte: u8) -> bool {
    matches!(byte, 0..=0x08 | 0x0B | 0x0E..=0x1A | 0x1C..=0x1F)
}

/// What a browser would make of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Markup {
    Html,
    Xml,
    Vector,
}

fn markup(head: &[u8]) -> Option<Markup> {
    const HTML: [&[u8]; 6] =
        [b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<iframe"];
    let head = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head).trim_ascii_start();
    let begins =
        |with: &[u8]| head.get(..with.len()).is_some_and(|it| it.eq_ignore_ascii_case(with));
    if HTML.iter().any(|with| begins(with)) {
        return Some(Markup::Html);
    }
    let is_vector = || memchr::memmem::find(&head.to_ascii_lowercase(), b"<svg").is_some();
    match () {
        () if begins(b"<svg") || begins(b"<!doctype svg") => Some(Markup::Vector),
        () if begins(b"<?xml") && is_vector() => Some(Markup::Vector),
        () if begins(b"<?xml") => Some(Markup::Xml),
        () => None,
    }
}

/// The type that content shows, if any.
fn sniff(head: &[u8]) -> Option<&'static str> {
    if let Some(Markup::Vector) = markup(head) {
        return Some(VECTOR);
    }
    container(head)
        .or_else(|| infer::get(head).map(|found| found.mime_type()))
        .or_else(|| is_mpeg_audio(head).then_some("audio/mpeg"))
}

/// What Matroska begins with, and with it WebM.
const EBML: [u8; 4] = [0x1A, 0x45, 0xDF, 0xA3];

/// Files of boxes (ISO 14496-12): pictures say so in their brand; anything else
/// in such a file is sound or video, whose brands are many.
fn container(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(&EBML) {
        return Some("video/webm");
    }
    let brand = head.get(8..12)?;
    match head.get(4..8)? {
        b"ftyp" => Some(match brand {
            b"avif" | b"avis" => "image/avif",
            b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1" => {
                "image/heic"
            }
            b"qt  " => "video/quicktime",
            _ => "video/mp4",
        }),
        // Before there were brands.
        b"moov" | b"mdat" | b"wide" | b"free" | b"skip" | b"pnot" => Some("video/quicktime"),
        _ => None,
    }
}

/// A frame of MPEG audio without anything before it: its sync, and no value
/// that is reserved.
fn is_mpeg_audio(head: &[u8]) -> bool {
    let &[0xFF, second, third, ..] = head else { return false };
    let (sync, version, layer) = (second >> 5, (second >> 3) & 3, (second >> 1) & 3);
    sync == 7 && version != 1 && layer != 0 && third >> 4 != 15 && (third >> 2) & 3 != 3
}

/// Types that one kind of content shows, under the name of one of them.
/// Nothing where content shows none.
fn family(mime: &str) -> Option<&'static str> {
    Some(match mime {
        "image/jpeg" => "image/jpeg",
        "image/png" | "image/apng" => "image/png",
        "image/gif" => "image/gif",
        "image/webp" => "image/webp",
        "image/heic" | "image/heif" | "image/heic-sequence" | "image/heif-sequence" => "image/heic",
        "image/tiff" => "image/tiff",
        "image/bmp" | "image/x-ms-bmp" => "image/bmp",
        "image/x-icon" | "image/vnd.microsoft.icon" => "image/x-icon",
        "video/mp4" | "video/quicktime" | "video/x-m4v" | "video/3gpp" | "video/3gpp2"
        | "audio/mp4" | "audio/m4a" | "audio/x-m4a" | "audio/3gpp" | "audio/3gpp2" => "video/mp4",
        "video/webm" | "video/x-matroska" | "video/matroska" | "audio/webm"
        | "audio/x-matroska" | "audio/matroska" => "video/webm",
        "audio/ogg" | "audio/opus" | "video/ogg" | "application/ogg" => "audio/ogg",
        "audio/mpeg" | "audio/mp3" | "audio/x-mp3" => "audio/mpeg",
        "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => "audio/wav",
        "audio/flac" | "audio/x-flac" => "audio/flac",
        "audio/aac" | "audio/x-aac" | "audio/aacp" => "audio/aac",
        "audio/aiff" | "audio/x-aiff" => "audio/aiff",
        "audio/midi" | "audio/x-midi" => "audio/midi",
        "audio/amr" => "audio/amr",
        "video/x-msvideo" | "video/avi" | "video/msvideo" => "video/avi",
        "video/mpeg" => "video/mpeg",
        "application/pdf" | "application/x-pdf" => "application/pdf",
        "application/gzip" | "application/x-gzip" => "application/gzip",
        "application/x-7z-compressed" => "application/x-7z-compressed",
        "application/vnd.rar" | "application/x-rar-compressed" => "application/vnd.rar",
        "application/zip"
        | "application/x-zip-compressed"
        | "application/epub+zip"
        | "application/java-archive"
        | "image/openraster" => "application/zip",
        office if is_zipped_office(office) => "application/zip",
        _ => return None,
    })
}

/// Office documents of today are archives with certain entries, in any order.
fn is_zipped_office(mime: &str) -> bool {
    mime.starts_with("application/vnd.openxmlformats-officedocument.")
        || mime.starts_with("application/vnd.oasis.opendocument.")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn says(claimed: &str, head: &[u8]) -> Result<String, String> {
        check(claimed, head).map_err(|lie| lie.to_string())
    }

    const JPEG: &[u8] = b"\xFF\xD8\xFF\xE0\0\x10JFIF\0";
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR";
    const ZIP: &[u8] = b"PK\x03\x04\x14\0\0\0";
    const PDF: &[u8] = b"%PDF-1.7\n";
    const SVG: &[u8] = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script/></svg>";
    const HTML: &[u8] = b" \n<!DOCTYPE html><script>1</script>";

    #[test]
    fn what_content_shows_is_believed() {
        for (claimed, head) in [
            ("image/jpeg", JPEG),
            ("IMAGE/JPEG; q=1", JPEG),
            ("image/png", PNG),
            ("image/gif", b"GIF89a\x01\0\x01\0"),
            ("image/webp", b"RIFF\x24\0\0\0WEBPVP8 "),
            ("video/mp4", b"\0\0\0\x18ftypiso5\0\0\0\0"),
            ("audio/mp4", b"\0\0\0\x18ftypM4A \0\0\0\0"),
            ("video/quicktime", b"\0\0\0\x08wide\0\0\0\0mdat"),
            ("audio/webm", b"\x1A\x45\xDF\xA3\x9F\x42\x86\x81\x01\x42\x82\x84webm"),
            ("audio/ogg", b"OggS\0\x02\0\0\0\0\0\0\0\0"),
            ("audio/mpeg", b"ID3\x04\0\0\0\0\0\0"),
            ("audio/mpeg", b"\xFF\xFA\x90\x64\0\0"),
            ("audio/wav", b"RIFF\x24\0\0\0WAVEfmt "),
            ("application/pdf", PDF),
            ("application/zip", ZIP),
            ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", ZIP),
            ("application/octet-stream", SVG),
            ("application/octet-stream", b""),
            ("application/x-of-ours", PNG),
            ("text/plain", b"Moin.\n"),
            ("text/plain; charset=utf-8", "5 < 7, sagt \u{fc}brigens Ann".as_bytes()),
            ("text/markdown", b"<p align=\"center\">logo</p>\n\n# Title"),
            ("text/html", HTML),
            ("text/xml", b"<?xml version=\"1.0\"?><a/>"),
            ("text/plain", b""),
            // A text may begin as something else does.
            ("text/plain", b"BMW, MZ and ID3 are names."),
            ("text/plain", b"\xFF\xFEM\0o\0i\0n\0"),
        ] {
            let essence = claimed.split(';').next().unwrap().to_lowercase();
            assert_eq!(says(claimed, head), Ok(essence), "{claimed}");
        }
    }

    #[test]
    fn a_picture_that_cannot_be_cleaned_is_not_taken_as_one() {
        for (claimed, head) in [
            ("image/heic", &b"\0\0\0\x18ftypheic\0\0\0\0"[..]),
            ("image/heif", b"\0\0\0\x18ftypmif1\0\0\0\0"),
            ("image/avif", b"\0\0\0\x18ftypavif\0\0\0\0"),
            ("image/tiff", b"II*\0\x08\0\0\0\0\0\0\0"),
            ("image/bmp", b"BM\x46\0\0\0\0\0\0\0\0\0"),
            ("image/openraster", ZIP),
        ] {
            let told = says(claimed, head).unwrap_err();
            assert_eq!(
                told,
                format!(
                    "{claimed} is not taken, as nobody here can remove from it where it was taken"
                )
            );
            assert_eq!(says("application/octet-stream", head).unwrap(), "application/octet-stream");
        }
        assert_eq!(says("image/apng", PNG).unwrap(), "image/png");
    }

    #[test]
    fn a_lie_is_not() {
        for (claimed, head, reason) in [
            ("image/jpeg", PNG, "it was said to be image/jpeg, but is image/png"),
            ("image/png", SVG, "it was said to be image/png, but is image/svg+xml"),
            ("image/png", b"<?xml version='1.0'?>\n<SVG/>", "but is image/svg+xml"),
            ("image/png", b"hello", "it was said to be image/png, but is not"),
            ("image/gif", b"", "but is not"),
            ("image/jxl", PNG, "but is image/png"),
            ("image/avif", b"\0\0\0\x18ftypisom\0\0\0\0", "but is video/mp4"),
            ("video/mp4", b"\0\0\0\x18ftypheic\0\0\0\0", "but is image/heic"),
            ("video/mp4", b"MZ\x90\0", "microsoft"),
            ("video/x-of-nobody", PNG, "but is image/png"),
            ("audio/mpeg", PDF, "but is application/pdf"),
            ("audio/mpeg", b"\xFF\xEA\x90\x64\0\0", "but is not"),
            ("application/pdf", HTML, "but is text/html"),
            ("application/zip", JPEG, "but is image/jpeg"),
            ("text/plain", PNG, "but is image/png"),
            ("text/plain", PDF, "but is application/pdf"),
            ("text/plain", b"a\0b", "it was said to be text/plain, but is not"),
            ("text/plain", HTML, "has markup that a browser would run"),
            ("text/csv", b"\xEF\xBB\xBF <ScRiPt>", "has markup"),
            ("text/plain", SVG, "has markup"),
            ("text/xml", b"<?xml version='1.0'?><svg/>", "has markup"),
            ("text/html", SVG, "has markup"),
            ("text/plain", b"\xFF\xFE<\0h\0t\0m\0l\0>\0", "has markup"),
            ("image/svg+xml", SVG, "vector graphics are not taken"),
        ] {
            let told = says(claimed, head).unwrap_err();
            assert!(told.contains(reason), "{claimed}: {told}");
        }
    }
}
