//! Refresh tokens: what the directory keeps of them, and what presenting one means.
//!
//! A refresh token is signed and names its family and number. The directory
//! keeps no tokens, only how far each device's family has come: numbers rise
//! as tokens are issued, and the highest one presented so far is remembered.

use std::{fmt, str::FromStr};

use schemas::{Micros, limits::REFRESH_GRACE};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// All tokens of one device since its last login or revocation. Replacing it
/// makes every earlier token of the device worthless.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Family(u128);

/// A string that is not a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {FAMILY_DIGITS} lower-case hexadecimal digits")]
pub struct ParseFamilyError;

/// What a refresh token says besides its user and device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshClaim {
    /// The family it belongs to.
    pub family: Family,
    /// Its place in the family, from 1.
    pub number: u64,
}

/// How far the tokens of one device have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenState {
    /// The family whose tokens are good.
    pub family: Family,
    /// The highest number issued; 0 when the family was replaced by a
    /// revocation, so that nothing of it is out.
    pub issued: u64,
    /// The highest number presented; 0 when none was.
    pub used: u64,
    /// When `used` was first presented, in microseconds since 1970.
    pub used_at: Micros,
}

/// What presenting a refresh token led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// It was good: the token with this claim may be handed out.
    Issued(RefreshClaim),
    /// It had been used before and too long ago, or after a newer one: two
    /// parties hold tokens of this device. The family was replaced; the
    /// device stays linked and comes back by a login.
    Revoked,
    /// It belongs to another family or to a device that is not linked.
    /// Nothing changed.
    Refused,
}

const FAMILY_DIGITS: usize = 32;

impl Family {
    /// A new random family.
    pub fn mint() -> Self {
        Self(rand::random())
    }
}

impl TokenState {
    /// A family of which the first token is issued.
    pub fn first_issued() -> Self {
        Self { family: Family::mint(), issued: 1, used: 0, used_at: Micros(0) }
    }

    /// A family of which no token is out.
    fn revoked() -> Self {
        Self { issued: 0, ..Self::first_issued() }
    }

    /// The claim of the newest token.
    pub fn newest(&self) -> RefreshClaim {
        RefreshClaim { family: self.family, number: self.issued }
    }

    /// Decides what presenting a token at `now` means, and the state after it.
    ///
    /// A used token works again for [`REFRESH_GRACE`] after its first use, as
    /// long as no later one was used: the answer that carried its successor
    /// may have been lost.
    #[must_use]
    pub fn present(self, presented: RefreshClaim, now: Micros) -> (Self, Rotation) {
        let never_issued = presented.number == 0 || presented.number > self.issued;
        // A number that was never issued but is signed means that the
        // directory lost state, which is nobody's misuse.
        if presented.family != self.family || never_issued {
            return (self, Rotation::Refused);
        }
        let is_new = presented.number > self.used;
        let is_retry = presented.number == self.used && now <= self.used_at.plus(REFRESH_GRACE);
        if !is_new && !is_retry {
            return (Self::revoked(), Rotation::Revoked);
        }
        let used_at = if is_new { now } else { self.used_at };
        let after = Self { issued: self.issued + 1, used: presented.number, used_at, ..self };
        (after, Rotation::Issued(after.newest()))
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0FAMILY_DIGITS$x}", self.0)
    }
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Family {
    type Err = ParseFamilyError;

    fn from_str(text: &str) -> Result<Self, ParseFamilyError> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != FAMILY_DIGITS || !text.bytes().all(is_digit) {
            return Err(ParseFamilyError);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| ParseFamilyError)
    }
}

impl Serialize for Family {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Family {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}
