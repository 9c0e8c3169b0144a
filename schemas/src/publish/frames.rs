//! The frames of one direction, as the socket's document lists them.

/// One frame.
pub(super) struct Frame {
    /// The name of its schema and message: `ClientSend`.
    pub(super) name: String,
    /// Its `type` on the wire: `send`.
    pub(super) tag: String,
    /// One sentence.
    pub(super) summary: String,
}

impl Frame {
    /// The name of the operation that sends it: `clientSend`.
    pub(super) fn operation(&self) -> String {
        match self.name.split_at_checked(1) {
            Some((first, rest)) => first.to_ascii_lowercase() + rest,
            None => String::new(),
        }
    }
}

/// What answers a client's frame, by the `type` of both. The rest is not
/// answered; anything may be refused with an `error`.
pub(super) fn replies(tag: &str) -> &'static [&'static str] {
    match tag {
        "hello" => &["welcome"],
        "send" => &["sent", "error"],
        "watch" => &["presence"],
        "ping" => &["pong"],
        _ => &[],
    }
}
