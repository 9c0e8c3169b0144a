//! The line that is being written.

use unicode_width::UnicodeWidthChar as _;

/// Longest line, in bytes: a body takes 16 KiB of JSON text, in which a
/// character may take six bytes.
const LONGEST: usize = 2 * 1024;

/// One line of text with a cursor.
#[derive(Debug, Default)]
pub(super) struct Editor {
    text: String,
    /// Byte position.
    cursor: usize,
}

impl Editor {
    /// What is written so far.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Takes the line away and starts anew.
    pub(super) fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    /// Writes at the cursor, as far as there is room. Line ends become spaces,
    /// other control characters are left out.
    pub(super) fn insert(&mut self, text: &str) {
        for letter in text.chars() {
            let letter = if matches!(letter, '\n' | '\r' | '\t') { ' ' } else { letter };
            if letter.is_control() || self.text.len() + letter.len_utf8() > LONGEST {
                continue;
            }
            self.text.insert(self.cursor, letter);
            self.cursor += letter.len_utf8();
        }
    }

    /// Removes the character before the cursor.
    pub(super) fn backspace(&mut self) {
        let from = self.before();
        self.text.replace_range(from..self.cursor, "");
        self.cursor = from;
    }

    /// Removes the character at the cursor.
    pub(super) fn delete(&mut self) {
        self.text.replace_range(self.cursor..self.after(), "");
    }

    /// Removes the word before the cursor.
    pub(super) fn delete_word(&mut self) {
        let before = &self.text[..self.cursor];
        let word = before.trim_end();
        let from = word
            .rfind(char::is_whitespace)
            .map_or(0, |place| place + word[place..].chars().next().map_or(0, char::len_utf8));
        self.text.replace_range(from..self.cursor, "");
        self.cursor = from;
    }

    /// Removes all before the cursor.
    pub(super) fn delete_to_start(&mut self) {
        self.text.replace_range(..self.cursor, "");
        self.cursor = 0;
    }

    /// One character back.
    pub(super) fn left(&mut self) {
        self.cursor = self.before();
    }

    /// One character on.
    pub(super) fn right(&mut self) {
        self.cursor = self.after();
    }

    /// To the beginning.
    pub(super) fn home(&mut self) {
        self.cursor = 0;
    }

    /// To the end.
    pub(super) fn end(&mut self) {
        self.cursor = self.text.len();
    }

    /// The part that fits into so many columns, and the cursor's column in it:
    /// a long line moves to the left under the cursor.
    pub(super) fn view(&self, columns: usize) -> (&str, usize) {
        let room = columns.saturating_sub(1);
        let mut start = self.cursor;
        let mut column = 0;
        for (place, letter) in self.text[..self.cursor].char_indices().rev() {
            let wider = column + letter.width().unwrap_or_default();
            if wider > room {
                break;
            }
            (start, column) = (place, wider);
        }
        let mut end = self.cursor;
        let mut taken = column;
        for letter in self.text[self.cursor..].chars() {
            taken += letter.width().unwrap_or_default();
            if taken > columns {
                break;
            }
            end += letter.len_utf8();
        }
        (&self.text[start..end], column)
    }

    /// Where the character before the cursor begins, with what combines with it.
    fn before(&self) -> usize {
        let begins = |(_, letter): &(usize, char)| letter.width().unwrap_or_default() > 0;
        self.text[..self.cursor].char_indices().rev().find(begins).map_or(0, |(place, _)| place)
    }

    /// Where the character at the cursor ends.
    fn after(&self) -> usize {
        let begins = |(_, letter): &(usize, char)| letter.width().unwrap_or_default() > 0;
        let rest = &self.text[self.cursor..];
        let next = rest.char_indices().skip(1).find(begins);
        self.cursor + next.map_or(rest.len(), |(place, _)| place)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::layout;
    use super::*;

    fn editor(text: &str) -> Editor {
        let mut editor = Editor::default();
        editor.insert(text);
        editor
    }

    #[test]
    fn characters_go_in_and_out_whole() {
        let mut editor = editor("ae\u{301}日");
        editor.backspace();
        editor.backspace();
        assert_eq!(editor.text(), "a");
        editor.insert("b\nc\x1b");
        editor.left();
        editor.left();
        editor.delete();
        assert_eq!(editor.text(), "abc");
        editor.end();
        editor.insert(" two  ");
        editor.delete_word();
        assert_eq!(editor.text(), "abc ");
        editor.delete_to_start();
        assert_eq!(editor.text(), "");
    }

    #[test]
    fn a_long_line_moves_under_the_cursor() {
        let mut editor = editor("abcdef");
        assert_eq!(editor.view(4), ("def", 3));
        editor.home();
        assert_eq!(editor.view(4), ("abcd", 0));
        editor.right();
        assert_eq!(editor.view(10), ("abcdef", 1));
    }

    proptest! {
        #[test]
        fn the_view_fits_and_the_cursor_is_in_it(
            text in "[a-z日\u{301} ]{0,60}", moves in 0..60usize, columns in 2..20usize,
        ) {
            let mut editor = editor(&text);
            (0..moves).for_each(|_| editor.left());
            let (view, column) = editor.view(columns);
            prop_assert!(layout::width(view) <= columns);
            prop_assert!(column < columns);
        }
    }
}
