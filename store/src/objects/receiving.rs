//! The bytes of an upload as they come in: in one go, or in several of which
//! each goes on where the last one was cut off.
//!
//! What has come in so far is kept by the store alone, so that another gateway
//! can go on with it.

mod file;
mod parts;

use std::{fmt, path::PathBuf};

use bytes::Bytes;
use schemas::MediaId;

pub(super) use self::parts::Multipart;
pub use self::parts::{MOST as MOST_BYTES, PART as LEAST_PIECE};
use self::{
    file::FileGrowing,
    parts::{PartsGrowing, Paths},
};
use super::{Object, ObjectError, Objects, Part};

/// Where all files and notes of unfinished uploads are.
const INCOMING: &str = "incoming";

/// An upload that is coming in. In a folder nobody else can send to it meanwhile;
/// in S3 who does has to send the same. Dropped, it leaves for later what was
/// written, but for the last piece, of less than 5 MiB, that S3 does not have yet.
pub struct Receiving {
    size: u64,
    place: Place,
}

/// An upload of which all bytes have come in and are the object
/// [`Part::Upload`]. Until it is released or dropped nobody can send to it anew,
/// so that its arrival can be noted first.
pub struct Received(Place);

enum Place {
    File(FileGrowing),
    Parts(Box<PartsGrowing>),
}

/// Where uploads come in.
#[derive(Clone)]
pub(super) enum Unfinished {
    /// Below this folder.
    Folder(PathBuf),
    S3(Multipart),
}

/// Where a sender begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// At the first byte, and what came in before is let go; unless that is
    /// all there is to come.
    Anew,
    /// At this one, which has to be the next.
    At(u64),
}

/// Why bytes are not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// Two at a time would mix their bytes.
    #[error("somebody else is sending it at this moment")]
    Busy,
    /// The sender began elsewhere than at the next byte, which is this one.
    #[error("it goes on at byte {0}")]
    Elsewhere(u64),
    /// The upload was announced with fewer bytes.
    #[error("there are more bytes than were announced")]
    TooLong,
    /// The store is unavailable.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

impl Objects {
    /// How many bytes of an upload have come in: from 0, where there are none,
    /// to all of them, where it was cut off before it was released.
    ///
    /// # Errors
    /// When the store is unavailable.
    pub async fn come_in(&self, media: MediaId) -> Result<u64, ObjectError> {
        match &self.unfinished {
            Unfinished::Folder(folder) => file::length(self.growing(folder, media)).await,
            Unfinished::S3(multipart) => multipart.length(&self.paths(media)).await,
        }
    }

    /// Begins to take the bytes of an upload that was announced with that size.
    ///
    /// # Errors
    /// [`ReceiveError`] of any kind but [`TooLong`](ReceiveError::TooLong).
    pub async fn receive(
        &self,
        media: MediaId,
        size: u64,
        begin: Begin,
    ) -> Result<Receiving, ReceiveError> {
        let place = match &self.unfinished {
            Unfinished::Folder(folder) => {
                let target = folder.join(self.path(uploaded(media)).as_ref());
                let path = self.growing(folder, media);
                Place::File(FileGrowing::open(path, target, size, begin).await?)
            }
            Unfinished::S3(multipart) => {
                let growing = multipart.open(self.paths(media), size, begin).await?;
                Place::Parts(Box::new(growing))
            }
        };
        Ok(Receiving { size, place })
    }

    /// Removes what has come in of an upload that is not to be finished. There
    /// need not be any.
    ///
    /// # Errors
    /// When the store is unavailable.
    pub async fn abandon(&self, media: MediaId) -> Result<(), ObjectError> {
        match &self.unfinished {
            Unfinished::Folder(folder) => file::remove(self.growing(folder, media)).await,
            Unfinished::S3(multipart) => multipart.remove(&self.paths(media)).await,
        }
    }

    /// The file of an upload that is coming in.
    fn growing(&self, folder: &std::path::Path, media: MediaId) -> PathBuf {
        folder.join(self.spread(INCOMING, media).as_ref())
    }

    fn paths(&self, media: MediaId) -> Paths {
        Paths { note: self.spread(INCOMING, media), target: self.path(uploaded(media)) }
    }
}

impl Receiving {
    /// The byte that is to come next.
    pub fn offset(&self) -> u64 {
        match &self.place {
            Place::File(file) => file.length(),
            Place::Parts(parts) => parts.length(),
        }
    }

    /// Whether none is.
    pub fn is_complete(&self) -> bool {
        self.offset() == self.size
    }

    /// Appends; returns when there is room for more.
    ///
    /// # Errors
    /// [`ReceiveError::TooLong`], and none of these bytes was taken; or when
    /// the store is unavailable.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), ReceiveError> {
        if bytes.len() as u64 > self.size - self.offset() {
            return Err(ReceiveError::TooLong);
        }
        match &mut self.place {
            Place::File(file) => file.write(&bytes).await?,
            Place::Parts(parts) => parts.write(&bytes).await?,
        }
        Ok(())
    }

    /// Leaves for later what was written; how many bytes that are from the
    /// first one on. In S3 these are whole multiples of [`LEAST_PIECE`].
    ///
    /// # Errors
    /// When the store is unavailable.
    pub async fn pause(self) -> Result<u64, ObjectError> {
        match self.place {
            Place::File(file) => file.pause().await,
            Place::Parts(parts) => Ok(parts.kept()),
        }
    }

    /// Makes an object of what is [complete](Self::is_complete). That it is
    /// there already is no error.
    ///
    /// # Errors
    /// [`ObjectError::NotFound`] if it was abandoned meanwhile, or when the
    /// store is unavailable.
    pub async fn complete(self) -> Result<Received, ObjectError> {
        match self.place {
            Place::File(file) => Ok(Received(Place::File(file.complete().await?))),
            Place::Parts(parts) => {
                let parts = parts.complete().await?;
                Ok(Received(Place::Parts(Box::new(parts))))
            }
        }
    }

    /// Removes what was written.
    ///
    /// # Errors
    /// When the store is unavailable.
    pub async fn abandon(self) -> Result<(), ObjectError> {
        self.place.remove().await
    }
}

impl Received {
    /// Forgets that it came in piece by piece: its arrival is noted.
    ///
    /// # Errors
    /// When the store is unavailable.
    pub async fn release(self) -> Result<(), ObjectError> {
        self.0.remove().await
    }
}

impl Place {
    async fn remove(self) -> Result<(), ObjectError> {
        match self {
            Self::File(file) => file.remove().await,
            Self::Parts(parts) => parts.remove().await,
        }
    }
}

fn uploaded(media: MediaId) -> Object {
    Object { media, part: Part::Upload }
}

impl fmt::Debug for Receiving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Receiving");
        shown.field("size", &self.size).field("offset", &self.offset()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received").finish_non_exhaustive()
    }
}
