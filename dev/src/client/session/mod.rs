//! What a client does, decided without I/O.
//!
//! A [`Session`] is told what happened (a frame came, the line broke, the user
//! wants to send) and answers with [`Action`]s. It outlives connections: what
//! is not confirmed is sent again on the next one, with the same id and time,
//! and what comes twice is shown once.

mod backoff;
mod clock;
mod event;
mod inbox;
mod link;
#[cfg(test)]
mod model;
mod outbox;
mod token;

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use schemas::{
    ChatId, CloseCode, MessageId, Micros, RawBody, UserId,
    client::{self, Ack, Read, Typing},
    http,
    server::{self, Item},
};

use self::{
    backoff::Backoff,
    clock::ServerClock,
    inbox::Inbox,
    link::{Link, Live},
    outbox::{Answer, Outbox},
    token::Token,
};
pub use self::{
    event::{Action, Event, Renewal, Saved, StopReason, Tokens},
    outbox::{QueueError, Stamp, Unsent},
};

/// Longest wait from a hello to its welcome.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);

/// One device's session, across all its connections.
#[derive(Debug)]
pub struct Session {
    link: Link,
    token: Token,
    clock: ServerClock,
    outbox: Outbox,
    inbox: Inbox,
    receipts_after: u64,
    reads: BTreeMap<ChatId, BTreeMap<UserId, Micros>>,
    watched: Vec<UserId>,
    backoff: Backoff,
    gateways: usize,
    gateway: usize,
    actions: VecDeque<Action>,
}

impl Session {
    /// A session of a signed-in device over these many gateways; its first
    /// action is to connect to the first. `seed` spreads its retries.
    pub fn new(
        now: Instant,
        tokens: http::Session,
        saved: Saved,
        gateways: usize,
        seed: u64,
    ) -> Self {
        let mut session = Self {
            link: Link::Waiting { until: now },
            token: Token::new(now, tokens, false),
            clock: ServerClock::default(),
            outbox: Outbox::new(saved.unsent),
            inbox: Inbox::new(saved.newest),
            receipts_after: saved.receipts_after,
            reads: BTreeMap::new(),
            watched: Vec::new(),
            backoff: Backoff::new(seed),
            gateways: gateways.max(1),
            gateway: 0,
            actions: VecDeque::new(),
        };
        session.tick(now);
        session
    }

    /// The next thing to do, if any. An ack is made here, so that one covers
    /// all that was stored since the last.
    pub fn next_action(&mut self) -> Option<Action> {
        if self.actions.is_empty() {
            self.ack();
        }
        self.actions.pop_front()
    }

    /// When [`Session::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let live = self.link.live().is_some();
        let renew = (live && !self.token.renewing).then_some(self.token.renew_at);
        let retry = if live { self.outbox.deadline() } else { None };
        [self.link.deadline(), renew, retry].into_iter().flatten().min()
    }

    /// The newest tokens.
    pub fn tokens(&self) -> &http::Session {
        &self.token.pair
    }

    /// What to keep for the next [`Session::new`] of this device.
    pub fn saved(&self) -> Saved {
        Saved {
            receipts_after: self.receipts_after,
            unsent: self.outbox.unsent(),
            newest: self.inbox.all_newest().clone(),
        }
    }

    // What the line tells.

    /// The socket is open.
    pub fn connected(&mut self, now: Instant) {
        if !matches!(self.link, Link::Connecting) {
            return;
        }
        self.link = Link::Greeting { since: now };
        self.write(client::Frame::Hello(client::Hello {
            token: self.token.pair.access_token.clone(),
            receipts_after: self.receipts_after,
        }));
    }

    /// Something came that is not a frame of the protocol, such as a ping.
    pub fn heard(&mut self, now: Instant) {
        if let Some(live) = self.link.live_mut() {
            live.heard(now);
        }
    }

    /// The socket is closed, or could not be opened.
    pub fn closed(&mut self, now: Instant, code: Option<u16>) {
        if !self.link.has_socket() {
            return;
        }
        let known = code.and_then(|code| CloseCode::ALL.into_iter().find(|it| it.code() == code));
        let leave_at = self.link.live().and_then(|live| live.leave_at);
        self.disconnected();
        match known {
            Some(CloseCode::Unauthorized) if self.token.unproven => {
                self.stop(StopReason::SignedOut);
            }
            Some(CloseCode::Unauthorized) => {
                self.tell(Event::Disconnected { code, retry_in: Duration::ZERO });
                self.renew();
            }
            Some(known) if !known.reconnect() => self.stop(StopReason::Closed(known.code())),
            _ => {
                let crowded =
                    matches!(known, Some(CloseCode::TryAgainLater | CloseCode::RateLimited));
                let until = match leave_at {
                    // The gateway said when to come back, for all its clients at once.
                    Some(leave_at) => leave_at.max(now),
                    None => now + self.backoff.next(crowded),
                };
                self.link = Link::Waiting { until };
                self.gateway = (self.gateway + 1) % self.gateways;
                self.tell(Event::Disconnected { code, retry_in: until - now });
            }
        }
    }

    /// How [`Action::Renew`] ended.
    pub fn renewed(&mut self, now: Instant, renewal: Renewal) {
        self.token.renewing = false;
        let waiting = matches!(self.link, Link::Renewing);
        match renewal {
            Renewal::Renewed(pair) => {
                self.token = Token::new(now, pair.clone(), waiting);
                self.tell(Event::Tokens(Tokens(pair)));
                match self.link {
                    Link::Renewing => self.connect(),
                    Link::Greeting { .. } | Link::Live(_) => {
                        let token = self.token.pair.access_token.clone();
                        self.write(client::Frame::Auth(client::Auth { token }));
                    }
                    _ => {}
                }
            }
            Renewal::Refused => {
                self.disconnected();
                self.stop(StopReason::SignedOut);
            }
            Renewal::Unavailable => {
                let retry_in = self.backoff.next(false);
                self.token.renew_at = now + retry_in;
                if waiting {
                    self.token.expires = now;
                    self.gateway = (self.gateway + 1) % self.gateways;
                    self.link = Link::Waiting { until: now + retry_in };
                    self.tell(Event::Disconnected { code: None, retry_in });
                }
            }
        }
    }

    /// A frame came.
    pub fn frame(&mut self, now: Instant, frame: server::Frame) {
        if let server::Frame::Welcome(welcome) = frame {
            return self.welcome(now, welcome);
        }
        let Some(live) = self.link.live_mut() else { return };
        live.heard(now);
        match frame {
            server::Frame::Welcome(_) => {}
            server::Frame::Messages { items } => self.messages(items),
            server::Frame::CaughtUp {} => {
                live.caught_up = true;
                self.backoff.reset();
                self.tell(Event::CaughtUp);
                self.send_reads();
            }
            server::Frame::Sent(sent) => {
                if self.outbox.sent(&sent.id, sent.chat) {
                    self.inbox.saw(sent.chat, sent.ts);
                    self.tell(Event::Sent(sent));
                }
            }
            server::Frame::Receipts { items } => {
                let newest = items.iter().map(|item| item.rev).max().unwrap_or_default();
                self.receipts_after = self.receipts_after.max(newest);
                self.tell(Event::Receipts(items));
            }
            server::Frame::Read { items } => {
                let newest = items.iter().map(|item| item.rev).max().unwrap_or_default();
                self.receipts_after = self.receipts_after.max(newest);
                self.tell(Event::ReadElsewhere(items));
            }
            server::Frame::Presence { items } => self.tell(Event::Presence(items)),
            server::Frame::Typing { chat, from, on } => self.tell(Event::Typing { chat, from, on }),
            server::Frame::Pong { now: server_now } => {
                if let Some(asked) = live.pinged.take() {
                    self.clock.sample(asked, now, server_now);
                }
            }
            server::Frame::Drain { after_ms } => {
                live.leave_at = Some(now + Duration::from_millis(after_ms));
            }
            server::Frame::Error(error) => self.error(now, error),
        }
        self.send_due(now);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        match &mut self.link {
            Link::Waiting { until } if *until <= now => {
                if self.token.expires <= now {
                    self.renew()
                } else {
                    self.connect()
                }
            }
            Link::Greeting { since } if *since + WELCOME_TIMEOUT <= now => self.give_up_line(now),
            Link::Live(live) if live.leave_at.is_some_and(|at| at <= now) => {
                self.give_up_line(now);
            }
            Link::Live(live) if live.silent_until() <= now => self.give_up_line(now),
            _ => {}
        }
        if self.link.live_mut().is_some_and(|live| live.ping_due(now)) {
            self.write(client::Frame::Ping {});
        }
        if self.link.live().is_some() && !self.token.renewing && self.token.renew_at <= now {
            self.renew_in_background();
        }
        self.send_due(now);
    }

    // What the user wants.

    /// Queues a message; it is sent until it is confirmed or refused.
    ///
    /// # Errors
    /// [`QueueError`] when too many wait, or the id is in the queue already.
    pub fn send(
        &mut self,
        now: Instant,
        id: MessageId,
        chat: ChatId,
        body: RawBody,
    ) -> Result<(), QueueError> {
        self.outbox.push(Unsent { id, chat, body, stamp: None })?;
        self.send_due(now);
        Ok(())
    }

    /// Gives a queued message up, so that later ones of its chat may pass.
    /// `false` when it is under way or not queued. One that was under way on an
    /// earlier connection may have been stored there.
    pub fn drop_send(&mut self, now: Instant, id: &MessageId) -> bool {
        let Some(removed) = self.outbox.remove(now, id) else { return false };
        if let Some(ts) = removed.expected_ts {
            self.inbox.saw(removed.chat, ts);
        }
        if removed.refused && self.link.live().is_some() {
            self.write(client::Frame::Drop(client::Drop { id: id.clone() }));
        }
        self.send_due(now);
        true
    }

    /// All messages up to this inbox position are safe with the user: the
    /// server may forget them.
    pub fn stored(&mut self, seq: u64) {
        self.inbox.stored(seq);
    }

    /// The user has read up to these marks.
    pub fn read(&mut self, chat: ChatId, marks: BTreeMap<UserId, Micros>) {
        let known = self.reads.entry(chat).or_default();
        for (sender, ts) in &marks {
            let mark = known.entry(*sender).or_default();
            *mark = (*ts).max(*mark);
        }
        if self.link.live().is_some_and(|live| live.caught_up) {
            self.ack();
            self.write(client::Frame::Read(Read { chat, marks }));
        }
    }

    /// The user types, or stopped; said only while connected.
    pub fn typing(&mut self, chat: ChatId, on: bool) {
        if self.link.live().is_some() {
            self.write(client::Frame::Typing(Typing { chat, on }));
        }
    }

    /// Whose presence to follow from now on.
    pub fn watch(&mut self, users: Vec<UserId>) {
        self.watched = users;
        if self.link.live().is_some() {
            self.send_watch();
        }
    }

    // How it is done.

    fn welcome(&mut self, now: Instant, welcome: server::Welcome) {
        let Link::Greeting { since } = self.link else { return };
        self.clock.sample(since, now, welcome.now);
        self.token.unproven = false;
        self.link = Link::Live(Live::new(now, Duration::from_secs(welcome.heartbeat_secs)));
        self.tell(Event::Online { session: welcome.session, gateway: welcome.gateway });
        if !self.watched.is_empty() {
            self.send_watch();
        }
        self.send_due(now);
    }

    fn messages(&mut self, items: Vec<Item>) {
        for item in items {
            self.inbox.saw(item.chat, item.ts);
            if self.inbox.receive(&item) {
                self.tell(Event::Message(item));
            }
        }
    }

    fn error(&mut self, now: Instant, error: server::Error) {
        let id = error.reference.as_deref().and_then(|text| text.parse::<MessageId>().ok());
        let wait = match error.retry_after_ms {
            Some(ms) => Duration::from_millis(ms),
            None => self.outbox.default_wait(),
        };
        match id.and_then(|id| self.outbox.refused(now, &id, error.code, wait)) {
            None => self.tell(Event::Error(error)),
            Some(Answer::Failed { id, chat }) => {
                self.tell(Event::Refused { id, chat, code: error.code, message: error.message });
            }
            Some(Answer::Held { id, chat, retry_in, first }) => {
                if first {
                    self.tell(Event::Delayed { id, chat, code: error.code, retry_in });
                }
            }
        }
    }

    /// Writes the messages that may go now.
    fn send_due(&mut self, now: Instant) {
        if self.link.live().is_none() {
            return;
        }
        for send in self.outbox.due(now, &self.clock, &self.inbox) {
            self.write(client::Frame::Send(send));
        }
    }

    /// Marks are sent again on every connection, since nothing confirms them;
    /// after the backlog, since they count only up to what was acknowledged.
    fn send_reads(&mut self) {
        self.ack();
        for (chat, marks) in self.reads.clone() {
            self.write(client::Frame::Read(Read { chat, marks }));
        }
    }

    fn send_watch(&mut self) {
        self.write(client::Frame::Watch(client::Watch { users: self.watched.clone() }));
    }

    fn ack(&mut self) {
        if self.link.live().is_some()
            && let Some(seq) = self.inbox.ack_due()
        {
            self.write(client::Frame::Ack(Ack { seq }));
        }
    }

    fn connect(&mut self) {
        self.link = Link::Connecting;
        self.actions.push_back(Action::Connect { gateway: self.gateway });
    }

    /// Without a good token there is nothing to connect with.
    fn renew(&mut self) {
        self.link = Link::Renewing;
        if !self.token.renewing {
            self.renew_in_background();
        }
    }

    fn renew_in_background(&mut self) {
        self.token.renewing = true;
        let refresh_token = self.token.pair.refresh_token.clone();
        self.actions.push_back(Action::Renew { gateway: self.gateway, refresh_token });
    }

    /// The line is silent or to be left: the socket is closed from this side.
    fn give_up_line(&mut self, now: Instant) {
        self.actions.push_back(Action::Disconnect);
        self.closed(now, None);
    }

    /// What was under way on this connection is not under way any more.
    fn disconnected(&mut self) {
        self.outbox.disconnected();
        self.inbox.disconnected();
    }

    fn stop(&mut self, reason: StopReason) {
        if self.link.has_socket() {
            self.actions.push_back(Action::Disconnect);
        }
        self.link = Link::Stopped;
        self.tell(Event::Stopped(reason));
    }

    fn write(&mut self, frame: client::Frame) {
        self.actions.push_back(Action::Write(frame));
    }

    fn tell(&mut self, event: Event) {
        self.actions.push_back(Action::Tell(event));
    }
}
