#![allow(clippy::unwrap_used, reason = "tests")]

mod files;
mod orientations;
mod refusals;
mod stripping;

use std::{fs::File, io::Read as _};

use super::*;

/// What becomes of a file.
struct Served {
    outline: Outline,
    shown: Shown,
    bytes: Vec<u8>,
}

impl Served {
    fn image(&self, format: Format) -> image::DynamicImage {
        image::load_from_memory_with_format(&self.bytes, format.decoder()).unwrap()
    }

    fn thumbnail(&self) -> image::DynamicImage {
        image::load_from_memory(&self.shown.thumbnail.bytes).unwrap()
    }

    fn has(&self, text: &[u8]) -> bool {
        let everywhere = [&*self.bytes, &self.shown.thumbnail.bytes];
        everywhere.iter().any(|bytes| memchr::memmem::find(bytes, text).is_some())
    }
}

fn serve(format: Format, bytes: &[u8]) -> Result<Served, Flaw> {
    let mut upload = file(bytes);
    let mut served = tempfile::tempfile().unwrap();
    let flaw = |error| match error {
        PictureError::Flaw(flaw) => flaw,
        PictureError::Disk(error) => panic!("{error}"),
    };
    let outline = clean(format, &mut upload, &mut served).map_err(flaw)?;
    let shown = show(format, &outline, &mut served).map_err(flaw)?;
    let mut bytes = Vec::new();
    served.rewind().unwrap();
    served.read_to_end(&mut bytes).unwrap();
    Ok(Served { outline, shown, bytes })
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}
