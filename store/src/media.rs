//! Media: what was uploaded, and what has become of it.
//!
//! The rules are here and pure. A store reads a record, asks [`Media::apply`],
//! and stores the outcome if nobody else changed the record meanwhile.

use std::{fmt, str::FromStr, time::Duration};

use schemas::{ChatId, DeviceId, GroupId, MediaId, Millis, Sha256, UserId, id::ParseIdError};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::DirectoryError;

/// An upload, or one that is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// Which.
    pub id: MediaId,
    /// Who uploads it.
    pub owner: UserId,
    /// What the owner calls the file.
    pub name: String,
    /// What the owner says it is.
    pub mime: String,
    /// How many bytes the owner will upload.
    pub size: u64,
    /// What they hash to, where the owner has said.
    pub sha256: Option<Sha256>,
    /// When its id was reserved, in milliseconds since 1970.
    pub created: Millis,
    /// What has become of it.
    pub state: MediaState,
}

/// What has become of an upload. It goes from top to bottom, and never back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaState {
    /// Its bytes are awaited.
    Reserved,
    /// They are there since then, and nobody has looked at them.
    Uploaded(Millis),
    /// They were looked at and are served.
    Ready(Served),
    /// They were looked at and are not served.
    Rejected {
        /// Why, for people.
        reason: String,
    },
}

/// What is served of an upload, which need not be what was uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// What it is, by its content.
    pub mime: String,
    /// How many bytes.
    pub size: u64,
    /// Pixels from left to right, of a picture.
    pub width: Option<u32>,
    /// Pixels from top to bottom, of a picture.
    pub height: Option<u32>,
    /// What the small picture of it is, where there is one.
    pub thumbnail: Option<String>,
}

/// An upload to be expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMedia {
    /// Who uploads it. That there is such a user is the caller's to check.
    pub owner: UserId,
    /// What the owner calls the file. The caller has checked its length.
    pub name: String,
    /// What the owner says it is. The caller has checked that it is allowed.
    pub mime: String,
    /// How many bytes it will have. The caller has checked the limit.
    pub size: u64,
    /// What they hash to, where the owner has said.
    pub sha256: Option<Sha256>,
}

/// Who may read media beside their owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Audience {
    /// This user.
    User(UserId),
    /// Whoever is in this group.
    Group(GroupId),
    /// Whoever is signed in.
    Everyone,
}

/// For how long media may be sent to those they were shared with without being
/// shared again.
pub const SHARE_LIFE: Duration = Duration::from_secs(10 * 60);

/// With whom media were shared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shares {
    /// Each once.
    pub with: Vec<Audience>,
    /// When that was done last; nothing where it never was, or that is not known.
    pub last: Option<Millis>,
}

/// Which devices have media.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetches {
    /// Each once.
    pub by: Vec<DeviceId>,
    /// When one of them fetched them last; nothing where none has.
    pub last: Option<Millis>,
}

/// What the media of one user come to, in whatever state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MediaUsage {
    /// How many there are.
    pub count: u64,
    /// How many bytes they were announced to have.
    pub bytes: u64,
}

/// Some of all media, in the order in which a directory lists them.
#[derive(Debug, Clone, Default)]
pub struct MediaPage {
    /// They.
    pub media: Vec<Media>,
    /// Where it goes on; nothing where there was none.
    pub next: Option<MediaPlace>,
}

/// A place in that order: everything in front of it was listed. Only the
/// directory that gave it can tell what it means, and none keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaPlace(pub(crate) String);

/// What happens to an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaChange {
    /// All its bytes are there.
    Arrive,
    /// They are fit to be served.
    Accept(Served),
    /// They are not.
    Reject {
        /// Why, for people.
        reason: String,
    },
}

/// What a change led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaOutcome {
    /// The record after it.
    pub media: Media,
    /// Whether that is another one than before: a verdict may be given again.
    pub changed: bool,
}

/// Why a record refuses a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MediaRefusal {
    /// Its bytes have arrived before: an upload is made once.
    #[error("it was uploaded before")]
    Uploaded,
    /// There are no bytes yet that a verdict could be about.
    #[error("it was not uploaded yet")]
    NotUploaded,
    /// There is another verdict already.
    #[error("it was judged before")]
    Judged,
}

/// Why a call about media failed.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The record refuses.
    #[error(transparent)]
    Refused(#[from] MediaRefusal),
    /// There is no such record, or the directory does not answer.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl MediaUsage {
    /// One more, of so many bytes.
    pub(crate) fn with(self, bytes: u64) -> Self {
        Self { count: self.count + 1, bytes: self.bytes.saturating_add(bytes) }
    }
}

impl Audience {
    const EVERYONE: &'static str = "everyone";
}

impl From<ChatId> for Audience {
    fn from(chat: ChatId) -> Self {
        match chat {
            ChatId::User(user) => Self::User(user),
            ChatId::Group(group) => Self::Group(group),
        }
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => user.fmt(f),
            Self::Group(group) => group.fmt(f),
            Self::Everyone => f.write_str(Self::EVERYONE),
        }
    }
}

impl FromStr for Audience {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        if text == Self::EVERYONE { Ok(Self::Everyone) } else { text.parse().map(ChatId::into) }
    }
}

impl Serialize for Audience {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Media {
    /// A record of an upload that is expected from now on.
    pub fn new(id: MediaId, new: NewMedia, now: Millis) -> Self {
        let NewMedia { owner, name, mime, size, sha256 } = new;
        Self { id, owner, name, mime, size, sha256, created: now, state: MediaState::Reserved }
    }

    /// The record after a change at that time.
    ///
    /// # Errors
    /// [`MediaRefusal`], and the record stays as it is.
    pub fn apply(&self, change: &MediaChange, now: Millis) -> Result<MediaOutcome, MediaRefusal> {
        use MediaState::{Ready, Rejected, Reserved, Uploaded};
        let state = match (change, &self.state) {
            (MediaChange::Arrive, Reserved) => Uploaded(now),
            (MediaChange::Arrive, _) => return Err(MediaRefusal::Uploaded),
            (_, Reserved) => return Err(MediaRefusal::NotUploaded),
            (MediaChange::Accept(served), Uploaded(_)) => Ready(served.clone()),
            (MediaChange::Reject { reason }, Uploaded(_)) => Rejected { reason: reason.clone() },
            (MediaChange::Accept(_), Ready(_)) | (MediaChange::Reject { .. }, Rejected { .. }) => {
                return Ok(MediaOutcome { media: self.clone(), changed: false });
            }
            (MediaChange::Accept(_), Rejected { .. }) | (MediaChange::Reject { .. }, Ready(_)) => {
                return Err(MediaRefusal::Judged);
            }
        };
        Ok(MediaOutcome { media: Self { state, ..self.clone() }, changed: true })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_700_000_000_000);

    fn reserved() -> Media {
        let new = NewMedia {
            owner: UserId::mint(),
            name: "ferry.jpg".into(),
            mime: "image/jpeg".into(),
            size: 184_320,
            sha256: None,
        };
        Media::new(MediaId::mint(), new, NOW)
    }

    fn served() -> Served {
        let mime = "image/jpeg".to_owned();
        let thumbnail = Some(mime.clone());
        Served { mime, size: 180_000, width: Some(1280), height: Some(960), thumbnail }
    }

    fn reject() -> MediaChange {
        MediaChange::Reject { reason: "it is no picture".into() }
    }

    #[test]
    fn an_upload_arrives_once_and_is_judged_once() {
        let reserved = reserved();
        for change in [MediaChange::Accept(served()), reject()] {
            assert_eq!(reserved.apply(&change, NOW), Err(MediaRefusal::NotUploaded));
        }
        let uploaded = reserved.apply(&MediaChange::Arrive, NOW).unwrap();
        assert!(uploaded.changed);
        assert_eq!(uploaded.media.state, MediaState::Uploaded(NOW));
        let uploaded = uploaded.media;
        assert_eq!(uploaded.apply(&MediaChange::Arrive, NOW), Err(MediaRefusal::Uploaded));

        let verdicts = [MediaChange::Accept(served()), reject()];
        for (verdict, other) in [(0, 1), (1, 0)].map(|(a, b)| (&verdicts[a], &verdicts[b])) {
            let judged = uploaded.apply(verdict, NOW).unwrap();
            assert!(judged.changed);
            let again = judged.media.apply(verdict, NOW).unwrap();
            assert_eq!(again, MediaOutcome { media: judged.media.clone(), changed: false });
            assert_eq!(judged.media.apply(other, NOW), Err(MediaRefusal::Judged));
            let arrives = judged.media.apply(&MediaChange::Arrive, NOW);
            assert_eq!(arrives, Err(MediaRefusal::Uploaded));
        }
    }
}
