//! A running session, as its user holds it.

use std::{collections::BTreeMap, time::Duration};

use schemas::{Body, ChatId, MessageId, Micros, RawBody, UserId, http};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    Api,
    run::Run,
    session::{Event, QueueError, Saved},
    socket::{Buffers, SocketError},
};

/// Most commands that wait for the session.
const COMMANDS: usize = 256;
/// Most events that wait for the user; then the socket is not read.
const EVENTS: usize = 256;

/// How a session is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The gateways to connect to, in turn.
    pub gateways: Vec<Api>,
    /// What an earlier session of this device left.
    pub saved: Saved,
    /// Who says that a message is stored.
    pub acks: Acks,
    /// The socket's buffers.
    pub buffers: Buffers,
}

/// Who says that a message is stored, so that it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// Taking its event is enough.
    Automatic,
    /// The user, with [`Client::stored`].
    Manual,
}

/// Why a command was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The session has ended.
    #[error("the session has ended")]
    Ended,
    /// The message was not queued.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// A running session's user end. Clones share the session, which ends when all
/// of them or its [`Events`] are gone.
#[derive(Debug, Clone)]
pub struct Client {
    user: UserId,
    commands: mpsc::Sender<Command>,
}

/// What a running session tells.
#[derive(Debug)]
pub struct Events {
    events: mpsc::Receiver<Event>,
    task: JoinHandle<Ended>,
}

/// What is left of a session.
#[derive(Debug, Clone)]
pub struct Ended {
    /// For the device's next session.
    pub saved: Saved,
    /// The newest tokens.
    pub tokens: http::Session,
}

#[derive(Debug)]
pub(super) enum Command {
    Send(MessageId, ChatId, RawBody, oneshot::Sender<Result<(), QueueError>>),
    Drop(MessageId, oneshot::Sender<bool>),
    Stored(u64),
    Read(ChatId, BTreeMap<UserId, Micros>),
    Typing(ChatId, bool),
    Watch(Vec<UserId>),
    Saved(oneshot::Sender<Saved>),
    Close,
}

impl Options {
    /// One gateway, nothing saved, messages acknowledged as they are taken.
    pub fn new(gateway: &Api) -> Self {
        Self {
            gateways: vec![gateway.clone()],
            saved: Saved::default(),
            acks: Acks::Automatic,
            buffers: Buffers::SMALL,
        }
    }
}

impl Client {
    /// Starts a session of a signed-in device; it connects by itself.
    pub fn start(tokens: http::Session, options: Options) -> (Self, Events) {
        let (commands, from_user) = mpsc::channel(COMMANDS);
        let (to_user, events) = mpsc::channel(EVENTS);
        let user = tokens.user;
        let task = tokio::spawn(Run::new(tokens, options).run(from_user, to_user));
        (Self { user, commands }, Events { events, task })
    }

    /// Whose session it is.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Queues a text; its id.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn send_text(&self, chat: ChatId, text: &str) -> Result<MessageId, ClientError> {
        self.send(chat, &Body::Text { text: text.to_owned() }).await
    }

    /// Queues a message; its id.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn send(&self, chat: ChatId, body: &Body) -> Result<MessageId, ClientError> {
        #[allow(clippy::expect_used, reason = "a ULID is 26 of the characters an id may have")]
        let id: MessageId =
            ulid::Ulid::generate().to_string().parse().expect("a ULID is a message id");
        self.send_as(id.clone(), chat, RawBody::from(body)).await?;
        Ok(id)
    }

    /// Queues a message under an id of one's own.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn send_as(
        &self,
        id: MessageId,
        chat: ChatId,
        body: RawBody,
    ) -> Result<(), ClientError> {
        Ok(self.ask(|answer| Command::Send(id, chat, body, answer)).await??)
    }

    /// Gives a queued message up. `false` when it is under way or confirmed.
    ///
    /// # Errors
    /// [`ClientError::Ended`].
    pub async fn drop_send(&self, id: MessageId) -> Result<bool, ClientError> {
        self.ask(|answer| Command::Drop(id, answer)).await
    }

    /// Everything up to this inbox position is stored: it is acknowledged.
    ///
    /// # Errors
    /// [`ClientError::Ended`].
    pub async fn stored(&self, seq: u64) -> Result<(), ClientError> {
        self.tell(Command::Stored(seq)).await
    }

    /// One sender's messages in a chat are read up to this `ts`.
    ///
    /// # Errors
    /// [`ClientError::Ended`].
    pub async fn read(&self, chat: ChatId, from: UserId, ts: Micros) -> Result<(), ClientError> {
        self.tell(Command::Read(chat, BTreeMap::from([(from, ts)]))).await
    }

    /// The user types, or stopped.
    ///
    /// # Errors
    /// [`ClientError::Ended`].
    pub async fn typing(&self, chat: ChatId, on: bool) -> Result<(), ClientError> {
        self.tell(Command::Typing(chat, on)).await
    }

    /// Whose presence to follow from now on.
    ///
    /// # Errors
    /// [`ClientError::Ended`].
    pub async fn watch(&self, users: Vec<UserId>) -> Result<(), ClientError> {
        self.tell(Command::Watch(users)).await
    }

    /// What to keep for the device's next session, as of now.
    ///
    /// # Errors
    /// [`ClientError::Ended`].
    pub async fn saved(&self) -> Result<Saved, ClientError> {
        self.ask(Command::Saved).await
    }

    /// Ends the session; [`Events::ended`] tells what to keep.
    pub async fn close(&self) {
        // One that has ended is closed.
        let _ = self.tell(Command::Close).await;
    }

    async fn tell(&self, command: Command) -> Result<(), ClientError> {
        self.commands.send(command).await.map_err(|_| ClientError::Ended)
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, ClientError> {
        let (answer, answered) = oneshot::channel();
        self.tell(command(answer)).await?;
        answered.await.map_err(|_| ClientError::Ended)
    }
}

impl Events {
    /// The next event; `None` when the session has ended.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Skips events until one is what is waited for.
    ///
    /// # Errors
    /// [`SocketError::Silent`] when it does not come in time,
    /// [`SocketError::Closed`] when the session ends first.
    pub async fn until<T>(
        &mut self,
        within: Duration,
        mut wanted: impl FnMut(Event) -> Option<T>,
    ) -> Result<T, SocketError> {
        let found = async {
            while let Some(event) = self.next().await {
                if let Some(found) = wanted(event) {
                    return Ok(found);
                }
            }
            Err(SocketError::Closed(None))
        };
        tokio::time::timeout(within, found).await.map_err(|_| SocketError::Silent(within))?
    }

    /// Waits for the session's end, after [`Client::close`] or a stop; what to
    /// keep for the next one, unless its task died. Events that were not taken
    /// are dropped, and their messages come again.
    pub async fn ended(mut self) -> Option<Ended> {
        self.events.close();
        self.task.await.ok()
    }
}
