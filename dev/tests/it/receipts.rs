//! The receipts worker on a real nats-server: what it does, in which order,
//! and what it leaves behind when things die.

use std::{collections::BTreeMap, time::Duration};

use async_nats::{Message, Subscriber, jetstream::consumer::PullConsumer};
use dev::{NatsServer, SyncMode};
use futures_util::{StreamExt as _, future::join_all};
use nats::{
    Bus, Inboxes, NatsOptions, ReceiptsKv, Topology, reconcile,
    subject::{self, Shards},
};
use schemas::{
    ChatId, DeviceId, GroupId, Micros, UserId,
    event::{Acked, Mark, MarkedRead, ReadMark, ReadMarks, ReceiptsBatch, Watermark},
};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::support::{self, PATIENCE, until};

/// A nats-server with Petrel's streams, and what a gateway would do there.
struct Post {
    server: NatsServer,
    bus: Bus,
    inboxes: Inboxes,
    receipts: ReceiptsKv,
    /// A worker needs it; no media come here.
    media: TempDir,
}

impl Post {
    async fn open() -> Self {
        let server = NatsServer::start(SyncMode::Default).await.unwrap();
        let declared = Topology { shards: Shards::new(2).unwrap(), ..Topology::default() };
        let options = NatsOptions { nats: vec![server.url()], shards: 2 };
        let bus = Bus::connect(&options, "test").await.unwrap();
        reconcile::apply(&bus, &declared).await.unwrap();
        let (inboxes, receipts) = (Inboxes::new(bus.clone()), ReceiptsKv::new(bus.clone()));
        Self { server, bus, inboxes, receipts, media: TempDir::new().unwrap() }
    }

    async fn worker(&self, flags: &[&str]) -> workers::Running {
        let media = format!("--media={}", self.media.path().display());
        let flags = [media.as_str()].into_iter().chain(flags.iter().copied());
        support::worker(&self.server, self.bus.shards, flags).await
    }

    /// Events that a dead worker had in hand go to another this soon.
    async fn redeliver_after(&self, ack_wait: Duration) {
        let stream = self.bus.jetstream.get_stream(subject::RECEIPTS_STREAM).await.unwrap();
        let consumer: PullConsumer = stream.get_consumer(subject::RECEIPTS_CONSUMER).await.unwrap();
        let mut config = consumer.cached_info().config.clone();
        config.ack_wait = ack_wait;
        stream.create_consumer(config).await.unwrap();
    }

    /// Messages in the inbox of a device; gives their positions.
    async fn store(&self, to: Device, count: usize) -> Vec<u64> {
        let stored = (0..count).map(async |_| {
            let id = UserId::mint().to_string();
            self.inboxes.store(to.user, to.device, &id, "{}".into()).await.unwrap().seq
        });
        let mut seqs = join_all(stored).await;
        seqs.sort_unstable();
        seqs
    }

    async fn say(&self, event: &ReceiptsBatch) {
        self.say_bytes(serde_json::to_vec(event).unwrap()).await;
    }

    async fn say_bytes(&self, event: Vec<u8>) {
        let said = self.bus.jetstream.publish(subject::RECEIPTS, event.into()).await;
        said.unwrap().await.unwrap();
    }

    async fn watermark(&self, sender: UserId, chat: ChatId, reader: UserId) -> Watermark {
        let key = subject::receipt_key(sender, chat, reader);
        let found = self.receipts.get(&key).await.unwrap();
        found.map(|found| serde_json::from_slice(&found.value).unwrap()).unwrap_or_default()
    }

    async fn left_in(&self, of: Device) -> Vec<u64> {
        let page = self.inboxes.read(of.user, of.device, 0, 1_000, 1_000_000).await.unwrap();
        page.messages.iter().map(|message| message.seq).collect()
    }

    async fn messages_in(&self, stream: &str) -> u64 {
        let stream = self.bus.jetstream.get_stream(stream).await.unwrap();
        stream.cached_info().state.messages
    }

    /// All that passes through the server from now on, in its order.
    async fn tap(&self) -> Tap {
        let tap = Tap(self.bus.client.subscribe(">").await.unwrap());
        self.bus.client.flush().await.unwrap();
        tap
    }
}

struct Tap(Subscriber);

impl Tap {
    /// The next message that answers this.
    async fn until<T>(&mut self, what: &str, mut find: impl FnMut(&Message) -> Option<T>) -> T {
        let found = async {
            loop {
                let message = self.0.next().await.unwrap();
                if let Some(found) = find(&message) {
                    return found;
                }
            }
        };
        let found = timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("waited in vain for {what}"))
    }

    async fn until_step(&mut self, step: Step) {
        self.until(&format!("{step:?}"), |message| (Step::of(message) == Some(step)).then_some(()))
            .await;
    }

    /// The steps up to so many acknowledged events.
    async fn steps_until_acked(&mut self, events: usize) -> Vec<Step> {
        let (mut steps, mut acked) = (Vec::new(), 0);
        self.until(&format!("{events} acknowledged events"), |message| {
            let step = Step::of(message)?;
            steps.push(step);
            acked += usize::from(step == Step::Acknowledged);
            (acked == events).then_some(())
        })
        .await;
        steps
    }
}

/// What the worker does, as it shows on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A value was written to the bucket and told.
    Told,
    /// A message is to be deleted.
    Delete,
    /// Messages are to be purged.
    Purge,
    /// The event is done.
    Acknowledged,
}

impl Step {
    fn of(message: &Message) -> Option<Self> {
        let subject = message.subject.as_str();
        let starts = |prefix| subject.starts_with(prefix);
        match () {
            () if starts("user.") => Some(Self::Told),
            () if starts("$JS.API.STREAM.MSG.DELETE.INBOX_") => Some(Self::Delete),
            () if starts("$JS.API.STREAM.PURGE.INBOX_") => Some(Self::Purge),
            () if starts("$JS.ACK.RECEIPTS.") && &*message.payload == b"+ACK" => {
                Some(Self::Acknowledged)
            }
            () => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Device {
    user: UserId,
    device: DeviceId,
}

impl Device {
    fn new() -> Self {
        Self { user: UserId::mint(), device: DeviceId::mint() }
    }

    /// One whose user's inboxes lie in this shard.
    fn in_shard(shards: Shards, shard: u32) -> Self {
        std::iter::repeat_with(Self::new).find(|device| shards.of(device.user) == shard).unwrap()
    }

    /// This device stored these messages of one sender.
    fn acked(self, from: UserId, ts: i64, seqs: Vec<u64>) -> ReceiptsBatch {
        let marks = vec![Mark { chat: ChatId::User(from), from, ts: Micros(ts) }];
        let acked = Acked { user: self.user, device: self.device, seqs, marks };
        ReceiptsBatch { acked: vec![acked], read: vec![] }
    }

    fn read(self, from: UserId, read: i64, acked: i64, public: bool) -> ReceiptsBatch {
        let mark = ReadMark { read: Micros(read), acked: Micros(acked) };
        let read = MarkedRead {
            user: self.user,
            device: self.device,
            chat: ChatId::User(from),
            marks: BTreeMap::from([(from, mark)]),
            public,
        };
        ReceiptsBatch { acked: vec![], read: vec![read] }
    }
}

fn delivered(ts: i64) -> Watermark {
    Watermark { delivered: Micros(ts), read: Micros(0) }
}

#[tokio::test]
async fn the_tick_comes_first_then_the_delete_and_the_event_is_done_last() {
    let post = Post::open().await;
    let (alice, bob) = (UserId::mint(), Device::new());
    let seqs = post.store(bob, 3).await;
    let mut tap = post.tap().await;
    let worker = post.worker(&[]).await;

    post.say(&bob.acked(alice, 7, seqs[..2].to_vec())).await;
    let steps = tap.steps_until_acked(1).await;
    assert_eq!(steps, [Step::Told, Step::Delete, Step::Delete, Step::Acknowledged]);
    assert_eq!(post.watermark(alice, ChatId::User(bob.user), bob.user).await, delivered(7));
    assert_eq!(post.left_in(bob).await, seqs[2..]);

    // Nothing is told twice, and what is deleted stays so.
    post.say(&bob.acked(alice, 6, seqs[..2].to_vec())).await;
    let steps = tap.steps_until_acked(1).await;
    assert!(!steps.contains(&Step::Told), "{steps:?}");
    until_empty(&post, subject::RECEIPTS_STREAM).await;
    worker.drain();
    worker.wait().await.unwrap();
}

#[tokio::test]
async fn reading_is_told_to_the_sender_unless_private_and_to_ones_own_devices() {
    let post = Post::open().await;
    let (alice, bob) = (UserId::mint(), Device::new());
    let mut tap = post.tap().await;
    let _worker = post.worker(&[]).await;
    let chat = ChatId::User(bob.user);
    let own = async || {
        let found = post.receipts.get(&subject::read_key(bob.user, ChatId::User(alice))).await;
        serde_json::from_slice::<ReadMarks>(&found.unwrap().unwrap().value).unwrap()
    };

    post.say(&bob.read(alice, 9, 5, false)).await;
    tap.steps_until_acked(1).await;
    assert_eq!(post.watermark(alice, chat, bob.user).await, delivered(5));
    assert_eq!(own().await.marks, BTreeMap::from([(alice, Micros(5))]));
    assert_eq!(own().await.device, Some(bob.device));

    post.say(&bob.read(alice, 9, 6, true)).await;
    tap.steps_until_acked(1).await;
    let both = Watermark { delivered: Micros(6), read: Micros(6) };
    assert_eq!(post.watermark(alice, chat, bob.user).await, both);

    // Nobody ever wrote to this one: a mark of nothing leaves nothing behind.
    post.say(&bob.read(UserId::mint(), 9, 0, true)).await;
    let steps = tap.steps_until_acked(1).await;
    assert_eq!(steps, [Step::Acknowledged]);
}

#[tokio::test]
async fn a_backlog_goes_with_one_purge() {
    let post = Post::open().await;
    let (alice, bob) = (UserId::mint(), Device::new());
    let seqs = post.store(bob, 300).await;
    let mut tap = post.tap().await;
    let _worker = post.worker(&[]).await;

    post.say(&bob.acked(alice, 1, seqs[..250].to_vec())).await;
    let steps = tap.steps_until_acked(1).await;
    assert_eq!(steps, [Step::Told, Step::Purge, Step::Acknowledged]);
    assert_eq!(post.left_in(bob).await, seqs[250..]);
}

#[tokio::test]
async fn an_acknowledgement_that_comes_too_early_takes_nothing_older_along() {
    let post = Post::open().await;
    let (alice, bob) = (UserId::mint(), Device::new());
    let seqs = post.store(bob, 100).await;
    let mut tap = post.tap().await;
    let _worker = post.worker(&[]).await;

    post.say(&bob.acked(alice, 2, seqs[50..].to_vec())).await;
    let steps = tap.steps_until_acked(1).await;
    assert!(!steps.contains(&Step::Purge), "{steps:?}");
    assert_eq!(post.left_in(bob).await, seqs[..50]);
}

#[tokio::test]
async fn what_is_no_event_is_put_aside_and_holds_up_nothing() {
    let post = Post::open().await;
    let (alice, bob) = (UserId::mint(), Device::new());
    let seqs = post.store(bob, 1).await;
    post.say_bytes(b"garbage".to_vec()).await;
    post.say_bytes(vec![b'['; 100_000]).await;
    post.say(&bob.acked(alice, 7, seqs)).await;
    let mut tap = post.tap().await;
    let _worker = post.worker(&[]).await;

    let mut terms = 0;
    tap.until("two terminations", |message| {
        terms += usize::from(&*message.payload == b"+TERM");
        (terms == 2).then_some(())
    })
    .await;
    let dead = post.bus.jetstream.get_stream(subject::DEAD_STREAM).await.unwrap();
    assert_eq!(dead.cached_info().state.messages, 2);
    let copy = dead.get_raw_message(1).await.unwrap();
    assert_eq!(copy.subject.as_str(), subject::dead(subject::RECEIPTS));
    assert_eq!(&*copy.payload, b"garbage");
    assert_eq!(copy.headers.get("Petrel-Sequence").unwrap().as_str(), "1");
    assert!(copy.headers.get("Petrel-Reason").unwrap().as_str().contains("line 1"));

    // The server has heard of the terminations only when it has answered this.
    post.bus.client.flush().await.unwrap();
    until_empty(&post, subject::RECEIPTS_STREAM).await;
    assert_eq!(post.left_in(bob).await, Vec::<u64>::new());
}

/// An acknowledgement is not answered, so the stream is asked until it is empty.
async fn until_empty(post: &Post, stream: &str) {
    let empty = async || post.messages_in(stream).await == 0;
    until(empty, format_args!("{stream} is empty")).await;
}

#[tokio::test]
async fn a_worker_that_dies_between_tick_and_delete_is_followed_by_another() {
    let post = Post::open().await;
    post.redeliver_after(Duration::from_millis(500)).await;
    let alice = UserId::mint();
    // Too few each for a purge, and one delete at a time.
    let devices: Vec<Device> = (0..200).map(|_| Device::new()).collect();
    let mut event = ReceiptsBatch::default();
    for device in &devices {
        let seqs = post.store(*device, 3).await;
        event.acked.extend(device.acked(alice, 7, seqs).acked);
    }
    let mut tap = post.tap().await;
    let doomed = post.worker(&["--deletes", "1"]).await;
    post.say(&event).await;
    tap.until_step(Step::Delete).await;
    drop(doomed);

    let inboxes = || [0, 1].map(subject::inbox_stream);
    let left = join_all(inboxes().iter().map(|stream| post.messages_in(stream))).await;
    assert!(left.iter().sum::<u64>() > 0, "it died too late for this test to mean anything");

    let mut tap = post.tap().await;
    let _worker = post.worker(&[]).await;
    let steps = tap.steps_until_acked(1).await;
    assert!(!steps.contains(&Step::Told), "the watermarks were there already");
    for stream in inboxes() {
        assert_eq!(post.messages_in(&stream).await, 0);
    }
    for device in devices {
        let watermark = post.watermark(alice, ChatId::User(device.user), device.user).await;
        assert_eq!(watermark, delivered(7));
    }
}

#[tokio::test]
async fn two_workers_share_the_work_and_the_watermarks() {
    const EVENTS: usize = 400;
    let post = Post::open().await;
    post.redeliver_after(Duration::from_millis(500)).await;
    let (alice, group) = (UserId::mint(), ChatId::Group(GroupId::mint()));
    let bobs: Vec<Device> = {
        let user = UserId::mint();
        (0..4).map(|_| Device { user, device: DeviceId::mint() }).collect()
    };
    let (doomed, _worker) =
        tokio::join!(post.worker(&["--batch", "4"]), post.worker(&["--batch", "4"]));
    let mut tap = post.tap().await;

    // All devices of one user move the same two watermarks.
    let events = (0..EVENTS).map(async |n| {
        let (bob, ts) = (bobs[n % bobs.len()], i64::try_from(n).unwrap() + 1);
        let mut event = bob.acked(alice, ts, post.store(bob, 1).await);
        event.acked[0].marks.push(Mark { chat: group, from: alice, ts: Micros(2 * ts) });
        post.say(&event).await;
    });
    let dies = async {
        tap.steps_until_acked(EVENTS / 4).await;
        drop(doomed);
    };
    tokio::join!(join_all(events), dies);
    until_empty(&post, subject::RECEIPTS_STREAM).await;

    let last = i64::try_from(EVENTS).unwrap();
    let bob = bobs[0].user;
    assert_eq!(post.watermark(alice, ChatId::User(bob), bob).await, delivered(last));
    assert_eq!(post.watermark(alice, group, bob).await, delivered(2 * last));
    for bob in bobs {
        assert_eq!(post.left_in(bob).await, Vec::<u64>::new());
    }
}

#[tokio::test]
async fn a_drained_worker_finishes_what_it_has_and_gives_the_rest_back() {
    const EVENTS: usize = 2_000;
    let post = Post::open().await;
    let alice = UserId::mint();
    for _ in 0..EVENTS {
        post.say(&Device::new().acked(alice, 1, vec![1_000_000, 1_000_001])).await;
    }
    let mut tap = post.tap().await;
    let first = post.worker(&["--in-hand", "10", "--deletes", "1"]).await;
    tap.steps_until_acked(50).await;
    first.drain();
    first.wait().await.unwrap();
    let left = usize::try_from(post.messages_in(subject::RECEIPTS_STREAM).await).unwrap();
    assert!((1..EVENTS).contains(&left), "{left} events left");

    // The declared `ack_wait` is 30 s; what was given back does not wait for it.
    let _second = post.worker(&[]).await;
    let emptied = timeout(Duration::from_secs(20), until_empty(&post, subject::RECEIPTS_STREAM));
    emptied.await.expect("the next worker had to wait for what the first had pulled");
}

#[tokio::test]
async fn a_server_that_dies_takes_the_queue_along_and_the_worker_goes_on() {
    let post = Post::open().await;
    let (alice, bob) = (UserId::mint(), Device::new());
    let seqs = post.store(bob, 2).await;
    let worker = post.worker(&[]).await;
    let mut tap = post.tap().await;
    post.say(&bob.acked(alice, 1, seqs[..1].to_vec())).await;
    tap.steps_until_acked(1).await;

    post.server.kill9().await;
    post.server.restart().await.unwrap();
    // As a gateway does: nobody takes it until the worker has made the queue again.
    let event = serde_json::to_vec(&bob.acked(alice, 2, seqs[1..].to_vec())).unwrap();
    let taken = async || {
        let said = post.bus.jetstream.publish(subject::RECEIPTS, event.clone().into()).await;
        said.unwrap().await.is_ok()
    };
    until(taken, "the queue is made again").await;
    until_empty(&post, &subject::inbox_stream(post.bus.shards.of(bob.user))).await;
    assert_eq!(post.watermark(alice, ChatId::User(bob.user), bob.user).await, delivered(2));

    // The same when no worker saw it: the next to start makes it again.
    drop(worker);
    post.server.kill9().await;
    post.server.restart().await.unwrap();
    let _worker = post.worker(&[]).await;
    post.say(&bob.acked(alice, 3, vec![])).await;
    until_empty(&post, subject::RECEIPTS_STREAM).await;
    assert_eq!(post.watermark(alice, ChatId::User(bob.user), bob.user).await, delivered(3));
}

#[tokio::test]
async fn a_shard_that_is_gone_holds_up_only_its_own_deletes() {
    let post = Post::open().await;
    let alice = UserId::mint();
    let gone = Device::in_shard(post.bus.shards, 0);
    let there = Device::in_shard(post.bus.shards, 1);
    let seqs = post.store(there, 1).await;
    let _worker = post.worker(&[]).await;
    post.bus.jetstream.delete_stream(subject::inbox_stream(0)).await.unwrap();
    let mut tap = post.tap().await;

    post.say(&gone.acked(alice, 1, vec![1])).await;
    post.say(&there.acked(alice, 2, seqs)).await;
    tap.steps_until_acked(1).await;
    assert_eq!(post.left_in(there).await, Vec::<u64>::new());
    for (device, ts) in [(gone, 1), (there, 2)] {
        let chat = ChatId::User(device.user);
        assert_eq!(post.watermark(alice, chat, device.user).await, delivered(ts));
    }
    assert_eq!(post.messages_in(subject::RECEIPTS_STREAM).await, 1, "the other's comes again");

    let declared = Topology { shards: post.bus.shards, ..Topology::default() };
    reconcile::apply(&post.bus, &declared).await.unwrap();
    until_empty(&post, subject::RECEIPTS_STREAM).await;
}

#[tokio::test]
async fn the_admin_port_says_how_it_is() {
    let post = Post::open().await;
    let mut tap = post.tap().await;
    let worker = post.worker(&[]).await;
    post.say(&Device::new().acked(UserId::mint(), 1, vec![1])).await;
    tap.steps_until_acked(1).await;

    let admin = format!("http://{}", worker.admin_addr);
    let get = async |path: &str| reqwest::get(format!("{admin}{path}")).await.unwrap();
    assert!(get("/live").await.status().is_success());
    assert!(get("/ready").await.status().is_success());
    let metrics = get("/metrics").await.text().await.unwrap();
    for metric in ["petrel_receipts_written_total", "petrel_worker_batch_seconds_bucket"] {
        assert!(metrics.contains(metric), "{metric} is missing in:\n{metrics}");
    }
    worker.drain();
    worker.wait().await.unwrap();
    assert!(reqwest::get(format!("{admin}/live")).await.is_err());
}
