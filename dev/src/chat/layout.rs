//! Fits text into columns. Wide characters take two, combining ones none.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// How many columns a text takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// Breaks a text into rows of at most `columns`: at line ends, between words
/// where that is possible, else anywhere.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<&str> {
    let mut rows = Vec::new();
    for line in text.split('\n') {
        let mut rest = line;
        loop {
            let (row, after) = break_row(rest, columns.max(1));
            rows.push(row);
            if after.is_empty() {
                break;
            }
            rest = after;
        }
    }
    rows
}

/// As much of a text as fits, with an ellipsis where something is left out.
pub(super) fn clip(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let fits = fitting(text, columns.saturating_sub(1));
    if columns == 0 { String::new() } else { format!("{}…", &text[..fits]) }
}

/// The first row and what is left. At least one character is taken, even if it
/// is wider than the row, or there would be no end.
fn break_row(text: &str, columns: usize) -> (&str, &str) {
    let fits = fitting(text, columns);
    if fits == text.len() {
        return (text, "");
    }
    let fits = if fits == 0 { first_character(text) } else { fits };
    // A space right behind the row ends it as well as one in it.
    let breakable =
        if text[fits..].starts_with(' ') { Some(fits) } else { text[..fits].rfind(' ') };
    match breakable.filter(|place| !text[..*place].trim().is_empty()) {
        Some(place) => (&text[..place], text[place..].trim_start_matches(' ')),
        None => text.split_at(fits),
    }
}

/// Bytes of the longest beginning that fits.
fn fitting(text: &str, columns: usize) -> usize {
    let mut taken = 0;
    for (place, letter) in text.char_indices() {
        taken += letter.width().unwrap_or_default();
        if taken > columns {
            return place;
        }
    }
    text.len()
}

/// Bytes of the first character with all that combines with it.
fn first_character(text: &str) -> usize {
    let starts = |(_, letter): &(usize, char)| letter.width().unwrap_or_default() > 0;
    text.char_indices().skip(1).find(starts).map_or(text.len(), |(place, _)| place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rows_break_between_words_where_they_can() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij kl", 4), ["abcd", "efgh", "ij", "kl"]);
        assert_eq!(wrap("a\n\nb", 4), ["a", "", "b"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("  indented stays", 40), ["  indented stays"]);
    }

    #[test]
    fn wide_and_combining_characters_count_as_they_look() {
        assert_eq!(wrap("日本語", 4), ["日本", "語"]);
        assert_eq!(wrap("日本語", 3), ["日", "本", "語"]);
        assert_eq!(wrap("e\u{301}e\u{301}", 1), ["e\u{301}", "e\u{301}"]);
        assert_eq!(wrap("日", 1), ["日"], "no narrower than it is");
        assert_eq!(clip("日本語", 5), "日本…");
        assert_eq!(clip("日本語", 6), "日本語");
        assert_eq!(clip("ab", 0), "");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_overflows(text in "[a-z日é\u{301} \n👍]{0,80}", columns in 2..20usize) {
            let rows = wrap(&text, columns);
            for row in &rows {
                prop_assert!(width(row) <= columns, "{row:?} is wider than {columns}");
            }
            let letters = |text: &str| text.chars().filter(|it| !it.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&rows.concat()), letters(&text));
        }
    }
}
