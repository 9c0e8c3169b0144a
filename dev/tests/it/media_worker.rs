//! The media worker on a real nats-server, a folder and an S3: what becomes of
//! what was uploaded, and what is left when things die.

mod clamd;
mod handover;
pub(crate) mod pictures;
mod post;
mod sweep;

use std::{sync::Arc, time::Duration};

use schemas::body::Event;
use store::{
    MediaChange, MediaState,
    objects::{Begin, Part},
};

use self::{
    clamd::{Clamd, EICAR},
    pictures::SECRET,
    post::{Post, mime_of},
};

/// From a picture with a place in it, lying on its side, to what is served of it.
async fn a_picture_goes_all_the_way(post: Post) {
    let (owner, devices) = post.somebody(2).await;
    let _worker = post.worker(&[]).await;
    let upload = pictures::jpeg_on_its_side();
    assert!(pictures::says(&upload, SECRET));
    let media = post.reserve(owner, "image/jpeg", &upload).await;
    post.uploads(media, &upload).await;
    post.announces(media).await;

    for device in devices {
        let told = post.hears(owner, device).await;
        let Event::MediaReady { media: of, mime, size, width, height, thumbnail } = told else {
            panic!("{told:?}");
        };
        assert_eq!((of, &*mime, width, height), (media, "image/jpeg", Some(300), Some(400)));
        assert!(thumbnail && size > 0);
    }
    let content = post.read(media, Part::Content).await.unwrap();
    let thumbnail = post.read(media, Part::Thumbnail).await.unwrap();
    assert!(!pictures::says(&content, SECRET) && !pictures::says(&thumbnail, SECRET));
    assert_eq!(pictures::size_of(&content), (300, 400));
    assert_eq!(pictures::size_of(&thumbnail), (240, 320));
    post.is_gone(media, Part::Upload).await;
    let MediaState::Ready(served) = post.state(media).await else { panic!("not ready") };
    assert_eq!((served.size, &*served.mime), (content.len() as u64, "image/jpeg"));
    assert_eq!(served.thumbnail.as_deref(), Some("image/jpeg"));
}

#[tokio::test]
async fn a_picture_goes_all_the_way_in_a_folder() {
    a_picture_goes_all_the_way(Post::with_a_folder().await).await;
}

#[tokio::test]
async fn a_picture_goes_all_the_way_in_s3() {
    a_picture_goes_all_the_way(Post::with_s3().await).await;
}

/// Larger than what is written at a time to any store.
async fn a_large_file_is_served_as_it_is(post: Post) {
    let (owner, devices) = post.somebody(1).await;
    let _worker = post.worker(&[]).await;
    let upload: Vec<u8> = (0..11_000_000_u32).map(|n| (n ^ (n >> 9)) as u8).collect();
    let media = post.reserve(owner, "application/octet-stream", &upload).await;
    post.uploads(media, &upload).await;
    post.announces(media).await;
    let told = post.hears(owner, devices[0]).await;
    let whole = upload.len() as u64;
    assert!(
        matches!(told, Event::MediaReady { size, thumbnail: false, width: None, .. } if size == whole)
    );
    assert!(post.read(media, Part::Content).await.unwrap() == upload);
    post.is_gone(media, Part::Upload).await;
}

#[tokio::test]
async fn a_large_file_is_served_as_it_is_in_a_folder() {
    a_large_file_is_served_as_it_is(Post::with_a_folder().await).await;
}

#[tokio::test]
async fn a_large_file_is_served_as_it_is_in_s3() {
    a_large_file_is_served_as_it_is(Post::with_s3().await).await;
}

/// A gateway died after the upload was there, and before it forgot how it came.
#[tokio::test]
async fn nothing_is_left_of_an_upload_where_it_came_in() {
    let post = Post::with_a_folder().await;
    let (owner, devices) = post.somebody(1).await;
    let upload = pictures::jpeg_on_its_side();
    let media = post.reserve(owner, "image/jpeg", &upload).await;
    let size = upload.len() as u64;
    let mut receiving = post.objects.receive(media, size, Begin::Anew).await.unwrap();
    receiving.write(upload.into()).await.unwrap();
    drop(receiving.complete().await.unwrap());
    assert_eq!(post.objects.come_in(media).await.unwrap(), size);
    post.announces(media).await;
    let _worker = post.worker(&[]).await;
    assert_eq!(mime_of(&post.hears(owner, devices[0]).await), "image/jpeg");
    post.is_gone(media, Part::Upload).await;
    assert_eq!(post.objects.come_in(media).await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_wrong_with_an_upload_is_told() {
    let post = Post::with_a_folder().await;
    let (owner, devices) = post.somebody(1).await;
    let _worker = post.worker(&[]).await;
    let png = pictures::png();
    for (claimed, announced, uploaded, reason) in [
        ("image/png", b"hello".to_vec(), b"hello".to_vec(), "said to be image/png, but is not"),
        ("image/jpeg", png.clone(), png.clone(), "but is image/png"),
        ("text/plain", b"<html>".to_vec(), b"<html>".to_vec(), "markup"),
        ("image/png", png.clone(), png[..png.len() - 9].to_vec(), "bytes, where"),
        ("image/png", png[..90].to_vec(), png[..90].to_vec(), "the picture is cut off"),
        ("text/plain", b"one".to_vec(), b"two".to_vec(), "its SHA-256 is not the one"),
    ] {
        let media = post.reserve(owner, claimed, &announced).await;
        post.uploads(media, &uploaded).await;
        // Of another length it is not noticed by itself.
        post.notes_arrival(media).await;
        post.announces(media).await;
        let told = post.hears(owner, devices[0]).await;
        let Event::MediaRejected { media: of, reason: why } = told else { panic!("{told:?}") };
        assert!(of == media && why.contains(reason), "{why}");
        assert_eq!(post.state(media).await, MediaState::Rejected { reason: why });
        for part in [Part::Upload, Part::Content, Part::Thumbnail] {
            post.is_gone(media, part).await;
        }
    }
}

/// As with S3, where nobody but the store knows when the bytes are there.
#[tokio::test]
async fn an_upload_is_awaited() {
    let post = Post::with_a_folder().await;
    let (owner, devices) = post.somebody(1).await;
    let _worker = post.worker(&[]).await;
    let media = post.reserve(owner, "text/plain", b"late").await;
    post.announces(media).await;
    post.is_put_off().await;
    assert_eq!(post.state(media).await, MediaState::Reserved);
    post.uploads(media, b"late").await;
    assert_eq!(mime_of(&post.hears(owner, devices[0]).await), "text/plain");
    post.has_nothing_to_do().await;
}

/// However many are awaited, and whatever is examined meanwhile.
#[tokio::test]
async fn uploads_that_are_awaited_take_no_place_of_others() {
    let post = Post::with_a_folder().await;
    let (owner, devices) = post.somebody(1).await;
    let clamd = Clamd::start().await;
    let _worker = post.worker(&["--media-in-hand=1", "--scanner", &clamd.address()]).await;
    let examined = post.reserve(owner, "text/plain", b"moin").await;
    post.uploads(examined, b"moin").await;
    post.announces(examined).await;
    let mut asked = clamd.is_asked().await;
    let late = post.reserve(owner, "text/plain", b"late").await;
    post.announces(late).await;
    // Although the only examination there may be is not over.
    post.is_put_off().await;
    post.uploads(late, b"late").await;
    post.has_arrived(late).await;
    asked.answers().await;
    assert_eq!(mime_of(&post.hears(owner, devices[0]).await), "text/plain");
    clamd.is_asked().await.answers().await;
    assert_eq!(mime_of(&post.hears(owner, devices[0]).await), "text/plain");
}

#[tokio::test]
async fn what_nobody_knows_is_done_with() {
    let post = Post::with_a_folder().await;
    let _worker = post.worker(&[]).await;
    let (owner, _) = post.somebody(1).await;
    let media = post.reserve(owner, "text/plain", b"moin").await;
    post.uploads(media, b"moin").await;
    post.directory.delete_media(media).await.unwrap();
    post.announces(media).await;
    post.has_nothing_to_do().await;
    post.is_gone(media, Part::Upload).await;
}

#[tokio::test]
async fn two_workers_told_many_times_tell_once() {
    let post = Post::with_a_folder().await;
    let (owner, devices) = post.somebody(1).await;
    let upload = pictures::jpeg_on_its_side();
    let media = post.reserve(owner, "image/jpeg", &upload).await;
    post.uploads(media, &upload).await;
    for _ in 0..12 {
        post.announces(media).await;
    }
    let _workers = (post.worker(&[]).await, post.worker(&[]).await);
    assert_eq!(mime_of(&post.hears(owner, devices[0]).await), "image/jpeg");
    post.has_nothing_to_do().await;
    assert!(post.waiting(owner, devices[0]).await.is_empty(), "it was told again");
    let content = post.read(media, Part::Content).await.unwrap();
    assert_eq!(pictures::size_of(&content), (300, 400));
}

#[tokio::test]
async fn a_worker_that_dies_in_the_middle_is_stood_in_for() {
    let post = Post::with_a_folder().await;
    post.redeliver_after(Duration::from_secs(1)).await;
    let (owner, devices) = post.somebody(1).await;
    let clamd = Clamd::start().await;
    let flags = ["--scanner", &clamd.address()];
    let worker = post.worker(&flags).await;
    let media = post.reserve(owner, "text/plain", b"moin").await;
    post.uploads(media, b"moin").await;
    post.announces(media).await;
    let mut asked = clamd.is_asked().await;
    assert_eq!(asked.file().await, b"moin");
    drop(worker);
    asked.is_left().await;
    assert!(matches!(post.state(media).await, MediaState::Uploaded(_)));

    let _other = post.worker(&flags).await;
    clamd.is_asked().await.answers().await;
    assert_eq!(mime_of(&post.hears(owner, devices[0]).await), "text/plain");
    assert_eq!(post.read(media, Part::Content).await.unwrap(), b"moin");
}

/// Killed after each of the steps that come before the event is acknowledged.
#[tokio::test]
async fn what_was_begun_is_finished_from_wherever_it_was_left() {
    let post = Post::with_a_folder().await;
    let (owner, devices) = post.somebody(1).await;
    let accept = |size| MediaChange::Accept(post::served("text/plain", size));
    let reject = MediaChange::Reject { reason: "no".into() };
    for steps in 0..5 {
        let media = post.reserve(owner, "text/plain", b"moin").await;
        post.uploads(media, b"moin").await;
        if steps > 0 {
            post.notes_arrival(media).await;
        }
        if steps > 1 {
            post.writes(media, Part::Content, b"mo").await;
        }
        if steps > 2 {
            post.writes(media, Part::Content, b"moin").await;
        }
        if steps > 3 {
            post.directory.change_media(media, &accept(4)).await.unwrap();
        }
        post.announces(media).await;
        let _worker = post.worker(&[]).await;
        assert_eq!(mime_of(&post.hears(owner, devices[0]).await), "text/plain", "{steps}");
        assert_eq!(post.read(media, Part::Content).await.unwrap(), b"moin", "{steps}");
        post.is_gone(media, Part::Upload).await;
    }
    let media = post.reserve(owner, "text/plain", b"moin").await;
    post.notes_arrival(media).await;
    post.directory.change_media(media, &reject).await.unwrap();
    post.announces(media).await;
    let _worker = post.worker(&[]).await;
    let told = post.hears(owner, devices[0]).await;
    assert!(matches!(told, Event::MediaRejected { reason, .. } if reason == "no"));
}

#[tokio::test]
async fn what_a_scanner_finds_is_refused() {
    let post = Post::with_a_folder().await;
    let (owner, devices) = post.somebody(1).await;
    let clamd = Clamd::start().await;
    let _worker = post.worker(&["--scanner", &clamd.address()]).await;
    let clean: Arc<[u8]> = vec![b'a'; 300_000].into();
    for (file, is_clean) in [(&*clean, true), (EICAR, false)] {
        let media = post.reserve(owner, "text/plain", file).await;
        post.uploads(media, file).await;
        post.announces(media).await;
        let mut asked = clamd.is_asked().await;
        assert!(asked.file().await == file);
        asked.answers().await;
        match post.hears(owner, devices[0]).await {
            Event::MediaReady { .. } => assert!(is_clean),
            Event::MediaRejected { reason, .. } => {
                assert_eq!((is_clean, &*reason), (false, "a virus scanner refused it"));
                post.is_gone(media, Part::Content).await;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_too_large_for_the_scanner_is_refused() {
    let post = Post::with_a_folder().await;
    let (owner, devices) = post.somebody(1).await;
    let clamd = Clamd::start().await;
    let _worker = post.worker(&["--scanner", &clamd.address()]).await;
    let media = post.reserve(owner, "text/plain", b"moin").await;
    post.uploads(media, b"moin").await;
    post.announces(media).await;
    clamd.is_asked().await.refuses().await;
    let told = post.hears(owner, devices[0]).await;
    let Event::MediaRejected { reason, .. } = told else { panic!("{told:?}") };
    assert_eq!(reason, "the file is larger than the virus scanner takes");
    post.has_nothing_to_do().await;
}

#[tokio::test]
async fn nothing_is_served_while_the_scanner_is_away() {
    let post = Post::with_a_folder().await;
    let (owner, devices) = post.somebody(1).await;
    let clamd = Clamd::start().await;
    let address = clamd.address();
    let socket = clamd.stops();
    let _worker = post.worker(&["--scanner", &address]).await;
    let media = post.reserve(owner, "text/plain", b"moin").await;
    post.uploads(media, b"moin").await;
    post.announces(media).await;
    post.is_put_off().await;
    assert!(matches!(post.state(media).await, MediaState::Uploaded(_)));
    post.is_gone(media, Part::Content).await;

    let clamd = Clamd::at(socket).await;
    clamd.is_asked().await.answers().await;
    assert_eq!(mime_of(&post.hears(owner, devices[0]).await), "text/plain");
}

#[tokio::test]
async fn a_full_inbox_holds_up_nothing() {
    let post = Post::with_small_inboxes(1).await;
    let (owner, devices) = post.somebody(2).await;
    post.fills(owner, devices[0]).await;
    let _worker = post.worker(&[]).await;
    let media = post.reserve(owner, "text/plain", b"moin").await;
    post.uploads(media, b"moin").await;
    post.announces(media).await;
    assert_eq!(mime_of(&post.hears(owner, devices[1]).await), "text/plain");
    post.has_nothing_to_do().await;
    post.is_gone(media, Part::Upload).await;
}
