//! What the operator says about media.

use std::{num::NonZeroU16, time::Duration};

use store::Retention;

use super::scanner::ScannerPlace;

/// Media: how they are looked at, and how long they are kept.
#[derive(Debug, Clone, clap::Args)]
pub struct MediaOptions {
    /// Uploads looked at at once. Each may take as much of the temporary folder
    /// as an upload may have bytes, twice.
    #[arg(long, env = "PETREL_MEDIA_IN_HAND", default_value_t = IN_HAND)]
    pub media_in_hand: NonZeroU16,

    /// A virus scanner that every upload has to pass: clamd://host:port, or
    /// clamd:/path/of/its/socket. Without it none is asked.
    #[arg(long, env = "PETREL_SCANNER", value_name = "ADDRESS")]
    pub scanner: Option<ScannerPlace>,

    /// Hours after which an upload goes that was not finished, or never sent: at
    /// least as many as one may take, or else bytes may come when it is gone.
    #[arg(long, env = "PETREL_MEDIA_UNSENT_HOURS", default_value_t = UNSENT_HOURS,
          value_parser = clap::value_parser!(u32).range(24..=8_760))]
    pub media_unsent_hours: u32,

    /// How long they are kept.
    #[command(flatten)]
    pub retention: Retention,
}

/// Looking at one keeps a core busy, or waits for the scanner or the store.
const IN_HAND: NonZeroU16 = NonZeroU16::new(4).unwrap();
/// As long as somebody may reasonably think about a message.
const UNSENT_HOURS: u32 = 24;

impl MediaOptions {
    /// After how long an upload goes that was not finished, or never sent.
    pub fn unsent(&self) -> Duration {
        Duration::from_secs(u64::from(self.media_unsent_hours) * 3_600)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use clap::Parser as _;
    use schemas::limits::UPLOAD_LIFE;

    use crate::Config;

    #[test]
    fn an_upload_is_kept_for_as_long_as_it_may_take() {
        let parsed = |hours| Config::try_parse_from(["workers", "--media-unsent-hours", hours]);
        for hours in ["0", "1", "23"] {
            assert!(parsed(hours).is_err(), "{hours}");
        }
        assert!(parsed("24").unwrap().media.unsent() >= UPLOAD_LIFE);
    }
}
