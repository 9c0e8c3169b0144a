//! How long media are kept.

use std::{num::NonZeroU32, time::Duration};

use schemas::Millis;

use crate::media::Media;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// How long media are kept: the same flags for gateways, which tell it and note
/// what is fetched, and for workers, which do it.
#[derive(Debug, Clone, clap::Args)]
pub struct Retention {
    /// Days after which every upload goes that is nobody's picture.
    #[arg(long, env = "PETREL_MEDIA_DAYS", value_name = "DAYS", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub media_days: u32,

    /// Hours after which media go that every device they were sent to has
    /// fetched, and has acknowledged the message: counted from when they were
    /// sent or fetched last. Without it they stay for all of their days.
    #[arg(long, env = "PETREL_MEDIA_FETCHED_HOURS", value_name = "HOURS")]
    pub media_fetched_hours: Option<NonZeroU32>,
}

impl Retention {
    /// After how long every upload goes.
    pub fn lifetime(&self) -> Duration {
        24 * HOUR * self.media_days
    }

    /// When media go at the latest, unless they are somebody's picture.
    pub fn ends(&self, media: &Media) -> Millis {
        media.created.plus(self.lifetime())
    }

    /// After how long media go that everyone has; nothing where that is not
    /// looked at.
    pub fn fetched(&self) -> Option<Duration> {
        self.media_fetched_hours.map(|hours| HOUR * hours.get())
    }
}
