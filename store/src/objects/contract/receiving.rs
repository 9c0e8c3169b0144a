//! What comes in piece by piece.

use bytes::Bytes;

use super::{bytes, fresh, read};
use crate::objects::{
    Begin, LEAST_PIECE, Object, ObjectError, Objects, Part, ReceiveError, Receiving,
};

/// More than two of the pieces that S3 takes, and not a multiple of one.
const SIZE: usize = 12 * 1024 * 1024 + 321;
/// In which the bytes come.
const CHUNK: usize = 48_000;

async fn begin(objects: &Objects, upload: Object, begin: Begin) -> Receiving {
    objects.receive(upload.media, SIZE as u64, begin).await.expect("takes an upload")
}

/// Takes so many bytes from where it is.
async fn take(receiving: &mut Receiving, bytes: &Bytes, count: usize) {
    let start = receiving.offset() as usize;
    let end = bytes.len().min(start + count);
    for at in (start..end).step_by(CHUNK) {
        receiving.write(bytes.slice(at..end.min(at + CHUNK))).await.expect("takes bytes");
    }
    assert_eq!(receiving.offset(), end as u64);
}

async fn is_stored(objects: &Objects, upload: Object, bytes: &Bytes) {
    assert_eq!(objects.size(upload).await.expect("asks"), Some(bytes.len() as u64));
    assert!(read(objects, upload, None).await == *bytes);
}

/// In one go, of any size.
pub async fn an_upload_comes_in(objects: Objects) {
    for size in [1, 1_000, LEAST_PIECE, SIZE] {
        let (upload, bytes) = (fresh(Part::Upload), bytes(size));
        let receiving = objects.receive(upload.media, size as u64, Begin::Anew).await;
        let mut receiving = receiving.expect("takes an upload");
        take(&mut receiving, &bytes, size).await;
        assert!(receiving.is_complete());
        let received = receiving.complete().await.expect("completes");
        is_stored(&objects, upload, &bytes).await;
        received.release().await.expect("forgets");
        is_stored(&objects, upload, &bytes).await;
    }
}

/// However often it is cut off, it goes on from where it says it is, and what
/// it has lost of what was written is less than a piece of S3's.
pub async fn an_upload_goes_on_where_it_was_cut_off(objects: Objects) {
    let (upload, bytes) = (fresh(Part::Upload), bytes(SIZE));
    let mut written = 0;
    for pauses in [true, false, true, false] {
        let offset = objects.come_in(upload.media).await.expect("asks");
        let lost_little = offset..offset + LEAST_PIECE as u64;
        assert!(lost_little.contains(&written), "{offset} of {written}");
        let mut receiving = begin(&objects, upload, Begin::At(offset)).await;
        take(&mut receiving, &bytes, 5_500_000).await;
        written = receiving.offset();
        if pauses {
            let kept = receiving.pause().await.expect("pauses");
            assert_eq!(objects.come_in(upload.media).await.expect("asks"), kept);
        } else {
            drop(receiving);
            settled(&objects, upload).await;
        }
        assert_eq!(objects.size(upload).await.expect("asks"), None);
    }
    let offset = objects.come_in(upload.media).await.expect("asks");
    let mut receiving = begin(&objects, upload, Begin::At(offset)).await;
    take(&mut receiving, &bytes, SIZE).await;
    receiving.complete().await.expect("completes").release().await.expect("forgets");
    is_stored(&objects, upload, &bytes).await;
}

/// Waits until a sender that was dropped has let go.
async fn settled(objects: &Objects, upload: Object) {
    loop {
        let offset = objects.come_in(upload.media).await.expect("asks");
        match objects.receive(upload.media, SIZE as u64, Begin::At(offset)).await {
            Ok(_) => return,
            Err(ReceiveError::Busy | ReceiveError::Elsewhere(_)) => {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Only the next byte is taken, and only as many as were announced.
pub async fn an_upload_takes_its_next_byte_and_no_other(objects: Objects) {
    let (upload, bytes) = (fresh(Part::Upload), bytes(SIZE));
    let refused =
        async |offset| match objects.receive(upload.media, SIZE as u64, Begin::At(offset)).await {
            Err(ReceiveError::Elsewhere(next)) => next,
            other => panic!("{offset}: {other:?}"),
        };
    assert_eq!(refused(1).await, 0);
    let mut receiving = begin(&objects, upload, Begin::At(0)).await;
    take(&mut receiving, &bytes, 6_000_000).await;
    let kept = receiving.pause().await.expect("pauses");
    for offset in [0, 1, kept - 1, kept + 1, SIZE as u64, u64::MAX] {
        assert_eq!(refused(offset).await, kept);
    }
    let mut receiving = begin(&objects, upload, Begin::At(kept)).await;
    take(&mut receiving, &bytes, SIZE - kept as usize - 10).await;
    let long = receiving.write(bytes.slice(..11)).await;
    assert!(matches!(long, Err(ReceiveError::TooLong)), "{long:?}");
    take(&mut receiving, &bytes, 10).await;
    receiving.complete().await.expect("completes").release().await.expect("forgets");
    is_stored(&objects, upload, &bytes).await;
}

/// Of two who begin at once each is told to wait or sends all of it, and one
/// object comes of that.
pub async fn an_upload_is_begun_twice_at_once(objects: Objects) {
    let (upload, bytes) = (fresh(Part::Upload), bytes(SIZE));
    let sends = async || match objects.receive(upload.media, SIZE as u64, Begin::At(0)).await {
        Ok(mut receiving) => {
            take(&mut receiving, &bytes, SIZE).await;
            Some(receiving)
        }
        Err(ReceiveError::Busy) => None,
        Err(error) => panic!("{error}"),
    };
    let senders = futures_util::join!(sends(), sends());
    let senders: Vec<Receiving> = <[_; 2]>::from(senders).into_iter().flatten().collect();
    assert!(!senders.is_empty());
    for receiving in senders {
        receiving.complete().await.expect("completes").release().await.expect("forgets");
        is_stored(&objects, upload, &bytes).await;
    }
}

/// Who begins anew is not held up by what came in before.
pub async fn an_upload_begins_anew(objects: Objects) {
    let (upload, bytes) = (fresh(Part::Upload), bytes(SIZE));
    let other = Bytes::from(vec![7; SIZE]);
    let mut receiving = begin(&objects, upload, Begin::Anew).await;
    take(&mut receiving, &other, 11_000_000).await;
    receiving.pause().await.expect("pauses");
    let mut receiving = begin(&objects, upload, Begin::Anew).await;
    assert_eq!(receiving.offset(), 0);
    take(&mut receiving, &bytes, SIZE).await;
    receiving.complete().await.expect("completes").release().await.expect("forgets");
    is_stored(&objects, upload, &bytes).await;
}

/// One that was interrupted at its end is found complete, and is completed again.
pub async fn an_upload_is_completed_again(objects: Objects) {
    let (upload, bytes) = (fresh(Part::Upload), bytes(SIZE));
    let mut receiving = begin(&objects, upload, Begin::Anew).await;
    take(&mut receiving, &bytes, SIZE).await;
    drop(receiving.complete().await.expect("completes"));
    for begins in [Begin::At(SIZE as u64), Begin::Anew] {
        assert_eq!(objects.come_in(upload.media).await.expect("asks"), SIZE as u64);
        let receiving = begin(&objects, upload, begins).await;
        assert!(receiving.is_complete());
        drop(receiving.complete().await.expect("completes"));
        is_stored(&objects, upload, &bytes).await;
    }
}

/// Of what was abandoned nothing is left, and no object is made.
pub async fn an_upload_is_abandoned(objects: Objects) {
    let (upload, bytes) = (fresh(Part::Upload), bytes(SIZE));
    objects.abandon(upload.media).await.expect("need not be there");
    for abandons in [true, false] {
        let mut receiving = begin(&objects, upload, Begin::At(0)).await;
        take(&mut receiving, &bytes, 6_000_000).await;
        if abandons {
            receiving.abandon().await.expect("abandons");
        } else {
            receiving.pause().await.expect("pauses");
            objects.abandon(upload.media).await.expect("abandons");
        }
        assert_eq!(objects.come_in(upload.media).await.expect("asks"), 0);
    }
    let mut receiving = begin(&objects, upload, Begin::At(0)).await;
    take(&mut receiving, &bytes, SIZE).await;
    objects.abandon(upload.media).await.expect("abandons");
    let late = receiving.complete().await;
    assert!(matches!(late, Err(ObjectError::NotFound)), "{late:?}");
    assert_eq!(objects.size(upload).await.expect("asks"), None);
}
