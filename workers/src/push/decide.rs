//! When a device is told that a chat has something for it: pure decisions over
//! what it was told before.
//!
//! One notification stands for all that waits in a chat. While the device has
//! not come, further messages lead to further notifications ever more rarely,
//! and for each only one message has to wait; the others are done with at once.

use std::time::Duration;

use schemas::{
    Millis,
    event::{NextPush, PushRecord},
};

/// A notification for messages that came after one that the device has not
/// reacted to.
const FIRST_REPEAT: Duration = Duration::from_secs(30);
/// Each further one comes after twice the time, up to this.
pub(super) const LONGEST_REPEAT: Duration = Duration::from_secs(15 * 60);
/// Who sends has to be done by then, or another sends again. Longer than any
/// request to a provider may take, shorter than the time after which the
/// message comes to another worker.
const CLAIM: Duration = Duration::from_secs(25);
/// How often whoever waits for another's notification looks.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Who waits on behalf of a chat is late by so much: another does.
const OVERDUE: Duration = Duration::from_secs(2 * 60);

/// What to do about a message that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing: its device was told.
    Told,
    /// Nothing: another message of the chat waits for both.
    Left,
    /// Look again after this.
    Wait(Duration),
    /// Write this, and look again after that: it waits on behalf of its chat.
    Keep(PushRecord, Duration),
    /// Write this, and then notify.
    Claim(PushRecord),
}

/// The message on whose presence in the inbox the decision depends, if it does.
pub(super) fn depends_on(seq: u64, record: &PushRecord, now: Millis) -> Option<u64> {
    if seq <= record.covers || is_claimed(record, now) {
        return None;
    }
    match record.next {
        Some(next) if next.seq == seq => None,
        Some(next) => Some(next.seq),
        None => Some(record.told),
    }
}

/// Decides about the message at this position. `gone`: the one that it
/// [depends on](depends_on) was delivered, so the device has come.
pub(super) fn decide(seq: u64, record: Option<&PushRecord>, gone: bool, now: Millis) -> Decision {
    let Some(record) = record else {
        let nothing = PushRecord {
            covers: 0,
            told: seq,
            at: now,
            repeats: 0,
            failures: 0,
            claimed: None,
            next: None,
        };
        return Decision::Claim(claim(&nothing, seq, now));
    };
    if seq <= record.covers {
        return Decision::Told;
    }
    if is_claimed(record, now) {
        return Decision::Wait(LOOK_AGAIN);
    }
    if gone {
        let afresh = PushRecord { repeats: 0, failures: 0, ..*record };
        return Decision::Claim(claim(&afresh, seq, now));
    }
    let due = match record.next {
        Some(next) if next.seq == seq => next.at,
        Some(next) if now <= next.at.plus(OVERDUE) => return Decision::Left,
        Some(_) => now,
        None => record.at.plus(repeat_after(record.repeats)),
    };
    let wait = due.since(now);
    if wait.is_zero() {
        return Decision::Claim(claim(record, seq, now));
    }
    match record.next {
        Some(_) => Decision::Wait(wait),
        None => {
            let next = Some(NextPush { seq, at: due });
            Decision::Keep(PushRecord { next, ..*record }, wait)
        }
    }
}

/// The record after a notification for this message, when the newest in the
/// inbox was that one.
pub(super) fn sent(claimed: &PushRecord, seq: u64, newest: u64, now: Millis) -> PushRecord {
    PushRecord {
        covers: newest.max(seq),
        told: seq,
        at: now,
        repeats: claimed.repeats.saturating_add(1),
        failures: 0,
        claimed: None,
        next: None,
    }
}

/// The record after one that is to be sent later, for no fault of its own.
pub(super) fn held(claimed: &PushRecord, seq: u64, pause: Duration, now: Millis) -> PushRecord {
    let next = Some(NextPush { seq, at: now.plus(pause) });
    PushRecord { claimed: None, next, ..*claimed }
}

/// The record after one that failed, and is to be tried again after this.
pub(super) fn failed(claimed: &PushRecord, seq: u64, pause: Duration, now: Millis) -> PushRecord {
    let failures = claimed.failures.saturating_add(1);
    PushRecord { failures, ..held(claimed, seq, pause, now) }
}

/// The record after it turned out that there is nobody to be woken yet: the
/// message was delivered, or its device has connected and may take it.
pub(super) fn needless(claimed: &PushRecord, delivered: Option<u64>) -> PushRecord {
    let claimed = PushRecord { claimed: None, ..*claimed };
    match delivered {
        Some(seq) => {
            let covers = claimed.covers.max(seq);
            PushRecord { covers, told: seq, next: None, ..claimed }
        }
        None => claimed,
    }
}

fn claim(record: &PushRecord, seq: u64, now: Millis) -> PushRecord {
    // Should nobody finish it, this message still waits on behalf of the chat.
    let next = Some(NextPush { seq, at: now });
    PushRecord { claimed: Some(now.plus(CLAIM)), next, ..*record }
}

fn is_claimed(record: &PushRecord, now: Millis) -> bool {
    record.claimed.is_some_and(|until| now < until)
}

fn repeat_after(repeats: u32) -> Duration {
    let doubled = 1_u32.checked_shl(repeats.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST_REPEAT.saturating_mul(doubled).min(LONGEST_REPEAT)
}

#[cfg(test)]
#[path = "decide_tests.rs"]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
