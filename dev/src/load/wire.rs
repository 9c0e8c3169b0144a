//! Frames as the load generator writes and reads them: only what it needs, and
//! borrowed, because it shares the machine with what it measures.

use std::{borrow::Cow, fmt::Write as _};

use serde::Deserialize;

/// Bytes a text body has around its text.
const BODY_FRAME: usize = r#"{"kind":"text","text":""}"#.len();

/// A frame of the server.
#[derive(Debug, PartialEq)]
pub(super) enum Frame<'a> {
    /// Messages, in inbox order.
    Messages(Vec<Item<'a>>),
    /// One's message is stored.
    Sent {
        /// Its number.
        n: Option<u32>,
        /// Its place in the chat.
        ts: i64,
    },
    /// How far one's messages got.
    Receipts(Vec<Receipt<'a>>),
    /// The backlog has come.
    CaughtUp,
    /// Something is refused.
    Error {
        /// Why.
        code: Cow<'a, str>,
        /// What.
        reference: Option<Cow<'a, str>>,
    },
    /// Nothing of interest.
    Other,
}

/// A message.
#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Item<'a> {
    /// Position in the inbox.
    pub(super) seq: u64,
    id: &'a str,
    /// Where.
    pub(super) chat: &'a str,
    /// Who sent it.
    pub(super) from: &'a str,
    /// Its place in the chat.
    pub(super) ts: i64,
    body: Body<'a>,
}

/// What a server makes of a change of a group has no text.
#[derive(Debug, PartialEq, Deserialize)]
struct Body<'a> {
    #[serde(default)]
    text: &'a str,
}

/// How far somebody got.
#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Receipt<'a> {
    /// Where.
    pub(super) chat: &'a str,
    /// Who.
    pub(super) user: &'a str,
    /// Up to this `ts` one's messages are delivered there.
    pub(super) delivered: i64,
}

/// What a sender wrote into a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Content {
    /// Its number, of this sender, from 0.
    pub(super) n: u32,
    /// When it was to be sent, in microseconds since the run began.
    pub(super) due_us: u64,
}

impl Item<'_> {
    /// The content, if it came as it was sent: its number is also its id, and
    /// its length is known.
    pub(super) fn content(&self, body_bytes: usize) -> Option<Content> {
        let mut words = self.body.text.splitn(3, ' ');
        let n = words.next()?.parse().ok()?;
        let due_us = words.next()?.parse().ok()?;
        let padding = words.next()?;
        let whole = self.body.text.len() + BODY_FRAME == body_bytes
            && padding.bytes().all(|byte| byte == b'.')
            && number(self.id) == Some(n);
        whole.then_some(Content { n, due_us })
    }
}

/// Parses a frame of the server.
///
/// # Errors
/// For one that is not of the protocol, or has other messages than ours.
pub(super) fn parse(text: &str) -> Result<Frame<'_>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Messages<'a> {
        #[serde(borrow)]
        items: Vec<Item<'a>>,
    }
    #[derive(Deserialize)]
    struct Sent<'a> {
        id: &'a str,
        ts: i64,
    }
    #[derive(Deserialize)]
    struct Receipts<'a> {
        #[serde(borrow)]
        items: Vec<Receipt<'a>>,
    }
    #[derive(Deserialize)]
    struct Error<'a> {
        #[serde(borrow)]
        code: Cow<'a, str>,
        #[serde(borrow, rename = "ref")]
        reference: Option<Cow<'a, str>>,
    }
    Ok(match &*kind(text)? {
        "messages" => Frame::Messages(serde_json::from_str::<Messages<'_>>(text)?.items),
        "sent" => {
            let sent: Sent<'_> = serde_json::from_str(text)?;
            Frame::Sent { n: number(sent.id), ts: sent.ts }
        }
        "receipts" => Frame::Receipts(serde_json::from_str::<Receipts<'_>>(text)?.items),
        "caught_up" => Frame::CaughtUp,
        "error" => {
            let error: Error<'_> = serde_json::from_str(text)?;
            Frame::Error { code: error.code, reference: error.reference }
        }
        _ => Frame::Other,
    })
}

/// How far one's messages got with whom that is furthest; 0 for nobody.
pub(super) fn furthest(receipts: &[Receipt<'_>]) -> i64 {
    receipts.iter().map(|receipt| receipt.delivered).max().unwrap_or_default()
}

/// A `send` of message `n`, whose body is this many bytes of JSON text.
pub(super) fn send(chat: &str, content: Content, at: i64, after: i64, body_bytes: usize) -> String {
    const PADDING: &str = "................................................................";
    let Content { n, due_us } = content;
    let mut text = String::with_capacity(body_bytes + 160);
    // Writing to a String cannot fail.
    let _ = write!(text, r#"{{"type":"send","id":"m{n}","chat":"{chat}","at":{at},"#);
    if after > 0 {
        let _ = write!(text, r#""after":{after},"#);
    }
    text.push_str(r#""body":{"kind":"text","text":""#);
    let start = text.len();
    let _ = write!(text, "{n} {due_us} ");
    let mut missing = (body_bytes - BODY_FRAME).saturating_sub(text.len() - start);
    while missing > 0 {
        let some = missing.min(PADDING.len());
        text.push_str(&PADDING[..some]);
        missing -= some;
    }
    text.push_str(r#""}}"#);
    text
}

/// An `ack` up to this position.
pub(super) fn ack(seq: u64) -> String {
    format!(r#"{{"type":"ack","seq":{seq}}}"#)
}

/// A `hello`.
pub(super) fn hello(token: &str) -> String {
    format!(r#"{{"type":"hello","token":"{token}"}}"#)
}

/// The type, which servers write first; found elsewhere too, but not as fast.
fn kind(text: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Tag<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
    }
    let first = text.strip_prefix(r#"{"type":""#).and_then(|rest| rest.split_once('"'));
    match first {
        Some((kind, _)) => Ok(Cow::Borrowed(kind)),
        None => Ok(serde_json::from_str::<Tag<'_>>(text)?.kind),
    }
}

fn number(id: &str) -> Option<u32> {
    id.strip_prefix('m')?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use schemas::{ChatId, Micros, UserId, client, server, stored};

    use super::*;

    const BODY: usize = 200;

    /// What the server makes of a send of ours, and we of that.
    fn through_the_server(content: Content) -> String {
        let user = UserId::mint();
        let text = send(&user.to_string(), content, 5, 4, BODY);
        let client::Frame::Send(send) = client::Frame::parse(&text).unwrap() else {
            panic!("{text}")
        };
        assert_eq!(send.body.get().len(), BODY);
        assert_eq!(
            (send.chat, send.at, send.after),
            (ChatId::User(user), Some(Micros(5)), Some(Micros(4)))
        );
        let message = stored::StoredMessage {
            id: send.id,
            chat: send.chat,
            from: user,
            ts: Micros(5),
            after: send.after,
            body: send.body,
        };
        let mut frame = stored::MessagesFrame::with_capacity(1024);
        frame.push(7, &message.to_json());
        String::from_utf8(frame.finish()).unwrap()
    }

    #[test]
    fn a_message_comes_back_as_it_was_sent() {
        let content = Content { n: 12, due_us: 3_456_789 };
        let text = through_the_server(content);
        let Frame::Messages(items) = parse(&text).unwrap() else { panic!("{text}") };
        let [item] = &items[..] else { panic!("{items:?}") };
        assert_eq!((item.seq, item.ts, item.content(BODY)), (7, 5, Some(content)));
        assert_eq!(item.content(BODY + 1), None, "another length");
        let tampered = text.replace("12 3456789", "13 3456789");
        let Frame::Messages(items) = parse(&tampered).unwrap() else { panic!("{tampered}") };
        assert_eq!(items[0].content(BODY), None, "another message's body");
    }

    #[test]
    fn the_servers_frames_are_understood() {
        let user = UserId::mint();
        let receipt = |delivered| server::Receipt {
            chat: ChatId::User(user),
            user,
            delivered: Micros(delivered),
            read: Micros(0),
            rev: 1,
        };
        let name = user.to_string();
        let received = |delivered| Receipt { chat: &name, user: &name, delivered };
        assert_eq!((furthest(&[received(2), received(3)]), furthest(&[])), (3, 0));
        let frames = [
            (
                server::Frame::Sent(server::Sent {
                    id: "m9".parse().unwrap(),
                    chat: ChatId::User(user),
                    ts: Micros(8),
                    full: Vec::new(),
                }),
                Frame::Sent { n: Some(9), ts: 8 },
            ),
            (
                server::Frame::Receipts { items: vec![receipt(3), receipt(2)] },
                Frame::Receipts(vec![received(3), received(2)]),
            ),
            (server::Frame::CaughtUp {}, Frame::CaughtUp),
            (
                server::Frame::Error(server::Error {
                    code: schemas::ErrorCode::Unavailable,
                    message: String::new(),
                    reference: Some("m1".into()),
                    retry_after_ms: None,
                }),
                Frame::Error { code: "unavailable".into(), reference: Some("m1".into()) },
            ),
            (server::Frame::Drain { after_ms: 1 }, Frame::Other),
        ];
        for (frame, expected) in &frames {
            assert_eq!(&parse(&frame.to_json()).unwrap(), expected);
        }
        let hello = client::Frame::parse(&hello("t")).unwrap();
        assert!(matches!(hello, client::Frame::Hello(hello) if hello.token == "t"));
        let ack = client::Frame::parse(&ack(3)).unwrap();
        assert_eq!(ack, client::Frame::Ack(client::Ack { seq: 3 }));
    }
}
