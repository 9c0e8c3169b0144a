//! What is removed: uploads that were never finished or never sent, after a
//! longer time all others but those that are somebody's picture, and where that
//! is asked for what everyone has whom it was sent to.
//!
//! The bytes go first and the record last, so that a sweep that is cut off
//! leaves nothing that the next one does not find. Several may sweep at once:
//! whatever one of them removed already, the others pass over.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use metrics::counter;
use nats::Inboxes;
use rand::RngExt as _;
use schemas::{MediaId, Millis};
use store::{Audience, Directory, Media, MediaPage, MediaPlace, MediaState, Objects, Shares};
use tokio::time::sleep;
use tracing::{info, warn};

use super::{MediaOptions, handover::Handover};
use crate::unavailable::Unavailable;

/// The pause between two sweeps, on average.
const EVERY: Duration = Duration::from_secs(10 * 60);
/// The pause after a sweep that could not go on.
const AGAIN: Duration = Duration::from_secs(60);
/// Media that are looked at together.
const AT_ONCE: usize = 8;
/// Media that are listed together.
const PAGE: usize = 64;
/// The pause between two such lists: at most 256 media are looked at in a second.
const PAUSE: Duration = Duration::from_millis(250);
/// Media that failed and are tried again at the next run. What fails beyond
/// that waits until all are looked at anew.
const MISSED: usize = 1_024;
/// Media that were found not to be due are looked at again after so long: a
/// picture may be nobody's by then.
const ANEW: Duration = Duration::from_secs(24 * 60 * 60);
/// As long, where that may have changed because somebody has fetched them.
const FETCHED_ANEW: Duration = Duration::from_secs(60 * 60);

/// Removes media that are due.
pub struct Sweep {
    directory: Arc<dyn Directory>,
    objects: Objects,
    lifetime: Duration,
    passes: Vec<Pass>,
    missed: Vec<(MediaId, Look)>,
}

/// How far it was looked at all media of some age. It is in memory: whoever
/// starts begins anew.
#[derive(Debug)]
struct Pass {
    look: Look,
    age: Duration,
    anew: Duration,
    began: Millis,
    place: Option<MediaPlace>,
}

/// What may be due of media.
#[derive(Debug, Clone)]
enum Look {
    /// Their time.
    Age,
    /// They themselves, to those they were sent to.
    Handover(Arc<Handover>),
}

/// Media that may be due.
enum Candidate {
    /// As the directory listed them.
    Listed(Media),
    /// At an earlier run, which failed.
    Missed(MediaId),
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Media that were due.
    pub media: u64,
    /// Bytes that were uploaded or served of them.
    pub bytes: u64,
}

/// Why media are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Unfinished,
    Unsent,
    Rejected,
    Expired,
    Fetched,
}

impl Sweep {
    /// A sweep that has looked at nothing yet.
    pub fn new(
        directory: Arc<dyn Directory>,
        objects: Objects,
        inboxes: Inboxes,
        options: &MediaOptions,
    ) -> Self {
        let (unsent, lifetime) = (options.unsent(), options.retention.lifetime());
        let mut passes =
            vec![Pass::new(Look::Age, lifetime, ANEW), Pass::new(Look::Age, unsent, ANEW)];
        if let Some(after) = options.retention.fetched() {
            let handover = Handover::new(Arc::clone(&directory), inboxes, after);
            passes.push(Pass::new(Look::Handover(Arc::new(handover)), after, FETCHED_ANEW));
        }
        Self { directory, objects, lifetime, passes, missed: Vec::new() }
    }

    /// Sweeps for ever.
    pub(crate) async fn keep_on(mut self) {
        loop {
            // Apart from the other workers, which may have started at once.
            let pause = EVERY.mul_f64(rand::rng().random_range(0.5..1.5));
            sleep(pause).await;
            while let Err(error) = self.run(Millis::now()).await {
                warn!(%error, "media not swept to the end, going on later");
                sleep(AGAIN).await;
            }
        }
    }

    /// Removes what is due at that time.
    ///
    /// # Errors
    /// When the directory does not list media. The next run goes on. Media that
    /// fail by themselves are passed over, and tried again then.
    pub async fn run(&mut self, now: Millis) -> anyhow::Result<Swept> {
        let mut swept = Swept::default();
        let outcome = self.sweep(now, &mut swept).await;
        if swept.media > 0 {
            info!(media = swept.media, bytes = swept.bytes, "swept");
        }
        outcome.map(|()| swept).map_err(|error| anyhow::anyhow!("{error}"))
    }

    async fn sweep(&mut self, now: Millis, swept: &mut Swept) -> Result<(), Unavailable> {
        let missed = std::mem::take(&mut self.missed);
        let missed = missed.into_iter().map(|(id, look)| (Candidate::Missed(id), look));
        self.each(missed, now, swept).await;
        for index in 0..self.passes.len() {
            self.passes[index].begin(now);
            loop {
                let Pass { look, age, place, .. } = &self.passes[index];
                let (look, before) = (look.clone(), now.minus(*age));
                let page = self.directory.media_before(before, place.as_ref(), PAGE);
                let MediaPage { media, next } = page.await.map_err(Unavailable::new)?;
                let Some(next) = next else { break };
                let listed =
                    media.into_iter().map(|media| (Candidate::Listed(media), look.clone()));
                self.each(listed, now, swept).await;
                self.passes[index].place = Some(next);
                sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// One that fails holds up no other.
    async fn each(
        &mut self,
        candidates: impl Iterator<Item = (Candidate, Look)>,
        now: Millis,
        swept: &mut Swept,
    ) {
        let look = async |(media, look): (Candidate, Look)| {
            ((media.id(), look.clone()), self.remove_if_due(media, &look, now).await)
        };
        let looks: Vec<_> = candidates.map(look).collect();
        let mut looks = stream::iter(looks).buffer_unordered(AT_ONCE);
        let mut missed = Vec::new();
        while let Some(((id, look), removed)) = looks.next().await {
            match removed {
                Ok(None) => {}
                Ok(Some(bytes)) => {
                    swept.media += 1;
                    swept.bytes += bytes;
                }
                Err(error) => {
                    warn!(media = %id, %error, "not swept, and tried again");
                    counter!("petrel_media_sweep_failures_total").increment(1);
                    missed.push((id, look));
                }
            }
        }
        drop(looks);
        missed.truncate(MISSED.saturating_sub(self.missed.len()));
        self.missed.append(&mut missed);
    }

    /// Removes media if they are due by now; how many bytes. The newest record
    /// decides, and is read for those only that the listed one does not keep.
    async fn remove_if_due(
        &self,
        candidate: Candidate,
        look: &Look,
        now: Millis,
    ) -> Result<Option<u64>, Unavailable> {
        let id = candidate.id();
        if let Candidate::Listed(media) = candidate
            && self.reason(&media, look, now).await?.is_none()
        {
            return Ok(None);
        }
        let media = self.directory.media_fresh(id).await.map_err(Unavailable::new)?;
        // Another worker's sweep was faster.
        let Some(media) = media else { return Ok(None) };
        let Some(reason) = self.reason(&media, look, now).await? else { return Ok(None) };
        self.objects.remove(id).await.map_err(Unavailable::new)?;
        self.directory.delete_media(id).await.map_err(Unavailable::new)?;
        let bytes = bytes(&media);
        let reason = reason.name();
        info!(media = %id, owner = %media.owner, reason, bytes, "removed");
        counter!("petrel_media_swept_total", "reason" => reason).increment(1);
        counter!("petrel_media_swept_bytes_total", "reason" => reason).increment(bytes);
        Ok(Some(bytes))
    }

    /// Why media are removed, if they are.
    async fn reason(
        &self,
        media: &Media,
        look: &Look,
        now: Millis,
    ) -> Result<Option<Reason>, Unavailable> {
        match look {
            Look::Age => self.aged(media, now).await,
            Look::Handover(handover) => {
                let is_over = handover.is_over(media, now).await?;
                Ok(is_over.then_some(Reason::Fetched))
            }
        }
    }

    /// Why media that are old enough not to be awaited any more are removed.
    async fn aged(&self, media: &Media, now: Millis) -> Result<Option<Reason>, Unavailable> {
        match media.state {
            MediaState::Reserved => return Ok(Some(Reason::Unfinished)),
            MediaState::Rejected { .. } => return Ok(Some(Reason::Rejected)),
            MediaState::Uploaded(_) | MediaState::Ready(_) => {}
        }
        let Shares { with, .. } =
            self.directory.media_shares(media.id).await.map_err(Unavailable::new)?;
        if with.is_empty() {
            return Ok(Some(Reason::Unsent));
        }
        let expired = now.minus(self.lifetime);
        if media.created >= expired || self.is_picture(media, &with).await? {
            return Ok(None);
        }
        Ok(Some(Reason::Expired))
    }

    /// Whether media are the picture of somebody: who that may be is among
    /// those who may see it.
    async fn is_picture(&self, media: &Media, seen_by: &[Audience]) -> Result<bool, Unavailable> {
        if !seen_by.contains(&Audience::Everyone) {
            return Ok(false);
        }
        let owner = Audience::User(media.owner);
        for wearer in seen_by.iter().chain([&owner]) {
            let picture = match *wearer {
                Audience::User(user) => {
                    let user = self.directory.user_fresh(user).await.map_err(Unavailable::new)?;
                    user.and_then(|user| user.picture)
                }
                Audience::Group(group) => {
                    let group = self.directory.group_fresh(group).await;
                    group.map_err(Unavailable::new)?.and_then(|group| group.picture)
                }
                Audience::Everyone => None,
            };
            if picture == Some(media.id) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Candidate {
    fn id(&self) -> MediaId {
        match self {
            Self::Listed(media) => media.id,
            Self::Missed(id) => *id,
        }
    }
}

impl Pass {
    fn new(look: Look, age: Duration, anew: Duration) -> Self {
        Self { look, age, anew, began: Millis(0), place: None }
    }

    /// Goes on, or begins anew.
    fn begin(&mut self, now: Millis) {
        if self.began < now.minus(self.anew) {
            (self.began, self.place) = (now, None);
        }
    }
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::Unfinished => "unfinished",
            Self::Unsent => "unsent",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Fetched => "fetched",
        }
    }
}

/// What there is of media in the store, as far as the record says.
fn bytes(media: &Media) -> u64 {
    match &media.state {
        MediaState::Reserved | MediaState::Rejected { .. } => 0,
        MediaState::Uploaded(_) => media.size,
        MediaState::Ready(served) => served.size,
    }
}

impl std::fmt::Debug for Sweep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Sweep");
        shown.field("passes", &self.passes).finish_non_exhaustive()
    }
}
