//! Object storage: in a folder, and in an S3 that checks what it is sent.

pub(crate) mod s3;

use store::objects::{MediaPlace, Objects, ObjectsOptions, OpenObjectsError, S3Options};
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
