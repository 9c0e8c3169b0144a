//! What a device is told when it is woken.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ChatId, UserId};

/// The text of a Web Push message, once the browser has decrypted it: JSON,
/// followed by spaces up to the next 1,024 bytes, so that its length says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PushMessage {
    /// There is something in the inbox: wake up and fetch it.
    Messages {
        /// The chat of the newest message, from the reader's point of view.
        chat: ChatId,
        /// For the app's icon: messages that wait for this device.
        badge: u64,
        /// The newest message, if its reader wants to see it without opening the app.
        #[serde(skip_serializing_if = "Option::is_none")]
        preview: Option<PushPreview>,
    },
}

/// A message as a notification shows it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PushPreview {
    /// Who sent it.
    pub from: UserId,
    /// The beginning of its text, at most 512 bytes.
    pub text: String,
}

/// Bytes of the longest text in a preview; senders cut it.
pub const PREVIEW_MAX: usize = 512;

/// No log shows what somebody wrote.
impl std::fmt::Debug for PushPreview {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PushPreview({})", self.from)
    }
}
