//! The other end of push: a Web Push service, FCM with Google's token server, and
//! APNs, on one loopback port.
//!
//! It believes nobody: it checks signatures, claims and headers as the real ones
//! do, decrypts what browsers would, and refuses what is wrong with their codes. A
//! test says how it answers otherwise: not at all, too late, or with an error.

mod answer;
mod apns;
mod decrypt;
mod fcm;
mod keys;
mod serve;
mod state;
mod webpush;

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use schemas::{
    ChatId,
    push::{PushPreview, PushTarget},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::Notify, time::timeout};
use tokio_util::task::AbortOnDropHandle;

pub use self::answer::Answer;
use self::{keys::Keys, state::State};

/// How long [`PushReceiver::next`] waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// Push providers that listen until this is dropped.
#[derive(Debug)]
pub struct PushReceiver {
    addr: SocketAddr,
    shared: Arc<Shared>,
    folder: TempDir,
    _serving: AbortOnDropHandle<()>,
}

/// A notification that was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Push {
    /// Messages that wait.
    pub badge: u64,
    /// The chat, where the provider is told of it.
    pub chat: Option<ChatId>,
    /// The message, where the provider is told of it.
    pub preview: Option<PushPreview>,
    /// What replaces what: the topic, the collapse key, the collapse id.
    pub collapse: String,
    /// The decrypted text of a Web Push message, or what the others were sent.
    pub payload: Value,
}

#[derive(Debug)]
struct Shared {
    addr: SocketAddr,
    keys: Keys,
    /// Only counts.
    trusting: bool,
    state: Mutex<State>,
    news: Notify,
}

impl PushReceiver {
    /// Listens on a free port, with new keys for FCM and APNs.
    ///
    /// # Errors
    /// When there is no port or no folder for the keys.
    pub async fn start() -> io::Result<Self> {
        Self::listen(false).await
    }

    /// Listens, and believes all that comes for a target that it knows: it only
    /// counts, so that whoever measures what sending costs does not pay for this.
    ///
    /// # Errors
    /// As [`PushReceiver::start`].
    pub async fn trusting() -> io::Result<Self> {
        Self::listen(true).await
    }

    async fn listen(trusting: bool) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let folder = TempDir::new()?;
        let keys = Keys::generate()?;
        keys.write(folder.path(), addr)?;
        let shared = Shared { addr, keys, trusting, state: Mutex::default(), news: Notify::new() };
        let shared = Arc::new(shared);
        let serving = AbortOnDropHandle::new(tokio::spawn(serve::run(listener, shared.clone())));
        Ok(Self { addr, shared, folder, _serving: serving })
    }

    /// What to set for a worker to send here, by variable. The key and subject for
    /// Web Push are not among it: they are the sender's own.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let url = format!("http://{}", self.addr);
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        vec![
            ("PETREL_FCM_CREDENTIALS", file(keys::FCM_FILE)),
            ("PETREL_FCM_URL", url.clone()),
            ("PETREL_APNS_KEY", file(keys::APNS_FILE)),
            ("PETREL_APNS_KEY_ID", keys::APNS_KEY_ID.into()),
            ("PETREL_APNS_TEAM_ID", keys::APNS_TEAM_ID.into()),
            ("PETREL_APNS_URL", url),
            ("PETREL_PUSH_ALLOW_LOOPBACK", "true".into()),
        ]
    }

    /// Where the keys are.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().into()
    }

    /// A browser that subscribes for the server with this public key, in base64url.
    pub fn browser(&self, server: &str) -> PushTarget {
        self.state().subscribe(self.addr, server)
    }

    /// An app that registers with FCM.
    pub fn android(&self) -> PushTarget {
        self.state().register_fcm()
    }

    /// An app that registers with APNs.
    pub fn iphone(&self) -> PushTarget {
        self.state().register_apns()
    }

    /// Answers what comes for a target next with these, in turn, and then accepts.
    pub fn answer(&self, target: &PushTarget, answers: impl IntoIterator<Item = Answer>) {
        self.state().device(target).answers.extend(answers);
    }

    /// Answers all that comes for targets of a provider ([`PushTarget::provider`])
    /// that have no answers of their own like this from now on.
    pub fn always(&self, provider: &'static str, answer: Answer) {
        self.state().always.insert(provider, answer);
    }

    /// Believes no FCM token and no APNs token that it has seen so far.
    pub fn expire_tokens(&self) {
        self.state().expire_tokens();
    }

    /// Takes the oldest push for a target that was accepted, or waits for one; none
    /// after half a minute.
    pub async fn next(&self, target: &PushTarget) -> Option<Push> {
        let taken = async {
            loop {
                let news = self.shared.news.notified();
                if let Some(push) = self.state().device(target).accepted.pop_front() {
                    return push;
                }
                news.await;
            }
        };
        timeout(PATIENCE, taken).await.ok()
    }

    /// How many pushes were accepted.
    pub fn accepted(&self) -> u64 {
        self.state().accepted
    }

    /// When the last push for a target was accepted.
    pub fn accepted_at(&self, target: &PushTarget) -> Option<Instant> {
        self.state().device(target).accepted_at
    }

    /// Waits until so many pushes were accepted; false where they are not in time.
    pub async fn accepts(&self, count: u64, within: Duration) -> bool {
        let came = async {
            loop {
                let news = self.shared.news.notified();
                if self.accepted() >= count {
                    return;
                }
                news.await;
            }
        };
        timeout(within, came).await.is_ok()
    }

    /// Requests for a target, whatever was answered.
    pub fn requests(&self, target: &PushTarget) -> u64 {
        self.state().device(target).requests
    }

    /// Waits until so many requests came for a target; false after half a minute.
    pub async fn requested(&self, target: &PushTarget, count: u64) -> bool {
        let came = async {
            loop {
                let news = self.shared.news.notified();
                if self.requests(target) >= count {
                    return;
                }
                news.await;
            }
        };
        timeout(PATIENCE, came).await.is_ok()
    }

    /// Access tokens that were granted for FCM.
    pub fn granted(&self) -> u64 {
        self.state().granted
    }

    /// Answers requests for access tokens with these next, and then grants them.
    pub fn answer_tokens(&self, answers: impl IntoIterator<Item = Answer>) {
        self.state().token_answers.extend(answers);
    }

    /// What was wrong with requests that were refused, in the order they came; at
    /// most a hundred.
    pub fn complaints(&self) -> Vec<String> {
        self.state().complaints.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
