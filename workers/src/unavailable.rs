//! Why NATS did not do what a worker asked of it.

use std::fmt;

use nats::{api::Failure, receipts::PutError};

/// Why a store did not do what it was asked. Whoever gets it tries again later.
#[derive(Debug)]
pub(crate) struct Unavailable(Box<dyn std::error::Error + Send + Sync>);

impl Unavailable {
    pub(crate) fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Why a value was not written.
#[derive(Debug)]
pub(crate) enum Unwritten {
    /// The key has another revision.
    Conflict,
    /// Nobody knows whether it was.
    Unavailable(Unavailable),
}

impl From<Failure> for Unavailable {
    fn from(failure: Failure) -> Self {
        Self::new(failure)
    }
}

impl From<PutError> for Unwritten {
    fn from(error: PutError) -> Self {
        match error {
            PutError::Conflict => Self::Conflict,
            error => Self::Unavailable(Unavailable::new(error)),
        }
    }
}
