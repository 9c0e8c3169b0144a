//! How often something may be done, as an operator writes it.

use std::{
    num::{NonZeroU32, NonZeroU64},
    str::FromStr,
    time::Duration,
};

/// So many at once, and so many per time in the long run: `60,20/s`, with the
/// units `s`, `min`, `h` and `day`; or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// As often as anybody likes.
    Off,
    /// In turn.
    Limited {
        /// So many at once.
        burst: NonZeroU32,
        /// After which there is one more again, in nanoseconds.
        every: NonZeroU64,
    },
}

/// So many attempts, and then a delay that doubles with each: `5,1s..1min`,
/// with the units `ms`, `s`, `min` and `h`; or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// None.
    Off,
    /// A growing one.
    Growing {
        /// Attempts without a delay.
        free: NonZeroU32,
        /// After the last of these.
        first: Duration,
        /// However many there are. It is also the time in which one attempt is
        /// forgotten.
        longest: Duration,
    },
}

/// What is wrong with such a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected something like {0}, or off")]
pub struct TermsError(&'static str);

const RATE: TermsError = TermsError("60,20/s");
const DELAY: TermsError = TermsError("5,1s..1min");

impl FromStr for Rate {
    type Err = TermsError;

    fn from_str(text: &str) -> Result<Self, TermsError> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let parse = || {
            let (burst, long_run) = text.split_once(',')?;
            let (count, unit) = long_run.split_once('/')?;
            let count: NonZeroU32 = count.trim().parse().ok()?;
            let every = nanoseconds(unit.trim())? / u64::from(count.get());
            Some(Self::Limited {
                burst: burst.trim().parse().ok()?,
                every: NonZeroU64::new(every).unwrap_or(NonZeroU64::MIN),
            })
        };
        parse().ok_or(RATE)
    }
}

impl FromStr for Delay {
    type Err = TermsError;

    fn from_str(text: &str) -> Result<Self, TermsError> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let parse = || {
            let (free, range) = text.split_once(',')?;
            let (first, longest) = range.split_once("..")?;
            let (first, longest) = (duration(first.trim())?, duration(longest.trim())?);
            let free = free.trim().parse().ok()?;
            (first <= longest).then_some(Self::Growing { free, first, longest })
        };
        parse().ok_or(DELAY)
    }
}

/// A number with its unit; more than nothing.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|char: char| !char.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit);
    let number: NonZeroU32 = number.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds(unit)?.checked_mul(number.get().into())?))
}

fn nanoseconds(unit: &str) -> Option<u64> {
    const SECOND: u64 = 1_000_000_000;
    Some(match unit {
        "ms" => SECOND / 1000,
        "s" => SECOND,
        "min" => 60 * SECOND,
        "h" => 60 * 60 * SECOND,
        "day" => 24 * 60 * 60 * SECOND,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_rate_is_a_burst_and_a_long_run() {
        let rate = |burst, every| Rate::Limited {
            burst: NonZeroU32::new(burst).unwrap(),
            every: NonZeroU64::new(every).unwrap(),
        };
        for (text, expected) in [
            ("60,20/s", rate(60, 50_000_000)),
            ("1,1/day", rate(1, 86_400_000_000_000)),
            (" 3 , 30 / min ", rate(3, 2_000_000_000)),
            ("4294967295,4294967295/s", rate(u32::MAX, 1)),
            ("off", Rate::Off),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for wrong in
            ["", "60", "60,20", "20/s", "0,20/s", "60,0/s", "60,20/y", "-1,2/s", "1,2/s,3", "on"]
        {
            assert_eq!(wrong.parse::<Rate>(), Err(RATE), "{wrong}");
        }
    }

    #[test]
    fn a_delay_grows_from_the_first_to_the_longest() {
        let free = NonZeroU32::new(5).unwrap();
        let (first, longest) = (Duration::from_millis(1500), Duration::from_secs(60));
        let expected = Delay::Growing { free, first, longest };
        assert_eq!("5,1500ms..1min".parse(), Ok(expected));
        assert_eq!("off".parse(), Ok(Delay::Off));
        for wrong in ["", "5", "5,1s", "0,1s..2s", "5,2s..1s", "5,s..1s", "5,0s..1s", "5,1..2s"] {
            assert_eq!(wrong.parse::<Delay>(), Err(DELAY), "{wrong}");
        }
    }
}
