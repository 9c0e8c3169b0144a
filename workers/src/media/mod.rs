//! The media worker: it looks at what was uploaded and says what of it is served.
//!
//! An event only says which upload to look at. What is done follows from its
//! record: an upload that is awaited is looked for again, one that is there is
//! examined, one that is judged is told to its owner. Each step may be done
//! twice, and by two workers at once. What is served is written from the copy
//! that was examined, so that nobody can put something else in its place
//! meanwhile.

mod content;
mod examine;
mod fault;
mod handover;
mod options;
mod picture;
mod scanner;
mod sweep;
mod tell;

use std::{sync::Arc, time::Duration};

use async_nats::jetstream;
use futures_util::future::join_all;
use metrics::{counter, histogram};
use nats::Inboxes;
use schemas::{MediaId, Millis, event::MediaArrived};
use store::{
    Directory, DirectoryError, Media, MediaChange, MediaError, MediaOutcome, MediaState, Objects,
    objects::{Object, Part},
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tracing::{error, info, warn};

use self::{examine::Examiner, fault::Fault, tell::Teller};
use crate::{
    runner::{Handler, Turn, Undecodable, Verdict},
    unavailable::Unavailable,
};

pub use self::{
    options::MediaOptions,
    scanner::{ParseScannerError, ScannerPlace},
    sweep::{Sweep, Swept},
};

/// How long one upload may be examined: the largest, by a slow scanner, while
/// others are, too.
pub(crate) const LONGEST_HANDLING: Duration = Duration::from_secs(10 * 60);
/// How long the examination itself may take of that.
const LONGEST_EXAMINATION: Duration = Duration::from_secs(9 * 60);
/// Events in hand, over those that are examined: most are only looked at, to
/// see whether the upload has come, and those must not wait for an examination.
pub(crate) const LOOKS_IN_HAND: usize = 512;
/// Events pulled before there is room for them.
pub(crate) const LOOKS_AHEAD: usize = 32;
/// How long an upload waits in hand for its examination to begin. Then it goes
/// back to the queue, and leaves its place to one that may be looked at at once.
const TURN: Duration = Duration::from_secs(5);
/// Told of an upload that could not be examined for as long as one is awaited.
const NOT_EXAMINED: &str = "it could not be examined";
/// How often a record that others change meanwhile is looked at anew.
const LOOKS: usize = 4;
/// How often an upload that is awaited is looked for while it is younger.
const LOOKED_FOR: [(Duration, Duration); 2] = [
    (Duration::from_secs(60), Duration::from_secs(2)),
    (Duration::from_secs(10 * 60), Duration::from_secs(15)),
];
/// How often one is looked for that is older than that.
const RARELY: Duration = Duration::from_secs(5 * 60);

/// Handles [`MediaArrived`] events.
pub(crate) struct Arrivals {
    directory: Arc<dyn Directory>,
    objects: Objects,
    examiner: Examiner,
    /// One for each upload that may be examined at once.
    examinations: Semaphore,
    teller: Teller,
    /// How long an upload is awaited, and how long its examination is tried.
    patience: Duration,
}

impl Arrivals {
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        objects: Objects,
        inboxes: Inboxes,
        options: &MediaOptions,
    ) -> Self {
        Self {
            examiner: Examiner::new(objects.clone(), options.scanner.clone()),
            examinations: Semaphore::new(options.media_in_hand.get().into()),
            teller: Teller::new(Arc::clone(&directory), inboxes),
            patience: options.unsent(),
            directory,
            objects,
        }
    }

    async fn arrived(&self, media: MediaId) -> Verdict {
        match self.settle(media).await {
            Ok(verdict) => verdict,
            Err(error) => {
                warn!(%media, %error, "upload not settled, its event comes again");
                Verdict::Retry
            }
        }
    }

    /// Does what is next to be done, until nothing is.
    async fn settle(&self, id: MediaId) -> Result<Verdict, Unavailable> {
        let mut known = None;
        for _ in 0..LOOKS {
            let media = match known.take() {
                Some(media) => Some(media),
                None => self.newest(id).await?,
            };
            let Some(media) = media else {
                // What is left of it is nobody's any more.
                self.objects.remove(id).await.map_err(Unavailable::new)?;
                return Ok(Verdict::Done);
            };
            known = match media.state {
                MediaState::Reserved if self.has_come(&media).await? => {
                    let outcome = self.change(id, &MediaChange::Arrive).await?;
                    outcome.map(|outcome| outcome.media)
                }
                MediaState::Reserved => {
                    return Ok(wait_for(Millis::now().since(media.created), self.patience));
                }
                MediaState::Uploaded(_) => match self.examinations.try_acquire() {
                    Ok(_permit) => self.judge(media).await?,
                    Err(_) => {
                        // It is never closed.
                        let Ok(_permit) = timeout(TURN, self.examinations.acquire()).await else {
                            return Ok(Verdict::Later(TURN));
                        };
                        // Others may have examined it while this waited for its turn.
                        match self.newest(id).await? {
                            Some(media) => self.judge(media).await?,
                            None => None,
                        }
                    }
                },
                MediaState::Ready(_) | MediaState::Rejected { .. } => {
                    self.teller.tell(&media).await?;
                    self.remove_upload(id).await?;
                    return Ok(Verdict::Done);
                }
            }
        }
        Ok(Verdict::Retry)
    }

    async fn newest(&self, id: MediaId) -> Result<Option<Media>, Unavailable> {
        self.directory.media_fresh(id).await.map_err(Unavailable::new)
    }

    /// Whether an upload has come that nobody else could note: straight into the
    /// store, or through a gateway that died then.
    async fn has_come(&self, media: &Media) -> Result<bool, Unavailable> {
        let upload = Object { media: media.id, part: Part::Upload };
        let size = self.objects.size(upload).await.map_err(Unavailable::new)?;
        Ok(size == Some(media.size))
    }

    /// Examines what has come and writes what is served before saying so. The
    /// record after it, if that is known.
    async fn judge(&self, media: Media) -> Result<Option<Media>, Unavailable> {
        let MediaState::Uploaded(since) = media.state else { return Ok(Some(media)) };
        let began = Instant::now();
        let examination = timeout(LONGEST_EXAMINATION, self.examiner.examine(&media)).await;
        let examined = examination.unwrap_or_else(|late| Err(Unavailable::new(late).into()));
        let (change, verdict) = match examined {
            Ok(examined) => {
                let served = self.examiner.write(media.id, examined).await?;
                (MediaChange::Accept(served), "ready")
            }
            Err(fault) => reject(&media, fault, Millis::now().since(since), self.patience)?,
        };
        let Some(outcome) = self.change(media.id, &change).await? else { return Ok(None) };
        // Others may have been faster.
        if outcome.changed {
            counter!("petrel_media_judged_total", "verdict" => verdict).increment(1);
            histogram!("petrel_media_judged_seconds").record(began.elapsed());
        }
        Ok(Some(outcome.media))
    }

    /// Changes the record; nothing if it is not as it was thought to be.
    async fn change(
        &self,
        media: MediaId,
        change: &MediaChange,
    ) -> Result<Option<MediaOutcome>, Unavailable> {
        match self.directory.change_media(media, change).await {
            Ok(outcome) => Ok(Some(outcome)),
            // What became of it is seen at the next look.
            Err(MediaError::Refused(_) | MediaError::Directory(DirectoryError::NotFound(_))) => {
                Ok(None)
            }
            Err(MediaError::Directory(error)) => Err(Unavailable::new(error)),
        }
    }

    /// Removes the upload itself, which may say where a picture was taken, and
    /// what a gateway left that died before it forgot how it came in.
    async fn remove_upload(&self, media: MediaId) -> Result<(), Unavailable> {
        self.objects.abandon(media).await.map_err(Unavailable::new)?;
        let upload = Object { media, part: Part::Upload };
        self.objects.delete(upload).await.map_err(Unavailable::new)
    }
}

/// When an upload of that age is looked for again.
fn wait_for(age: Duration, patience: Duration) -> Verdict {
    // The sweep removes it in the end.
    if age < patience { Verdict::Later(pause(age)) } else { Verdict::Done }
}

fn pause(age: Duration) -> Duration {
    let found = LOOKED_FOR.iter().find(|(younger_than, _)| age < *younger_than);
    found.map_or(RARELY, |(_, pause)| *pause)
}

/// What is said of an upload that is not ready so long after it came, and what
/// kind of verdict that is, for metrics.
///
/// # Errors
/// What is not its fault, as long as it may be tried again.
fn reject(
    media: &Media,
    fault: Fault,
    age: Duration,
    patience: Duration,
) -> Result<(MediaChange, &'static str), Unavailable> {
    match fault {
        Fault::Upload { kind, reason } => {
            info!(media = %media.id, owner = %media.owner, reason, "upload rejected");
            Ok((MediaChange::Reject { reason }, kind))
        }
        Fault::Ours(error) if age < patience => Err(error),
        // Whoever waits for it has to hear something in the end.
        Fault::Ours(error) => {
            error!(media = %media.id, owner = %media.owner, %error, "not examined in time, rejected");
            Ok((MediaChange::Reject { reason: NOT_EXAMINED.into() }, "late"))
        }
    }
}

impl Handler for Arrivals {
    type Event = MediaId;

    fn decode(&self, message: &jetstream::Message) -> Result<MediaId, Undecodable> {
        let event: MediaArrived =
            serde_json::from_slice(&message.payload).map_err(Undecodable::new)?;
        Ok(event.media)
    }

    async fn handle(&self, arrived: &[MediaId], turn: Turn) -> Vec<Verdict> {
        // Each upload is looked at alone, and may take long.
        drop(turn);
        join_all(arrived.iter().map(|media| self.arrived(*media))).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use schemas::UserId;
    use store::NewMedia;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const MOMENT: Duration = Duration::from_millis(1);

    #[test]
    fn an_upload_is_looked_for_less_and_less_often() {
        for (age, expected) in [(0, 2), (59, 2), (60, 15), (599, 15), (600, 300), (86_400, 300)] {
            assert_eq!(pause(Duration::from_secs(age)), Duration::from_secs(expected));
        }
    }

    #[test]
    fn an_upload_is_looked_for_until_the_sweep_may_remove_it() {
        assert_eq!(wait_for(Duration::ZERO, DAY), Verdict::Later(Duration::from_secs(2)));
        assert_eq!(wait_for(DAY - MOMENT, DAY), Verdict::Later(RARELY));
        assert_eq!(wait_for(DAY, DAY), Verdict::Done);
    }

    #[test]
    fn an_upload_that_cannot_be_examined_is_rejected_in_the_end() {
        let new = NewMedia {
            owner: UserId::mint(),
            name: "ferry.jpg".into(),
            mime: "image/jpeg".into(),
            size: 184_320,
            sha256: None,
        };
        let media = Media::new(MediaId::mint(), new, Millis::now());
        let ours = || Fault::Ours(Unavailable::new("the scanner is away"));
        let rejected = |reason: &str| MediaChange::Reject { reason: reason.into() };

        assert!(reject(&media, ours(), DAY - MOMENT, DAY).is_err(), "it is tried again");
        let late = reject(&media, ours(), DAY, DAY).unwrap();
        assert_eq!(late, (rejected("it could not be examined"), "late"));
        // What is wrong with it itself is said at once, and also later.
        for age in [Duration::ZERO, DAY] {
            let flawed = Fault::upload("hash", "it is another");
            let said = reject(&media, flawed, age, DAY).unwrap();
            assert_eq!(said, (rejected("it is another"), "hash"));
        }
    }
}
