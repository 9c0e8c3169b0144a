//! Object storage: in a folder, and in an S3 that checks what it is sent.

pub(crate) mod s3;

use store::objects::{
    Begin, MediaPlace, Object, Objects, ObjectsOptions, OpenObjectsError, Part, ReceiveError,
    S3Options,
};
use tempfile::TempDir;

/// Each promise of the contract, in a folder.
mod in_a_folder {
    store::objects_contract!(async || super::in_folder());
}

/// And in S3.
mod in_s3 {
    store::objects_contract!(super::s3::in_s3);
}

/// Object storage in a folder that is not there yet, in one that goes with the test.
fn in_folder() -> (Objects, TempDir) {
    let folder = TempDir::new().unwrap();
    let place = MediaPlace::Folder(folder.path().join("made/when/opened"));
    let objects = open(place, S3Options::default()).unwrap();
    (objects, folder)
}

fn open(media: MediaPlace, s3: S3Options) -> Result<Objects, OpenObjectsError> {
    Objects::open(&ObjectsOptions { media, s3 })
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = open(MediaPlace::Folder(file.join("in")), S3Options::default()).unwrap_err();
    assert!(refused.to_string().contains("PETREL_MEDIA"), "{refused}");
}

#[tokio::test]
async fn a_folder_signs_nothing() {
    let (objects, _folder) = in_folder();
    let object = s3::object();
    assert_eq!(objects.sign_upload(object, "image/png", 10, s3::VALID), None);
    assert_eq!(objects.sign_download(object, &s3::AS_IT_IS, s3::VALID), None);
}

#[tokio::test]
async fn a_folder_takes_an_upload_from_one_at_a_time() {
    let (objects, folder) = in_folder();
    // As another gateway has it.
    let place = MediaPlace::Folder(folder.path().join("made/when/opened"));
    let others = open(place, S3Options::default()).unwrap();
    let media = s3::object().media;
    let mut first = objects.receive(media, 10, Begin::Anew).await.unwrap();
    first.write("12345".into()).await.unwrap();
    for begin in [Begin::Anew, Begin::At(0), Begin::At(5)] {
        for objects in [&objects, &others] {
            let second = objects.receive(media, 10, begin).await;
            assert!(matches!(second, Err(ReceiveError::Busy)), "{begin:?}: {second:?}");
        }
    }
    assert_eq!(first.pause().await.unwrap(), 5);
    let mut second = others.receive(media, 10, Begin::At(5)).await.unwrap();
    second.write("67890".into()).await.unwrap();
    let received = second.complete().await.unwrap();
    // Until its arrival is noted.
    let late = objects.receive(media, 10, Begin::Anew).await;
    assert!(matches!(late, Err(ReceiveError::Busy)), "{late:?}");
    received.release().await.unwrap();
    assert_eq!(objects.size(Object { media, part: Part::Upload }).await.unwrap(), Some(10));
}
