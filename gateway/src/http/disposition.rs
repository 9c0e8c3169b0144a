//! What a file is called on its way out (RFC 6266), and whether a browser may
//! show it.

use std::fmt::Write as _;

/// Longest name that is told to those who read no other characters than ASCII.
const PLAIN_CHARS: usize = 100;

/// The `Content-Disposition` of a file of that type, which its content has.
pub(super) fn disposition(name: &str, mime: &str) -> String {
    let kind = if is_shown(mime) { "inline" } else { "attachment" };
    let mut text = format!("{kind}; filename=\"{}\"", plain(name));
    let is_cut = name.len() > PLAIN_CHARS;
    if is_cut || name.bytes().any(|byte| !is_plain(char::from(byte))) {
        text.push_str("; filename*=UTF-8''");
        name.bytes().for_each(|byte| push_encoded(&mut text, byte));
    }
    text
}

/// Pictures, sound and films cannot do anything.
fn is_shown(mime: &str) -> bool {
    matches!(mime, "image/jpeg" | "image/png" | "image/gif" | "image/webp")
        || mime.starts_with("audio/")
        || mime.starts_with("video/")
}

fn plain(name: &str) -> String {
    let plain = name.chars().map(|char| if is_plain(char) { char } else { '_' });
    plain.take(PLAIN_CHARS).collect()
}

/// Some readers decode `%` in what is quoted.
fn is_plain(char: char) -> bool {
    (char == ' ' || char.is_ascii_graphic()) && !matches!(char, '"' | '\\' | '%')
}

/// An `ext-value` of RFC 8187.
fn push_encoded(text: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
        text.push(char::from(byte));
    } else {
        // Writing to a String cannot fail.
        let _ = write!(text, "%{byte:02X}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_whatever_is_in_it() {
        for (name, told) in [
            ("cat.pdf", r#"filename="cat.pdf""#),
            ("my cat's.pdf", r#"filename="my cat's.pdf""#),
            ("a\"b.pdf", r#"filename="a_b.pdf"; filename*=UTF-8''a%22b.pdf"#),
            ("100%.pdf", r#"filename="100_.pdf"; filename*=UTF-8''100%25.pdf"#),
            (
                "naïve €.pdf",
                r#"filename="na_ve _.pdf"; filename*=UTF-8''na%C3%AFve%20%E2%82%AC.pdf"#,
            ),
            ("a\r\nb: c", r#"filename="a__b: c"; filename*=UTF-8''a%0D%0Ab%3A%20c"#),
        ] {
            assert_eq!(disposition(name, "application/pdf"), format!("attachment; {told}"));
        }
    }

    #[test]
    fn a_long_name_keeps_its_end() {
        let name = "a".repeat(PLAIN_CHARS) + ".pdf";
        let told = disposition(&name, "application/pdf");
        assert!(told.ends_with(&format!("; filename*=UTF-8''{name}")), "{told}");
        let fits = "a".repeat(PLAIN_CHARS - 4) + ".pdf";
        assert!(disposition(&fits, "application/pdf").ends_with(&format!("=\"{fits}\"")));
    }

    #[test]
    fn a_browser_shows_what_cannot_do_anything() {
        for (mime, kind) in [
            ("image/png", "inline"),
            ("video/mp4", "inline"),
            ("image/svg+xml", "attachment"),
            ("text/html", "attachment"),
            ("application/pdf", "attachment"),
        ] {
            assert!(disposition("a", mime).starts_with(kind), "{mime}");
        }
    }
}
