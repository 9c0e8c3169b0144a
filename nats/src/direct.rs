//! Direct get: stored messages from any replica of a stream, many for one
//! request, with no consumer and no state on the server.
//!
//! async-nats has no batched get. Its subscription per request would also cost
//! two changes of interest on every server of the cluster for each page, so all
//! pages of a process come in on one subscription here.
//!
//! A replica may lag: what it answers is true, but not always the newest.
//! The module `leader` asks the one that cannot lag.

mod page;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{Message, SubscribeError, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    api::{ApiError, Failure, Question, Requester},
    retry::Retries,
};

pub use page::{Entry, Page};
use page::{PartialPage, stored};

/// How long a read is tried, over all attempts.
pub const READ_DEADLINE: Duration = Duration::from_secs(10);
/// How long one attempt waits for its page to be complete.
pub const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// Most messages in one page.
pub const PAGE_ITEMS: usize = 1_024;

const TOO_MANY_SUBJECTS: u16 = 413;

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
        Ok(self.read(query.stream, query.every()).await?)
    }

    /// The same, for a stream that keeps one message per subject, as a bucket
    /// does. The server finds them by its index of subjects, where it otherwise
    /// walks through the stream: fifty times as fast for few among 20,000.
    ///
    /// # Errors
    /// When nobody answered in that time, or the server refused the request.
    pub async fn page_of_newest(&self, query: Query<'_>) -> Result<Page, Failure> {
        match self.read(query.stream, query.newest()).await {
            // The index serves up to 1,024 subjects; beyond that, walk.
            Err(ApiError::Server(error)) if error.status == TOO_MANY_SUBJECTS => {
                self.page(query).await
            }
            outcome => Ok(outcome?),
        }
    }

    /// The newest message of each of these subjects, which may hold no
    /// wildcards, and be no more than [`PAGE_ITEMS`]; those that have none are
    /// left out.
    ///
    /// # Errors
    /// When nobody answered within [`READ_DEADLINE`], or the server refused the request.
    pub async fn newest_of(
        &self,
        stream: &str,
        subjects: &[String],
    ) -> Result<Vec<Entry>, Failure> {
        if subjects.is_empty() {
            return Ok(Vec::new());
        }
        let request = json!({ "multi_last": subjects, "batch": PAGE_ITEMS });
        Ok(self.read(stream, request.to_string().into()).await?.entries)
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

    async fn read(&self, stream: &str, request: Bytes) -> Result<Page, ApiError> {
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        let mut retries = Retries::within(READ_DEADLINE);
        loop {
            let attempt = self.page_once(&subject, request.clone());
            let timeout = retries.attempt(READ_TIMEOUT);
            match self.requester.unless_lost(timeout, attempt).await {
                Err(error) if error.is_transient() && retries.pause().await => {
                    tracing::debug!(stream, %error, "reading again");
                }
                outcome => return outcome,
            }
        }
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
    fn every(self) -> Bytes {
        self.request(json!({ "next_by_subj": self.filter }))
    }

    fn newest(self) -> Bytes {
        self.request(json!({ "multi_last": [self.filter] }))
    }

    fn request(self, mut request: Value) -> Bytes {
        request["seq"] = self.from.max(1).into();
        request["batch"] = self.max_items.clamp(1, PAGE_ITEMS).into();
        request["max_bytes"] = self.max_bytes.max(1).into();
        request.to_string().into()
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
