//! Ranges of bytes, and whether a client has them already (RFC 9110, 13 and 14).

use std::ops::Range;

use axum::http::{HeaderMap, HeaderValue, header};

/// What of a representation a request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    All,
    /// These bytes.
    Part(Range<u64>),
    /// Nothing: it is there already.
    Nothing,
    /// Bytes that there are not.
    Beyond,
}

/// What a request wants of a representation of that size with that strong tag.
pub(super) fn wanted(headers: &HeaderMap, size: u64, tag: &HeaderValue) -> Wanted {
    if let Some(known) = headers.get(header::IF_NONE_MATCH)
        && names(known, tag)
    {
        return Wanted::Nothing;
    }
    // A date, too, is none of this representation's.
    let is_of_this = headers.get(header::IF_RANGE).is_none_or(|condition| condition == tag);
    let range = headers.get(header::RANGE).filter(|_| is_of_this);
    range.and_then(|range| range.to_str().ok()).map_or(Wanted::All, |range| parse(range, size))
}

/// Whether a list of tags has this one; the weak comparison.
fn names(list: &HeaderValue, tag: &HeaderValue) -> bool {
    let Ok(list) = list.to_str() else { return false };
    let mut tags = list.split(',').map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// What is no range of bytes, or several, is all of it.
fn parse(range: &str, size: u64) -> Wanted {
    let Some((unit, range)) = range.split_once('=') else { return Wanted::All };
    let Some((first, last)) = range.trim().split_once('-') else { return Wanted::All };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::All;
    }
    let range = match (digits(first), digits(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(first), None) if last.is_empty() => first..size,
        (None, Some(count)) if first.is_empty() => size.saturating_sub(count)..size,
        _ => return Wanted::All,
    };
    if range.is_empty() { Wanted::Beyond } else { Wanted::Part(range) }
}

/// A number, however large.
fn digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: HeaderValue = HeaderValue::from_static("\"m_1\"");

    fn of_10(headers: &[(header::HeaderName, &'static str)]) -> Wanted {
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        wanted(&headers.collect(), 10, &TAG)
    }

    #[test]
    fn a_range_is_the_part_of_it_that_there_is() {
        for (range, part) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-9", 0..10),
            ("bytes=3-", 3..10),
            ("bytes=-4", 6..10),
            ("bytes=-40", 0..10),
            ("bytes=9-9", 9..10),
            ("bytes=4-99999999999999999999999", 4..10),
            ("Bytes = 1-2", 1..3),
        ] {
            assert_eq!(of_10(&[(header::RANGE, range)]), Wanted::Part(part), "{range}");
        }
        for range in ["bytes=10-", "bytes=10-11", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(of_10(&[(header::RANGE, range)]), Wanted::Beyond, "{range}");
        }
    }

    #[test]
    fn what_is_no_single_range_is_all_of_it() {
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=1-0",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=+1-2",
            "bytes=1--2",
            "0-1",
            "bytes=1",
        ] {
            assert_eq!(of_10(&[(header::RANGE, range)]), Wanted::All, "{range}");
        }
    }

    #[test]
    fn a_range_of_something_else_is_all_of_this() {
        let range = (header::RANGE, "bytes=1-2");
        for (condition, wants) in [
            ("\"m_1\"", Wanted::Part(1..3)),
            ("\"m_2\"", Wanted::All),
            ("W/\"m_1\"", Wanted::All),
            ("Tue, 24 Nov 2026 18:00:00 GMT", Wanted::All),
        ] {
            assert_eq!(
                of_10(&[range.clone(), (header::IF_RANGE, condition)]),
                wants,
                "{condition}"
            );
        }
    }

    #[test]
    fn what_is_there_already_is_not_sent() {
        for tags in ["\"m_1\"", "W/\"m_1\"", "\"a\", \"m_1\"", "*", "\"a\",W/\"m_1\",\"b\""] {
            let known = [(header::IF_NONE_MATCH, tags), (header::RANGE, "bytes=1-2")];
            assert_eq!(of_10(&known), Wanted::Nothing, "{tags}");
        }
        for tags in ["\"m_2\"", "m_1", ""] {
            assert_eq!(of_10(&[(header::IF_NONE_MATCH, tags)]), Wanted::All, "{tags}");
        }
    }
}
