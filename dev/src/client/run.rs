//! The task behind a [`Client`](super::Client): carries a session's actions out.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use schemas::{ErrorCode, client, server};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    Api,
    connection::{Acks, Command, Ended, Options},
    session::{Action, Event, Renewal, Session},
    socket::{Buffers, Received, Socket, SocketError},
};

/// Longest wait for the socket's polite end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The task behind a [`Client`].
pub(super) struct Run {
    session: Session,
    gateways: Vec<Api>,
    acks: Acks,
    buffers: Buffers,
    socket: Option<Socket>,
    /// Frames the line has not taken yet.
    outgoing: VecDeque<Utf8Bytes>,
    opening: Option<JoinHandle<Result<Socket, SocketError>>>,
    renewing: Option<JoinHandle<Renewal>>,
    /// Events the user has no room for; while there are any, nothing is read.
    untold: VecDeque<Event>,
}

impl Run {
    pub(super) fn new(tokens: schemas::http::Session, options: Options) -> Self {
        let gateways = options.gateways;
        let session =
            Session::new(Instant::now(), tokens, options.saved, gateways.len(), rand::random());
        Self {
            session,
            gateways,
            acks: options.acks,
            buffers: options.buffers,
            socket: None,
            outgoing: VecDeque::new(),
            opening: None,
            renewing: None,
            untold: VecDeque::new(),
        }
    }

    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
    ) -> Ended {
        let mut stopped = false;
        loop {
            stopped |= self.act().await;
            if stopped && self.untold.is_empty() {
                break;
            }
            let listening = self.untold.is_empty();
            if !listening {
                // The silence is the user's, not the server's.
                self.session.heard(Instant::now());
            }
            let deadline = self.session.deadline();
            tokio::select! {
                permit = events.reserve(), if !listening => {
                    let Ok(permit) = permit else { break };
                    self.hand_over(permit, &events);
                }
                received = exchange(&mut self.socket, &mut self.outgoing, listening) => {
                    self.received(received);
                }
                opened = finish(&mut self.opening) => self.opened(opened),
                renewal = finish(&mut self.renewing) => {
                    self.session.renewed(Instant::now(), renewal.unwrap_or(Renewal::Unavailable));
                }
                command = commands.recv() => match command {
                    Some(Command::Close) | None => break,
                    Some(command) => self.command(command),
                },
                () = sleep_until(deadline) => self.session.tick(Instant::now()),
            }
        }
        self.end().await
    }

    /// Carries out what the session wants; whether it has stopped for good.
    async fn act(&mut self) -> bool {
        let mut stopped = false;
        while let Some(action) = self.session.next_action() {
            match action {
                Action::Connect { gateway } => self.open(gateway),
                Action::Write(frame) => self.outgoing.push_back(text_of(&frame)),
                Action::Disconnect => {
                    self.opening = None;
                    self.outgoing.clear();
                    if let Some(socket) = self.socket.take() {
                        close(socket).await;
                    }
                }
                Action::Renew { gateway, refresh_token } => {
                    let api = self.gateways[gateway % self.gateways.len()].clone();
                    self.renewing = Some(tokio::spawn(renew(api, refresh_token)));
                }
                Action::Tell(event) => {
                    stopped |= matches!(event, Event::Stopped(_));
                    self.untold.push_back(event);
                }
            }
        }
        stopped
    }

    fn open(&mut self, gateway: usize) {
        let base = self.gateways[gateway % self.gateways.len()].base().clone();
        let buffers = self.buffers;
        self.outgoing.clear();
        self.opening = Some(tokio::spawn(async move { Socket::connect(&base, buffers).await }));
    }

    fn opened(&mut self, opened: Option<Result<Socket, SocketError>>) {
        let now = Instant::now();
        match opened {
            Some(Ok(socket)) => {
                self.socket = Some(socket);
                self.session.connected(now);
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "cannot connect");
                self.session.closed(now, None);
            }
            None => self.session.closed(now, None),
        }
    }

    fn received(&mut self, received: Received) {
        let now = Instant::now();
        match received {
            Received::Text(text) => match server::Frame::parse(&text) {
                Ok(frame) => self.session.frame(now, frame),
                // A newer server may say what this client does not know.
                Err(error) => {
                    tracing::debug!(%error, "unknown frame");
                    self.session.heard(now);
                }
            },
            Received::Ping | Received::Other => self.session.heard(now),
            Received::Closed(code) => {
                self.socket = None;
                self.session.closed(now, code);
            }
        }
    }

    /// Gives the user as many events as there is room for.
    fn hand_over(&mut self, first: mpsc::Permit<'_, Event>, events: &mpsc::Sender<Event>) {
        let mut permit = Some(first);
        while let Some(event) = self.untold.pop_front() {
            let Some(room) = permit.take().or_else(|| events.try_reserve().ok()) else {
                self.untold.push_front(event);
                return;
            };
            if let (Event::Message(item), Acks::Automatic) = (&event, self.acks) {
                self.session.stored(item.seq);
            }
            room.send(event);
        }
    }

    fn command(&mut self, command: Command) {
        let now = Instant::now();
        // An answer nobody waits for any more is no loss.
        match command {
            Command::Send(id, chat, body, answer) => {
                let _ = answer.send(self.session.send(now, id, chat, body));
            }
            Command::Drop(id, answer) => {
                let _ = answer.send(self.session.drop_send(now, &id));
            }
            Command::Stored(seq) => self.session.stored(seq),
            Command::Read(chat, marks) => self.session.read(chat, marks),
            Command::Typing(chat, on) => self.session.typing(chat, on),
            Command::Watch(users) => self.session.watch(users),
            Command::Saved(answer) => {
                let _ = answer.send(self.session.saved());
            }
            Command::Close => {}
        }
    }

    async fn end(mut self) -> Ended {
        // The last acks and messages still go out.
        self.act().await;
        if let Some(opening) = self.opening.take() {
            opening.abort();
        }
        if let Some(mut socket) = self.socket.take() {
            let rest = async {
                for text in self.outgoing.drain(..) {
                    // The other side may be gone; then they are sent next time.
                    let _ = socket.feed_text(text).await;
                }
            };
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, rest).await;
            close(socket).await;
        }
        // A pair of tokens that is under way must not be lost: the old one was spent on it.
        if let Some(renewing) = self.renewing.take()
            && let Ok(Ok(renewal)) = tokio::time::timeout(CLOSE_TIMEOUT, renewing).await
        {
            self.session.renewed(Instant::now(), renewal);
        }
        Ended { saved: self.session.saved(), tokens: self.session.tokens().clone() }
    }
}

async fn exchange(
    socket: &mut Option<Socket>,
    outgoing: &mut VecDeque<Utf8Bytes>,
    listening: bool,
) -> Received {
    match socket {
        Some(socket) => socket.exchange(outgoing, listening).await,
        None => std::future::pending().await,
    }
}

fn text_of(frame: &client::Frame) -> Utf8Bytes {
    #[allow(clippy::expect_used, reason = "frames are plain data with string keys")]
    serde_json::to_string(frame).expect("a frame is always JSON").into()
}

/// Waits for a task and forgets it; `None` when it died.
async fn finish<T>(task: &mut Option<JoinHandle<T>>) -> Option<T> {
    let Some(running) = task else { return std::future::pending().await };
    let finished = running.await.ok();
    *task = None;
    finished
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

async fn close(mut socket: Socket) {
    // The other side may be gone: that is closed too.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, socket.close()).await;
}

async fn renew(api: Api, refresh_token: String) -> Renewal {
    match api.refresh(&refresh_token).await {
        Ok(account) => Renewal::Renewed(account.session),
        Err(error) if error.code() == Some(ErrorCode::Unauthorized) => Renewal::Refused,
        Err(error) => {
            tracing::debug!(%error, "cannot renew the tokens");
            Renewal::Unavailable
        }
    }
}
