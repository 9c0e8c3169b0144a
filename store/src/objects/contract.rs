//! What every object storage has to do, as tests of any.
//!
//! [`objects_contract!`](crate::objects_contract) makes them tests of one. They
//! use ids of their own, so they may run at once. A broken promise panics.

mod receiving;

use std::ops::Range;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use schemas::MediaId;

pub use self::receiving::{
    an_upload_begins_anew, an_upload_comes_in, an_upload_goes_on_where_it_was_cut_off,
    an_upload_is_abandoned, an_upload_is_begun_twice_at_once, an_upload_is_completed_again,
    an_upload_takes_its_next_byte_and_no_other,
};
use super::{Begin, Object, ObjectError, Objects, Part};

/// More than any piece in which objects are written.
const LARGE: usize = 6 * 1024 * 1024 + 12_345;

/// Makes each promise a `#[tokio::test]`. Its argument is an async function or
/// closure without parameters that opens [`Objects`](crate::Objects), and
/// answers them with whatever has to live as long.
#[macro_export]
macro_rules! objects_contract {
    ($open:expr) => {
        $crate::objects_contract! { $open =>
            what_was_written_is_read,
            a_part_is_read,
            parts_and_media_are_told_apart,
            what_is_not_finished_is_not_seen,
            a_later_object_replaces_an_earlier_one,
            objects_are_deleted,
            all_of_a_media_id_is_removed,
            the_absent_is_not_there,
            an_upload_comes_in,
            an_upload_goes_on_where_it_was_cut_off,
            an_upload_takes_its_next_byte_and_no_other,
            an_upload_is_begun_twice_at_once,
            an_upload_begins_anew,
            an_upload_is_completed_again,
            an_upload_is_abandoned,
        }
    };
    ($open:expr => $($promise:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $promise() {
                let (objects, _alive) = ($open)().await;
                $crate::objects::contract::$promise(objects).await;
            }
        )*
    };
}

fn fresh(part: Part) -> Object {
    Object { media: MediaId::mint(), part }
}

/// Bytes that are nowhere the same.
fn bytes(count: usize) -> Bytes {
    (0..count).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect()
}

async fn store(objects: &Objects, object: Object, bytes: &Bytes, piece: usize) {
    let mut writing = objects.write(object).await.expect("takes an object");
    for start in (0..bytes.len()).step_by(piece) {
        let end = bytes.len().min(start + piece);
        writing.write(bytes.slice(start..end)).await.expect("takes bytes");
    }
    assert_eq!(writing.written(), bytes.len() as u64);
    writing.finish().await.expect("stores");
}

async fn read(objects: &Objects, object: Object, range: Option<Range<u64>>) -> Vec<u8> {
    let reading = objects.read(object, range).await.expect("reads");
    let expected = reading.range.end - reading.range.start;
    let pieces: Vec<Bytes> = reading.bytes.try_collect().await.expect("reads on");
    let bytes = pieces.concat();
    assert_eq!(bytes.len() as u64, expected);
    bytes
}

/// Of any size, in pieces of any size.
pub async fn what_was_written_is_read(objects: Objects) {
    for (count, piece) in [(1, 1), (1_000, 7), (300_000, 300_000), (LARGE, 65_536)] {
        let (object, bytes) = (fresh(Part::Upload), bytes(count));
        store(&objects, object, &bytes, piece).await;
        assert_eq!(objects.size(object).await.expect("is there"), Some(count as u64));
        assert!(read(&objects, object, None).await == bytes, "{count} bytes by {piece}");
    }
}

/// Ranges within an object, and one that goes beyond.
pub async fn a_part_is_read(objects: Objects) {
    let (object, bytes) = (fresh(Part::Content), bytes(10_000));
    store(&objects, object, &bytes, 10_000).await;
    for range in [0..1, 0..10_000, 17..4_711, 9_999..10_000, 9_000..20_000] {
        let reading = objects.read(object, Some(range.clone())).await.expect("reads");
        assert_eq!((reading.size, reading.range), (10_000, range.start..range.end.min(10_000)));
        let part = range.start as usize..range.end.min(10_000) as usize;
        assert!(read(&objects, object, Some(range)).await == bytes.slice(part));
    }
}

/// Each file of each media is its own.
pub async fn parts_and_media_are_told_apart(objects: Objects) {
    let media = [MediaId::mint(), MediaId::mint()];
    let all = media.iter().flat_map(|media| Part::ALL.map(|part| Object { media: *media, part }));
    let all: Vec<Object> = all.collect();
    for (number, object) in all.iter().enumerate() {
        store(&objects, *object, &bytes(number + 1), 64).await;
    }
    for (number, object) in all.iter().enumerate() {
        assert_eq!(read(&objects, *object, None).await.len(), number + 1);
    }
}

/// Not while it is written, nor after it was given up.
pub async fn what_is_not_finished_is_not_seen(objects: Objects) {
    let object = fresh(Part::Upload);
    let mut writing = objects.write(object).await.expect("takes an object");
    writing.write(bytes(LARGE)).await.expect("takes bytes");
    assert_eq!(objects.size(object).await.expect("asks"), None);
    drop(writing);
    assert_eq!(objects.size(object).await.expect("asks"), None);
}

/// As a whole.
pub async fn a_later_object_replaces_an_earlier_one(objects: Objects) {
    let object = fresh(Part::Thumbnail);
    store(&objects, object, &bytes(5_000), 5_000).await;
    store(&objects, object, &bytes(3), 3).await;
    assert_eq!(read(&objects, object, None).await, bytes(3));
}

/// Again and again.
pub async fn objects_are_deleted(objects: Objects) {
    let (object, other) = (fresh(Part::Content), fresh(Part::Content));
    store(&objects, object, &bytes(10), 10).await;
    store(&objects, other, &bytes(10), 10).await;
    for _ in 0..2 {
        objects.delete(object).await.expect("deletes");
        assert_eq!(objects.size(object).await.expect("asks"), None);
    }
    assert_eq!(objects.size(other).await.expect("asks"), Some(10));
}

/// And of no other; also what is still coming in.
pub async fn all_of_a_media_id_is_removed(objects: Objects) {
    let ids @ [media, other] = [MediaId::mint(), MediaId::mint()];
    let bytes = bytes(LARGE);
    for media in ids {
        let receiving = objects.receive(media, LARGE as u64 + 1, Begin::Anew).await;
        let mut receiving = receiving.expect("takes an upload");
        receiving.write(bytes.clone()).await.expect("takes bytes");
        receiving.pause().await.expect("pauses");
        for part in Part::ALL {
            store(&objects, Object { media, part }, &bytes, LARGE).await;
        }
    }
    for _ in 0..2 {
        objects.remove(media).await.expect("removes");
        for (media, is_there) in [(media, false), (other, true)] {
            for part in Part::ALL {
                let size = objects.size(Object { media, part }).await.expect("asks");
                assert_eq!(size.is_some(), is_there, "{part:?}");
            }
            assert_eq!(objects.come_in(media).await.expect("asks") > 0, is_there);
        }
    }
}

/// Whatever is asked of it.
pub async fn the_absent_is_not_there(objects: Objects) {
    let object = fresh(Part::Content);
    assert_eq!(objects.size(object).await.expect("asks"), None);
    for range in [None, Some(0..1)] {
        let read = objects.read(object, range).await;
        assert!(matches!(read, Err(ObjectError::NotFound)), "{read:?}");
    }
}
