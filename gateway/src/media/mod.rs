//! Media: uploads on their way in, who may read them, and what goes out.
//!
//! The bytes go through here only where the store cannot sign. Whether they are
//! what they are said to be is the media worker's to find out.

mod arrival;
mod coming;
mod fetches;
mod incoming;
mod intake;
mod options;
mod reserve;
mod rights;
mod sending;
mod view;

use schemas::ErrorCode;
use store::{MediaError, MediaRefusal, objects::ObjectError};

pub(crate) use self::incoming::Piece;
pub use self::options::{MediaOptions, MediaTypes};
pub(crate) use self::{intake::Intake, options::essence, sending::Sharing};
use crate::session::Refusal;

pub(crate) fn no_such_media() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "there is no such media")
}

impl From<ObjectError> for Refusal {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::NotFound => no_such_media(),
            ObjectError::Unavailable(_) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "object storage unavailable");
                Self::new(ErrorCode::Unavailable, "the store of media does not answer")
            }
        }
    }
}

impl From<MediaError> for Refusal {
    fn from(error: MediaError) -> Self {
        match error {
            MediaError::Directory(error) => error.into(),
            MediaError::Refused(
                MediaRefusal::Uploaded | MediaRefusal::NotUploaded | MediaRefusal::Judged,
            ) => Self::new(ErrorCode::Conflict, error.to_string()),
        }
    }
}
