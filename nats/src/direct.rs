//! Direct get: stored messages from any replica of a stream, many for one
//! request, with no consumer and no state on the server.
//!
//! async-nats has no batched get. Its subscription per request would also cost
//! two changes of interest on every server of the cluster for each page, so all
//! pages of a process come in on one subscription here.
//!
//! A replica may lag: what it answers is true, but not always the newest.
//! [`crate::leader`] asks the one that cannot lag.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{
    HeaderMap, HeaderName, Message, StatusCode, SubscribeError, Subscriber,
    header::{NATS_LAST_SEQUENCE, NATS_SEQUENCE, NATS_SUBJECT},
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    api::{ApiError, Failure, Question, Requester, ServerError},
    retry::Retries,
};

/// How long a read is tried, over all attempts.
pub const READ_DEADLINE: Duration = Duration::from_secs(10);
/// How long one attempt waits for its page to be complete.
pub const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// Most messages in one page.
pub const PAGE_ITEMS: usize = 1_024;

/// The status of the reply that ends a page.
const END_OF_BATCH: u16 = 204;
const NUM_PENDING: HeaderName = HeaderName::from_static("Nats-Num-Pending");

/// What to read.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// Out of which stream.
    pub stream: &'a str,
    /// Messages on this subject, which may hold wildcards.
    pub filter: &'a str,
    /// From this sequence on.
    pub from: u64,
    /// At most so many, and never more than [`PAGE_ITEMS`].
    pub max_items: usize,
    /// The page ends with the message that reaches so many bytes of subject,
    /// headers and payload.
    pub max_bytes: usize,
}

/// A run of messages without a hole: nothing on the subject lies between two of them.
#[derive(Debug, Default)]
pub struct Page {
    /// In order of their sequence.
    pub entries: Vec<Entry>,
    /// Nothing lay beyond the page when it was read.
    pub end: bool,
}

/// A stored message.
#[derive(Debug)]
pub struct Entry {
    /// Its sequence in the stream.
    pub seq: u64,
    /// Its content: a slice of what came from the network, not a copy.
    pub payload: Bytes,
    headers: HeaderMap,
}

impl Entry {
    /// The subject it was published to.
    pub fn subject(&self) -> &str {
        self.headers.get(NATS_SUBJECT).map_or("", |subject| subject.as_str())
    }

    /// One of the headers it was published with, or of those the server added.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.as_str())
    }
}

/// Reads stored messages over one connection; clones share it.
#[derive(Debug, Clone)]
pub struct DirectReader {
    requester: Requester,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    reply_prefix: String,
    next_token: AtomicU64,
    collecting: Arc<Collecting>,
    _dispatcher: AbortOnDropHandle<()>,
}

impl DirectReader {
    /// Takes a connection that best serves nothing else: nats-server answers
    /// a read before it looks at what came after it on the same connection.
    pub(crate) async fn new(requester: Requester) -> Result<Self, SubscribeError> {
        let client = requester.client();
        let reply_prefix = client.new_inbox();
        let replies = client.subscribe(format!("{reply_prefix}.*")).await?;
        let collecting = Arc::new(Collecting::default());
        let dispatcher = tokio::spawn(dispatch(replies, Arc::clone(&collecting)));
        let shared = Shared {
            reply_prefix,
            next_token: AtomicU64::new(0),
            collecting,
            _dispatcher: AbortOnDropHandle::new(dispatcher),
        };
        Ok(Self { requester, shared: Arc::new(shared) })
    }

    /// One page, retried for up to [`READ_DEADLINE`].
    ///
    /// # Errors
    /// When nobody answered in that time, or the server refused the request.
    pub async fn page(&self, query: Query<'_>) -> Result<Page, Failure> {
        let subject = format!("$JS.API.DIRECT.GET.{}", query.stream);
        let request = query.to_json();
        let mut retries = Retries::within(READ_DEADLINE);
        loop {
            let attempt = self.page_once(&subject, request.clone());
            let timeout = retries.attempt(READ_TIMEOUT);
            match self.requester.unless_lost(timeout, attempt).await {
                Err(error) if error.is_transient() && retries.pause().await => {
                    tracing::debug!(stream = query.stream, %error, "reading again");
                }
                outcome => return outcome.map_err(Failure::from),
            }
        }
    }

    /// The message with this sequence.
    ///
    /// # Errors
    /// When nobody answered within [`READ_DEADLINE`], or the server refused the request.
    pub async fn at(&self, stream: &str, seq: u64) -> Result<Option<Entry>, Failure> {
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        self.one(|| Question::new(subject.clone(), format!(r#"{{"seq":{seq}}}"#))).await
    }

    /// The newest message on this subject.
    ///
    /// # Errors
    /// When nobody answered within [`READ_DEADLINE`], or the server refused the request.
    pub async fn last(&self, stream: &str, subject: &str) -> Result<Option<Entry>, Failure> {
        self.one(|| Question::new(format!("$JS.API.DIRECT.GET.{stream}.{subject}"), "")).await
    }

    async fn page_once(&self, subject: &str, request: Bytes) -> Result<Page, ApiError> {
        let token = self.shared.next_token.fetch_add(1, Ordering::Relaxed);
        let (done, page) = oneshot::channel();
        let _registered = self.shared.collecting.register(token, done);
        let reply = format!("{}.{token}", self.shared.reply_prefix);
        let client = self.requester.client();
        client
            .publish_with_reply(subject.to_owned(), reply, request)
            .await
            .map_err(|error| ApiError::NotSent(error.into()))?;
        page.await.unwrap_or(Err(ApiError::Incomplete))
    }

    async fn one(&self, question: impl Fn() -> Question) -> Result<Option<Entry>, Failure> {
        let entry = self.requester.insist(question, READ_DEADLINE, READ_TIMEOUT, stored);
        Ok(entry.await?)
    }
}

impl Query<'_> {
    fn to_json(self) -> Bytes {
        #[derive(Serialize)]
        struct Body<'a> {
            seq: u64,
            next_by_subj: &'a str,
            batch: usize,
            max_bytes: usize,
        }
        let body = Body {
            seq: self.from.max(1),
            next_by_subj: self.filter,
            batch: self.max_items.clamp(1, PAGE_ITEMS),
            max_bytes: self.max_bytes.max(1),
        };
        #[allow(clippy::expect_used, reason = "numbers and strings are always JSON")]
        serde_json::to_vec(&body).expect("a query is always JSON").into()
    }
}

/// The pages that are coming in.
#[derive(Debug, Default)]
struct Collecting(Mutex<HashMap<u64, Collector>>);

#[derive(Debug)]
struct Collector {
    page: PartialPage,
    done: oneshot::Sender<Result<Page, ApiError>>,
}

/// Forgets the page when nobody waits for it any more.
struct Registered<'a> {
    collecting: &'a Collecting,
    token: u64,
}

impl Collecting {
    fn register(
        &self,
        token: u64,
        done: oneshot::Sender<Result<Page, ApiError>>,
    ) -> Registered<'_> {
        let collector = Collector { page: PartialPage::default(), done };
        self.lock().insert(token, collector);
        Registered { collecting: self, token }
    }

    fn accept(&self, message: Message) {
        let token = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
        let Some(token) = token else { return };
        let mut collecting = self.lock();
        // A late reply to an attempt that was given up finds nobody.
        let Some(collector) = collecting.get_mut(&token) else { return };
        if let Some(result) = collector.page.accept(message)
            && let Some(collector) = collecting.remove(&token)
        {
            drop(collecting);
            let _ = collector.done.send(result);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Collector>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.collecting.lock().remove(&self.token);
    }
}

async fn dispatch(mut replies: Subscriber, collecting: Arc<Collecting>) {
    while let Some(message) = replies.next().await {
        collecting.accept(message);
    }
}

/// A page as far as it has come.
#[derive(Debug, Default)]
struct PartialPage {
    entries: Vec<Entry>,
}

impl PartialPage {
    /// Takes the next reply; gives the page when that was its last.
    fn accept(&mut self, reply: Message) -> Option<Result<Page, ApiError>> {
        let status = reply.status.map(|status| status.as_u16());
        if matches!(status, None | Some(END_OF_BATCH)) && !self.is_followed_by(&reply) {
            return Some(Err(ApiError::Incomplete));
        }
        if status == Some(END_OF_BATCH) {
            let end = number(reply.headers.as_ref(), NUM_PENDING) == Some(0);
            return Some(Ok(Page { entries: std::mem::take(&mut self.entries), end }));
        }
        match stored(reply) {
            Ok(Some(entry)) => {
                self.entries.push(entry);
                None
            }
            // Only ever the first reply: nothing on the subject from there on.
            Ok(None) => Some(Ok(Page { entries: Vec::new(), end: true })),
            Err(error) => Some(Err(error)),
        }
    }

    /// Each reply names the sequence of the one before it, so that one which
    /// was dropped on the way (a slow consumer) does not go unnoticed.
    fn is_followed_by(&self, reply: &Message) -> bool {
        let last = self.entries.last().map_or(0, |entry| entry.seq);
        number(reply.headers.as_ref(), NATS_LAST_SEQUENCE) == Some(last)
    }
}

/// The stored message in a reply; none where the server says there is none.
fn stored(reply: Message) -> Result<Option<Entry>, ApiError> {
    match reply.status {
        Some(StatusCode::NOT_FOUND) => return Ok(None),
        Some(StatusCode::NO_RESPONDERS) => return Err(ApiError::NoResponders),
        Some(status) => {
            return Err(ApiError::Server(ServerError {
                status: status.as_u16(),
                number: 0,
                description: reply.description.unwrap_or_default(),
            }));
        }
        None => {}
    }
    let seq = number(reply.headers.as_ref(), NATS_SEQUENCE);
    match (seq, reply.headers) {
        (Some(seq), Some(headers)) => Ok(Some(Entry { seq, payload: reply.payload, headers })),
        _ => Err(ApiError::Unreadable("a message without its sequence".into())),
    }
}

fn number(headers: Option<&HeaderMap>, name: HeaderName) -> Option<u64> {
    headers?.get(name)?.as_str().parse().ok()
}
