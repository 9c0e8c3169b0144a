//! Somebody's device, with all that it said and was told.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use dev::client::{Account, Api, Client, Event, Events, Options};
use schemas::{
    Body, ChatId, ErrorCode, MessageId, Micros, RawBody, UserId,
    server::{Item, Receipt},
};
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use ulid::Ulid;

use super::PATIENCE;

/// Everybody's.
pub(super) const PASSWORD: &str = "a";
/// How many of its messages a talkative guest leaves unconfirmed.
const AHEAD: usize = 6;
/// It says no more than one in this time.
const PACE: Duration = Duration::from_millis(10);

/// A device whose client does all that a client should: it queues, retries,
/// reconnects, acknowledges, drops second copies, and reads what it shows.
pub(super) struct Guest {
    pub(super) name: String,
    pub(super) user: UserId,
    client: Client,
    notes: Arc<watch::Sender<Notes>>,
    _listening: AbortOnDropHandle<()>,
}

/// What a device said, and what its client told it.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// All that was queued, in order.
    pub(super) said: Vec<Said>,
    /// The `ts` of what was confirmed.
    pub(super) sent: HashMap<MessageId, Micros>,
    /// What came on the screen, in order.
    pub(super) shown: Vec<Item>,
    /// How far each peer got.
    pub(super) receipts: HashMap<UserId, Receipt>,
    /// Which gateway serves it now.
    pub(super) gateway: Option<String>,
    /// When it was last welcomed.
    pub(super) online_since: Option<Instant>,
    /// All that was stored before it was welcomed has come.
    pub(super) caught_up: bool,
    /// Why messages had to wait.
    pub(super) delayed: Vec<ErrorCode>,
    /// What must not happen to a good client.
    pub(super) broken: Vec<String>,
}

/// A message, before it was sent.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) id: MessageId,
    pub(super) to: UserId,
    pub(super) text: String,
}

impl Guest {
    /// Registers somebody new.
    pub(super) async fn register(api: &Api) -> (String, Account) {
        let name = format!("g-{}", Ulid::generate());
        let account = api.register(&name, PASSWORD).await.unwrap();
        (name, account)
    }

    /// Takes a device online, over these gateways in turn.
    pub(super) fn arrive(name: String, account: Account, gateways: Vec<Api>) -> Self {
        let options = Options { gateways, ..Options::new(&account.api) };
        let user = account.user();
        let (client, events) = Client::start(account.session, options);
        let notes = Arc::new(watch::Sender::new(Notes::default()));
        let listening = tokio::spawn(listen(client.clone(), user, events, Arc::clone(&notes)));
        Self { name, user, client, notes, _listening: AbortOnDropHandle::new(listening) }
    }

    /// Queues a message to somebody.
    pub(super) async fn say(&self, to: UserId) {
        let id: MessageId = Ulid::generate().to_string().parse().unwrap();
        let text = format!("{} says {id} to {to}", self.name);
        let body = RawBody::from(&Body::Text { text: text.clone() });
        // Noted before it is queued: the tick may come at once.
        let said = Said { id: id.clone(), to, text };
        self.notes.send_modify(|notes| notes.said.push(said));
        self.client.send_as(id, ChatId::User(to), body).await.unwrap();
    }

    /// Says one thing after the other, to one after the other.
    pub(super) async fn talk(&self, peers: &[UserId], enough: &CancellationToken) {
        let talking = async {
            for to in peers.iter().cycle() {
                self.until("its messages to be confirmed", |notes| notes.unconfirmed() < AHEAD)
                    .await;
                self.say(*to).await;
                tokio::time::sleep(PACE).await;
            }
        };
        enough.run_until_cancelled(talking).await;
    }

    /// Waits until so many more messages are confirmed.
    pub(super) async fn confirms(&self, more: usize) {
        let goal = self.notes().sent.len() + more;
        self.until("messages to be confirmed", |notes| notes.sent.len() >= goal).await;
    }

    /// Waits until it has caught up at this gateway.
    pub(super) async fn is_served_by(&self, gateway: &str) {
        let is_there = |notes: &Notes| notes.caught_up && notes.gateway.as_deref() == Some(gateway);
        self.until(gateway, is_there).await;
    }

    /// Waits until something holds.
    pub(super) async fn until(&self, what: &str, holds: impl FnMut(&Notes) -> bool) {
        let mut notes = self.notes.subscribe();
        let came = timeout(PATIENCE, notes.wait_for(holds)).await;
        assert!(came.is_ok(), "{} still waits for {what}: {}", self.name, self.notes().summary());
    }

    /// All that it said and was told.
    pub(super) fn notes(&self) -> watch::Ref<'_, Notes> {
        self.notes.borrow()
    }
}

impl Notes {
    pub(super) fn unconfirmed(&self) -> usize {
        self.said.len() - self.sent.len()
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Online { gateway, .. } => {
                self.gateway = Some(gateway);
                self.online_since = Some(Instant::now());
            }
            Event::CaughtUp => self.caught_up = true,
            Event::Disconnected { .. } => {
                self.gateway = None;
                self.caught_up = false;
            }
            Event::Message(item) => self.shown.push(item),
            Event::Sent(sent) => {
                if self.sent.insert(sent.id.clone(), sent.ts).is_some() {
                    self.broken.push(format!("{sent:?} again"));
                }
            }
            Event::Receipts(items) => items.into_iter().for_each(|new| self.receipt(new)),
            Event::Delayed { code, .. } => self.delayed.push(code),
            bad @ (Event::Refused { .. } | Event::Error(_) | Event::Stopped(_)) => {
                self.broken.push(format!("{bad:?}"));
            }
            Event::ReadElsewhere(_)
            | Event::Presence(_)
            | Event::Typing { .. }
            | Event::Tokens(_) => {}
        }
    }

    /// Watermarks never go back.
    fn receipt(&mut self, new: Receipt) {
        let old = self.receipts.insert(new.user, new);
        if let Some(old) = old
            && (new.rev < old.rev || new.delivered < old.delivered || new.read < old.read)
        {
            self.broken.push(format!("{new:?} after {old:?}"));
        }
    }

    /// For whoever reads why a test failed.
    fn summary(&self) -> String {
        format!(
            "{} said, {} sent, {} shown, at {:?}, caught up: {}, delayed {:?}, broken {:?}, {:?}",
            self.said.len(),
            self.sent.len(),
            self.shown.len(),
            self.gateway,
            self.caught_up,
            self.delayed,
            self.broken,
            self.receipts.values().collect::<Vec<_>>(),
        )
    }
}

async fn listen(client: Client, me: UserId, mut events: Events, notes: Arc<watch::Sender<Notes>>) {
    while let Some(event) = events.next().await {
        if let Event::Message(item) = &event
            && item.from != me
        {
            // Fails only when the session has ended, which is told by itself.
            let _ = client.read(item.chat, item.from, item.ts).await;
        }
        notes.send_modify(|notes| notes.take(event));
    }
}
