//! Files of which every byte is known, and none is kept.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Bytes that are made, sent or written at once.
pub(super) const CHUNK: usize = 64 * 1024;
/// Bytes that are made from one number.
const WORD: usize = size_of::<u64>();

/// A file that looks random, and is the same whenever it is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contents {
    pub(super) seed: u64,
    pub(super) size: u64,
}

/// A part of a file on its way out.
#[derive(Debug)]
pub(super) struct Outgoing {
    contents: Contents,
    next: u64,
    end: u64,
}

/// A file on its way in, compared with what it should be.
#[derive(Debug)]
pub(super) struct Incoming {
    contents: Contents,
    next: u64,
    is_same: bool,
    expected: Vec<u8>,
}

impl Contents {
    /// Its bytes from there on.
    pub(super) fn fill(self, offset: u64, bytes: &mut [u8]) {
        let skipped = (offset % WORD as u64) as usize;
        let mut n = offset / WORD as u64;
        let cut = if skipped == 0 { 0 } else { (WORD - skipped).min(bytes.len()) };
        let (head, rest) = bytes.split_at_mut(cut);
        if cut > 0 {
            head.copy_from_slice(&self.word(n)[skipped..skipped + cut]);
            n += 1;
        }
        for word in rest.chunks_mut(WORD) {
            word.copy_from_slice(&self.word(n)[..word.len()]);
            n += 1;
        }
    }

    /// The part from `from` to `end`, to be sent.
    pub(super) fn part(self, from: u64, end: u64) -> Outgoing {
        Outgoing { contents: self, next: from, end: end.min(self.size) }
    }

    /// To be compared with what comes.
    pub(super) fn compare(self) -> Incoming {
        Incoming { contents: self, next: 0, is_same: true, expected: vec![0; CHUNK] }
    }

    /// SplitMix64 at this place: cheap beside what it costs to send its bytes.
    fn word(self, n: u64) -> [u8; WORD] {
        let z = self.seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_le_bytes()
    }
}

impl Incoming {
    /// Takes what comes next.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        for some in bytes.chunks(CHUNK) {
            let expected = &mut self.expected[..some.len()];
            self.contents.fill(self.next, expected);
            self.is_same &= expected == some;
            self.next += some.len() as u64;
        }
    }

    /// Whether all of it came, and nothing else.
    pub(super) fn is_whole(&self) -> bool {
        self.is_same && self.next == self.contents.size
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let left = this.end.saturating_sub(this.next);
        if left == 0 {
            return Poll::Ready(None);
        }
        let mut bytes = vec![0; usize::try_from(left).unwrap_or(CHUNK).min(CHUNK)];
        this.contents.fill(this.next, &mut bytes);
        this.next += bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes.into()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end.saturating_sub(self.next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Contents = Contents { seed: 7, size: 200_003 };

    fn whole() -> Vec<u8> {
        let mut whole = vec![0; 200_003];
        FILE.fill(0, &mut whole);
        whole
    }

    #[test]
    fn a_part_is_the_same_wherever_it_begins_and_ends() {
        let whole = whole();
        for (from, end) in [(0, 1), (3, 5), (3, 8), (7, 25), (8, 16), (70_001, 200_003)] {
            let mut part = vec![0; end - from];
            FILE.fill(from as u64, &mut part);
            assert!(part == whole[from..end], "{from} to {end}");
        }
    }

    #[test]
    fn what_differs_or_is_cut_off_is_not_whole() {
        let mut bytes = whole();
        let is_whole = |bytes: &[u8]| {
            let mut incoming = FILE.compare();
            bytes.chunks(100_001).for_each(|some| incoming.take(some));
            incoming.is_whole()
        };
        assert!(is_whole(&bytes));
        assert!(!is_whole(&bytes[1..]));
        assert!(!is_whole(&bytes[..bytes.len() - 1]));
        bytes[150_000] ^= 1;
        assert!(!is_whole(&bytes));
    }
}
