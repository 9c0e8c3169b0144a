//! An upload on its way into S3: a multipart upload, whose parts are the pieces
//! in which it comes in.
//!
//! S3 cannot be asked for the upload of an object, so a note says which it is;
//! the first to write one decides. Every piece but the last is of one size: who
//! sends the same bytes twice, even at once, writes the same parts.

mod list;

use std::sync::Arc;

use bytes::BytesMut;
use object_store::{
    ObjectStore, ObjectStoreExt as _, PutMode, PutPayload,
    aws::AmazonS3,
    client::HttpClient,
    multipart::{MultipartStore as _, PartId},
    path::Path,
};

use super::{Begin, ReceiveError};
use crate::objects::{ObjectError, delete_at, if_there, size_at};

/// The size of every part but the last, in bytes: S3 takes no smaller ones. Of
/// what is sent to it, less than that is not kept, unless it is the end.
pub const PART: usize = 5 * 1024 * 1024;
/// Most bytes of an upload: S3 makes an object of at most 10,000 parts.
pub const MOST: u64 = 10_000 * PART as u64;
/// How often a note is written when others write or remove one at that moment.
const NOTES: usize = 5;

/// Where uploads come in.
#[derive(Clone)]
pub(in crate::objects) struct Multipart {
    s3: Arc<AmazonS3>,
    http: HttpClient,
}

/// The places of one upload.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    /// Of the note.
    pub(super) note: Path,
    /// Of the object.
    pub(super) target: Path,
}

/// A multipart upload that is under way.
struct Underway {
    id: String,
    parts: Vec<PartId>,
}

/// What comes in.
pub(super) struct PartsGrowing {
    multipart: Multipart,
    paths: Paths,
    underway: Option<Underway>,
    /// Of the next part.
    pending: BytesMut,
    /// The size of the object, where that is there already.
    object: Option<u64>,
}

impl Multipart {
    pub(in crate::objects) fn new(s3: Arc<AmazonS3>, http: HttpClient) -> Self {
        Self { s3, http }
    }

    /// How many bytes have come in.
    pub(super) async fn length(&self, paths: &Paths) -> Result<u64, ObjectError> {
        if let Some(size) = self.object(paths).await? {
            return Ok(size);
        }
        let underway = self.underway(paths).await?;
        Ok(underway.map_or(0, |underway| underway.length()))
    }

    /// Takes more of an upload of that size.
    pub(super) async fn open(
        &self,
        paths: Paths,
        size: u64,
        begin: Begin,
    ) -> Result<PartsGrowing, ReceiveError> {
        let object = self.object(&paths).await?.map(|_| size);
        let underway = match begin {
            _ if object.is_some() => None,
            Begin::Anew => {
                self.remove(&paths).await?;
                None
            }
            Begin::At(_) => self.underway(&paths).await?,
        };
        let (multipart, pending) = (self.clone(), BytesMut::new());
        let growing = PartsGrowing { multipart, paths, underway, pending, object };
        match begin {
            Begin::At(offset) if offset != growing.length() => {
                Err(ReceiveError::Elsewhere(growing.length()))
            }
            _ => Ok(growing),
        }
    }

    /// Removes what has come in.
    pub(super) async fn remove(&self, paths: &Paths) -> Result<(), ObjectError> {
        let Some(id) = self.noted(&paths.note).await? else { return Ok(()) };
        self.abort(&paths.target, &id).await;
        self.forget(&paths.note).await
    }

    /// The size of the object, if it is there.
    async fn object(&self, paths: &Paths) -> Result<Option<u64>, ObjectError> {
        size_at(&*self.s3, &paths.target).await
    }

    /// What is under way, with its parts from the first one on.
    async fn underway(&self, paths: &Paths) -> Result<Option<Underway>, ObjectError> {
        let Some(id) = self.noted(&paths.note).await? else { return Ok(None) };
        let listed = list::parts(&self.s3, &self.http, &paths.target, &id).await?;
        let Some(mut listed) = listed else {
            // The bucket's own rules have removed it.
            self.forget(&paths.note).await?;
            return Ok(None);
        };
        listed.sort_unstable_by_key(|part| part.number);
        let whole = listed.into_iter().zip(1..);
        let whole = whole.take_while(|(part, number)| part.number == *number && part.size == PART);
        let parts = whole.map(|(part, _)| PartId { content_id: part.tag }).collect();
        Ok(Some(Underway { id, parts }))
    }

    /// Begins an upload, unless somebody else has.
    async fn begin(&self, paths: &Paths) -> Result<Underway, ObjectError> {
        let id = self.s3.create_multipart(&paths.target).await?;
        for _ in 0..NOTES {
            let note = PutPayload::from(id.clone());
            match self.s3.put_opts(&paths.note, note, PutMode::Create.into()).await {
                Ok(_) => return Ok(Underway { id, parts: Vec::new() }),
                Err(object_store::Error::AlreadyExists { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(noted) = self.underway(paths).await? {
                // It is this one where the answer that its note was written was lost.
                if noted.id != id {
                    self.abort(&paths.target, &id).await;
                }
                return Ok(Underway { id: noted.id, parts: Vec::new() });
            }
        }
        Err(ObjectError::NotFound)
    }

    async fn noted(&self, note: &Path) -> Result<Option<String>, ObjectError> {
        let read = async { self.s3.get(note).await?.bytes().await };
        let id = if_there(read.await)?;
        Ok(id.map(|id| String::from_utf8_lossy(&id).into_owned()))
    }

    async fn forget(&self, note: &Path) -> Result<(), ObjectError> {
        delete_at(&*self.s3, note).await
    }

    /// It may be gone, or finished.
    async fn abort(&self, target: &Path, id: &String) {
        if let Err(error) = self.s3.abort_multipart(target, id).await {
            tracing::debug!(%error, "a multipart upload not aborted: the bucket's rules remove it");
        }
    }
}

impl Underway {
    fn length(&self) -> u64 {
        (self.parts.len() * PART) as u64
    }
}

impl PartsGrowing {
    /// What is to come next.
    pub(super) fn length(&self) -> u64 {
        self.kept() + self.pending.len() as u64
    }

    pub(super) async fn write(&mut self, mut bytes: &[u8]) -> Result<(), ObjectError> {
        while !bytes.is_empty() {
            let (fits, rest) = bytes.split_at(bytes.len().min(PART - self.pending.len()));
            self.pending.extend_from_slice(fits);
            if self.pending.len() == PART {
                self.put().await?;
            }
            bytes = rest;
        }
        Ok(())
    }

    /// What stays; of the next part nothing does.
    pub(super) fn kept(&self) -> u64 {
        let parts = self.underway.as_ref().map_or(0, Underway::length);
        self.object.unwrap_or(parts)
    }

    pub(super) async fn complete(mut self) -> Result<Self, ObjectError> {
        if self.object.is_some() {
            return Ok(self);
        }
        let length = self.length();
        if let Err(error) = self.finish().await {
            // Somebody else may have, who sent the same.
            if self.multipart.object(&self.paths).await?.is_none() {
                return Err(error);
            }
        }
        self.object = Some(length);
        Ok(self)
    }

    /// Forgets how it came in.
    pub(super) async fn remove(self) -> Result<(), ObjectError> {
        if self.object.is_some() {
            return self.multipart.forget(&self.paths.note).await;
        }
        self.multipart.remove(&self.paths).await
    }

    async fn finish(&mut self) -> Result<(), ObjectError> {
        if !self.pending.is_empty() {
            self.check().await?;
            self.put().await?;
        }
        let Underway { id, parts } = self.underway.take().ok_or(ObjectError::NotFound)?;
        self.multipart.s3.complete_multipart(&self.paths.target, &id, parts).await?;
        Ok(())
    }

    async fn put(&mut self) -> Result<(), ObjectError> {
        let multipart = &self.multipart;
        let underway = match &mut self.underway {
            Some(underway) => underway,
            none => none.insert(multipart.begin(&self.paths).await?),
        };
        let (target, number) = (&self.paths.target, underway.parts.len());
        let bytes = PutPayload::from_bytes(self.pending.split().freeze());
        let part = multipart.s3.put_part(target, &underway.id, number, bytes).await?;
        underway.parts.push(part);
        Ok(())
    }

    /// Whether it was abandoned meanwhile.
    async fn check(&self) -> Result<(), ObjectError> {
        let Some(underway) = &self.underway else { return Ok(()) };
        let noted = self.multipart.noted(&self.paths.note).await?;
        if noted.as_ref() == Some(&underway.id) { Ok(()) } else { Err(ObjectError::NotFound) }
    }
}
