//! An object on its way into the store.

use std::fmt;

use bytes::Bytes;
use object_store::{MultipartUpload, WriteMultipart};

use super::{LEAST_PIECE, ObjectError};

/// So much is gathered before it is written to a file.
const FOLDER_PIECE: usize = 256 * 1024;
/// Pieces that are written at a time, so that a fast sender fills no memory.
const AT_A_TIME: usize = 2;

/// An object that is being written. Dropped, nothing of it is ever seen, but S3
/// keeps what was sent until its own rules for unfinished uploads remove it.
pub struct Writing {
    upload: WriteMultipart,
    written: u64,
}

impl Writing {
    pub(super) fn new(upload: Box<dyn MultipartUpload>, is_s3: bool) -> Self {
        let piece = if is_s3 { LEAST_PIECE } else { FOLDER_PIECE };
        Self { upload: WriteMultipart::new_with_chunk_size(upload, piece), written: 0 }
    }

    /// Appends; returns when there is room for more.
    ///
    /// # Errors
    /// When the store is unavailable. Nothing can be done then but to drop it.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), ObjectError> {
        self.upload.wait_for_capacity(AT_A_TIME).await?;
        self.written += bytes.len() as u64;
        self.upload.put(bytes);
        Ok(())
    }

    /// How many bytes were appended.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The object is there when this returns.
    ///
    /// # Errors
    /// When the store is unavailable.
    pub async fn finish(self) -> Result<(), ObjectError> {
        self.upload.finish().await?;
        Ok(())
    }
}

impl fmt::Debug for Writing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writing").field("written", &self.written).finish_non_exhaustive()
    }
}
