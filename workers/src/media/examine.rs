//! An upload examined: its length, its hash, its type, by a virus scanner, and
//! as a picture.

use std::{
    fs::File,
    io::{self, Seek as _},
    sync::Arc,
};

use aws_lc_rs::digest;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use schemas::{MediaId, Sha256};
use store::{
    Media, Objects, Served,
    objects::{Object, Part},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _},
    sync::Semaphore,
    task::spawn_blocking,
};
use tracing::{error, warn};

use super::{
    content::{self, HEAD_BYTES},
    fault::Fault,
    picture::{self, Flaw, Format, Outline, Shown, Thumbnail, limits},
    scanner::{Finding, Scanner, ScannerPlace},
};
use crate::unavailable::Unavailable;

/// Pixels for which there is one permit.
const PERMIT_PIXELS: u64 = 1_000_000;
/// Bytes of a file that take as much memory, where it is decoded from there.
const PERMIT_BYTES: u64 = 4 * PERMIT_PIXELS;
/// Pixels decoded at once, as permits: one picture of the largest kind, or many
/// small ones. This bounds the memory whatever the number of cores. Pixels of
/// sixteen bits for each colour count twice.
const PIXELS_AT_ONCE: usize = (limits::PIXELS / PERMIT_PIXELS) as usize;
/// How much of a file goes to the store at a time, in bytes.
const PIECE_BYTES: usize = 256 * 1024;

/// Examines uploads.
pub(super) struct Examiner {
    objects: Objects,
    scanner: Option<Scanner>,
    pixels: Arc<Semaphore>,
}

/// An upload that is fit to be served.
pub(super) struct Examined {
    served: Served,
    content: File,
    thumbnail: Option<Thumbnail>,
}

/// A copy of an upload that nobody else can change.
struct Copy {
    file: tokio::fs::File,
    sha256: Sha256,
    head: Vec<u8>,
}

impl Examiner {
    pub(super) fn new(objects: Objects, scanner: Option<ScannerPlace>) -> Self {
        Self {
            objects,
            scanner: scanner.map(Scanner::new),
            pixels: Arc::new(Semaphore::new(PIXELS_AT_ONCE)),
        }
    }

    /// Examines what was uploaded; the cheap first.
    ///
    /// # Errors
    /// [`Fault`], and whose it is.
    pub(super) async fn examine(&self, media: &Media) -> Result<Examined, Fault> {
        // Without it the copy would be for nothing, again and again.
        if let Some(scanner) = &self.scanner {
            scanner.ping().await?;
        }
        let Copy { file, sha256, head } = self.copy(media).await?;
        if media.sha256.is_some_and(|expected| expected != sha256) {
            return Err(Fault::upload("hash", "its SHA-256 is not the one that was announced"));
        }
        let mime = content::check(&media.mime, &head)?;
        let file = self.scan(media, file).await?;
        match Format::of_mime(&mime) {
            Some(format) => self.picture(format, file).await,
            None => {
                let (size, width, height, thumbnail) = (media.size, None, None, None);
                let served = Served { mime, size, width, height, thumbnail };
                Ok(Examined { served, content: file, thumbnail: None })
            }
        }
    }

    /// Writes what is served, and answers what it is. Writing it again, or twice
    /// at once, is harmless.
    ///
    /// # Errors
    /// When the store, or a file on this machine, is unavailable.
    pub(super) async fn write(
        &self,
        media: MediaId,
        examined: Examined,
    ) -> Result<Served, Unavailable> {
        let Examined { served, content, thumbnail } = examined;
        let mut content = tokio::fs::File::from_std(content);
        content.rewind().await.map_err(Unavailable::new)?;
        let object = Object { media, part: Part::Content };
        let mut writing = self.objects.write(object).await.map_err(Unavailable::new)?;
        loop {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            let read = content.read_buf(&mut piece).await.map_err(Unavailable::new)?;
            if read == 0 {
                break;
            }
            writing.write(piece.into()).await.map_err(Unavailable::new)?;
        }
        writing.finish().await.map_err(Unavailable::new)?;
        if let Some(Thumbnail { bytes, .. }) = thumbnail {
            let object = Object { media, part: Part::Thumbnail };
            let mut writing = self.objects.write(object).await.map_err(Unavailable::new)?;
            writing.write(Bytes::from(bytes)).await.map_err(Unavailable::new)?;
            writing.finish().await.map_err(Unavailable::new)?;
        }
        Ok(served)
    }

    /// Copies an upload to a file on this machine and hashes it meanwhile.
    async fn copy(&self, media: &Media) -> Result<Copy, Fault> {
        let upload = Object { media: media.id, part: Part::Upload };
        let mut reading = self.objects.read(upload, None).await?;
        if reading.size != media.size {
            let (size, announced) = (reading.size, media.size);
            let reason = format!("it has {size} bytes, where {announced} were announced");
            return Err(Fault::upload("length", reason));
        }
        let mut file = tokio::fs::File::from_std(blocking(tempfile::tempfile).await??);
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut head = Vec::with_capacity(HEAD_BYTES);
        while let Some(piece) = reading.bytes.try_next().await? {
            let missing = HEAD_BYTES.saturating_sub(head.len()).min(piece.len());
            head.extend_from_slice(&piece[..missing]);
            hash.update(&piece);
            file.write_all(&piece).await?;
        }
        file.flush().await?;
        let mut sha256 = [0; digest::SHA256_OUTPUT_LEN];
        sha256.copy_from_slice(hash.finish().as_ref());
        Ok(Copy { file, sha256: Sha256(sha256), head })
    }

    async fn scan(&self, media: &Media, mut file: tokio::fs::File) -> Result<File, Fault> {
        if let Some(scanner) = &self.scanner {
            file.rewind().await?;
            match scanner.scan(&mut file, media.size).await {
                Ok(Finding::Clean) => {}
                Ok(Finding::Found(signature)) => {
                    warn!(media = %media.id, owner = %media.owner, signature, "refused by the virus scanner");
                    return Err(Fault::upload("scanner", "a virus scanner refused it"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(file.into_std().await)
    }

    async fn picture(&self, format: Format, mut upload: File) -> Result<Examined, Fault> {
        let cleaning = move || {
            let mut content = tempfile::tempfile()?;
            let outline = picture::clean(format, &mut upload, &mut content)?;
            Ok::<_, Fault>((outline, content))
        };
        let (outline, content) = blocking(cleaning).await??;
        let (shown, mut content) = self.show(format, outline, content).await?;
        let size = content.seek(io::SeekFrom::End(0))?;
        let Shown { width, height, thumbnail } = shown;
        let served = Served {
            mime: format.mime().to_owned(),
            size,
            width: Some(width),
            height: Some(height),
            thumbnail: Some(thumbnail.mime.to_owned()),
        };
        Ok(Examined { served, content, thumbnail: Some(thumbnail) })
    }

    /// Decodes a picture when there is memory for it.
    async fn show(
        &self,
        format: Format,
        outline: Outline,
        mut content: File,
    ) -> Result<(Shown, File), Fault> {
        // It is never closed.
        let permits = permits(&outline, held(format, &content)?);
        let permit = Arc::clone(&self.pixels).acquire_many_owned(permits).await.ok();
        blocking(move || {
            let shown = picture::show(format, &outline, &mut content)?;
            // Held by whoever decodes, also when nobody waits for that any more.
            drop(permit);
            Ok((shown, content))
        })
        .await?
    }
}

/// How many bytes of its file a decoder holds.
fn held(format: Format, content: &File) -> io::Result<u64> {
    match format {
        Format::Jpeg => Ok(content.metadata()?.len()),
        Format::Png | Format::Gif | Format::Webp => Ok(0),
    }
}

/// How many permits a picture takes: never more than there are, for which it
/// would wait for ever.
fn permits(outline: &Outline, held: u64) -> u32 {
    let permits = outline.pixels().div_ceil(PERMIT_PIXELS) + held / PERMIT_BYTES;
    u32::try_from(permits.min(PIXELS_AT_ONCE as u64)).unwrap_or(u32::MAX)
}

/// A panic is taken for the file's fault: decoders have some.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    spawn_blocking(work).await.map_err(|error| {
        if error.is_panic() {
            error!(%error, "a decoder panicked");
            return Fault::upload("picture", Flaw::Damaged("it cannot be decoded"));
        }
        Fault::Ours(Unavailable::new(error))
    })
}

#[cfg(test)]
#[allow(clippy::panic, reason = "tests")]
mod tests {
    use image::metadata::Orientation;

    use super::*;

    #[test]
    fn what_takes_all_the_memory_is_decoded_alone() {
        let orientation = Orientation::NoTransforms;
        let outline =
            |width, height, is_deep| Outline { width, height, orientation, frames: 1, is_deep };
        let of = |width, height, is_deep| permits(&outline(width, height, is_deep), 0);
        assert_eq!(of(40, 30, false), 1);
        assert_eq!((of(8_000, 4_000, false), of(8_000, 4_000, true)), (32, 64));
        for is_deep in [false, true] {
            assert_eq!(of(8_000, 8_000, is_deep) as usize, PIXELS_AT_ONCE, "{is_deep}");
        }
        let small = outline(80, 80, false);
        assert_eq!((permits(&small, 300_000), permits(&small, 104_000_000)), (1, 27));
        assert_eq!(permits(&small, u64::MAX) as usize, PIXELS_AT_ONCE);
    }

    #[tokio::test]
    async fn what_a_decoder_cannot_bear_is_the_files_fault() {
        let Err(Fault::Upload { kind, reason }) = blocking::<()>(|| panic!("an index")).await
        else {
            panic!("not the file's fault");
        };
        assert_eq!((kind, &*reason), ("picture", "the picture is damaged: it cannot be decoded"));
    }
}
