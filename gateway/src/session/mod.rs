//! A session, decided in pure code: frames, messages and results go in, actions
//! come out, and the socket's loop carries them out.
//!
//! There is no session before a hello was accepted, so nothing that is not
//! authenticated can send, acknowledge or read.

pub(crate) mod feed;
pub(crate) mod lanes;
pub(crate) mod order;
pub(crate) mod receipts;
pub(crate) mod seat;
pub(crate) mod window;

use std::mem;

use schemas::{
    ChatId, CloseCode, DeviceId, ErrorCode, MessageId, Micros, Millis, UserId,
    client::{self, FrameError},
    event::{Acked, MarkedRead, Notice, ReadMark},
    limits::{BAD_FRAMES, MESSAGES_ITEMS},
    server,
    stored::{Head, MessagesFrame},
};
use store::Family;

use self::{
    feed::{Entry, Feed, Live},
    lanes::{Lanes, Refused, Verdict},
    receipts::{Change, ReceiptFeed},
    seat::Seat,
    window::Window,
};

/// Most items in one `receipts` or `read` frame.
const CHANGES_ITEMS: usize = 64;

/// Who is on the other end, as their token said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The user.
    pub user: UserId,
    /// Their device.
    pub device: DeviceId,
}

/// What the socket's loop is to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    /// Send a frame.
    Say(server::Frame),
    /// Close the socket; nothing follows.
    Close(CloseCode),
    /// The session's token is good until then.
    ExpireAt(Micros),
    /// Tell the receipts worker what was acknowledged.
    Acknowledge(Acked),
    /// Tell the receipts worker what was read.
    MarkRead(MarkedRead),
    /// Follow these users' presence, which ends in a [`Done::Watched`].
    Watch(Box<[UserId]>),
    /// Start an errand, which ends in a [`Done`].
    Work(Work),
}

/// An errand that the loop does not wait for.
#[derive(Debug, PartialEq)]
pub(crate) enum Work {
    /// Store a message in its recipients' inboxes: [`Done::Stored`].
    Store(client::Send, Micros),
    /// Read this device's inbox: [`Done::Inbox`].
    ReadInbox(feed::Read),
    /// Read the receipts after this revision: [`Done::Receipts`].
    ReadReceipts(u64),
    /// Check a newer token: [`Done::Renewed`].
    Renew(String),
    /// Tell the chat that this user types.
    Type(client::Typing),
    /// Put a message that cannot be read aside, for the operator.
    Bury(Entry),
}

/// Results of errands.
#[derive(Debug)]
pub(crate) enum Done {
    /// A send was stored, or refused.
    Stored {
        /// Its chat.
        chat: ChatId,
        /// Its id.
        id: MessageId,
        /// The answer.
        result: Result<server::Sent, Refusal>,
    },
    /// A read of the inbox came back, or failed.
    Inbox(Option<feed::Page>),
    /// A read of the receipts came back, or failed.
    Receipts(Option<receipts::Page>),
    /// A newer token was looked at.
    Renewed(Renewal),
    /// Users are watched, and their presence was told; or they are not.
    Watched(Result<(), Refusal>),
}

/// What became of a newer token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// It is good until then, and of this family.
    Until(Micros, Family),
    /// It is not good, or somebody else's.
    Refused,
    /// The directory did not answer; the old one counts on.
    Unavailable,
}

/// Why something was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
    /// When to try again.
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    /// A refusal without a time to try again.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None }
    }

    fn about(self, reference: impl Into<String>) -> server::Frame {
        server::Frame::Error(server::Error {
            code: self.code,
            message: self.message,
            reference: Some(reference.into()),
            retry_after_ms: self.retry_after_ms,
        })
    }
}

/// One authenticated connection.
#[derive(Debug)]
pub(crate) struct Session {
    me: Identity,
    /// That of the token it was opened or renewed with.
    family: Family,
    seat: Seat,
    feed: Feed,
    window: Window,
    receipts: ReceiptFeed,
    lanes: Lanes,
    /// The user's choice whether Read is shown, both ways.
    read_receipts: bool,
    watch: Watch,
    bad_frames: u32,
    said_caught_up: bool,
}

/// What became of the `watch` frames.
#[derive(Debug)]
enum Watch {
    /// All of them are carried out.
    Idle,
    /// One is being carried out.
    Busy,
    /// The same, and these users are watched next. A frame that comes meanwhile
    /// replaces them, as it would have replaced the set that is followed.
    Next(Box<[UserId]>),
}

impl Session {
    /// Opens the session of an accepted hello.
    pub(crate) fn new(
        me: Identity,
        family: Family,
        id: String,
        opened: Micros,
        receipts_after: u64,
        read_receipts: bool,
    ) -> Self {
        Self {
            me,
            family,
            seat: Seat::new(id, opened),
            feed: Feed::default(),
            window: Window::default(),
            receipts: ReceiptFeed::new(receipts_after),
            lanes: Lanes::default(),
            read_receipts,
            watch: Watch::Idle,
            bad_frames: 0,
            said_caught_up: false,
        }
    }

    /// Starts the first reads.
    pub(crate) fn start(&mut self, actions: &mut Vec<Action>) {
        self.read_on(actions);
    }

    /// Whether the client's frames should stay in the socket for now, because
    /// too many of its sends wait.
    pub(crate) fn is_full(&self) -> bool {
        self.lanes.is_full()
    }

    /// Whether no send is under way.
    pub(crate) fn is_settled(&self) -> bool {
        self.lanes.is_idle()
    }

    /// A frame arrived, or something that is none.
    pub(crate) fn frame(
        &mut self,
        frame: Result<client::Frame, FrameError>,
        now: Micros,
        actions: &mut Vec<Action>,
    ) {
        let frame = match frame {
            Ok(client::Frame::Hello(_)) => Err(FrameError {
                reference: Some("hello".into()),
                ..FrameError::bad("there was a hello before")
            }),
            other => other,
        };
        match frame {
            Ok(frame) => {
                self.bad_frames = 0;
                self.good_frame(frame, now, actions);
            }
            Err(error) => {
                self.bad_frames = if error.is_bad() { self.bad_frames + 1 } else { 0 };
                actions.push(Action::Say(server::Frame::Error(error.into())));
                if self.bad_frames >= BAD_FRAMES {
                    actions.push(Action::Close(CloseCode::Misuse));
                }
            }
        }
        self.read_on(actions);
    }

    /// A frame of this type is refused for how often such frames come.
    pub(crate) fn refuse(&mut self, kind: &str, refusal: Refusal, actions: &mut Vec<Action>) {
        self.shed();
        actions.push(Action::Say(refusal.about(kind)));
    }

    /// A good frame is left out.
    pub(crate) fn shed(&mut self) {
        self.bad_frames = 0;
    }

    /// Live messages arrived; `lost` where some may be missing.
    pub(crate) fn live(&mut self, messages: Vec<Live>, lost: bool, actions: &mut Vec<Action>) {
        for live in messages {
            let room = self.window.room();
            self.feed.live(live, room);
        }
        if lost {
            self.feed.look_again();
        }
        self.read_on(actions);
    }

    /// Receipts changed; `lost` where some changes may be missing.
    pub(crate) fn changes(&mut self, changes: Vec<Change>, lost: bool, actions: &mut Vec<Action>) {
        let news = changes.into_iter().filter_map(|change| self.receipts.live(change)).collect();
        self.tell(receipts::coalesce(news), actions);
        if lost {
            self.receipts.look_again();
        }
        self.read_on(actions);
    }

    /// Something was said to all of the user's sessions.
    pub(crate) fn notice(&mut self, notice: Notice, now: Micros, actions: &mut Vec<Action>) {
        match notice {
            Notice::Connected { device, session, at } => {
                if device == self.me.device && self.seat.gives_way_to(&session, at, now) {
                    actions.push(Action::Close(CloseCode::Replaced));
                }
            }
            Notice::Polled { .. } => {}
            Notice::Revoked { device, instead } => {
                let stays = instead.is_some_and(|family| family == self.family.to_string());
                if device == self.me.device && !stays {
                    actions.push(Action::Close(CloseCode::Unauthorized));
                }
            }
            Notice::ReadReceipts { on } => self.read_receipts = on,
            Notice::Typing { chat, from, on } => {
                actions.push(Action::Say(server::Frame::Typing { chat, from, on }));
            }
        }
    }

    /// Presence of users who are watched changed, or was asked for.
    pub(crate) fn presence(&self, items: Vec<server::Presence>, actions: &mut Vec<Action>) {
        actions.push(Action::Say(server::Frame::Presence { items }));
    }

    /// It is time to look whether the last live message or change of receipts,
    /// or what a replica lagged behind with, was missed with nothing after it to
    /// tell.
    pub(crate) fn settle(&mut self, actions: &mut Vec<Action>) {
        self.feed.look_again();
        self.receipts.look_again();
        self.read_on(actions);
    }

    /// An action's result.
    pub(crate) fn done(&mut self, done: Done, now: Micros, actions: &mut Vec<Action>) {
        match done {
            Done::Stored { chat, id, result } => self.stored(chat, id, result, now, actions),
            Done::Inbox(Some(page)) => {
                let room = self.window.room();
                self.feed.page(page, room);
            }
            Done::Inbox(None) => self.feed.read_failed(),
            Done::Receipts(Some(page)) => {
                let news = self.receipts.page(page);
                self.tell(news, actions);
            }
            Done::Receipts(None) => self.receipts.read_failed(),
            Done::Renewed(Renewal::Until(moment, family)) => {
                self.family = family;
                actions.push(Action::ExpireAt(moment));
            }
            Done::Renewed(Renewal::Refused) => actions.push(Action::Close(CloseCode::Unauthorized)),
            Done::Renewed(Renewal::Unavailable) => {
                let refusal =
                    Refusal::new(ErrorCode::Unavailable, "the token could not be checked");
                actions.push(Action::Say(refusal.about("auth")));
            }
            Done::Watched(result) => self.watched(result, actions),
        }
        self.read_on(actions);
    }

    /// The next `messages` frame, while there are messages and room for them:
    /// one alone when the line is quiet, batches when it is behind. The loop
    /// asks for the next when this one is on its way, so a slow reader holds
    /// one frame and no more.
    pub(crate) fn next_messages(&mut self, actions: &mut Vec<Action>) -> Option<Vec<u8>> {
        loop {
            let (count, bytes) = self.feed.next_batch(self.window.room().min(MESSAGES_ITEMS));
            if count == 0 {
                return None;
            }
            let mut frame = MessagesFrame::with_capacity(bytes);
            for entry in (0..count).map_while(|_| self.feed.pop()) {
                let head = Head::parse(&entry.stored).ok();
                self.window.push(entry.seq, head);
                match head {
                    Some(_) => frame.push(entry.seq, &entry.stored),
                    None => actions.push(Action::Work(Work::Bury(entry))),
                }
            }
            self.read_on(actions);
            if frame.items() > 0 {
                return Some(frame.finish());
            }
        }
    }

    /// Whether to say `caught_up` now; true once.
    pub(crate) fn catches_up(&mut self) -> bool {
        let catches_up =
            !self.said_caught_up && self.feed.is_caught_up() && self.receipts.is_caught_up();
        self.said_caught_up |= catches_up;
        catches_up
    }

    fn good_frame(&mut self, frame: client::Frame, now: Micros, actions: &mut Vec<Action>) {
        match frame {
            client::Frame::Hello(_) => {}
            client::Frame::Auth(auth) => actions.push(Action::Work(Work::Renew(auth.token))),
            client::Frame::Send(send) => {
                if let Some(verdict) = self.lanes.push(send, now) {
                    actions.push(self.carry_out(verdict));
                }
            }
            client::Frame::Drop(drop) => self.lanes.drop_send(&drop.id),
            client::Frame::Ack(ack) => self.acknowledge(ack.seq, actions),
            client::Frame::Read(read) => self.mark_read(read, actions),
            client::Frame::Typing(typing) => actions.push(Action::Work(Work::Type(typing))),
            client::Frame::Watch(watch) => self.follow(watch.users.into(), actions),
            client::Frame::Ping {} => {
                actions.push(Action::Say(server::Frame::Pong { now: Millis::from(now) }));
            }
        }
    }

    fn follow(&mut self, users: Box<[UserId]>, actions: &mut Vec<Action>) {
        if let Watch::Idle = self.watch {
            self.watch = Watch::Busy;
            actions.push(Action::Watch(users));
        } else {
            self.watch = Watch::Next(users);
        }
    }

    fn watched(&mut self, result: Result<(), Refusal>, actions: &mut Vec<Action>) {
        if let Err(refusal) = result {
            actions.push(Action::Say(refusal.about("watch")));
        }
        if let Watch::Next(users) = mem::replace(&mut self.watch, Watch::Idle) {
            self.follow(users, actions);
        }
    }

    fn stored(
        &mut self,
        chat: ChatId,
        id: MessageId,
        result: Result<server::Sent, Refusal>,
        now: Micros,
        actions: &mut Vec<Action>,
    ) {
        let refused = result.as_ref().err().map(Refused::from);
        actions.push(Action::Say(match result {
            Ok(sent) => server::Frame::Sent(sent),
            Err(refusal) => refusal.about(id.as_str()),
        }));
        for verdict in self.lanes.finished(chat, id, refused, now) {
            let action = self.carry_out(verdict);
            actions.push(action);
        }
    }

    fn carry_out(&self, verdict: Verdict) -> Action {
        match verdict {
            Verdict::Store(send, ts) => Action::Work(Work::Store(send, ts)),
            Verdict::Refuse(id, Refused { code, retry_after_ms }) => {
                let why = "an earlier send to this chat was refused: send it again, or drop it";
                let refusal = Refusal { retry_after_ms, ..Refusal::new(code, why) };
                Action::Say(refusal.about(id.as_str()))
            }
        }
    }

    fn acknowledge(&mut self, seq: u64, actions: &mut Vec<Action>) {
        if let Some(covered) = self.window.ack(seq) {
            actions.push(Action::Acknowledge(Acked {
                user: self.me.user,
                device: self.me.device,
                seqs: covered.seqs,
                marks: covered.marks,
            }));
        }
    }

    fn mark_read(&self, read: client::Read, actions: &mut Vec<Action>) {
        if read.marks.is_empty() {
            return;
        }
        let proof = |(sender, ts): (UserId, Micros)| {
            (sender, ReadMark { read: ts, acked: self.window.acked(read.chat, sender) })
        };
        actions.push(Action::MarkRead(MarkedRead {
            user: self.me.user,
            device: self.me.device,
            chat: read.chat,
            marks: read.marks.into_iter().map(proof).collect(),
            public: self.read_receipts,
        }));
    }

    fn tell(&self, changes: Vec<Change>, actions: &mut Vec<Action>) {
        let (mut receipts, mut reads) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Receipt(mut receipt) => {
                    if !self.read_receipts {
                        receipt.read = Micros::default();
                    }
                    receipts.push(receipt);
                }
                // A device is spared the echo of its own reading.
                Change::Read(_, Some(device)) if device == self.me.device => {}
                Change::Read(read, _) => reads.push(read),
            }
        }
        let receipts = receipts.chunks(CHANGES_ITEMS);
        actions.extend(
            receipts.map(|items| Action::Say(server::Frame::Receipts { items: items.to_vec() })),
        );
        let reads = reads.chunks(CHANGES_ITEMS);
        actions
            .extend(reads.map(|items| Action::Say(server::Frame::Read { items: items.to_vec() })));
    }

    /// Starts the reads that are due.
    fn read_on(&mut self, actions: &mut Vec<Action>) {
        let room = self.window.room();
        actions.extend(self.feed.next_read(room).map(Work::ReadInbox).map(Action::Work));
        actions.extend(self.receipts.next_read().map(Work::ReadReceipts).map(Action::Work));
    }
}

#[cfg(test)]
mod tests;
