//! What can go wrong in the directory, told apart for callers.

/// Whatever an implementation's own store reports.
pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why the directory refuses or fails.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Somebody else has it already; names what, for people.
    #[error("this {0} is taken")]
    Conflict(&'static str),
    /// There is none; names what, for people. Confirmed with the newest state.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// A user already has as many as one may have.
    #[error("at most {limit} {what}")]
    LimitReached {
        /// Of what, for people.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
    /// The store does not answer, or too many others change the same document.
    /// A change may nevertheless have been stored; every call is safe to repeat.
    #[error("the directory is unavailable")]
    Unavailable(#[source] Source),
    /// A stored document is not one that this version can read. Repeating does not help.
    #[error("the directory holds an unreadable document at {key}")]
    Unreadable {
        /// Where it is stored.
        key: String,
        /// What is wrong with it.
        #[source]
        source: Source,
    },
}
