//! Usernames: spelled as registered, unique whatever their case.

use std::{fmt, str::FromStr};

use schemas::limits::USERNAME_CHARS;

/// Why a string is not a username.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseUsernameError {
    /// Empty or too long.
    #[error("a username has 1 to {USERNAME_CHARS} characters")]
    Length,
    /// A character that usernames do not have.
    #[error("a username has only letters, digits and . _ - + @, not {0:?}")]
    Character(char),
}

/// A username that was checked. It keeps its spelling; whether two are the
/// same is decided by [`Username::folded`], and so is equality.
#[derive(Clone)]
pub struct Username {
    spelling: Box<str>,
    folded: Box<str>,
}

impl Username {
    /// As its owner wrote it.
    pub fn as_str(&self) -> &str {
        &self.spelling
    }

    /// The form without case, which is what has to be unique.
    pub fn folded(&self) -> &str {
        &self.folded
    }

    /// One that was accepted before, even if today's rules would refuse it.
    pub(crate) fn accepted(spelling: String) -> Self {
        let folded = fold(&spelling).into();
        Self { spelling: spelling.into(), folded }
    }
}

/// Lower case alone would keep spellings apart that share an upper case (ς and
/// σ, ß and ss), so the text goes through both, character by character: the
/// string methods would look at a letter's neighbours.
fn fold(spelling: &str) -> String {
    spelling
        .chars()
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

impl FromStr for Username {
    type Err = ParseUsernameError;

    fn from_str(text: &str) -> Result<Self, ParseUsernameError> {
        let mut chars = 0;
        for char in text.chars() {
            chars += 1;
            // Counting stops early: the text may be long.
            if chars > USERNAME_CHARS {
                return Err(ParseUsernameError::Length);
            }
            if !(char.is_alphanumeric() || matches!(char, '.' | '_' | '-' | '+' | '@')) {
                return Err(ParseUsernameError::Character(char));
            }
        }
        if chars == 0 {
            return Err(ParseUsernameError::Length);
        }
        Ok(Self::accepted(text.to_owned()))
    }
}

impl PartialEq for Username {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}

impl Eq for Username {}

impl std::hash::Hash for Username {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.folded.hash(state);
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.spelling)
    }
}

impl fmt::Debug for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.spelling, f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Username, ParseUsernameError> {
        text.parse()
    }

    #[test]
    fn letters_digits_and_six_signs() {
        for text in
            ["a", "Ada.Lovelace_1815-x+y@example.org", "Ζωή", "ひかり", "७", &"x".repeat(64)]
        {
            assert_eq!(parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn refused_with_the_reason() {
        assert_eq!(parse(""), Err(ParseUsernameError::Length));
        assert_eq!(parse(&"é".repeat(65)), Err(ParseUsernameError::Length));
        assert_eq!(parse(&"x".repeat(10_000_000)), Err(ParseUsernameError::Length));
        // A combining accent is no letter, so each name has one composition.
        for (text, char) in [
            ("a b", ' '),
            ("a*", '*'),
            (">", '>'),
            ("a/b", '/'),
            ("\0", '\0'),
            ("e\u{301}", '\u{301}'),
        ] {
            assert_eq!(parse(text), Err(ParseUsernameError::Character(char)));
        }
    }

    #[test]
    fn spellings_that_differ_in_case_are_one_name() {
        for (one, other) in [
            ("Ada", "aDA"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("STRASSE", "straße"),
            ("ẞ", "ß"),
            ("\u{212a}", "k"),
        ] {
            assert_eq!(parse(one), parse(other));
        }
        assert_ne!(parse("ada"), parse("adα"));
    }

    proptest! {
        #[test]
        fn case_never_makes_another_name(text in r"[\p{L}\p{Nd}._+@-]{1,64}") {
            let name = parse(&text);
            for spelling in [text.to_uppercase(), text.to_lowercase()] {
                // A changed case may have combining marks, which are refused.
                if let Ok(other) = parse(&spelling) {
                    prop_assert_eq!(Ok(other), name.clone());
                }
            }
        }
    }
}
