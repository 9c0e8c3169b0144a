//! Files that go up and come down.

use clap::Args;

/// People upload and download.
#[derive(Debug, Clone, Args)]
pub(in crate::load) struct Media {
    /// People, each of whom uploads one file after the other
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(in crate::load) people: u32,

    /// Files of each
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(in crate::load) files: u32,

    /// Bytes of each; all of them are on the disk at once, twice where they
    /// are compared with a plain copy
    #[arg(long, value_name = "BYTES", default_value_t = 1024 * 1024, value_parser = clap::value_parser!(u64).range(1..))]
    pub(in crate::load) size: u64,

    /// Uploads in pieces, as who can go on after a cut does (tus)
    #[arg(long)]
    pub(in crate::load) resumable: bool,

    /// Bytes of each piece
    #[arg(long, value_name = "BYTES", default_value_t = 256 * 1024, requires = "resumable", value_parser = clap::value_parser!(u64).range(1..))]
    pub(in crate::load) piece: u64,
}

impl Media {
    /// Nobody has too many or too large files.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let of_one = self.size.saturating_mul(self.files.into());
        vec![
            ("PETREL_MEDIA_MAX_BYTES", self.size.to_string()),
            ("PETREL_MEDIA_QUOTA_BYTES", of_one.to_string()),
            ("PETREL_MEDIA_QUOTA_COUNT", self.files.to_string()),
        ]
    }

    /// Bytes of a piece; none: a file goes up in one request.
    pub(in crate::load) fn piece(&self) -> Option<u64> {
        self.resumable.then_some(self.piece)
    }

    /// Files of all together.
    pub(in crate::load) fn all_files(&self) -> u64 {
        u64::from(self.people) * u64::from(self.files)
    }
}
