//! Text of others on one's own terminal.

use schemas::{Body, RawBody};

/// What a body looks like as a line of text.
pub(super) fn of(body: &RawBody) -> String {
    match body.typed() {
        Ok(Body::Text { text }) => text,
        Ok(Body::Media(media)) => {
            format!("[{} {}] {}", media.mime, media.name, media.caption.unwrap_or_default())
        }
        Ok(Body::Opaque { .. }) => "[encrypted]".into(),
        // Told with the names of those it is about.
        Ok(Body::Event(_)) => "[something happened]".into(),
        Err(_) => "[something this version cannot show]".into(),
    }
}

/// The same text with nothing that a terminal would act on: others must not
/// move the cursor, set the title or turn the direction of writing around.
/// Line ends stay.
pub(super) fn harmless(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\t', "    ");
    let acts = |letter: char| {
        letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|it| if it != '\n' && acts(it) { '\u{fffd}' } else { it }).collect()
}

/// The same in one line.
pub(super) fn one_line(text: &str) -> String {
    harmless(text).replace('\n', " ⏎ ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_acts_on_the_terminal() {
        assert_eq!(harmless("a\x1b[2Jb\u{9b}1mc"), "a\u{fffd}[2Jb\u{fffd}1mc");
        assert_eq!(harmless("x\u{202e}y"), "x\u{fffd}y");
        assert_eq!(harmless("l1\r\nl2\r\tend"), "l1\nl2\u{fffd}    end");
        assert_eq!(one_line("l1\nl2"), "l1 ⏎ l2");
    }

    #[test]
    fn every_body_can_be_shown() {
        let opaque = RawBody::from(&Body::Opaque { data: String::new() });
        assert_eq!(of(&opaque), "[encrypted]");
        assert_eq!(of(&RawBody::from(&Body::Text { text: "hi".into() })), "hi");
    }
}
