//! The part of the NATS client protocol that a subscriber needs, as pure code.

/// What the server sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Op<'a> {
    Message(Delivery<'a>),
    Ping,
    Pong,
    Info(&'a [u8]),
    Error(&'a str),
    Ok,
}

/// A message for one subscription, borrowed from the read buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery<'a> {
    pub(super) sid: u64,
    /// The subject it was published to.
    pub subject: &'a str,
    /// The raw header block, empty without headers.
    pub headers: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

impl Delivery<'_> {
    /// A header that holds a number, such as `Nats-Sequence`.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.headers
            .split(|byte| *byte == b'\n')
            .find_map(|line| {
                let (key, value) = line.split_at_checked(name.len())?;
                let value = value.strip_prefix(b":")?;
                key.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
            })
            .and_then(|value| number(value.trim_ascii()))
    }
}

/// Why the bytes are not the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the NATS protocol: {0}")]
pub(super) struct Malformed(&'static str);

/// The longest control line accepted; nats-server's own limit is 4 KiB, and INFO
/// of a large cluster is longer.
const CONTROL_LINE_BYTES: usize = 64 * 1024;
/// The largest message accepted: far above what Petrel stores.
const MESSAGE_BYTES: usize = 8 * 1024 * 1024;

/// Parses the first operation of `buffer` and says how many bytes it took;
/// nothing where it has not arrived whole.
pub(super) fn parse(buffer: &[u8]) -> Result<Option<(Op<'_>, usize)>, Malformed> {
    let Some(end) = memchr::memmem::find(buffer, b"\r\n") else {
        return if buffer.len() > CONTROL_LINE_BYTES {
            Err(Malformed("endless line"))
        } else {
            Ok(None)
        };
    };
    let (line, rest) = (&buffer[..end], end + 2);
    let (verb, arguments) = match memchr::memchr(b' ', line) {
        Some(space) => (&line[..space], line[space + 1..].trim_ascii()),
        None => (line, &b""[..]),
    };
    let op = match verb {
        b"MSG" | b"HMSG" => return message(buffer, rest, verb == b"HMSG", arguments),
        b"PING" => Op::Ping,
        b"PONG" => Op::Pong,
        b"+OK" => Op::Ok,
        b"INFO" => Op::Info(arguments),
        b"-ERR" => Op::Error(std::str::from_utf8(arguments).unwrap_or("?").trim_matches('\'')),
        _ => return Err(Malformed("unknown operation")),
    };
    Ok(Some((op, rest)))
}

/// `MSG subject sid [reply] total` or `HMSG subject sid [reply] headers total`,
/// with the payload from `start` on.
fn message<'a>(
    buffer: &'a [u8],
    start: usize,
    with_headers: bool,
    arguments: &'a [u8],
) -> Result<Option<(Op<'a>, usize)>, Malformed> {
    let refused = Malformed("bad message line");
    let mut words = arguments.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let mut from_end = words.clone().rev();
    let total = from_end.next().and_then(number).ok_or(refused.clone())? as usize;
    let headers = if with_headers {
        from_end.next().and_then(number).ok_or(refused.clone())? as usize
    } else {
        0
    };
    let subject = words.next().and_then(|word| std::str::from_utf8(word).ok());
    let sid = words.next().and_then(number);
    let (Some(subject), Some(sid)) = (subject, sid) else { return Err(refused) };
    if headers > total || total > MESSAGE_BYTES {
        return Err(Malformed("bad message length"));
    }
    let end = start + total;
    if buffer.len() < end + 2 {
        return Ok(None);
    }
    let (headers, payload) = buffer[start..end].split_at(headers);
    Ok(Some((Op::Message(Delivery { sid, subject, headers, payload }), end + 2)))
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const STREAM: &[u8] = b"INFO {\"server_id\":\"a\"}\r\nPING\r\nMSG live.0.u.d 7 5\r\nhello\r\n\
        HMSG live.0.u.d 8 reply.to 49 51\r\nNATS/1.0\r\nNats-Sequence: 12\r\nx-other: nothing\r\n\r\nhi\r\n\
        +OK\r\nPONG\r\n-ERR 'Slow Consumer'\r\nMSG a 9 0\r\n\r\n";

    fn read_all(stream: &[u8]) -> Vec<String> {
        let mut at = 0;
        let mut ops = Vec::new();
        while let Some((op, taken)) = parse(&stream[at..]).unwrap() {
            ops.push(format!("{op:?}"));
            at += taken;
        }
        assert_eq!(at, stream.len());
        ops
    }

    #[test]
    fn reads_every_operation() {
        assert_eq!(read_all(STREAM).len(), 8);
        let at = memchr::memmem::find(STREAM, b"HMSG").unwrap();
        let Some((Op::Message(delivery), _)) = parse(&STREAM[at..]).unwrap() else { panic!() };
        assert_eq!((delivery.sid, delivery.payload), (8, &b"hi"[..]));
        assert_eq!(delivery.number("Nats-Sequence"), Some(12));
        assert_eq!(delivery.number("nats-sequence"), Some(12));
        assert_eq!(delivery.number("x-other"), None);
        assert_eq!(delivery.number("Nats-Last-Sequence"), None);
    }

    #[test]
    fn refuses_what_is_not_nats() {
        for bad in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"MSG a 1 -1\r\n",
            b"MSG a 99999999999\r\n",
            b"HMSG a 1 9 5\r\nhello\r\n",
            b"MSG\r\n",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert!(parse(&vec![b'x'; CONTROL_LINE_BYTES + 1]).is_err());
    }

    proptest! {
        #[test]
        fn waits_for_the_whole_operation(cut in 0..STREAM.len()) {
            let mut at = 0;
            while let Some((_, taken)) = parse(&STREAM[at..cut]).unwrap() {
                at += taken;
            }
            prop_assert!(at <= cut);
            // What was cut off is read once the rest is there.
            prop_assert!(parse(&STREAM[at..]).unwrap().is_some() || at == STREAM.len());
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
