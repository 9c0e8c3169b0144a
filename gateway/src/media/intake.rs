//! How many pieces of uploads come in at a time, and by whom: each may hold
//! memory and a connection for as long as its sender likes to take.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use moka::future::Cache;
use schemas::{ErrorCode, MediaId, UserId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::session::Refusal;

/// Most pieces that come in at a time on their way into S3, where each holds up
/// to 5 MiB.
const S3_PIECES: usize = 64;
/// And into a folder, where one holds an open file.
const FOLDER_PIECES: usize = 1_024;
/// Most pieces of one user's that come in at a time.
const USER_PIECES: usize = 4;
/// When it is worth another try.
const FULL_FOR: Duration = Duration::from_secs(1);
/// Most uploads that are remembered as announced again.
const AGAIN: u64 = 10_000;
/// How long one is not announced once more.
const AGAIN_EVERY: Duration = Duration::from_secs(30);

/// What comes in here, and what was announced again lately.
pub(crate) struct Intake {
    pieces: Arc<Semaphore>,
    of_users: Arc<Mutex<HashMap<UserId, usize>>>,
    /// Those of which it was told again that they have arrived.
    pub(super) again: Cache<MediaId, ()>,
}

/// Room for one piece, until it is dropped.
pub(super) struct Slot {
    user: UserId,
    of_users: Arc<Mutex<HashMap<UserId, usize>>>,
    _piece: OwnedSemaphorePermit,
}

impl Intake {
    /// Nothing comes in yet. `s3` is whether it goes on to one.
    pub(crate) fn new(s3: bool) -> Self {
        Self::with_pieces(if s3 { S3_PIECES } else { FOLDER_PIECES })
    }

    fn with_pieces(pieces: usize) -> Self {
        Self {
            pieces: Arc::new(Semaphore::new(pieces)),
            of_users: Arc::default(),
            again: Cache::builder().max_capacity(AGAIN).time_to_live(AGAIN_EVERY).build(),
        }
    }

    /// Room for a piece of that user's.
    ///
    /// # Errors
    /// `rate_limited` where too many of theirs are coming in, `unavailable`
    /// where too many are in all.
    pub(super) fn slot(&self, user: UserId) -> Result<Slot, Refusal> {
        let later = |code, why: &str| {
            metrics::counter!("petrel_upload_pieces_refused_total").increment(1);
            let retry_after_ms = u64::try_from(FULL_FOR.as_millis()).ok();
            Refusal { retry_after_ms, ..Refusal::new(code, why) }
        };
        let mut of_users = self.of_users.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = of_users.get(&user).copied().unwrap_or_default();
        if theirs >= USER_PIECES {
            let why = format!("{USER_PIECES} pieces of your uploads are coming in already");
            return Err(later(ErrorCode::RateLimited, &why));
        }
        let piece = Arc::clone(&self.pieces).try_acquire_owned();
        let piece = piece.map_err(|_| {
            later(ErrorCode::Unavailable, "as many uploads are coming in here as there may")
        })?;
        of_users.insert(user, theirs + 1);
        Ok(Slot { user, of_users: Arc::clone(&self.of_users), _piece: piece })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut of_users = self.of_users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(theirs) = of_users.get_mut(&self.user) {
            *theirs -= 1;
            if *theirs == 0 {
                of_users.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_user_cannot_take_all_the_room() {
        let (intake, alice, bob) = (Intake::with_pieces(10), UserId::mint(), UserId::mint());
        let mut slots: Vec<_> = (0..USER_PIECES).map(|_| intake.slot(alice).unwrap()).collect();
        let refused = intake.slot(alice).err().unwrap();
        assert_eq!(refused.code, ErrorCode::RateLimited);
        assert!(refused.retry_after_ms.is_some());
        let _bobs = intake.slot(bob).unwrap();
        slots.pop();
        slots.push(intake.slot(alice).unwrap());
        drop(slots);
        assert_eq!(*intake.of_users.lock().unwrap(), HashMap::from([(bob, 1)]));
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let intake = Intake::with_pieces(2);
        let [one, _other] = [(); 2].map(|()| intake.slot(UserId::mint()).unwrap());
        assert_eq!(intake.slot(UserId::mint()).err().unwrap().code, ErrorCode::Unavailable);
        assert_eq!(intake.of_users.lock().unwrap().len(), 2);
        drop(one);
        intake.slot(UserId::mint()).unwrap();
    }
}
