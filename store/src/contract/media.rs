//! Media: reserved, uploaded, judged, shared and forgotten. What a record lets
//! happen is tested where it is decided, in `media.rs`; here, that the
//! directory keeps to it.

use std::sync::Arc;

use schemas::{DeviceId, GroupId, MediaId, Millis, Sha256, UserId};

use super::{MOST_STEPS, Tested, interrupted, race};
use crate::{
    Audience, DirectoryError, Fetches, Media, MediaChange, MediaError, MediaOutcome, MediaPlace,
    MediaRefusal, MediaState, MediaUsage, NewMedia, Served, Shares,
};

fn upload(owner: UserId) -> NewMedia {
    NewMedia {
        owner,
        name: "Engine №1.png".into(),
        mime: "image/png".into(),
        size: 104_857_600,
        sha256: Some(Sha256([0xab; 32])),
    }
}

async fn reserved(directory: &Tested) -> Media {
    directory.create_media(upload(UserId::mint())).await.expect("reserves")
}

async fn stored(directory: &Tested, id: MediaId) -> Option<Media> {
    let newest = directory.media_fresh(id).await.expect("answers");
    if newest.is_none() {
        assert_eq!(directory.media(id).await.expect("answers"), None);
    }
    newest
}

fn accept() -> MediaChange {
    let mime = "image/png".into();
    MediaChange::Accept(Served {
        mime,
        size: 4_711,
        width: Some(60_000),
        height: Some(1),
        thumbnail: Some("image/png".into()),
    })
}

fn reject() -> MediaChange {
    MediaChange::Reject { reason: "it is a text".into() }
}

fn is_refused(result: &Result<MediaOutcome, MediaError>, reason: MediaRefusal) -> bool {
    matches!(result, Err(MediaError::Refused(refusal)) if *refusal == reason)
}

fn is_unknown(result: &Result<MediaOutcome, MediaError>) -> bool {
    matches!(result, Err(MediaError::Directory(DirectoryError::NotFound(_))))
}

/// What was reserved is there as it was told, and nothing else is.
pub async fn an_upload_that_was_reserved_is_found(directory: Tested) {
    let owner = UserId::mint();
    let media = directory.create_media(upload(owner)).await.expect("reserves");
    assert_eq!((media.owner, &media.state), (owner, &MediaState::Reserved));
    assert_eq!(Media::new(media.id, upload(owner), media.created), media);
    assert_eq!(directory.media(media.id).await.expect("answers").as_ref(), Some(&media));
    assert_eq!(stored(&directory, media.id).await, Some(media));
    assert_eq!(stored(&directory, MediaId::mint()).await, None);
}

/// Every state is kept, and none is left again.
pub async fn an_upload_arrives_and_is_judged(directory: Tested) {
    for (verdict, other) in [(accept(), reject()), (reject(), accept())] {
        let id = reserved(&directory).await.id;
        let early = directory.change_media(id, &verdict).await;
        assert!(is_refused(&early, MediaRefusal::NotUploaded), "{early:?}");
        for change in [MediaChange::Arrive, verdict.clone()] {
            let outcome = directory.change_media(id, &change).await.expect("changes");
            assert!(outcome.changed);
            assert_eq!(stored(&directory, id).await, Some(outcome.media));
        }
        let before = stored(&directory, id).await;
        let again = directory.change_media(id, &verdict).await.expect("changes nothing");
        assert!(!again.changed);
        let other = directory.change_media(id, &other).await;
        assert!(is_refused(&other, MediaRefusal::Judged), "{other:?}");
        let arrives = directory.change_media(id, &MediaChange::Arrive).await;
        assert!(is_refused(&arrives, MediaRefusal::Uploaded), "{arrives:?}");
        assert_eq!(stored(&directory, id).await, before);
    }
    let unknown = directory.change_media(MediaId::mint(), &MediaChange::Arrive).await;
    assert!(is_unknown(&unknown), "{unknown:?}");
}

/// Of many who upload at once, one has uploaded; and of two verdicts, one stands.
pub async fn an_upload_is_made_once(directory: Tested) {
    let id = reserved(&directory).await.id;
    let arrivals = race(|_| {
        let directory = Arc::clone(&directory);
        async move { directory.change_media(id, &MediaChange::Arrive).await }
    });
    let arrivals = arrivals.await;
    assert_eq!(arrivals.iter().filter(|arrival| arrival.is_ok()).count(), 1);
    assert!(
        arrivals.iter().all(|one| one.is_ok() || is_refused(one, MediaRefusal::Uploaded)),
        "{arrivals:?}"
    );
    let verdicts = race(|number| {
        let directory = Arc::clone(&directory);
        let verdict = if number % 2 == 0 { accept() } else { reject() };
        async move { directory.change_media(id, &verdict).await }
    });
    let verdicts = verdicts.await;
    let told = verdicts.iter().flatten().filter(|outcome| outcome.changed).count();
    assert_eq!(told, 1, "{verdicts:?}");
    let media = stored(&directory, id).await.expect("there");
    for outcome in verdicts {
        match outcome {
            Ok(outcome) => assert_eq!(outcome.media, media),
            other => assert!(is_refused(&other, MediaRefusal::Judged), "{other:?}"),
        }
    }
}

/// With whom media were shared is known at once, and with nobody else.
pub async fn media_are_shared(directory: Tested) {
    let (media, other) = (reserved(&directory).await.id, reserved(&directory).await.id);
    let (friend, club) = (Audience::User(UserId::mint()), Audience::Group(GroupId::mint()));
    let stranger = Audience::User(UserId::mint());
    let before = Millis::now();
    let shared =
        async |id, with: &[Audience]| directory.is_media_shared(id, with).await.expect("answers");
    assert!(!shared(media, &[friend, club]).await);
    for with in [friend, club, friend, club, Audience::Everyone] {
        directory.share_media(media, with).await.expect("shares");
        assert!(shared(media, &[stranger, with]).await);
    }
    let crowd: Vec<Audience> = (0..50).map(|_| Audience::User(UserId::mint())).collect();
    assert!(shared(media, &[&crowd[..], &[club]].concat()).await);
    let shares = directory.media_shares(media).await.expect("answers");
    assert_eq!(shares.with.len(), 3);
    assert!([friend, club, Audience::Everyone].iter().all(|with| shares.with.contains(with)));
    assert!(shares.last >= Some(before));
    // Again, to one of them: who asks when that was last is told so.
    while Some(Millis::now()) <= shares.last {
        tokio::task::yield_now().await;
    }
    directory.share_media(media, friend).await.expect("shares");
    let again = directory.media_shares(media).await.expect("answers");
    assert_eq!(again.with.len(), 3);
    assert!(again.last > shares.last);
    assert_eq!(directory.media_shares(other).await.expect("answers"), Shares::default());
    for (id, with) in [
        (media, &[][..]),
        (media, &[stranger]),
        (media, &crowd),
        (other, &[friend, Audience::Everyone]),
    ] {
        assert!(!shared(id, with).await, "{id} with {with:?}");
    }
}

/// Which devices have media is known at once, and when one came to have them.
pub async fn media_are_fetched(directory: Tested) {
    let (media, other) = (reserved(&directory).await.id, reserved(&directory).await.id);
    let [phone, laptop] = [0; 2].map(|_| DeviceId::mint());
    let fetches = async |id| directory.media_fetches(id).await.expect("answers");
    assert_eq!(fetches(media).await, Fetches::default());
    let mut last = Some(Millis::now());
    for (by, count) in [(phone, 1), (laptop, 2), (phone, 2)] {
        directory.note_fetch(media, by).await.expect("notes");
        let fetched = fetches(media).await;
        assert_eq!(fetched.by.len(), count);
        assert!(fetched.by.contains(&by));
        assert!(fetched.last >= last, "{fetched:?}");
        last = fetched.last;
    }
    assert_eq!(fetches(other).await, Fetches::default());
    assert_eq!(directory.media_shares(media).await.expect("answers"), Shares::default());
    directory.delete_media(media).await.expect("forgets");
    assert_eq!(fetches(media).await, Fetches::default());
}

/// From media to the groups that its reader is in, and to no others.
pub async fn media_lead_to_the_groups_of_who_reads(directory: Tested) {
    let media = reserved(&directory).await.id;
    let [admin, member, stranger] = [0; 3].map(|_| UserId::mint());
    let mut groups = Vec::new();
    for members in [&[member][..], &[member], &[], &[member]] {
        let group = directory.create_group(admin, "club".into(), members).await.expect("makes");
        groups.push(group.id);
    }
    let found = async |user| {
        let mut found = directory.groups_shared_with(media, user).await.expect("answers");
        found.sort_unstable();
        found
    };
    assert_eq!(found(member).await, []);
    for with in [Audience::User(member), Audience::Everyone] {
        directory.share_media(media, with).await.expect("shares");
    }
    for group in &groups[1..] {
        directory.share_media(media, Audience::Group(*group)).await.expect("shares");
    }
    // Made within a millisecond, their ids need not rise.
    let sorted = |mut ids: Vec<_>| {
        ids.sort_unstable();
        ids
    };
    assert_eq!(found(member).await, sorted(vec![groups[1], groups[3]]));
    assert_eq!(found(admin).await, sorted(groups[1..].to_vec()));
    assert_eq!(found(stranger).await, []);
    directory.remove_member(groups[1], admin, member).await.expect("removes");
    assert_eq!(found(member).await, [groups[3]]);
}

/// Each once, in however many lists; none that is younger, and none that is
/// forgotten.
pub async fn media_are_listed_from_the_oldest_on(directory: Tested) {
    let mut media = Vec::new();
    for _ in 0..5 {
        media.push(reserved(&directory).await);
    }
    // Of one millisecond, they are listed in any order.
    media.sort_unstable_by_key(|media| media.id);
    let owners: Vec<UserId> = media.iter().map(|media| media.owner).collect();
    // Others use the directory, too.
    let listed = async |before, mut from: Option<MediaPlace>| {
        let mut mine = Vec::new();
        loop {
            let page = directory.media_before(before, from.as_ref(), 2).await.expect("lists");
            assert!(page.media.len() <= 2);
            mine.extend(page.media.into_iter().filter(|media| owners.contains(&media.owner)));
            match page.next {
                Some(next) => from = Some(next),
                None => {
                    mine.sort_unstable_by_key(|media| media.id);
                    return (mine, from);
                }
            }
        }
    };
    let soon = Millis(Millis::now().0 + 60_000);
    let (all, end) = listed(soon, None).await;
    assert_eq!(all, media);
    assert_eq!(listed(media[0].created, None).await.0, []);
    assert_eq!(listed(soon, end.clone()).await.0, []);

    directory.delete_media(media[1].id).await.expect("forgets");
    directory.delete_media(media[4].id).await.expect("forgets");
    assert_eq!(listed(soon, None).await.0, [media[0].clone(), media[2].clone(), media[3].clone()]);
    let late = upload(media[0].owner);
    let late = directory.create_media(late).await.expect("reserves");
    assert_eq!(listed(soon, end).await.0, [late]);
}

/// What a user's media come to, however many are reserved at once.
pub async fn media_count_for_their_owner(directory: Tested) {
    let owner = UserId::mint();
    let usage = async || directory.media_usage(owner).await.expect("answers");
    assert_eq!(usage().await, MediaUsage::default());
    reserved(&directory).await;
    let reservations = race(|number| {
        let directory = Arc::clone(&directory);
        async move {
            let new = NewMedia { size: 1 << number, ..upload(owner) };
            directory.create_media(new).await.expect("reserves")
        }
    });
    let media = reservations.await;
    let (count, bytes) = (media.len() as u64, media.iter().map(|one| one.size).sum::<u64>());
    assert_eq!(usage().await, MediaUsage { count, bytes });
    directory.change_media(media[0].id, &MediaChange::Arrive).await.expect("arrives");
    assert_eq!(usage().await, MediaUsage { count, bytes });
    for _ in 0..2 {
        directory.delete_media(media[0].id).await.expect("forgets");
        let rest = MediaUsage { count: count - 1, bytes: bytes - media[0].size };
        assert_eq!(usage().await, rest);
    }
}

/// Forgotten media are not there, are shared with nobody, and do not come back.
pub async fn media_are_forgotten(directory: Tested) {
    let (media, other) = (reserved(&directory).await.id, reserved(&directory).await);
    let with = [Audience::User(UserId::mint()), Audience::Group(GroupId::mint())];
    for with in with {
        directory.share_media(media, with).await.expect("shares");
        directory.share_media(other.id, with).await.expect("shares");
    }
    for _ in 0..2 {
        directory.delete_media(media).await.expect("forgets");
        assert_eq!(stored(&directory, media).await, None);
        assert!(!directory.is_media_shared(media, &with).await.expect("answers"));
        let unknown = directory.change_media(media, &MediaChange::Arrive).await;
        assert!(is_unknown(&unknown), "{unknown:?}");
    }
    assert_eq!(stored(&directory, other.id).await, Some(other.clone()));
    for with in with {
        assert!(directory.is_media_shared(other.id, &[with]).await.expect("answers"));
    }
    // Whoever races with it finds the media or does not, and leaves none behind.
    let raced = other.id;
    let outcomes = race(|number| {
        let directory = Arc::clone(&directory);
        async move {
            if number % 2 == 0 {
                directory.delete_media(raced).await.expect("forgets");
            } else {
                let arrives = directory.change_media(raced, &MediaChange::Arrive).await;
                let is_late = is_unknown(&arrives) || is_refused(&arrives, MediaRefusal::Uploaded);
                assert!(arrives.is_ok() || is_late, "{arrives:?}");
            }
        }
    });
    outcomes.await;
    assert_eq!(stored(&directory, raced).await, None);
}

/// Whenever forgetting is interrupted, a record that is gone has left no share
/// and no fetch.
pub async fn media_that_are_half_forgotten_are_still_found(directory: Tested) {
    let with = Audience::User(UserId::mint());
    for steps in 0..MOST_STEPS {
        let id = reserved(&directory).await.id;
        directory.share_media(id, with).await.expect("shares");
        directory.note_fetch(id, DeviceId::mint()).await.expect("notes");
        let done = interrupted(directory.delete_media(id), steps).await.is_some();
        if stored(&directory, id).await.is_none() {
            assert_eq!(directory.media_shares(id).await.expect("answers"), Shares::default());
            assert_eq!(directory.media_fetches(id).await.expect("answers"), Fetches::default());
        }
        if done {
            return;
        }
    }
    panic!("it never ends");
}

/// Whenever an upload's end is interrupted, the same again completes it.
pub async fn an_interrupted_change_can_be_repeated(directory: Tested) {
    for steps in 0..MOST_STEPS {
        let id = reserved(&directory).await.id;
        let arrive = directory.change_media(id, &MediaChange::Arrive);
        let done = interrupted(arrive, steps).await.is_some();
        match directory.change_media(id, &MediaChange::Arrive).await {
            Ok(outcome) => assert!(outcome.changed),
            refused => assert!(is_refused(&refused, MediaRefusal::Uploaded), "{refused:?}"),
        }
        let media = stored(&directory, id).await.expect("there");
        assert!(matches!(media.state, MediaState::Uploaded(_)), "{media:?}");
        if done {
            return;
        }
    }
    panic!("it never ends");
}
