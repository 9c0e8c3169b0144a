//! Pictures: what of a file is served, and a small picture of it.
//!
//! A picture goes through two steps. [`clean`] copies the file part by part,
//! takes along only what is needed to show it, and learns how large it will be
//! when it is decoded. [`show`] decodes that copy, never the upload itself. A
//! part that is not known to be needed stays behind: that is how Exif, XMP,
//! IPTC, comments, embedded previews and whatever is hidden after the picture's
//! end are dropped.
//!
//! Both read from a disk and block.

mod gif;
mod jpeg;
pub(super) mod limits;
mod parts;
mod png;
mod rows;
mod show;
mod webp;

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Seek as _, Write as _},
};

use image::{ImageFormat, metadata::Orientation};

pub(crate) use self::show::{Shown, Thumbnail, show};
use self::{
    limits::{FRAMES, PIXELS, SIDE},
    parts::Parts,
};

/// What pictures we can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Jpeg,
    Png,
    Gif,
    Webp,
}

/// What is known of a picture before it is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outline {
    /// Pixels from left to right, as they are stored.
    pub(crate) width: u32,
    /// Pixels from top to bottom, as they are stored.
    pub(crate) height: u32,
    /// How it has to be turned to be upright.
    pub(crate) orientation: Orientation,
    /// How many pictures it is; more than one move.
    pub(crate) frames: u32,
    /// Whether each colour of a pixel has sixteen bits, not eight.
    pub(crate) is_deep: bool,
}

/// Why a file is not served as a picture; told to whom it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("the picture is cut off")]
    CutOff,
    #[error("the picture is damaged: {0}")]
    Damaged(&'static str),
    #[error("the picture is of a kind that cannot be shown")]
    Unsupported,
    #[error(
        "the picture is too large: {width} x {height}, where up to {SIDE} a side and {} megapixels are taken",
        PIXELS / 1_000_000
    )]
    TooLarge { width: u32, height: u32 },
    #[error("the picture needs too much memory to be shown")]
    TooHeavy,
    #[error("the picture has more than {FRAMES} frames")]
    TooManyFrames,
}

/// Why a picture was not made ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PictureError {
    /// It is the file's fault.
    #[error(transparent)]
    Flaw(#[from] Flaw),
    /// It is the disk's.
    #[error("a file on this machine cannot be used")]
    Disk(#[source] io::Error),
}

impl Format {
    pub(crate) fn of_mime(mime: &str) -> Option<Self> {
        let all = [Self::Jpeg, Self::Png, Self::Gif, Self::Webp];
        all.into_iter().find(|format| format.mime() == mime)
    }

    pub(crate) fn mime(self) -> &'static str {
        self.decoder().to_mime_type()
    }

    fn decoder(self) -> ImageFormat {
        match self {
            Self::Jpeg => ImageFormat::Jpeg,
            Self::Png => ImageFormat::Png,
            Self::Gif => ImageFormat::Gif,
            Self::Webp => ImageFormat::WebP,
        }
    }
}

/// Copies a picture without what is not served. Needs little memory, whatever
/// the file says; the pixels stay as they are.
///
/// # Errors
/// [`Flaw`], or the disk's. What was written then is of no use.
pub(crate) fn clean(
    format: Format,
    from: &mut File,
    to: &mut File,
) -> Result<Outline, PictureError> {
    from.rewind()?;
    let mut parts = Parts::new(BufReader::new(from), BufWriter::new(to));
    let outline = match format {
        Format::Jpeg => jpeg::clean(&mut parts),
        Format::Png => png::clean(&mut parts),
        Format::Gif => gif::clean(&mut parts),
        Format::Webp => webp::clean(&mut parts),
    }?;
    parts.to.flush()?;
    outline.ok_or(Flaw::Damaged("there is no picture in it").into())
}

impl Outline {
    /// Of a picture of that size, so far without frames.
    fn new(width: u32, height: u32) -> Result<Self, Flaw> {
        let size = check_size(width, height)?;
        Ok(Self {
            width: size.0,
            height: size.1,
            orientation: Orientation::NoTransforms,
            frames: 0,
            is_deep: false,
        })
    }

    /// One more frame.
    fn add_frame(&mut self) -> Result<(), Flaw> {
        self.frames += 1;
        if self.frames > FRAMES { Err(Flaw::TooManyFrames) } else { Ok(()) }
    }

    /// Whether it has to be encoded anew to be upright. What moves is not
    /// turned, as nobody turns it.
    pub(crate) fn is_turned(&self) -> bool {
        self.frames <= 1 && self.orientation != Orientation::NoTransforms
    }

    /// How much is decoded, in pixels of eight bits for each colour: a deep one
    /// takes as much memory as two.
    pub(crate) fn pixels(&self) -> u64 {
        let pixels = u64::from(self.width) * u64::from(self.height);
        if self.is_deep { 2 * pixels } else { pixels }
    }
}

/// A size that is taken.
fn check_size(width: u32, height: u32) -> Result<(u32, u32), Flaw> {
    if width == 0 || height == 0 {
        return Err(Flaw::Damaged("it has no size"));
    }
    if width > SIDE || height > SIDE || u64::from(width) * u64::from(height) > PIXELS {
        return Err(Flaw::TooLarge { width, height });
    }
    Ok((width, height))
}

/// A file that ends too early is its owner's affair, all else the disk's.
impl From<io::Error> for PictureError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Flaw(Flaw::CutOff),
            _ => Self::Disk(error),
        }
    }
}

#[cfg(test)]
mod tests;
