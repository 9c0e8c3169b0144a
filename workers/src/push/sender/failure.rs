//! What becomes of a notification.

use std::{borrow::Cow, path::PathBuf, time::Duration};

/// What became of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The provider has it.
    Sent,
    /// The target is dead: forget it.
    Gone,
    /// Not now. Try again, not before so long where there is one, else after a
    /// [`backoff`](super::backoff).
    Later(Option<Duration>),
    /// It will not work, now or later, because of the configuration or of the
    /// target; and why, for the log.
    Refused(String),
}

/// Why push cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Something belongs to what is set, and is not set.
    #[error("{given} is set: set {missing}, too")]
    Missing {
        /// What is set.
        given: &'static str,
        /// What is not.
        missing: &'static str,
    },
    /// A value is none that can work.
    #[error("bad {setting}: {reason}")]
    Bad {
        /// Which flag, with its variable.
        setting: &'static str,
        /// What is wrong with it.
        reason: Cow<'static, str>,
    },
    /// A file cannot be read.
    #[error("cannot read the file {file:?} of {setting}")]
    File {
        /// Which flag, with its variable.
        setting: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The HTTP client does not start: there are no root certificates, for example.
    #[error("cannot set up an HTTP client")]
    Client(#[source] reqwest::Error),
}

impl SetupError {
    pub(super) fn bad(setting: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Bad { setting, reason: reason.into() }
    }
}

/// Why a provider did not take a notification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// It knows the target no more.
    #[error("the target is gone")]
    Gone,
    /// The payload.
    #[error("the payload is too large")]
    TooLarge,
    /// It was told too much of late, by us or for this device.
    #[error("the provider asks for patience")]
    Busy(Option<Duration>),
    /// We hold it back: its circuit is open, too many wait for it, or the device has
    /// had enough.
    #[error("held back: {0}")]
    Held(&'static str, Duration),
    /// It does not work: it says so, is silent, or is not there.
    #[error("the provider fails: {0}")]
    Broken(Cow<'static, str>, Option<Duration>),
    /// It does not believe who we are.
    #[error("our credentials are refused: {0}")]
    Credentials(Cow<'static, str>),
    /// It does not want this notification, whatever we do.
    #[error("refused: {0}")]
    Refused(Cow<'static, str>),
}

impl Failure {
    pub(super) fn broken(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Broken(reason.into(), None)
    }

    pub(super) fn refused(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Refused(reason.into())
    }

    /// In metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::TooLarge => "too_large",
            Self::Busy(_) => "busy",
            Self::Held(why, _) => why,
            Self::Broken(..) => "broken",
            Self::Credentials(_) => "credentials",
            Self::Refused(_) => "refused",
        }
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Gone => Self::Gone,
            Failure::Busy(after) | Failure::Broken(_, after) => Self::Later(after),
            Failure::Held(_, after) => Self::Later(Some(after)),
            failure @ (Failure::TooLarge | Failure::Credentials(_) | Failure::Refused(_)) => {
                Self::Refused(failure.to_string())
            }
        }
    }
}
