//! The limits of the protocol, all in one place so that they can be checked
//! against each other.

use std::time::Duration;

/// Longest frame a client may send, in bytes. A longer one closes with 1009.
pub const CLIENT_FRAME_BYTES: usize = 64 * 1024;
/// Longest `body`, in bytes of its JSON text.
pub const BODY_BYTES: usize = 16 * 1024;
/// Most items in one `messages` frame.
pub const MESSAGES_ITEMS: usize = 64;
/// Largest sum of item bytes in one `messages` frame.
pub const MESSAGES_BYTES: usize = 256 * 1024;
/// Most unacknowledged messages in flight to one session.
pub const WINDOW: usize = 256;
/// Most users one session may watch.
pub const WATCH_USERS: usize = 256;
/// Most members of a group, its creator included.
pub const GROUP_MEMBERS: usize = 100;
/// Most devices linked to one user.
pub const DEVICES: usize = 8;
/// Most ids in one bulk query (`GET /v1/users?ids=`).
pub const BULK_IDS: usize = 100;
/// Longest message id, in bytes.
pub const MESSAGE_ID_BYTES: usize = 64;
/// Longest username, in characters.
pub const USERNAME_CHARS: usize = 64;
/// Longest display name, in characters.
pub const NAME_CHARS: usize = 128;
/// Longest password, in bytes.
pub const PASSWORD_BYTES: usize = 1024;
/// Longest name of an upload, in bytes.
pub const MEDIA_NAME_BYTES: usize = 255;
/// Longest media type of an upload, in bytes.
pub const MEDIA_TYPE_BYTES: usize = 127;
/// Most users one user may block.
pub const BLOCKED_USERS: usize = 1024;
/// Consecutive bad frames after which the socket closes with 4400.
pub const BAD_FRAMES: u32 = 10;

/// Time from the socket's opening to its `hello`.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval of the server's WebSocket pings; two silent ones close with 4408.
pub const HEARTBEAT: Duration = Duration::from_secs(25);
/// How long a long poll waits where it does not say.
pub const POLL_WAIT: Duration = Duration::from_secs(25);
/// Longest wait of a long poll.
pub const POLL_WAIT_MAX: Duration = Duration::from_secs(60);
/// How far behind the gateway's clock a client's `at` may lie and still count.
pub const AT_BEHIND: Duration = Duration::from_secs(5 * 60);
/// How far ahead of the gateway's clock a client's `at` or `after` may lie.
pub const CLOCK_AHEAD: Duration = Duration::from_secs(2);
/// For how long a repeated message id stores nothing new.
pub const DEDUPE_WINDOW: Duration = Duration::from_secs(2 * 60);
/// How long an upload may take, from its reservation on.
pub const UPLOAD_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// Age at which an undelivered message leaves the server.
pub const MESSAGE_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Life of an access token.
pub const ACCESS_TOKEN: Duration = Duration::from_secs(15 * 60);
/// Life of a refresh token.
pub const REFRESH_TOKEN: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// For how long a used refresh token works once more, in case its answer was lost.
pub const REFRESH_GRACE: Duration = Duration::from_secs(30);

const _: () = {
    assert!(BODY_BYTES < CLIENT_FRAME_BYTES);
    // One message always fits a `messages` frame, whatever its body.
    assert!(BODY_BYTES + 1024 < MESSAGES_BYTES);
    assert!(MESSAGES_ITEMS <= WINDOW);
    assert!(POLL_WAIT.as_secs() <= POLL_WAIT_MAX.as_secs());
    // A retry that reaches back as far as `at` may is still a duplicate where it matters.
    assert!(DEDUPE_WINDOW.as_secs() <= AT_BEHIND.as_secs());
};
