//! Whose fault it is that an upload is not served.

use std::io;

use store::objects::ObjectError;

use super::{content::Lie, picture::PictureError, scanner::ScanError};
use crate::unavailable::Unavailable;

/// Why an upload is not ready.
#[derive(Debug)]
pub(super) enum Fault {
    /// It never will be.
    Upload {
        /// For metrics.
        kind: &'static str,
        /// For people.
        reason: String,
    },
    /// It may be when it is looked at again.
    Ours(Unavailable),
}

impl Fault {
    pub(super) fn upload(kind: &'static str, reason: impl ToString) -> Self {
        Self::Upload { kind, reason: reason.to_string() }
    }
}

impl From<Unavailable> for Fault {
    fn from(error: Unavailable) -> Self {
        Self::Ours(error)
    }
}

impl From<ObjectError> for Fault {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::NotFound => Self::upload("gone", "its bytes are not there any more"),
            error => Self::Ours(Unavailable::new(error)),
        }
    }
}

/// Of a temporary file.
impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Ours(Unavailable::new(error))
    }
}

impl From<Lie> for Fault {
    fn from(lie: Lie) -> Self {
        Self::upload("type", lie)
    }
}

impl From<ScanError> for Fault {
    fn from(error: ScanError) -> Self {
        match error {
            error @ ScanError::TooLarge => Self::upload("scanner", error),
            error => Self::Ours(Unavailable::new(error)),
        }
    }
}

impl From<PictureError> for Fault {
    fn from(error: PictureError) -> Self {
        match error {
            PictureError::Flaw(flaw) => Self::upload("picture", flaw),
            error @ PictureError::Disk(_) => Self::Ours(Unavailable::new(error)),
        }
    }
}
