//! A file that is taken apart and put together again.

use std::io::{self, BufRead, Read as _, Seek, SeekFrom, Write};

use image::metadata::Orientation;

use super::{Flaw, PictureError, limits::EXIF_BYTES};

/// What Exif begins with in a JPEG, and by mistake in some others.
pub(super) const EXIF_PREFIX: &[u8] = b"Exif\0\0";

/// Where parts come from, and where those go that are kept.
pub(super) struct Parts<R, W> {
    pub(super) from: R,
    pub(super) to: W,
}

impl<R: BufRead, W: Write + Seek> Parts<R, W> {
    pub(super) fn new(from: R, to: W) -> Self {
        Self { from, to }
    }

    pub(super) fn byte(&mut self) -> Result<u8, PictureError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], PictureError> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// As many bytes, which are in memory then; the caller bounds them.
    pub(super) fn bytes(&mut self, count: u64) -> Result<Vec<u8>, PictureError> {
        let mut bytes = Vec::new();
        self.from.by_ref().take(count).read_to_end(&mut bytes)?;
        if bytes.len() as u64 == count { Ok(bytes) } else { Err(Flaw::CutOff.into()) }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), PictureError> {
        Ok(self.to.write_all(bytes)?)
    }

    /// Keeps as many bytes.
    pub(super) fn copy(&mut self, count: u64) -> Result<(), PictureError> {
        let copied = io::copy(&mut self.from.by_ref().take(count), &mut self.to)?;
        if copied == count { Ok(()) } else { Err(Flaw::CutOff.into()) }
    }

    /// Keeps as many bytes if they are no more than that.
    pub(super) fn copy_up_to(&mut self, most: u64, count: u64) -> Result<(), PictureError> {
        if count > most {
            return Err(Flaw::Damaged("a part of it is too long").into());
        }
        self.copy(count)
    }

    /// Leaves as many bytes behind.
    pub(super) fn skip(&mut self, count: u64) -> Result<(), PictureError> {
        let skipped = io::copy(&mut self.from.by_ref().take(count), &mut io::sink())?;
        if skipped == count { Ok(()) } else { Err(Flaw::CutOff.into()) }
    }

    /// Leaves Exif of as many bytes behind, but for what it says about the
    /// orientation.
    pub(super) fn orientation(&mut self, count: u64) -> Result<Option<Orientation>, PictureError> {
        let exif = self.bytes(count.min(EXIF_BYTES))?;
        self.skip(count - exif.len() as u64)?;
        Ok(orientation(&exif))
    }

    /// Where the next byte is put.
    pub(super) fn place(&mut self) -> Result<u64, PictureError> {
        Ok(self.to.stream_position()?)
    }

    /// Puts bytes in the place of others.
    pub(super) fn put_at(&mut self, place: u64, bytes: &[u8]) -> Result<(), PictureError> {
        let here = self.place()?;
        self.to.seek(SeekFrom::Start(place))?;
        self.put(bytes)?;
        self.to.seek(SeekFrom::Start(here))?;
        Ok(())
    }
}

/// What Exif says about the orientation.
pub(super) fn orientation(exif: &[u8]) -> Option<Orientation> {
    Orientation::from_exif_chunk(exif.strip_prefix(EXIF_PREFIX).unwrap_or(exif))
}
