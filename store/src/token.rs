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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const START: Micros = Micros(1_700_000_000_000_000);
    const A_MOMENT: Duration = Duration::from_micros(1);

    /// One device, its clock, and what was issued to it.
    struct Device {
        state: TokenState,
        now: Micros,
    }

    impl Device {
        fn new() -> Self {
            Self { state: TokenState::first_issued(), now: START }
        }

        fn wait(&mut self, time: Duration) {
            self.now = self.now.plus(time);
        }

        fn present(&mut self, number: u64) -> Rotation {
            let claim = RefreshClaim { family: self.state.family, number };
            let (after, rotation) = self.state.present(claim, self.now);
            self.state = after;
            rotation
        }

        /// Presents a token that has to be good; answers its successor's number.
        fn rotate(&mut self, number: u64) -> u64 {
            match self.present(number) {
                Rotation::Issued(claim) => {
                    assert_eq!(claim, self.state.newest());
                    claim.number
                }
                other => panic!("{number} was {other:?}"),
            }
        }
    }

    #[test]
    fn each_token_is_good_for_its_successor() {
        let mut device = Device::new();
        let mut number = device.state.newest().number;
        for _ in 0..5 {
            number = device.rotate(number);
            device.wait(Duration::from_secs(900));
        }
        assert_eq!(number, 6);
    }

    #[test]
    fn a_lost_answer_is_retried_until_the_grace_ends() {
        let mut device = Device::new();
        assert_eq!(device.rotate(1), 2);
        device.wait(REFRESH_GRACE / 2);
        assert_eq!(device.rotate(1), 3);
        // Counted from the first use: a retry does not prolong it.
        device.wait(REFRESH_GRACE / 2);
        assert_eq!(device.rotate(1), 4);
        device.wait(A_MOMENT);
        assert_eq!(device.present(1), Rotation::Revoked);
    }

    #[test]
    fn after_a_newer_one_was_used_the_old_one_revokes_at_once() {
        let mut device = Device::new();
        device.rotate(1);
        device.rotate(2);
        assert_eq!(device.present(1), Rotation::Revoked);
    }

    #[test]
    fn a_sibling_that_was_never_used_revokes_too() {
        let mut device = Device::new();
        assert_eq!((device.rotate(1), device.rotate(1)), (2, 3));
        device.rotate(3);
        assert_eq!(device.present(2), Rotation::Revoked);
    }

    #[test]
    fn a_revocation_leaves_nothing_that_is_good() {
        let mut device = Device::new();
        let family = device.state.family;
        device.rotate(1);
        device.rotate(2);
        assert_eq!(device.present(1), Rotation::Revoked);
        assert_ne!(device.state.family, family);
        for number in 0..5 {
            let old = RefreshClaim { family, number };
            assert_eq!(device.state.present(old, device.now), (device.state, Rotation::Refused));
            assert_eq!(device.present(number), Rotation::Refused);
        }
    }

    #[test]
    fn what_was_never_issued_is_refused_and_changes_nothing() {
        let mut device = Device::new();
        device.rotate(1);
        let before = device.state;
        let foreign = RefreshClaim { family: Family::mint(), number: 2 };
        assert_eq!(device.present(3), Rotation::Refused);
        assert_eq!(device.present(0), Rotation::Refused);
        assert_eq!(device.state.present(foreign, device.now), (before, Rotation::Refused));
        assert_eq!(device.state, before);
    }

    #[test]
    fn a_family_is_read_back_from_its_one_spelling() {
        let family = Family(0xab);
        let text = family.to_string();
        assert_eq!(text, "000000000000000000000000000000ab");
        assert_eq!(text.parse(), Ok(family));
        for wrong in
            ["", "ab", &text.to_uppercase(), &format!("{text}0"), &format!("+{}", &text[1..])]
        {
            assert_eq!(wrong.parse::<Family>(), Err(ParseFamilyError), "{wrong}");
        }
    }

    proptest! {
        /// Tokens presented in any order, by whoever holds them, after any
        /// time: good are exactly those that the whole history allows.
        #[test]
        fn the_state_decides_as_the_history_would(
            steps in prop::collection::vec((0usize..3, 0u64..20_000), 1..60),
        ) {
            let mut device = Device::new();
            let mut issued = vec![1];
            let mut uses: Vec<(u64, Micros)> = Vec::new();
            for (back, millis) in steps {
                device.wait(Duration::from_millis(millis));
                let number = issued[issued.len().saturating_sub(1 + back)];
                let newer_was_used = uses.iter().any(|(used, _)| *used > number);
                let first_use = uses.iter().find(|(used, _)| *used == number);
                let in_grace = first_use.is_none_or(|(_, at)| device.now <= at.plus(REFRESH_GRACE));
                let rotation = device.present(number);
                if newer_was_used || !in_grace {
                    prop_assert_eq!(rotation, Rotation::Revoked);
                    return Ok(());
                }
                uses.push((number, device.now));
                let Rotation::Issued(claim) = rotation else {
                    return Err(TestCaseError::fail(format!("{number} was {rotation:?}")));
                };
                prop_assert!(claim.number > *issued.last().unwrap());
                issued.push(claim.number);
            }
        }
    }
}
