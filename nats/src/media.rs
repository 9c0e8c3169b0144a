//! The work queue of the media workers.

use schemas::{MediaId, event::MediaArrived};

use crate::{
    api::{self, Failure, Question, REQUEST_TIMEOUT},
    bus::Bus,
    inbox::STORE_DEADLINE,
    sessions::json,
    subject::MEDIA_ARRIVED,
};

/// Where gateways say that there is something to look at.
#[derive(Debug, Clone)]
pub struct MediaQueue {
    bus: Bus,
}

impl MediaQueue {
    /// The queue behind this connection.
    pub fn new(bus: Bus) -> Self {
        Self { bus }
    }

    /// Tells the media workers that the bytes of an upload are there, or may be
    /// by now. Telling it again does no harm.
    ///
    /// # Errors
    /// After [`STORE_DEADLINE`] without an answer; it may have been told.
    pub async fn announce(&self, media: MediaId) -> Result<(), Failure> {
        #[derive(serde::Deserialize)]
        struct Ack {}
        let event = json(&MediaArrived { media });
        let question = || Question::new(MEDIA_ARRIVED.to_owned(), event.clone());
        let requester = &self.bus.requester;
        let Ack {} = requester.insist(question, STORE_DEADLINE, REQUEST_TIMEOUT, api::read).await?;
        Ok(())
    }
}
