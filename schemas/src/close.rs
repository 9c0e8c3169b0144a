//! WebSocket close codes: each tells the client whether to come back.

/// Why the server closes a socket (RFC 6455 §7.4, and 4xxx of our own).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// The gateway is going away: reconnect.
    GoingAway = 1001,
    /// A frame above the limit.
    TooBig = 1009,
    /// The service restarts: reconnect.
    ServiceRestart = 1012,
    /// Overloaded: reconnect with back-off.
    TryAgainLater = 1013,
    /// The protocol was misused: do not reconnect.
    Misuse = 4400,
    /// The token was refused, has expired or was revoked, or the device is unlinked.
    Unauthorized = 4401,
    /// No hello in time, or silent for too long.
    Silent = 4408,
    /// This device connected elsewhere; the newer socket wins: do not reconnect.
    Replaced = 4409,
    /// Too many connects, or a flood of frames: back off.
    RateLimited = 4429,
}

impl CloseCode {
    /// Every code, for the published description.
    pub const ALL: [Self; 9] = [
        Self::GoingAway,
        Self::TooBig,
        Self::ServiceRestart,
        Self::TryAgainLater,
        Self::Misuse,
        Self::Unauthorized,
        Self::Silent,
        Self::Replaced,
        Self::RateLimited,
    ];

    /// The number on the wire.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// A short text for the close frame; for people, not for programs.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::GoingAway => "going away, reconnect",
            Self::TooBig => "frame too big",
            Self::ServiceRestart => "restarting, reconnect",
            Self::TryAgainLater => "overloaded, reconnect with back-off",
            Self::Misuse => "protocol misuse",
            Self::Unauthorized => "token refused, expired or revoked",
            Self::Silent => "no hello in time, or silent",
            Self::Replaced => "this device connected elsewhere",
            Self::RateLimited => "too many connects or frames, back off",
        }
    }

    /// Whether a client should connect again, and so what an SDK does.
    pub const fn reconnect(self) -> bool {
        matches!(
            self,
            Self::GoingAway
                | Self::ServiceRestart
                | Self::TryAgainLater
                | Self::Silent
                | Self::RateLimited
        )
    }
}
