//! A device whose messages a gateway waits for, on a socket or in a poll.

use std::sync::Arc;

use nats::{
    mux::{FlushError, Subscription},
    subject,
};
use schemas::{ErrorCode, Micros};
use store::DirectoryError;
use tokio::time::Instant;

use crate::{
    app::{App, AuthError},
    inlet::Inlet,
    mailbox::Mailbox,
    roster::Entry,
    session::Refusal,
    token::{Access, TokenError},
};

/// What a user is told arrives in the mailbox until this is dropped.
pub(crate) struct Listening {
    /// What the token says.
    pub access: Access,
    /// What is known of the user.
    pub entry: Arc<Entry>,
    /// Filled from now on.
    pub mailbox: Arc<Mailbox>,
    /// Fills it.
    pub subscription: Subscription<Inlet>,
}

/// Why nobody is listened for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// Forged, expired, revoked, or its device is unlinked.
    #[error(transparent)]
    Refused(#[from] TokenError),
    /// The token could not be checked.
    #[error(transparent)]
    Unavailable(DirectoryError),
    /// NATS takes no subscription.
    #[error(transparent)]
    Unheard(#[from] FlushError),
}

impl App {
    /// Listens for the device that this access token names.
    ///
    /// # Errors
    /// [`ListenError`].
    pub(crate) async fn listen(&self, token: &str) -> Result<Listening, ListenError> {
        // Signature and time cost nothing: only who passes them gets any further.
        let me = self.tokens.check_access(token)?.identity;
        let mailbox = Arc::new(Mailbox::default());
        let inlet = Inlet::Session(me.device, Arc::clone(&mailbox));
        let subscription = self.mux.subscribe(&subject::user_wildcard(me.user), inlet);
        // Subscribed before the device is checked and the inbox is read, so that
        // neither a revocation nor a message can fall between.
        self.mux.flush().await?;
        let (access, entry) = self.authenticate(token).await?;
        Ok(Listening { access, entry, mailbox, subscription })
    }
}

/// The moment of the wall clock on the timers' clock.
pub(crate) fn until(moment: Micros) -> Instant {
    Instant::now() + moment.since(Micros::now())
}

impl From<AuthError> for ListenError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Refused(error) => Self::Refused(error),
            AuthError::Unavailable(error) => Self::Unavailable(error),
        }
    }
}

impl From<ListenError> for Refusal {
    fn from(error: ListenError) -> Self {
        match error {
            ListenError::Refused(error) => Self::new(ErrorCode::Unauthorized, error.to_string()),
            ListenError::Unavailable(error) => error.into(),
            ListenError::Unheard(error) => Self::new(ErrorCode::Unavailable, error.to_string()),
        }
    }
}
