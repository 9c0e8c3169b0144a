//! The chat behind both faces: the session, the names, what is remembered.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use schemas::{GroupId, UserId, http::Group};
use tokio::{sync::mpsc, time::timeout};

use super::{
    command::{Command, HELP},
    model::{Effect, Link, Model},
    options::Options,
    sign_in,
    state::{State, StateFile},
    typing::Typing,
};
use crate::client::{
    Account, Acks, Api, Client, ClientError, Event, Events, Options as SessionOptions, StopReason,
    Tokens,
};

/// How long after a change it is remembered.
const SAVE_AFTER: Duration = Duration::from_millis(500);
/// Longest wait for somebody's id.
pub(super) const FIND_WITHIN: Duration = Duration::from_secs(5);
/// Names that are looked up and not yet told.
const LOOKUPS: usize = 64;

/// A chat.
pub(super) struct App {
    pub(super) model: Model,
    pub(super) account: Account,
    client: Client,
    events: Events,
    file: StateFile,
    state: State,
    save_at: Option<Instant>,
    typing: Typing,
    finds: mpsc::Receiver<Found>,
    pub(super) found: mpsc::Sender<Found>,
    stopped: Option<StopReason>,
}

/// What was looked up, or came of what was asked for.
pub(super) enum Found {
    /// A name is known.
    Name(UserId, String),
    /// A group is known.
    Group(Group),
    /// Something for the person.
    Told(String),
}

/// Something to take in.
pub(super) enum Happening {
    /// The session tells something.
    Event(Event),
    /// Something was found.
    Found(Found),
    /// It is time to remember.
    Save,
    /// The session has ended.
    Ended,
}

impl App {
    /// Signs in and starts the session.
    ///
    /// # Errors
    /// When signing in fails.
    pub(super) async fn start(options: &Options) -> anyhow::Result<Self> {
        let first = options.url.first().context("no gateway given")?;
        let api = Api::new(first)?;
        let gateways = options.url.iter().map(|url| api.at(url)).collect::<Result<_, _>>()?;
        let file = StateFile::of(options.state.as_deref(), &options.user, &api)?;
        let (account, state) = sign_in::sign_in(&api, options, &file).await?;
        let model = Model::new(account.user(), &options.user, &state.saved.unsent);
        let session = SessionOptions {
            gateways,
            saved: state.saved.clone(),
            acks: Acks::Manual,
            ..SessionOptions::new(&api)
        };
        let (client, events) = Client::start(account.session.clone(), session);
        let (found, finds) = mpsc::channel(LOOKUPS);
        let mut app = Self {
            model,
            account,
            client,
            events,
            file,
            state,
            save_at: None,
            typing: Typing::default(),
            finds,
            found,
            stopped: None,
        };
        match options.to.as_deref().map(|to| (to, to.strip_prefix('#'))) {
            Some((_, Some(group))) => app.talk_in_group(group).await,
            Some((name, None)) => app.talk_to(name).await,
            None => {}
        }
        Ok(app)
    }

    /// The next thing that happens; can be cancelled.
    pub(super) async fn next(&mut self) -> Happening {
        let save_at = self.save_at;
        tokio::select! {
            event = self.events.next() => event.map_or(Happening::Ended, Happening::Event),
            Some(found) = self.finds.recv() => Happening::Found(found),
            () = async {
                match save_at {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            } => Happening::Save,
        }
    }

    /// Takes in what happened.
    ///
    /// # Errors
    /// When the session has ended, or nothing can be remembered.
    pub(super) async fn take(&mut self, happening: Happening) -> anyhow::Result<()> {
        match happening {
            Happening::Event(event) => {
                match &event {
                    Event::Tokens(Tokens(tokens)) => {
                        // At once: the one before is spent.
                        self.account.session = tokens.clone();
                        self.state.refresh_token = tokens.refresh_token.clone();
                        self.file.save(&self.state)?;
                    }
                    Event::Stopped(reason) => self.stopped = Some(*reason),
                    Event::Sent(_) | Event::Refused { .. } | Event::Receipts(_) => self.changed(),
                    _ => {}
                }
                self.model.apply(Instant::now(), event);
            }
            Happening::Found(Found::Name(user, name)) => self.model.name(user, name),
            Happening::Found(Found::Group(group)) => self.model.group(&group),
            Happening::Found(Found::Told(what)) => self.model.inform(&what),
            Happening::Save => {
                self.save_at = None;
                self.state.saved = self.client.saved().await?;
                self.file.save(&self.state)?;
            }
            Happening::Ended => {
                return Err(self.stopped.map_or(ClientError::Ended.into(), Into::into));
            }
        }
        Ok(())
    }

    /// Does what a line says; whether to go on.
    ///
    /// # Errors
    /// When the session has ended.
    pub(super) async fn enter(&mut self, line: &str) -> anyhow::Result<bool> {
        match Command::parse(line) {
            Command::Say(text) => self.say(text).await?,
            Command::To(name) => self.talk_to(&name).await,
            Command::ToGroup(name) => self.talk_in_group(&name).await,
            Command::Group(name) => self.make_group(&name).await,
            Command::Groups => self.list_groups().await,
            Command::Members => self.list_members(),
            Command::Change(change) => self.change_group(change).await,
            Command::Drop => self.give_up().await?,
            Command::Help => self.model.inform(HELP),
            Command::Unknown(line) => self.model.inform(&format!("no such command: {line}")),
            Command::Nothing => {}
            Command::Quit => return Ok(false),
        }
        Ok(true)
    }

    /// To be called when all was shown: what was shown is acknowledged and read.
    ///
    /// # Errors
    /// When the session has ended.
    pub(super) async fn shown(&mut self) -> anyhow::Result<()> {
        while let Some(effect) = self.model.next_effect() {
            match effect {
                Effect::Stored(seq) => {
                    self.changed();
                    self.client.stored(seq).await?;
                }
                Effect::Read(chat, from, ts) => self.client.read(chat, from, ts).await?,
            }
        }
        Ok(())
    }

    /// Asks for the names that are missing; they come as [`Happening::Found`].
    pub(super) fn ask_names(&mut self) {
        for user in self.model.take_nameless() {
            let (account, found) = (self.account.clone(), self.found.clone());
            tokio::spawn(async move {
                if let Some(name) = find_name(&account, user).await {
                    // The chat may be over.
                    let _ = found.send(Found::Name(user, name)).await;
                }
            });
        }
        for group in self.model.rooms.take_unknown() {
            let (account, found) = (self.account.clone(), self.found.clone());
            tokio::spawn(async move {
                if let Some(group) = find_group(&account, group).await {
                    let _ = found.send(Found::Group(group)).await;
                }
            });
        }
    }

    /// As [`Self::ask_names`], for a face that cannot correct what it has shown.
    pub(super) async fn learn_names(&mut self) {
        for group in self.model.rooms.take_unknown() {
            if let Some(group) = find_group(&self.account, group).await {
                self.model.group(&group);
            }
        }
        for user in self.model.take_nameless() {
            if let Some(name) = find_name(&self.account, user).await {
                self.model.name(user, name);
            }
        }
    }

    /// Watches those whose presence is shown.
    ///
    /// # Errors
    /// When the session has ended.
    pub(super) async fn watch(&mut self) -> anyhow::Result<()> {
        if let Some(users) = self.model.watch() {
            self.client.watch(users).await?;
        }
        Ok(())
    }

    /// The person types, or has emptied the line.
    ///
    /// # Errors
    /// When the session has ended.
    pub(super) async fn typing(&mut self, on: bool) -> anyhow::Result<()> {
        let Some(chat) = self.model.current() else { return Ok(()) };
        if let Some(on) = self.typing.typed(Instant::now(), chat, on) {
            self.client.typing(chat, on).await?;
        }
        Ok(())
    }

    /// Ends the session and remembers what is left of it.
    ///
    /// # Errors
    /// When it cannot be remembered.
    pub(super) async fn finish(mut self) -> anyhow::Result<()> {
        self.client.close().await;
        if let Some(ended) = self.events.ended().await {
            self.state.saved = ended.saved;
            self.state.refresh_token = ended.tokens.refresh_token;
            self.file.save(&self.state)?;
        }
        Ok(())
    }

    async fn say(&mut self, text: String) -> anyhow::Result<()> {
        let Some(chat) = self.model.current() else {
            self.model.inform("nobody to talk to: /to NAME, or /group NAME");
            return Ok(());
        };
        self.typing.sent();
        match self.client.send_text(chat, &text).await {
            Ok(id) => self.model.waits(id, chat, text),
            Err(ClientError::Queue(error)) => self.model.inform(&format!("not sent: {error}")),
            Err(error) => return Err(error.into()),
        }
        self.changed();
        Ok(())
    }

    async fn talk_to(&mut self, name: &str) {
        let known = self.state.people.get(name).copied();
        let user = match known {
            Some(user) => Some(user),
            None => match timeout(FIND_WITHIN, self.account.find(name)).await {
                Ok(Ok(found)) => found.map(|profile| profile.id),
                Ok(Err(error)) => {
                    return self.model.inform(&format!("cannot find {name}: {error}"));
                }
                Err(_) => return self.model.inform(&format!("cannot find {name}: no answer")),
            },
        };
        let Some(user) = user else {
            return self.model.inform(&format!("there is nobody called {name}"));
        };
        self.state.people.insert(name.to_owned(), user);
        self.changed();
        self.model.talk_to(user, name);
        self.model.inform(&format!("talking to {name}"));
    }

    async fn give_up(&mut self) -> anyhow::Result<()> {
        for id in self.model.waiting() {
            if self.client.drop_send(id.clone()).await? {
                self.model.given_up(&id);
            }
        }
        self.changed();
        Ok(())
    }

    fn changed(&mut self) {
        self.save_at.get_or_insert_with(|| Instant::now() + SAVE_AFTER);
    }
}

/// Without an answer in time the id stays the name.
async fn find_name(account: &Account, user: UserId) -> Option<String> {
    let profiles = timeout(FIND_WITHIN, account.profiles(&[user])).await.ok()?.ok()?;
    profiles.into_iter().next().map(|profile| profile.username)
}

/// Nothing where one is no member any more.
async fn find_group(account: &Account, group: GroupId) -> Option<Group> {
    timeout(FIND_WITHIN, account.group(group)).await.ok()?.ok()
}

/// How it stands with the server, in words.
pub(super) fn describe(link: &Link, now: Instant) -> String {
    match link {
        Link::Connecting => "connecting".into(),
        Link::Online => "online".into(),
        Link::Waiting { until } => {
            format!("reconnecting in {} s", until.saturating_duration_since(now).as_secs() + 1)
        }
    }
}
