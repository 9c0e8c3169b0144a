//! What waits for a session: bounded, and next to nothing while it is empty.

use std::{
    collections::VecDeque,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use schemas::{event::Notice, server::Presence};
use tokio::sync::Notify;

use crate::session::{Done, feed::Live, receipts::Change};

/// Most live messages that wait; beyond it they are read from the store.
const LIVE: usize = 256;
/// Most bytes of live messages that wait.
const LIVE_BYTES: usize = 256 * 1024;
/// Most changes of receipts that wait; beyond it they are read from the bucket.
const CHANGES: usize = 256;
/// Most notices that wait. Only typing comes in numbers, and it may be shed.
const NOTICES: usize = 64;

/// Filled by the connection's task and by finished work, emptied by the session.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    mail: Mutex<Mail>,
    arrived: Notify,
}

/// What arrived since the last look.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    /// Live messages.
    pub live: Vec<Live>,
    live_bytes: usize,
    /// Whether live messages may be missing.
    pub live_lost: bool,
    /// Changes of receipts.
    pub changes: Vec<Change>,
    /// Whether changes may be missing.
    pub changes_lost: bool,
    /// Whose presence changed, each user once.
    pub presence: Vec<Presence>,
    /// Said to all of the user's sessions.
    pub notices: VecDeque<Notice>,
    /// Results of the session's own actions, as many as it started.
    pub done: Vec<Done>,
}

impl Mailbox {
    /// A live message.
    pub(crate) fn live(&self, live: Live) {
        let mut mail = self.lock();
        let bytes = mail.live_bytes + live.entry.stored.len();
        if mail.live.len() >= LIVE || bytes > LIVE_BYTES {
            // The newest is left out, so whatever follows shows the gap, too.
            mail.live_lost = true;
        } else {
            mail.live_bytes = bytes;
            mail.live.push(live);
        }
        self.wake(mail);
    }

    /// A change of receipts.
    pub(crate) fn change(&self, change: Change) {
        let mut mail = self.lock();
        if mail.changes.len() >= CHANGES {
            mail.changes_lost = true;
        } else {
            mail.changes.push(change);
        }
        self.wake(mail);
    }

    /// Somebody's presence changed. No more can wait than users are watched.
    pub(crate) fn presence(&self, changes: impl IntoIterator<Item = Presence>) {
        let mut mail = self.lock();
        for change in changes {
            match mail.presence.iter_mut().find(|old| old.user == change.user) {
                Some(old) => *old = change,
                None => mail.presence.push(change),
            }
        }
        self.wake(mail);
    }

    /// Something said to all of the user's sessions.
    pub(crate) fn notice(&self, notice: Notice) {
        let mut mail = self.lock();
        if mail.notices.len() >= NOTICES {
            let typing = mail.notices.iter().position(|old| matches!(old, Notice::Typing { .. }));
            mail.notices.remove(typing.unwrap_or(0));
        }
        mail.notices.push_back(notice);
        self.wake(mail);
    }

    /// The result of an action.
    pub(crate) fn done(&self, done: Done) {
        let mut mail = self.lock();
        mail.done.push(done);
        self.wake(mail);
    }

    /// Live messages may have been lost.
    pub(crate) fn live_gap(&self) {
        let mut mail = self.lock();
        mail.live_lost = true;
        self.wake(mail);
    }

    /// Changes of receipts may have been lost.
    pub(crate) fn changes_gap(&self) {
        let mut mail = self.lock();
        mail.changes_lost = true;
        self.wake(mail);
    }

    /// Returns once something has arrived since the last [`take`](Self::take).
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Takes all that is there.
    pub(crate) fn take(&self) -> Mail {
        mem::take(&mut *self.lock())
    }

    fn wake(&self, mail: MutexGuard<'_, Mail>) {
        drop(mail);
        self.arrived.notify_one();
    }

    /// No code that can panic runs under this lock.
    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use schemas::{ChatId, DeviceId, UserId, server::PresenceState};

    use super::*;
    use crate::session::feed::Entry;

    fn live(seq: u64, bytes: usize) -> Live {
        Live { entry: Entry { seq, stored: Bytes::from(vec![b' '; bytes]) }, previous: seq - 1 }
    }

    #[test]
    fn a_full_mailbox_says_so_and_keeps_what_it_has() {
        let mailbox = Mailbox::default();
        for seq in 1..=1000 {
            mailbox.live(live(seq, 10));
        }
        let mail = mailbox.take();
        assert_eq!((mail.live.len(), mail.live_lost), (LIVE, true));
        let mail = mailbox.take();
        assert_eq!((mail.live.len(), mail.live_lost), (0, false));
        for seq in 1..=100 {
            mailbox.live(live(seq, 16 * 1024));
        }
        assert_eq!(mailbox.take().live.len(), LIVE_BYTES / (16 * 1024));
    }

    #[test]
    fn of_each_user_the_newest_presence_waits() {
        let mailbox = Mailbox::default();
        let [user, other] = [UserId::mint(), UserId::mint()];
        let offline = Presence { user, state: PresenceState::Offline, last_seen: None };
        let online = Presence { state: PresenceState::Online, ..offline };
        let another = Presence { user: other, ..offline };
        mailbox.presence([offline, another]);
        mailbox.presence([online]);
        assert_eq!(mailbox.take().presence, [online, another]);
    }

    #[test]
    fn typing_is_shed_before_anything_else() {
        let mailbox = Mailbox::default();
        let revoked = Notice::Revoked { device: DeviceId::mint(), instead: None };
        mailbox.notice(revoked.clone());
        for _ in 0..1000 {
            let from = UserId::mint();
            mailbox.notice(Notice::Typing { chat: ChatId::User(from), from, on: true });
        }
        let notices = mailbox.take().notices;
        assert_eq!(notices.len(), NOTICES);
        assert_eq!(notices.front(), Some(&revoked));
    }
}
