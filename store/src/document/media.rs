//! Media as they are stored.

use schemas::{DeviceId, MediaId, Millis, Sha256, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::media::{Audience, Media, MediaChange, MediaOutcome, MediaRefusal, MediaState, Served};

/// An upload, or one that is expected.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct MediaDocument {
    id: MediaId,
    owner: UserId,
    name: String,
    mime: String,
    size: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256>,
    created: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uploaded: Option<Millis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    served: Option<ServedDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rejected: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Clone, Serialize, Deserialize)]
struct ServedDocument {
    mime: String,
    size: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    thumbnail: Option<String>,
}

/// To whom media were sent, and when they were last, where that is a document.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ShareDocument {
    media: MediaId,
    with: Audience,
    /// Missing where an earlier version has shared them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<Millis>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Which device has media, and since when, where that is a document.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct FetchDocument {
    media: MediaId,
    by: DeviceId,
    at: Millis,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl ShareDocument {
    pub(crate) fn new(media: MediaId, with: Audience, at: Millis) -> Self {
        Self { media, with, at: Some(at), rest: Map::new() }
    }

    pub(crate) fn with(&self) -> Audience {
        self.with
    }

    pub(crate) fn at(&self) -> Option<Millis> {
        self.at
    }
}

impl FetchDocument {
    pub(crate) fn new(media: MediaId, by: DeviceId, at: Millis) -> Self {
        Self { media, by, at, rest: Map::new() }
    }

    pub(crate) fn by(&self) -> DeviceId {
        self.by
    }

    pub(crate) fn at(&self) -> Millis {
        self.at
    }
}

impl MediaDocument {
    pub(crate) fn new(media: &Media) -> Self {
        let mut document = Self {
            id: media.id,
            owner: media.owner,
            name: media.name.clone(),
            mime: media.mime.clone(),
            size: signed(media.size),
            sha256: media.sha256,
            created: media.created,
            uploaded: None,
            served: None,
            rejected: None,
            rest: Map::new(),
        };
        document.enter(&media.state);
        document
    }

    pub(crate) fn id(&self) -> MediaId {
        self.id
    }

    pub(crate) fn owner(&self) -> UserId {
        self.owner
    }

    pub(crate) fn size(&self) -> u64 {
        self.size.unsigned_abs()
    }

    pub(crate) fn to_media(&self) -> Media {
        let state = match (&self.rejected, &self.served, self.uploaded) {
            (Some(reason), ..) => MediaState::Rejected { reason: reason.clone() },
            (None, Some(served), _) => MediaState::Ready(served.to_served()),
            (None, None, Some(since)) => MediaState::Uploaded(since),
            (None, None, None) => MediaState::Reserved,
        };
        Media {
            id: self.id,
            owner: self.owner,
            name: self.name.clone(),
            mime: self.mime.clone(),
            size: self.size.unsigned_abs(),
            sha256: self.sha256,
            created: self.created,
            state,
        }
    }

    /// As [`Media::apply`], on the document.
    pub(crate) fn apply(
        &mut self,
        change: &MediaChange,
        now: Millis,
    ) -> Result<MediaOutcome, MediaRefusal> {
        let outcome = self.to_media().apply(change, now)?;
        self.enter(&outcome.media.state);
        Ok(outcome)
    }

    fn enter(&mut self, state: &MediaState) {
        match state {
            MediaState::Reserved => {}
            MediaState::Uploaded(since) => self.uploaded = Some(*since),
            MediaState::Ready(served) => self.served = Some(ServedDocument::new(served)),
            MediaState::Rejected { reason } => self.rejected = Some(reason.clone()),
        }
    }
}

impl ServedDocument {
    fn new(served: &Served) -> Self {
        let Served { mime, size, width, height, thumbnail } = served.clone();
        Self { mime, size: signed(size), width, height, thumbnail }
    }

    fn to_served(&self) -> Served {
        let Self { mime, size, width, height, thumbnail } = self.clone();
        Served { mime, size: size.unsigned_abs(), width, height, thumbnail }
    }
}

/// BSON has no unsigned integers.
fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::media::NewMedia;

    const NOW: Millis = Millis(1_700_000_000_000);

    fn media(state: MediaState) -> Media {
        let new = NewMedia {
            owner: UserId::mint(),
            name: "a".into(),
            mime: "image/png".into(),
            size: 7,
            sha256: Some(Sha256([9; 32])),
        };
        Media { state, ..Media::new(MediaId::mint(), new, NOW) }
    }

    fn served() -> Served {
        let mime = "image/png".to_owned();
        let thumbnail = Some(mime.clone());
        Served { mime, size: 6, width: Some(1), height: None, thumbnail }
    }

    #[test]
    fn a_record_is_read_back_in_every_state() {
        for state in [
            MediaState::Reserved,
            MediaState::Uploaded(NOW),
            MediaState::Ready(served()),
            MediaState::Rejected { reason: "no".into() },
        ] {
            let media = media(state);
            let stored = serde_json::to_string(&MediaDocument::new(&media)).unwrap();
            let read: MediaDocument = serde_json::from_str(&stored).unwrap();
            assert_eq!(read.to_media(), media);
        }
    }

    #[test]
    fn fields_of_a_newer_version_survive_every_change() {
        let mut stored =
            serde_json::to_value(MediaDocument::new(&media(MediaState::Reserved))).unwrap();
        stored["scanned"] = json!(true);
        let mut document: MediaDocument = serde_json::from_value(stored).unwrap();
        document.apply(&MediaChange::Arrive, NOW).unwrap();
        let outcome = document.apply(&MediaChange::Accept(served()), NOW).unwrap();
        assert_eq!(document.to_media(), outcome.media);
        let stored = serde_json::to_value(&document).unwrap();
        assert_eq!((&stored["scanned"], &stored["uploaded"]), (&json!(true), &json!(NOW)));
    }
}
