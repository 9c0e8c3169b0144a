//! What MongoDB's answers mean, above all when they are none.

use std::future::Future;

use mongodb::error::{Error, ErrorKind, WriteFailure};

use crate::{
    error::{DirectoryError, Source},
    patience::{Patience, Trouble},
};

/// The server's code for a unique index that has the key already.
const DUPLICATE_KEY: i32 = 11000;
/// The server's codes for what will be refused again: a user who may not do
/// that, an index that is there with other properties, and one that its
/// documents do not agree with.
const HOPELESS: [i32; 4] = [13, 85, 86, DUPLICATE_KEY];

/// Asks until there is an answer, or patience is at its end.
pub(super) async fn persist<T, F>(
    patience: &mut Patience,
    ask: impl Fn() -> F,
) -> Result<T, DirectoryError>
where
    F: Future<Output = mongodb::error::Result<T>>,
{
    patience.persist(ask, unanswered).await
}

/// What to try again; an error where that would not help.
pub(super) fn unanswered(source: Source) -> Result<Trouble, DirectoryError> {
    let is_hopeless = source.downcast_ref::<Error>().is_some_and(|error| match &*error.kind {
        ErrorKind::Authentication { .. }
        | ErrorKind::IncompatibleServer { .. }
        | ErrorKind::InvalidArgument { .. }
        | ErrorKind::InvalidTlsConfig { .. } => true,
        ErrorKind::Command(refused) => HOPELESS.contains(&refused.code),
        _ => false,
    });
    if is_hopeless {
        Err(DirectoryError::Unavailable(source))
    } else {
        Ok(Trouble::Unanswered(source))
    }
}

/// Whether a unique index has the key already.
pub(super) fn is_duplicate(source: &Source) -> bool {
    let kind = source.downcast_ref::<Error>().map(|error| &*error.kind);
    matches!(
        kind,
        Some(ErrorKind::Write(WriteFailure::WriteError(error))) if error.code == DUPLICATE_KEY
    )
}
