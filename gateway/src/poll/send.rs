//! A send over HTTP.

use std::sync::Arc;

use schemas::{ErrorCode, Micros, client::Send, server::Sent};

use crate::{
    app::App,
    session::{Identity, Refusal, order},
};

impl App {
    /// Stores a message when it is its turn; what the sender is told. From then
    /// on it is finished, whether or not anybody waits for it.
    ///
    /// # Errors
    /// The [`Refusal`] for the sender.
    pub(crate) async fn send(self: &Arc<Self>, me: Identity, send: Send) -> Result<Sent, Refusal> {
        let turn = self.turns.wait(me.device, send.chat).await?;
        let app = Arc::clone(self);
        let delivered = self.tasks.spawn(async move {
            // There is no connection whose `ts` would have to rise: without `at`
            // the clock does, while one comes after the other.
            let ts = order::place(send.at, send.after, None, Micros::now());
            let sent = app.deliver(me, &send, ts).await;
            drop(turn);
            sent
        });
        delivered.await.unwrap_or_else(|error| {
            tracing::error!(user = %me.user, %error, "a send did not end");
            Err(Refusal::new(ErrorCode::Unavailable, "the message could not be stored"))
        })
    }
}
