//! What goes since everyone has it, and what does not yet.

use async_nats::jetstream::kv::Store;
use nats::subject::DIRECTORY_BUCKET;
use schemas::{DeviceId, MediaId, Millis, UserId};
use serde_json::{Value, json};
use store::{Audience, MediaChange};

use super::{
    post::{Post, served},
    sweep::{DAY, HOUR, Sweeping, is_there, ready, sent},
};

/// Media go two hours after everyone has them.
const TWO_HOURS: [&str; 1] = ["--media-fetched-hours=2"];

impl Post {
    async fn fetched_by(&self, media: MediaId, devices: &[DeviceId]) {
        for device in devices {
            self.directory.note_fetch(media, *device).await.unwrap();
        }
    }

    /// A message comes to a device; its position.
    async fn writes_to(&self, user: UserId, device: DeviceId) -> u64 {
        let id = ulid::Ulid::generate().to_string();
        self.inboxes.store(user, device, &id, "{}".into()).await.unwrap().seq
    }

    /// Changes what the directory has noted.
    async fn alters(&self, key: &str, alter: impl FnOnce(&mut Value)) {
        let bucket: Store = self.bus.jetstream.get_key_value(DIRECTORY_BUCKET).await.unwrap();
        let document = bucket.get(key).await.unwrap().unwrap();
        let mut document: Value = serde_json::from_slice(&document).unwrap();
        alter(&mut document);
        bucket.put(key, document.to_string().into()).await.unwrap();
    }
}

/// Sweeps, each later than the one before.
struct Later {
    sweeping: Sweeping,
    hours: i64,
}

impl Later {
    fn of(post: &Post) -> Self {
        Self { sweeping: Sweeping::set(post, &TWO_HOURS), hours: 1 }
    }

    /// How many go now.
    async fn swept(&mut self) -> u64 {
        self.hours += 2;
        self.sweeping.after(self.hours * HOUR).await.media
    }
}

async fn what_everyone_has_goes(post: Post) {
    let (alice, alices) = post.somebody(2).await;
    let (bob, bobs) = post.somebody(2).await;
    let media = sent(&post, alice, Audience::User(bob)).await;
    let mut later = Later::of(&post);
    // One of hers has uploaded them, and the other gets what she sends.
    post.fetched_by(media, &alices[..1]).await;
    assert_eq!(later.swept().await, 0, "nobody else has them");
    post.fetched_by(media, &bobs).await;
    assert_eq!(later.swept().await, 0, "her other device has not");
    post.fetched_by(media, &alices[1..]).await;
    let to = [(alice, alices[1]), (bob, bobs[0])];
    for (user, device) in to {
        let seq = post.writes_to(user, device).await;
        assert_eq!(later.swept().await, 0, "{device} may get the message again");
        post.inboxes.delete(user, seq).await.unwrap();
    }
    assert!(is_there(&post, media).await);
    assert_eq!(Sweeping::of(&post).after(29 * DAY).await.media, 0, "as nothing else is asked for");
    assert_eq!(Sweeping::set(&post, &TWO_HOURS).after(HOUR).await.media, 0, "it is too soon");
    assert_eq!(later.swept().await, 1);
    assert!(!is_there(&post, media).await);
}

#[tokio::test]
async fn what_everyone_has_goes_from_a_folder() {
    what_everyone_has_goes(Post::with_a_folder().await).await;
}

#[tokio::test]
async fn what_everyone_has_goes_from_s3() {
    what_everyone_has_goes(Post::with_s3().await).await;
}

/// Whoever fetches it again has as long again.
#[tokio::test]
async fn its_hours_count_from_when_it_was_sent_or_fetched_last() {
    let post = Post::with_a_folder().await;
    let (alice, alices) = post.somebody(1).await;
    let (bob, bobs) = post.somebody(1).await;
    let media = sent(&post, alice, Audience::User(bob)).await;
    let shared = post.directory.media_shares(media).await.unwrap().last.unwrap();
    while Millis::now().0 < shared.0 + 20 {
        tokio::task::yield_now().await;
    }
    post.fetched_by(media, &[alices[0], bobs[0]]).await;
    let fetched = post.directory.media_fetches(media).await.unwrap().last.unwrap();
    let two_hours_after = |time: Millis, more| Millis(time.0 + 2 * HOUR + more);
    for too_soon in [two_hours_after(shared, 10), two_hours_after(fetched, 0)] {
        assert_eq!(Sweeping::set(&post, &TWO_HOURS).at(too_soon).await.media, 0);
    }
    let late_enough = two_hours_after(fetched, 1);
    assert_eq!(Sweeping::set(&post, &TWO_HOURS).at(late_enough).await.media, 1);
}

#[tokio::test]
async fn it_goes_when_the_last_chat_has_it() {
    let post = Post::with_a_folder().await;
    let (alice, alices) = post.somebody(1).await;
    let (bob, bobs) = post.somebody(1).await;
    let (carol, carols) = post.somebody(1).await;
    let (dave, daves) = post.somebody(1).await;
    let group = post.directory.create_group(bob, "club".into(), &[carol, dave]).await.unwrap().id;
    let media = sent(&post, alice, Audience::User(bob)).await;
    post.directory.share_media(media, Audience::Group(group)).await.unwrap();
    post.fetched_by(media, &[alices[0], bobs[0], carols[0]]).await;
    let mut later = Later::of(&post);
    assert_eq!(later.swept().await, 0, "one in the group has not");
    // Who has left may not read them any more.
    post.directory.remove_member(group, bob, dave).await.unwrap();
    assert_eq!(later.swept().await, 1);
    assert!(!is_there(&post, media).await);

    let media = sent(&post, alice, Audience::Group(group)).await;
    post.fetched_by(media, &[alices[0], bobs[0], carols[0]]).await;
    post.directory.add_member(group, bob, dave, None).await.unwrap();
    assert_eq!(later.swept().await, 0, "it may have been sent after he came");
    post.fetched_by(media, &daves).await;
    assert_eq!(later.swept().await, 1);
}

#[tokio::test]
async fn who_came_later_need_not_have_it() {
    let post = Post::with_a_folder().await;
    let (alice, alices) = post.somebody(1).await;
    let (bob, bobs) = post.somebody(2).await;
    let (carol, _) = post.somebody(1).await;
    let group = post.directory.create_group(alice, "club".into(), &[bob, carol]).await.unwrap().id;
    let media = sent(&post, alice, Audience::Group(group)).await;
    post.fetched_by(media, &[alices[0], bobs[0]]).await;
    let mut later = Later::of(&post);
    assert_eq!(later.swept().await, 0);
    let tomorrow = Millis::now().0 + DAY;
    post.alters(&format!("user.{bob}"), |user| {
        user["devices"][1]["linked"] = json!(tomorrow);
    })
    .await;
    assert_eq!(later.swept().await, 0, "her device has not");
    post.alters(&format!("group.{group}"), |group| {
        group["members"][2]["joined"] = json!(tomorrow);
    })
    .await;
    assert_eq!(later.swept().await, 1);
    assert!(!is_there(&post, media).await);
}

/// Nothing of this goes before its days are over.
#[tokio::test]
async fn pictures_and_what_was_not_sent_or_looked_at_stay() {
    let post = Post::with_a_folder().await;
    let (alice, alices) = post.somebody(1).await;
    let picture = sent(&post, alice, Audience::Everyone).await;
    let unsent = ready(&post, alice).await;
    let unseen = post.reserve(alice, "text/plain", b"unseen").await;
    post.uploads(unseen, b"unseen").await;
    post.notes_arrival(unseen).await;
    post.directory.share_media(unseen, Audience::User(alice)).await.unwrap();
    for media in [picture, unsent, unseen] {
        post.fetched_by(media, &alices).await;
    }
    let mut later = Later::of(&post);
    assert_eq!(later.swept().await, 0);
    post.directory
        .change_media(unseen, &MediaChange::Accept(served("text/plain", 6)))
        .await
        .unwrap();
    assert_eq!(later.swept().await, 1, "that to herself has now come to everyone");
    assert!(is_there(&post, picture).await && is_there(&post, unsent).await);
}
