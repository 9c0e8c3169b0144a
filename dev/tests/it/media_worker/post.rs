//! A nats-server with Petrel's streams, object storage, and what gateways and
//! clients would do there.

use std::{any::Any, path::Path, sync::Arc, time::Duration};

use async_nats::jetstream::consumer::{Info, PullConsumer};
use dev::{NatsServer, SyncMode};
use futures_util::TryStreamExt as _;
use nats::{Bus, Inboxes, NatsOptions, Topology, media::MediaQueue, reconcile, subject};
use schemas::{
    Body, ChatId, DeviceId, MediaId, Sha256, UserId, body::Event, stored::StoredMessage,
};
use store::{
    Directory, Media, MediaChange, MediaState, NewDevice, NewMedia, NewUser, Objects, PasswordHash,
    Served,
    objects::{MediaPlace, Object, ObjectError, ObjectsOptions, Part, S3Options},
};
use tempfile::TempDir;

use crate::{
    objects::s3,
    support::{self, until},
};

pub(super) struct Post {
    server: NatsServer,
    pub(super) bus: Bus,
    pub(super) inboxes: Inboxes,
    pub(super) directory: Arc<dyn Directory>,
    pub(super) objects: Objects,
    flags: Vec<String>,
    _place: Box<dyn Any + Send + Sync>,
}

impl Post {
    pub(super) async fn with_a_folder() -> Self {
        Self::in_a_folder(Topology::default()).await
    }

    pub(super) async fn with_small_inboxes(messages: u32) -> Self {
        let topology = Topology { inbox_max_messages: messages, ..Topology::default() };
        Self::in_a_folder(topology).await
    }

    async fn in_a_folder(topology: Topology) -> Self {
        let folder = TempDir::new().unwrap();
        let media = MediaPlace::Folder(folder.path().to_owned());
        let options = ObjectsOptions { media, s3: S3Options::default() };
        let flags = vec![format!("--media={}", folder.path().display())];
        Self::open(Objects::open(&options).unwrap(), flags, Box::new(folder), topology).await
    }

    pub(super) async fn with_s3() -> Self {
        let (objects, server) = s3::in_s3().await;
        let settings = server.settings().into_iter();
        let flags = settings.map(|(variable, value)| support::flag(variable, &value)).collect();
        Self::open(objects, flags, Box::new(server), Topology::default()).await
    }

    async fn open(
        objects: Objects,
        flags: Vec<String>,
        place: Box<dyn Any + Send + Sync>,
        topology: Topology,
    ) -> Self {
        let server = NatsServer::start(SyncMode::Default).await.unwrap();
        let options = NatsOptions { nats: vec![server.url()], shards: topology.shards.count() };
        let bus = Bus::connect(&options, "test").await.unwrap();
        reconcile::apply(&bus, &topology).await.unwrap();
        let directory = Arc::new(store::KvDirectory::open(&bus.jetstream).await.unwrap());
        let inboxes = Inboxes::new(bus.clone());
        Self { server, bus, inboxes, directory, objects, flags, _place: place }
    }

    /// A worker with these flags. Dropped, it is dead.
    pub(super) async fn worker(&self, flags: &[&str]) -> workers::Running {
        let place = self.flags.iter().map(String::as_str);
        let flags = place.chain(flags.iter().copied());
        support::worker(&self.server, self.bus.shards, flags).await
    }

    /// The folder, where media are in one.
    pub(super) fn folder(&self) -> &Path {
        let folder = self.flags.iter().find_map(|flag| flag.strip_prefix("--media="));
        Path::new(folder.expect("a folder"))
    }

    /// Events that a dead worker had in hand go to another this soon.
    pub(super) async fn redeliver_after(&self, ack_wait: Duration) {
        let stream = self.bus.jetstream.get_stream(subject::MEDIA_STREAM).await.unwrap();
        let consumer: PullConsumer = stream.get_consumer(subject::MEDIA_CONSUMER).await.unwrap();
        let mut config = consumer.cached_info().config.clone();
        config.ack_wait = ack_wait;
        stream.create_consumer(config).await.unwrap();
    }

    /// Somebody with so many devices.
    pub(super) async fn somebody(&self, devices: usize) -> (UserId, Vec<DeviceId>) {
        let device = || NewDevice { name: None, platform: None };
        let user = self
            .directory
            .create_user(NewUser {
                username: format!("p-{}", ulid::Ulid::generate()).parse().unwrap(),
                name: "Ann".into(),
                phone: None,
                password_hash: PasswordHash::new("none"),
                device: device(),
            })
            .await
            .unwrap();
        for _ in 1..devices {
            self.directory.link_device(user.id, device()).await.unwrap();
        }
        let user = self.directory.user_fresh(user.id).await.unwrap().unwrap();
        (user.id, user.devices.iter().map(|device| device.id).collect())
    }

    /// Reserves an upload of these bytes.
    pub(super) async fn reserve(&self, owner: UserId, mime: &str, bytes: &[u8]) -> MediaId {
        let sha256 = Some(sha256(bytes));
        let (name, mime, size) = ("a file".into(), mime.into(), bytes.len() as u64);
        let new = NewMedia { owner, name, mime, size, sha256 };
        self.directory.create_media(new).await.unwrap().id
    }

    pub(super) async fn uploads(&self, media: MediaId, bytes: &[u8]) {
        self.writes(media, Part::Upload, bytes).await;
    }

    pub(super) async fn writes(&self, media: MediaId, part: Part, bytes: &[u8]) {
        let mut writing = self.objects.write(Object { media, part }).await.unwrap();
        writing.write(bytes.to_vec().into()).await.unwrap();
        writing.finish().await.unwrap();
    }

    pub(super) async fn notes_arrival(&self, media: MediaId) {
        self.directory.change_media(media, &MediaChange::Arrive).await.unwrap();
    }

    pub(super) async fn announces(&self, media: MediaId) {
        MediaQueue::new(self.bus.clone()).announce(media).await.unwrap();
    }

    pub(super) async fn media(&self, media: MediaId) -> Option<Media> {
        self.directory.media_fresh(media).await.unwrap()
    }

    pub(super) async fn state(&self, media: MediaId) -> MediaState {
        self.media(media).await.unwrap().state
    }

    pub(super) async fn read(&self, media: MediaId, part: Part) -> Option<Vec<u8>> {
        match self.objects.read(Object { media, part }, None).await {
            Ok(reading) => {
                let pieces: Vec<_> = reading.bytes.try_collect().await.unwrap();
                Some(pieces.concat())
            }
            Err(ObjectError::NotFound) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits until an object is not there.
    pub(super) async fn is_gone(&self, media: MediaId, part: Part) {
        let object = Object { media, part };
        let gone = async || self.objects.size(object).await.unwrap().is_none();
        until(gone, format_args!("{object:?} is gone")).await;
    }

    /// Waits until a worker has noted that an upload is there.
    pub(super) async fn has_arrived(&self, media: MediaId) {
        let arrived = async || matches!(self.state(media).await, MediaState::Uploaded(_));
        until(arrived, format_args!("{media} has arrived")).await;
    }

    /// Waits for the next event in an inbox, and acknowledges it.
    pub(super) async fn hears(&self, user: UserId, device: DeviceId) -> Event {
        let heard = async || !self.waiting(user, device).await.is_empty();
        until(heard, format_args!("{device} hears something")).await;
        let (seq, event) = self.waiting(user, device).await.remove(0);
        // As long as the server knows its id, the same is not stored again.
        self.inboxes.delete(user, seq).await.unwrap();
        event
    }

    /// The events in an inbox.
    pub(super) async fn waiting(&self, user: UserId, device: DeviceId) -> Vec<(u64, Event)> {
        let page = self.inboxes.read(user, device, 1, 64, 1 << 20).await.unwrap();
        let event = |entry: &nats::inbox::StoredEntry| {
            let message: StoredMessage = serde_json::from_slice(&entry.payload).unwrap();
            assert_eq!((message.from, message.chat), (user, ChatId::User(user)));
            let Ok(Body::Event(event)) = message.body.typed() else { panic!("{message:?}") };
            (entry.seq, event)
        };
        page.messages.iter().map(event).collect()
    }

    /// Stores something that is not read.
    pub(super) async fn fills(&self, user: UserId, device: DeviceId) {
        self.inboxes.store(user, device, "something", "{}".into()).await.unwrap();
    }

    /// Waits until an event was handled and is to come again.
    pub(super) async fn is_put_off(&self) {
        let put_off = async || {
            let info = self.consumer().await;
            info.num_redelivered > 0 && info.num_ack_pending > 0
        };
        until(put_off, "an event is put off").await;
    }

    /// Waits until all events are done with.
    pub(super) async fn has_nothing_to_do(&self) {
        let done = async || {
            let info = self.consumer().await;
            info.num_ack_pending == 0 && info.num_pending == 0
        };
        until(done, "all events are done with").await;
    }

    async fn consumer(&self) -> Info {
        let told = async || {
            let stream = self.bus.jetstream.get_stream(subject::MEDIA_STREAM).await.ok()?;
            stream.consumer_info(subject::MEDIA_CONSUMER).await.ok()
        };
        support::until_some(told, "the server tells of its consumer").await
    }
}

pub(super) fn served(mime: &str, size: u64) -> Served {
    Served { mime: mime.into(), size, width: None, height: None, thumbnail: None }
}

/// Of what is ready.
pub(super) fn mime_of(event: &Event) -> &str {
    match event {
        Event::MediaReady { mime, .. } => mime,
        other => panic!("{other:?}"),
    }
}

fn sha256(bytes: &[u8]) -> Sha256 {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    Sha256(digest.as_ref().try_into().unwrap())
}
