//! What is swept, and what is not, with a clock of these tests' own.

use clap::Parser as _;
use schemas::{MediaId, Millis, UserId};
use store::{
    Audience, GroupPatch, MediaChange, UserPatch,
    objects::{Begin, Part},
};
use workers::{Config, Sweep, Swept};

use super::post::{Post, served};

pub(super) const HOUR: i64 = 3_600_000;
pub(super) const DAY: i64 = 24 * HOUR;

/// A sweep that begins now and goes on at whatever time.
pub(super) struct Sweeping {
    sweep: Sweep,
    now: Millis,
}

impl Sweeping {
    pub(super) fn of(post: &Post) -> Self {
        Self::set(post, &[])
    }

    /// With some settings.
    pub(super) fn set(post: &Post, flags: &[&str]) -> Self {
        let flags = ["workers"].iter().chain(flags);
        let options = Config::try_parse_from(flags).unwrap().media;
        let (directory, objects) = (post.directory.clone(), post.objects.clone());
        let sweep = Sweep::new(directory, objects, post.inboxes.clone(), &options);
        Self { sweep, now: Millis::now() }
    }

    pub(super) async fn after(&mut self, time: i64) -> Swept {
        self.at(Millis(self.now.0 + time)).await
    }

    pub(super) async fn at(&mut self, now: Millis) -> Swept {
        self.sweep.run(now).await.unwrap()
    }
}

/// Something that is served, of ten bytes, with a thumbnail.
pub(super) async fn ready(post: &Post, owner: UserId) -> MediaId {
    let media = post.reserve(owner, "image/png", b"0123456789").await;
    for part in [Part::Content, Part::Thumbnail] {
        post.writes(media, part, b"0123456789").await;
    }
    post.notes_arrival(media).await;
    let accept = MediaChange::Accept(served("image/png", 10));
    post.directory.change_media(media, &accept).await.unwrap();
    media
}

pub(super) async fn sent(post: &Post, owner: UserId, to: Audience) -> MediaId {
    let media = ready(post, owner).await;
    post.directory.share_media(media, to).await.unwrap();
    media
}

pub(super) async fn is_there(post: &Post, media: MediaId) -> bool {
    let record = post.media(media).await.is_some();
    for part in [Part::Upload, Part::Content, Part::Thumbnail] {
        assert!(record || post.read(media, part).await.is_none(), "{part:?} is left of {media}");
    }
    record
}

async fn what_is_due_goes(post: Post) {
    let (owner, _) = post.somebody(1).await;
    let awaited = post.reserve(owner, "text/plain", b"never").await;
    let come = post.reserve(owner, "text/plain", b"unnoticed").await;
    post.uploads(come, b"unnoticed").await;
    let unseen = post.reserve(owner, "text/plain", b"unseen").await;
    post.uploads(unseen, b"unseen").await;
    post.notes_arrival(unseen).await;
    let unsent = ready(&post, owner).await;
    let refused = post.reserve(owner, "text/plain", b"bad").await;
    post.notes_arrival(refused).await;
    let reject = MediaChange::Reject { reason: "no".into() };
    post.directory.change_media(refused, &reject).await.unwrap();
    let friend = sent(&post, owner, Audience::User(UserId::mint())).await;
    let note = sent(&post, owner, Audience::User(owner)).await;

    let mut sweeping = Sweeping::of(&post);
    assert_eq!(sweeping.after(0).await, Swept::default());
    assert_eq!(sweeping.after(23 * HOUR).await, Swept::default());
    // Six unseen bytes, and ten that were never sent.
    assert_eq!(sweeping.after(25 * HOUR).await, Swept { media: 5, bytes: 16 });
    for gone in [awaited, come, unseen, unsent, refused] {
        assert!(!is_there(&post, gone).await);
    }
    for day in 2..30 {
        assert_eq!(sweeping.after(day * DAY).await, Swept::default(), "on day {day}");
    }
    assert!(is_there(&post, friend).await && is_there(&post, note).await);
    assert_eq!(sweeping.after(30 * DAY + HOUR).await, Swept { media: 2, bytes: 20 });
    assert!(!is_there(&post, friend).await && !is_there(&post, note).await);
}

#[tokio::test]
async fn what_is_due_goes_from_a_folder() {
    what_is_due_goes(Post::with_a_folder().await).await;
}

#[tokio::test]
async fn what_is_due_goes_from_s3() {
    what_is_due_goes(Post::with_s3().await).await;
}

async fn what_came_in_so_far_goes(post: Post) {
    let (owner, _) = post.somebody(1).await;
    // More than S3 takes at a time.
    let upload = vec![7; 6 << 20];
    let (size, half) = (2 * upload.len() as u64, bytes::Bytes::from(upload.clone()));
    let media = post.reserve(owner, "text/plain", &upload.repeat(2)).await;
    let mut receiving = post.objects.receive(media, size, Begin::Anew).await.unwrap();
    receiving.write(half).await.unwrap();
    let come_in = receiving.pause().await.unwrap();
    assert!(come_in > 0);
    assert_eq!(post.objects.come_in(media).await.unwrap(), come_in);
    assert_eq!(Sweeping::of(&post).after(25 * HOUR).await.media, 1);
    assert_eq!(post.objects.come_in(media).await.unwrap(), 0);
}

#[tokio::test]
async fn what_came_in_so_far_goes_from_a_folder() {
    what_came_in_so_far_goes(Post::with_a_folder().await).await;
}

#[tokio::test]
async fn what_came_in_so_far_goes_from_s3() {
    what_came_in_so_far_goes(Post::with_s3().await).await;
}

#[tokio::test]
async fn a_picture_stays_for_as_long_as_it_is_somebodys() {
    let post = Post::with_a_folder().await;
    let (owner, _) = post.somebody(1).await;
    let (admin, _) = post.somebody(1).await;
    let group = post.directory.create_group(admin, "club".into(), &[owner]).await.unwrap().id;
    let [mine, ours, old] = [(); 3].map(async |()| sent(&post, owner, Audience::Everyone).await);
    let (mine, ours, old) = (mine.await, ours.await, old.await);
    post.directory.share_media(ours, Audience::Group(group)).await.unwrap();
    let wear = async |picture| {
        let patch = UserPatch { picture: Some(picture), ..UserPatch::default() };
        post.directory.update_user(owner, &patch).await.unwrap();
        let picture = Some(picture.map(|_| ours));
        let patch = GroupPatch { picture, ..GroupPatch::default() };
        post.directory.update_group(group, admin, patch).await.unwrap();
    };
    wear(Some(mine)).await;

    let mut sweeping = Sweeping::of(&post);
    assert_eq!(sweeping.after(31 * DAY).await.media, 1);
    assert!(!is_there(&post, old).await, "nobody's picture any more");
    assert_eq!(sweeping.after(400 * DAY).await, Swept::default());
    assert!(is_there(&post, mine).await && is_there(&post, ours).await);
    wear(None).await;
    // What was found to be somebody's is looked at again a day later.
    assert_eq!(sweeping.after(402 * DAY).await.media, 2);
    assert!(!is_there(&post, mine).await && !is_there(&post, ours).await);
}

/// Killed after each of its steps: only its record tells of what it had begun.
#[tokio::test]
async fn a_sweep_that_was_cut_off_is_gone_on_with() {
    let post = Post::with_a_folder().await;
    let (owner, _) = post.somebody(1).await;
    for parts in [&[][..], &[Part::Content], &[Part::Content, Part::Thumbnail]] {
        let media = ready(&post, owner).await;
        for part in parts {
            post.objects.delete(store::objects::Object { media, part: *part }).await.unwrap();
        }
        assert_eq!(Sweeping::of(&post).after(25 * HOUR).await.media, 1);
        assert!(!is_there(&post, media).await);
    }
}

/// What cannot be removed holds up nothing else, and goes when it can.
#[tokio::test]
async fn media_that_cannot_be_removed_are_passed_over() {
    let post = Post::with_a_folder().await;
    let (owner, _) = post.somebody(1).await;
    let stuck = post.reserve(owner, "text/plain", b"never").await;
    // Where there is a folder, no file can be removed.
    let id = stuck.to_string();
    let in_the_way = post.folder().join("content").join(&id[id.len() - 2..]).join(&id).join("a");
    std::fs::create_dir_all(&in_the_way).unwrap();
    let mut due = Vec::new();
    for _ in 0..70 {
        due.push(post.reserve(owner, "text/plain", b"never").await);
    }
    let mut sweeping = Sweeping::of(&post);
    assert_eq!(sweeping.after(25 * HOUR).await.media, 70);
    for media in due {
        assert!(!is_there(&post, media).await);
    }
    assert!(post.media(stuck).await.is_some());
    std::fs::remove_dir_all(in_the_way.parent().unwrap()).unwrap();
    assert_eq!(sweeping.after(25 * HOUR).await.media, 1);
    assert!(!is_there(&post, stuck).await);
}

#[tokio::test]
async fn sweeps_at_once_remove_all_and_nothing_else() {
    let post = Post::with_a_folder().await;
    let (owner, _) = post.somebody(1).await;
    // More than are listed together.
    let mut due = Vec::new();
    for _ in 0..70 {
        due.push(post.reserve(owner, "text/plain", b"never").await);
    }
    let kept = sent(&post, owner, Audience::User(owner)).await;
    let (mut one, mut other) = (Sweeping::of(&post), Sweeping::of(&post));
    let (one, other) = tokio::join!(one.after(25 * HOUR), other.after(25 * HOUR));
    assert!(one.media + other.media >= 70);
    for media in due {
        assert!(!is_there(&post, media).await);
    }
    assert!(is_there(&post, kept).await);
}
