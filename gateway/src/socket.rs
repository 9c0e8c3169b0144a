//! The loop of one WebSocket: it carries out what its session decides.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use nats::mux::Subscription;
use rand::RngExt as _;
use schemas::{
    CloseCode, Micros, Millis, SessionId, UserId,
    client::{self, FrameError, Hello},
    event::Notice,
    limits::HELLO_TIMEOUT,
    server::{self, Limits, Welcome},
};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    acks::Item,
    app::App,
    connection::{Connection, Received},
    inlet::Inlet,
    limits::Admission,
    listening::{ListenError, Listening, until},
    mailbox::{Mail, Mailbox},
    presence::{Following, Registration},
    session::{
        Action, Done, Identity, Refusal, Session,
        feed::{FIRST_SETTLE, SETTLE},
    },
};

/// How long a closing gateway waits for a session's sends.
const LAST_SENDS: Duration = Duration::from_secs(5);

/// Serves a client from the end of its handshake to its close.
pub(crate) async fn serve(app: Arc<App>, stream: TcpStream, read: Bytes) {
    // Even empty, it holds the whole buffer that the handshake was read into.
    let mut connection = Connection::new(stream, &read).await;
    drop(read);
    // Boxed: what the hello needs is gone while the session lasts.
    let code = match Box::pin(open(&app, &mut connection)).await {
        Ok(mut open) => {
            metrics::gauge!("petrel_sessions").increment(1);
            let code = open.run(&mut connection).await;
            metrics::gauge!("petrel_sessions").decrement(1);
            code
        }
        Err(code) => code,
    };
    if let Some(code) = code {
        metrics::counter!("petrel_closes_total", "code" => code.code().to_string()).increment(1);
        Box::pin(connection.close(code)).await;
    }
}

/// An authenticated connection. Dropping it ends its subscription.
struct Open {
    app: Arc<App>,
    me: Identity,
    session: Session,
    mailbox: Arc<Mailbox>,
    _subscription: Subscription<Inlet>,
    registration: Registration,
    /// Only of those who have watched somebody.
    following: Option<Arc<Following>>,
    expires: Instant,
    next_beat: Instant,
    settle: Instant,
}

/// Why the loop ends; without a code the client is gone already.
type Ended = Option<CloseCode>;

/// Waits for the hello and accepts it.
async fn open(app: &Arc<App>, connection: &mut Connection) -> Result<Open, Ended> {
    let hello = timeout(HELLO_TIMEOUT, first_frame(connection));
    let hello = hello.await.map_err(|_| Some(CloseCode::Silent))??;
    // Signature and time cost nothing: only who passes them gets any further.
    let me = app.tokens.check_access(&hello.token).map_err(|_| Some(CloseCode::Unauthorized))?;
    app.limits.connects.take(me.identity.user).map_err(|_| Some(CloseCode::RateLimited))?;
    let accepted = app.listen(&hello.token).await.map_err(|error| match error {
        ListenError::Refused(_) => Some(CloseCode::Unauthorized),
        ListenError::Unavailable(_) | ListenError::Unheard(_) => Some(CloseCode::TryAgainLater),
    })?;
    let Listening { access, entry, mailbox, subscription } = accepted;
    let me = access.identity;
    let opened = Micros::now();
    let id = SessionId::mint();
    let connected = Notice::Connected { device: me.device, session: id.to_string(), at: opened };
    app.notify(me.user, &connected).await;
    let welcome = Welcome {
        user: me.user,
        device: me.device,
        session: id.to_string(),
        gateway: app.name.clone(),
        now: Millis::from(opened),
        heartbeat_secs: app.config.heartbeat_secs,
        limits: Limits::V1,
    };
    say(connection, &server::Frame::Welcome(welcome)).await.map_err(|_| None)?;
    let now = Instant::now();
    let read_receipts = entry.settings.read_receipts;
    Ok(Open {
        app: Arc::clone(app),
        me,
        session: Session::new(
            me,
            access.family,
            id.to_string(),
            opened,
            hello.receipts_after,
            read_receipts,
        ),
        mailbox,
        _subscription: subscription,
        registration: app.registry.enter(me, id, opened),
        following: None,
        expires: until(access.expires),
        next_beat: now + app.config.heartbeat(),
        settle: now + FIRST_SETTLE,
    })
}

/// The hello; anything else before it is misuse.
async fn first_frame(connection: &mut Connection) -> Result<Hello, Ended> {
    loop {
        return match connection.receive().await {
            Received::Text(text) => match client::Frame::parse(&text) {
                Ok(client::Frame::Hello(hello)) => Ok(hello),
                _ => Err(Some(CloseCode::Misuse)),
            },
            Received::Life => continue,
            Received::TooBig => Err(Some(CloseCode::TooBig)),
            Received::Binary | Received::Misuse => Err(Some(CloseCode::Misuse)),
            Received::Gone => Err(None),
        };
    }
}

impl Open {
    async fn run(&mut self, connection: &mut Connection) -> Ended {
        let mut actions = Vec::new();
        self.session.start(&mut actions);
        let app = Arc::clone(&self.app);
        let mut timer = Box::pin(sleep_until(self.next_deadline()));
        let mut drains = false;
        loop {
            match timeout(self.patience(), self.carry_out(connection, &mut actions)).await {
                Ok(Ok(None)) => {}
                Ok(Ok(code)) => return code,
                Ok(Err(_)) => return None,
                // The peer takes nothing any more.
                Err(_) => return Some(CloseCode::Silent),
            }
            tokio::select! {
                received = connection.receive(), if !self.session.is_full() => {
                    if let Err(ended) = self.received(received, &mut actions) {
                        return ended;
                    }
                }
                () = self.mailbox.arrived() => {
                    let mail = self.mailbox.take();
                    self.take(mail, &mut actions);
                }
                () = &mut timer => {
                    // Boxed, as all that is rare: it would take room in every session.
                    let tick = Box::pin(self.tick(connection, &mut actions));
                    if let Err(ended) = tick.await {
                        return ended;
                    }
                    timer.as_mut().reset(self.next_deadline());
                }
                () = app.draining.cancelled(), if !drains => {
                    drains = true;
                    let spread = u64::try_from(app.config.drain().as_millis() / 2).unwrap_or(0);
                    let after_ms = rand::rng().random_range(0..=spread);
                    actions.push(Action::Say(server::Frame::Drain { after_ms }));
                }
                () = app.closing.cancelled() => break,
            }
        }
        Box::pin(self.last_sends(connection, &mut actions)).await
    }

    /// Does what was decided, then sends messages for as long as there are some
    /// and the window has room.
    async fn carry_out(
        &mut self,
        connection: &mut Connection,
        actions: &mut Vec<Action>,
    ) -> io::Result<Ended> {
        loop {
            for action in actions.drain(..) {
                match action {
                    Action::Say(frame) => say(connection, &frame).await?,
                    Action::Close(code) => return Ok(Some(code)),
                    Action::ExpireAt(moment) => self.expires = until(moment),
                    Action::Acknowledge(acked) => self.app.acks.tell(Item::Acked(acked)).await,
                    Action::MarkRead(read) => self.app.acks.tell(Item::Read(read)).await,
                    Action::Watch(users) => self.watch(users),
                    Action::Work(work) => work.start(&self.app, self.me, &self.mailbox),
                }
            }
            if let Some(messages) = self.session.next_messages(actions) {
                connection.send(&messages).await?;
            } else if self.session.catches_up() {
                say(connection, &server::Frame::CaughtUp {}).await?;
            } else if actions.is_empty() {
                connection.flush().await?;
                return Ok(None);
            }
        }
    }

    fn received(&mut self, received: Received, actions: &mut Vec<Action>) -> Result<(), Ended> {
        self.registration.heard = Instant::now();
        let is_frame = matches!(received, Received::Text(_) | Received::Binary);
        if is_frame && self.app.limits.frames.take(self.me.user).is_err() {
            return Err(Some(CloseCode::RateLimited));
        }
        let frame = match received {
            Received::Text(text) => client::Frame::parse(&text),
            Received::Binary => Err(FrameError::bad("frames are text")),
            Received::Life => return Ok(()),
            Received::TooBig => return Err(Some(CloseCode::TooBig)),
            Received::Misuse => return Err(Some(CloseCode::Misuse)),
            Received::Gone => return Err(None),
        };
        let admission = frame.as_ref().map(|frame| self.app.limits.admit(self.me.user, frame));
        match admission.unwrap_or(Admission::Taken) {
            Admission::Taken => self.session.frame(frame, Micros::now(), actions),
            Admission::Shed => self.session.shed(),
            Admission::Refused(kind, refusal) => self.session.refuse(kind, refusal, actions),
        }
        Ok(())
    }

    fn take(&mut self, mail: Mail, actions: &mut Vec<Action>) {
        let now = Micros::now();
        for notice in mail.notices {
            self.session.notice(notice, now, actions);
        }
        if !mail.presence.is_empty() {
            self.session.presence(mail.presence, actions);
        }
        for done in mail.done {
            self.session.done(done, now, actions);
        }
        if !mail.live.is_empty() || mail.live_lost {
            self.session.live(mail.live, mail.live_lost, actions);
        }
        if !mail.changes.is_empty() || mail.changes_lost {
            self.session.changes(mail.changes, mail.changes_lost, actions);
        }
    }

    fn watch(&mut self, users: Box<[UserId]>) {
        let (app, mailbox) = (&self.app, &self.mailbox);
        let follow = || Arc::new(app.watching.follow(self.me.user, mailbox));
        let following = Arc::clone(self.following.get_or_insert_with(follow));
        let mailbox = Arc::clone(mailbox);
        app.tasks.spawn(async move {
            let watched = following.watch(&users).await;
            mailbox.done(Done::Watched(watched.map_err(Refusal::from)));
        });
    }

    /// Whatever is due: the token's end, the heartbeat, a look at the store.
    async fn tick(
        &mut self,
        connection: &mut Connection,
        actions: &mut Vec<Action>,
    ) -> Result<(), Ended> {
        let now = Instant::now();
        if now >= self.expires {
            return Err(Some(CloseCode::Unauthorized));
        }
        if now >= self.next_beat {
            // A client that is not read because its sends wait is not silent.
            let silence = now.duration_since(self.registration.heard);
            if silence >= 2 * self.app.config.heartbeat() && !self.session.is_full() {
                return Err(Some(CloseCode::Silent));
            }
            self.next_beat = now + self.app.config.heartbeat();
            let ping = timeout(self.patience(), connection.ping()).await;
            ping.map_err(|_| Some(CloseCode::Silent))?.map_err(|_| None)?;
        }
        if now >= self.settle {
            self.session.settle(actions);
            // Spread out, so that a storm of hellos is not one of looks for ever.
            self.settle = now + SETTLE.mul_f64(rand::rng().random_range(0.8..1.2));
        }
        Ok(())
    }

    /// The gateway's time is up: what is under way is finished, then it closes.
    async fn last_sends(
        &mut self,
        connection: &mut Connection,
        actions: &mut Vec<Action>,
    ) -> Ended {
        let finish = async {
            while !self.session.is_settled() {
                self.mailbox.arrived().await;
                let mail = self.mailbox.take();
                self.take(mail, actions);
                if let Ok(Some(code)) = self.carry_out(connection, actions).await {
                    return code;
                }
            }
            CloseCode::ServiceRestart
        };
        Some(timeout(LAST_SENDS, finish).await.unwrap_or(CloseCode::ServiceRestart))
    }

    fn next_deadline(&self) -> Instant {
        self.expires.min(self.next_beat).min(self.settle)
    }

    /// How long a peer may take nothing that is written to it.
    fn patience(&self) -> Duration {
        2 * self.app.config.heartbeat()
    }
}

async fn say(connection: &mut Connection, frame: &server::Frame) -> io::Result<()> {
    connection.send(frame.to_json().as_bytes()).await
}
