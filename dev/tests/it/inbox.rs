//! Inboxes and the receipts bucket on a real nats-server.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use dev::{NatsCluster, NatsServer, SyncMode};
use futures_util::{StreamExt as _, future::join_all};
use nats::{
    Bus, Inboxes, NatsOptions, ReceiptsKv, Topology,
    api::Failure,
    direct::Query,
    inbox::{STORE_DEADLINE, StoreError, Stored},
    receipts::PutError,
    reconcile,
    subject::{self, Shard, Shards},
};
use schemas::{ChatId, DeviceId, UserId};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::support::{PATIENCE, undisturbed, until};

async fn connect(urls: Vec<String>, declared: &Topology) -> Bus {
    let options = NatsOptions { nats: urls, shards: declared.shards.count() };
    let bus = Bus::connect(&options, "test").await.unwrap();
    reconcile::apply(&bus, declared).await.unwrap();
    bus.ready().await.unwrap();
    bus
}

async fn inboxes(declared: Topology) -> (NatsServer, Bus, Inboxes) {
    let server = NatsServer::start(SyncMode::Default).await.unwrap();
    let bus = connect(vec![server.url()], &declared).await;
    let inboxes = Inboxes::new(bus.clone());
    (server, bus, inboxes)
}

/// One shard, so that all users of a test share a stream.
fn one_shard() -> Topology {
    Topology { shards: Shards::new(1).unwrap(), ..Topology::default() }
}

fn body(text: &str) -> Bytes {
    format!(r#"{{"id":"{text}"}}"#).into()
}

/// How often each payload lies in all inboxes together.
async fn copies(bus: &Bus) -> BTreeMap<Bytes, usize> {
    let mut copies = BTreeMap::new();
    for shard in bus.shards.all() {
        for payload in all_of(bus, shard).await {
            *copies.entry(payload).or_default() += 1;
        }
    }
    copies
}

/// Everything in a shard. A replica that was away may lag: it is read again until
/// there is as much as the leader has.
async fn all_of(bus: &Bus, shard: Shard) -> Vec<Bytes> {
    let (stream, filter) = (subject::inbox_stream(shard), subject::inbox_wildcard(shard));
    loop {
        let info = bus.jetstream.get_stream(&stream).await.unwrap();
        let count = usize::try_from(info.cached_info().state.messages).unwrap();
        let mut payloads = Vec::with_capacity(count);
        let mut from = 1;
        loop {
            let max_items = nats::direct::PAGE_ITEMS;
            let query =
                Query { stream: &stream, filter: &filter, from, max_items, max_bytes: 1 << 20 };
            let page = bus.reads.page(query).await.unwrap();
            from = page.entries.last().map_or(from, |last| last.seq + 1);
            payloads.extend(page.entries.into_iter().map(|entry| entry.payload));
            if page.end {
                break;
            }
        }
        if payloads.len() == count {
            return payloads;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_message_is_stored_once_per_id() {
    let (_server, bus, inboxes) = inboxes(Topology::default()).await;
    let (user, device) = (UserId::mint(), DeviceId::mint());

    let first = inboxes.store(user, device, "a.1", body("1")).await.unwrap();
    let again = inboxes.store(user, device, "a.1", body("1")).await.unwrap();
    let second = inboxes.store(user, device, "a.2", body("2")).await.unwrap();

    assert!(!first.duplicate);
    assert_eq!(again, Stored { seq: first.seq, duplicate: true });
    assert!(second.seq > first.seq && !second.duplicate);

    let page = inboxes.read(user, device, 0, 64, 1 << 20).await.unwrap();
    let read: Vec<_> = page.messages.iter().map(|entry| (entry.seq, &entry.payload)).collect();
    assert_eq!(read, [(first.seq, &body("1")), (second.seq, &body("2"))]);
    assert!(page.end);

    // Also when it was delivered and deleted before its sender tried again.
    inboxes.delete(user, first.seq).await.unwrap();
    let late = inboxes.store(user, device, "a.1", body("1")).await.unwrap();
    assert_eq!(late, Stored { seq: first.seq, duplicate: true });
    assert_eq!(copies(&bus).await, BTreeMap::from([(body("2"), 1)]));
}

#[tokio::test]
async fn a_full_inbox_refuses_and_keeps_what_it_has() {
    undisturbed(async || {
        let declared = Topology { inbox_max_messages: 3, ..one_shard() };
        let (_server, _bus, inboxes) = inboxes(declared).await;
        let (user, device) = (UserId::mint(), DeviceId::mint());
        for n in 0..3 {
            inboxes.store(user, device, &format!("a.{n}"), body("x")).await.unwrap();
        }

        let asked = Instant::now();
        let refused = inboxes.store(user, device, "a.3", body("x")).await;
        assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
        assert!(asked.elapsed() < STORE_DEADLINE / 2, "a full inbox is no reason to try again");

        // What is stored already stays Sent, and other devices are not concerned.
        let retried = inboxes.store(user, device, "a.1", body("x")).await.unwrap();
        assert!(retried.duplicate);
        inboxes.store(user, DeviceId::mint(), "b.1", body("x")).await.unwrap();

        let page = inboxes.read(user, device, 0, 64, 1 << 20).await.unwrap();
        assert_eq!(page.messages.len(), 3);
        inboxes.delete(user, page.messages[0].seq).await.unwrap();
        inboxes.store(user, device, "a.3", body("x")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn pages_of_any_size_add_up_to_the_inbox() {
    let (_server, _bus, inboxes) = inboxes(one_shard()).await;
    let (user, device, other) = (UserId::mint(), DeviceId::mint(), DeviceId::mint());
    let mut stored = Vec::new();
    for n in 0..200_usize {
        let payload = Bytes::from(vec![b'x'; 1 + (n * 37) % 3_000]);
        let entry = inboxes.store(user, device, &format!("a.{n}"), payload.clone()).await.unwrap();
        stored.push((entry.seq, payload));
        inboxes.store(user, other, &format!("b.{n}"), body("other")).await.unwrap();
    }
    for n in [0, 1, 7, 100, 199] {
        inboxes.delete(user, stored[n].0).await.unwrap();
    }
    let mut n = 0;
    stored.retain(|_| {
        n += 1;
        ![0, 1, 7, 100, 199].contains(&(n - 1))
    });

    for (max_items, max_bytes) in
        [(1, 1 << 20), (2, 1 << 20), (64, 1 << 20), (1_000, 1 << 20), (64, 1), (64, 4_000)]
    {
        let mut read = Vec::new();
        let mut from = 0;
        loop {
            let page = inboxes.read(user, device, from, max_items, max_bytes).await.unwrap();
            assert!(page.messages.len() <= max_items);
            let bytes: usize = page.messages.iter().map(|entry| entry.payload.len()).sum();
            assert!(bytes <= max_bytes + 3_000, "{bytes} of {max_bytes}");
            read.extend(page.messages.into_iter().map(|entry| (entry.seq, entry.payload)));
            from = read.last().unwrap().0 + 1;
            assert_eq!(page.end, read.len() == stored.len(), "{max_items} {max_bytes}");
            if page.end {
                break;
            }
        }
        assert_eq!(read, stored, "{max_items} {max_bytes}");
    }

    let beyond = inboxes.read(user, device, stored.last().unwrap().0 + 1, 64, 1 << 20).await;
    assert_eq!(beyond.unwrap(), nats::inbox::Page { messages: Vec::new(), end: true });
    let nobody = inboxes.read(UserId::mint(), device, 0, 64, 1 << 20).await.unwrap();
    assert!(nobody.messages.is_empty() && nobody.end);
}

#[tokio::test]
async fn many_pages_at_once_do_not_mix() {
    let (_server, _bus, inboxes) = inboxes(one_shard()).await;
    let users: Vec<_> = (0..20).map(|_| (UserId::mint(), DeviceId::mint())).collect();
    for n in 0..30 {
        let stores = users.iter().map(|(user, device)| {
            let inboxes = &inboxes;
            async move {
                let id = format!("{user}.{n}");
                inboxes.store(*user, *device, &id, body(&id)).await.unwrap()
            }
        });
        join_all(stores).await;
    }
    let reads = (0..10).flat_map(|_| &users).map(|(user, device)| {
        let inboxes = &inboxes;
        async move {
            let page = inboxes.read(*user, *device, 0, 64, 1 << 20).await.unwrap();
            let expected: Vec<_> = (0..30).map(|n| body(&format!("{user}.{n}"))).collect();
            let read: Vec<_> = page.messages.into_iter().map(|entry| entry.payload).collect();
            assert_eq!(read, expected);
            assert!(page.end);
        }
    });
    join_all(reads).await;
}

#[tokio::test]
async fn the_leader_gives_what_comes_next() {
    let (_server, _bus, inboxes) = inboxes(one_shard()).await;
    let (user, device) = (UserId::mint(), DeviceId::mint());
    let first = inboxes.store(user, device, "a.1", body("1")).await.unwrap().seq;
    inboxes.store(user, DeviceId::mint(), "b.1", body("other")).await.unwrap();
    let second = inboxes.store(user, device, "a.2", body("2")).await.unwrap().seq;

    for (from, expected) in [
        (0, Some((first, body("1")))),
        (first, Some((first, body("1")))),
        (first + 1, Some((second, body("2")))),
        (second + 1, None),
    ] {
        let found = inboxes.read_leader(user, device, from).await.unwrap();
        assert_eq!(found.map(|entry| (entry.seq, entry.payload)), expected, "from {from}");
    }
}

#[tokio::test]
async fn one_message_is_got_by_its_owner_only() {
    let (_server, _bus, inboxes) = inboxes(one_shard()).await;
    let (alice, bob, device) = (UserId::mint(), UserId::mint(), DeviceId::mint());
    let seq = inboxes.store(alice, device, "a.1", body("1")).await.unwrap().seq;

    assert_eq!(inboxes.get(alice, seq).await.unwrap(), Some(body("1")));
    assert_eq!(inboxes.get(bob, seq).await.unwrap(), None);
    assert_eq!(inboxes.get(alice, seq + 1).await.unwrap(), None);
}

#[tokio::test]
async fn what_was_deleted_is_nowhere() {
    let (_server, bus, inboxes) = inboxes(one_shard()).await;
    let (user, device) = (UserId::mint(), DeviceId::mint());
    let kept = inboxes.store(user, device, "a.1", body("kept")).await.unwrap().seq;
    let gone = inboxes.store(user, device, "a.2", body("gone")).await.unwrap().seq;

    inboxes.delete(user, gone).await.unwrap();

    assert_eq!(inboxes.get(user, gone).await.unwrap(), None);
    assert_eq!(inboxes.read_leader(user, device, gone).await.unwrap(), None);
    let page = inboxes.read(user, device, 0, 64, 1 << 20).await.unwrap();
    assert_eq!(page.messages.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [kept]);
    assert_eq!(copies(&bus).await, BTreeMap::from([(body("kept"), 1)]));

    // Deleting is for at-least-once workers: what is gone may be deleted again,
    // at the stream's start, within it, at its end and beyond.
    for seq in [gone, kept, kept, gone, 0, gone + 1_000] {
        inboxes.delete(user, seq).await.unwrap();
    }
    assert!(copies(&bus).await.is_empty());
}

#[tokio::test]
async fn a_purge_is_inclusive_and_of_one_device() {
    let (_server, _bus, inboxes) = inboxes(one_shard()).await;
    let (user, device, other) = (UserId::mint(), DeviceId::mint(), DeviceId::mint());
    let mut seqs = Vec::new();
    for n in 0..10 {
        seqs.push(inboxes.store(user, device, &format!("a.{n}"), body("x")).await.unwrap().seq);
        inboxes.store(user, other, &format!("b.{n}"), body("y")).await.unwrap();
    }
    let left = async |device| {
        let page = inboxes.read(user, device, 0, 64, 1 << 20).await.unwrap();
        page.messages.into_iter().map(|entry| entry.seq).collect::<Vec<_>>()
    };

    assert_eq!(inboxes.purge(user, device, Some(0)).await.unwrap(), 0);
    assert_eq!(left(device).await, seqs);
    assert_eq!(inboxes.purge(user, device, Some(seqs[4])).await.unwrap(), 5);
    assert_eq!(left(device).await, seqs[5..]);
    assert_eq!(inboxes.purge(user, device, Some(seqs[4])).await.unwrap(), 0);
    assert_eq!(inboxes.purge(user, device, None).await.unwrap(), 5);
    assert!(left(device).await.is_empty());
    assert_eq!(inboxes.purge(user, other, Some(u64::MAX)).await.unwrap(), 10);
    assert!(left(other).await.is_empty());
}

#[tokio::test]
async fn an_aged_message_goes_by_itself() {
    let declared = Topology { message_age: Duration::from_secs(1), ..one_shard() };
    let (_server, _bus, inboxes) = inboxes(declared).await;
    let (user, device) = (UserId::mint(), DeviceId::mint());
    inboxes.store(user, device, "a.1", body("1")).await.unwrap();

    let gone = async || inboxes.read_leader(user, device, 0).await.unwrap().is_none();
    until(gone, "the message has gone").await;
}

#[tokio::test]
async fn a_stored_message_is_republished_with_what_shows_a_gap() {
    let (_server, bus, inboxes) = inboxes(Topology::default()).await;
    let (user, device) = (UserId::mint(), DeviceId::mint());
    let live = subject::live(user, device);
    let mut live = bus.client.subscribe(live).await.unwrap();
    bus.client.flush().await.unwrap();

    let mut last = 0;
    for n in 0..3 {
        let id = format!("a.{n}");
        let stored = inboxes.store(user, device, &id, body(&id)).await.unwrap();
        let message = timeout(PATIENCE, live.next()).await.unwrap().unwrap();
        let headers = message.headers.unwrap();
        assert_eq!(message.payload, body(&id));
        assert_eq!(headers.get("Nats-Sequence").unwrap().as_str(), stored.seq.to_string());
        assert_eq!(headers.get("Nats-Last-Sequence").unwrap().as_str(), last.to_string());
        last = stored.seq;
    }
}

#[tokio::test]
async fn a_receipt_is_written_by_compare_and_set() {
    let (_server, bus, _inboxes) = inboxes(Topology::default()).await;
    let receipts = ReceiptsKv::new(bus);
    let (sender, reader) = (UserId::mint(), UserId::mint());
    let key = subject::receipt_key(sender, ChatId::User(reader), reader);

    assert_eq!(receipts.get(&key).await.unwrap(), None);
    assert_eq!(receipts.get_newest(&key).await.unwrap(), None);
    let first = receipts.put(&key, "1".into(), 0).await.unwrap();
    let second = receipts.put(&key, "2".into(), first).await.unwrap();
    assert!(second > first);

    for stale in [0, first, second + 1] {
        let lost = receipts.put(&key, "3".into(), stale).await;
        assert!(matches!(lost, Err(PutError::Conflict)), "{stale}: {lost:?}");
    }
    let now = receipts.get(&key).await.unwrap().unwrap();
    assert_eq!((now.value, now.revision), ("2".into(), second));
    let newest = receipts.get_newest(&key).await.unwrap().unwrap();
    assert_eq!((newest.value, newest.revision), ("2".into(), second));
}

#[tokio::test]
async fn of_many_writers_of_a_receipt_one_wins_each_round() {
    let (_server, bus, _inboxes) = inboxes(Topology::default()).await;
    let receipts = ReceiptsKv::new(bus);
    let user = UserId::mint();
    let key = subject::read_key(user, ChatId::User(user));

    // Each adds one, as often as it takes: none of the additions may be lost.
    let add = async || {
        loop {
            let now = receipts.get_newest(&key).await.unwrap();
            let revision = now.as_ref().map_or(0, |now| now.revision);
            let count = now.map_or(0, |now| String::from_utf8_lossy(&now.value).parse().unwrap());
            match receipts.put(&key, (count + 1_u32).to_string().into(), revision).await {
                Ok(_) => return,
                Err(PutError::Conflict) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    join_all((0..20).map(|_| add())).await;
    assert_eq!(receipts.get_newest(&key).await.unwrap().unwrap().value, "20");
}

#[tokio::test]
async fn receipts_are_read_by_revision_each_key_once() {
    let (_server, bus, _inboxes) = inboxes(Topology::default()).await;
    let receipts = ReceiptsKv::new(bus);
    let (user, other) = (UserId::mint(), UserId::mint());
    let readers: Vec<_> = (0..50).map(|_| UserId::mint()).collect();
    let key = |reader: &UserId| subject::receipt_key(user, ChatId::User(*reader), *reader);
    let mut revisions = BTreeMap::new();
    for reader in &readers {
        revisions.insert(key(reader), receipts.put(&key(reader), "1".into(), 0).await.unwrap());
        receipts
            .put(&subject::read_key(other, ChatId::User(*reader)), "o".into(), 0)
            .await
            .unwrap();
    }
    for reader in readers.iter().step_by(2) {
        let before = revisions[&key(reader)];
        let revision = receipts.put(&key(reader), "2".into(), before).await.unwrap();
        revisions.insert(key(reader), revision);
    }
    let mut expected: Vec<_> = revisions.iter().map(|(key, rev)| (*rev, key.clone())).collect();
    expected.sort();

    for max_items in [1, 7, 1_000] {
        let mut read = Vec::new();
        let mut after = 0;
        loop {
            let page = receipts.read_after(user, after, max_items).await.unwrap();
            assert!(page.items.len() <= max_items);
            read.extend(page.items.into_iter().map(|item| (item.revision, item.key)));
            after = read.last().unwrap().0;
            if page.end {
                break;
            }
        }
        assert_eq!(read, expected, "{max_items}");
    }
    let newest = receipts.read_after(user, expected.last().unwrap().0, 64).await.unwrap();
    assert!(newest.items.is_empty() && newest.end);
}

#[tokio::test]
async fn receipts_beyond_what_the_index_serves_at_once_are_read_too() {
    let (_server, bus, _inboxes) = inboxes(Topology::default()).await;
    let receipts = ReceiptsKv::new(bus);
    let user = UserId::mint();
    let puts = (0..1_100).map(|_| {
        let (receipts, reader) = (&receipts, UserId::mint());
        let key = subject::receipt_key(user, ChatId::User(reader), reader);
        async move { receipts.put(&key, "1".into(), 0).await.unwrap() }
    });
    let mut written = join_all(puts).await;
    written.sort_unstable();

    let mut read = Vec::new();
    loop {
        let after = read.last().copied().unwrap_or(0);
        let page = receipts.read_after(user, after, 500).await.unwrap();
        read.extend(page.items.iter().map(|item| item.revision));
        if page.end {
            break;
        }
    }
    assert_eq!(read, written);
}

#[tokio::test]
async fn a_send_outlasts_the_death_of_the_server() {
    let (server, bus, inboxes) = inboxes(Topology::default()).await;
    let receipts = ReceiptsKv::new(bus.clone());
    let (user, device) = (UserId::mint(), DeviceId::mint());
    inboxes.store(user, device, "a.before", body("before")).await.unwrap();

    server.kill9().await;
    let key = subject::read_key(user, ChatId::User(user));
    let (during, put, read, restarted) = tokio::join!(
        inboxes.store(user, device, "a.during", body("during")),
        receipts.put(&key, "1".into(), 0),
        inboxes.read(user, device, 0, 64, 1 << 20),
        server.restart(),
    );
    restarted.unwrap();
    during.unwrap();
    // Where its acknowledgement was lost, the second attempt meets the first.
    assert!(matches!(put, Ok(_) | Err(PutError::Conflict)), "{put:?}");
    assert_eq!(receipts.get_newest(&key).await.unwrap().unwrap().value, "1");
    assert_eq!(read.unwrap().messages[0].payload, body("before"));

    let again = inboxes.store(user, device, "a.during", body("during")).await.unwrap();
    assert!(again.duplicate);
    assert_eq!(copies(&bus).await, BTreeMap::from([(body("before"), 1), (body("during"), 1)]));
}

/// Writers that store one message after the other.
struct Writers<'a> {
    inboxes: &'a Inboxes,
    /// Acknowledged so far, by all of them.
    progress: watch::Sender<usize>,
    stopped: AtomicBool,
}

impl<'a> Writers<'a> {
    const COUNT: usize = 16;

    fn new(inboxes: &'a Inboxes) -> Self {
        Self { inboxes, progress: watch::Sender::new(0), stopped: AtomicBool::new(false) }
    }

    /// Writes until stopped; gives the bodies that were acknowledged.
    async fn run(&self) -> Vec<Bytes> {
        join_all((0..Self::COUNT).map(|writer| self.write(writer))).await.concat()
    }

    /// Until so many more are acknowledged.
    async fn advance(&self, messages: usize) {
        let mut progress = self.progress.subscribe();
        let goal = *progress.borrow() + messages;
        timeout(PATIENCE, progress.wait_for(|done| *done >= goal)).await.unwrap().unwrap();
    }

    async fn write(&self, writer: usize) -> Vec<Bytes> {
        let (user, device) = (UserId::mint(), DeviceId::mint());
        let mut acknowledged = Vec::new();
        while !self.stopped.load(Ordering::Relaxed) {
            let id = format!("{writer}.{}", acknowledged.len());
            self.inboxes.store(user, device, &id, body(&id)).await.unwrap();
            acknowledged.push(body(&id));
            self.progress.send_modify(|done| *done += 1);
        }
        acknowledged
    }
}

/// Checks that what is acknowledged before, while and after something happens
/// to the servers is there, and once.
async fn nothing_is_lost_or_doubled_while(
    bus: &Bus,
    inboxes: &Inboxes,
    happens: impl AsyncFnOnce(&Writers<'_>),
) {
    const BUSY: usize = 200;
    let writers = Writers::new(inboxes);
    let (acknowledged, ()) = tokio::join!(writers.run(), async {
        writers.advance(BUSY).await;
        happens(&writers).await;
        writers.advance(BUSY).await;
        writers.stopped.store(true, Ordering::Relaxed);
    });
    let expected: BTreeMap<_, _> = acknowledged.into_iter().map(|body| (body, 1)).collect();
    let copies = copies(bus).await;
    let lost: Vec<_> = expected.keys().filter(|body| !copies.contains_key(*body)).collect();
    assert!(lost.is_empty(), "lost {lost:?} of {}", expected.len());
    assert_eq!(copies, expected);
}

#[tokio::test]
async fn a_position_is_clamped_to_the_newest_message_of_its_inbox() {
    let (_server, _, inboxes) = inboxes(one_shard()).await;
    let (user, device, other) = (UserId::mint(), DeviceId::mint(), DeviceId::mint());
    let clamp = async |seq| inboxes.clamp(user, device, seq).await.unwrap();
    let store =
        async |device, id: &str| inboxes.store(user, device, id, body(id)).await.unwrap().seq;
    store(other, "o.1").await;
    assert_eq!(clamp(u64::MAX).await, None);
    let (first, last) = (store(device, "a.1").await, store(device, "a.2").await);
    let beyond = store(other, "o.2").await;
    for (seq, clamped) in [(0, 0), (first, first), (last, last), (beyond, last), (u64::MAX, last)] {
        assert_eq!(clamp(seq).await, Some(clamped), "{seq}");
    }
    inboxes.delete(user, last).await.unwrap();
    assert_eq!(clamp(last).await, Some(first));
}

#[tokio::test]
async fn a_killed_server_loses_and_doubles_nothing() {
    let (server, bus, inboxes) = inboxes(Topology::default()).await;
    nothing_is_lost_or_doubled_while(&bus, &inboxes, async |_| {
        server.kill9().await;
        server.restart().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_killed_node_of_three_loses_and_doubles_nothing() {
    let cluster = NatsCluster::builder().nodes(3).start().await.unwrap();
    let declared = Topology { shards: Shards::new(4).unwrap(), replicas: 3, ..Topology::default() };
    let bus = connect(cluster.urls(), &declared).await;
    let inboxes = Inboxes::new(bus.clone());

    nothing_is_lost_or_doubled_while(&bus, &inboxes, async |writers| {
        let stream = bus.jetstream.get_stream(subject::inbox_stream(0)).await.unwrap();
        let leader = stream.cached_info().cluster.clone().unwrap().leader.unwrap();
        let node = cluster.nodes().iter().find(|node| node.name() == leader).unwrap();
        node.kill9().await;
        // The others elect a leader and go on, before the node is back.
        writers.advance(200).await;
        node.restart().await.unwrap();
    })
    .await;

    // Deleting what is not there is fine on replicated streams too.
    let (user, device) = (UserId::mint(), DeviceId::mint());
    let seq = inboxes.store(user, device, "a.1", body("1")).await.unwrap().seq;
    for seq in [seq, seq, seq + 1_000_000] {
        inboxes.delete(user, seq).await.unwrap();
    }
}

#[tokio::test]
async fn without_a_server_every_call_ends() {
    undisturbed(async || {
        let (server, bus, inboxes) = inboxes(Topology::default()).await;
        let receipts = ReceiptsKv::new(bus);
        let (user, device) = (UserId::mint(), DeviceId::mint());
        server.kill9().await;

        let asked = Instant::now();
        let (stored, read, led, got, clamped, deleted, purged, put) = tokio::join!(
            inboxes.store(user, device, "a.1", body("1")),
            inboxes.read(user, device, 0, 64, 1 << 20),
            inboxes.read_leader(user, device, 0),
            inboxes.get(user, 1),
            inboxes.clamp(user, device, 1),
            inboxes.delete(user, 1),
            inboxes.purge(user, device, None),
            receipts.put("k", "v".into(), 0),
        );
        assert!(asked.elapsed() < STORE_DEADLINE + Duration::from_secs(2));
        assert!(matches!(stored, Err(StoreError::Unavailable(_))), "{stored:?}");
        assert!(matches!(put, Err(PutError::Unavailable(_))), "{put:?}");
        assert!(matches!(read, Err(Failure::Unavailable(_))), "{read:?}");
        assert!(matches!(led, Err(Failure::Unavailable(_))), "{led:?}");
        assert!(matches!(got, Err(Failure::Unavailable(_))), "{got:?}");
        assert!(matches!(clamped, Err(Failure::Unavailable(_))), "{clamped:?}");
        assert!(matches!(deleted, Err(Failure::Unavailable(_))), "{deleted:?}");
        assert!(matches!(purged, Err(Failure::Unavailable(_))), "{purged:?}");
    })
    .await;
}
