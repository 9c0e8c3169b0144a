//! Reading and changing users.

use std::sync::Arc;

use schemas::{
    MediaId, UserId,
    http::{LastSeen, PatchSettings, Settings},
};

use super::{Tested, fresh_name, race, registered};
use crate::{DirectoryError, NewDevice, UserPatch};

/// Who never registered is absent, not an error; changing them is one.
pub async fn the_unknown_are_not_there(directory: Tested) {
    let stranger = UserId::mint();
    assert_eq!(directory.user(stranger).await.expect("answers"), None);
    assert_eq!(directory.user_fresh(stranger).await.expect("answers"), None);
    let nobody = directory.user_by_username(&fresh_name("nobody")).await;
    assert_eq!(nobody.expect("answers"), None);
    let changed = directory.update_user(stranger, &UserPatch::default()).await;
    assert!(matches!(changed, Err(DirectoryError::NotFound(_))), "{changed:?}");
    assert_eq!(directory.user_fresh(stranger).await.expect("answers"), None);
}

/// A bulk read keeps the order asked for, and leaves out repetitions and strangers.
pub async fn many_are_read_in_order_and_once(directory: Tested) {
    let mut users = Vec::new();
    for _ in 0..5 {
        users.push(registered(&directory).await);
    }
    users.reverse();
    let mut ids: Vec<UserId> = users.iter().map(|user| user.id).collect();
    ids.insert(2, UserId::mint());
    ids.push(ids[0]);
    assert_eq!(directory.users(&ids).await.expect("answers"), users);
    assert_eq!(directory.users(&[]).await.expect("answers"), []);
}

/// What a patch does not name stays; `None` inside it clears.
pub async fn a_patch_changes_what_it_names(directory: Tested) {
    let user = registered(&directory).await;
    let picture = MediaId::mint();
    let first = UserPatch {
        name: Some("Countess".into()),
        phone: Some(Some("+441234".into())),
        picture: Some(Some(picture)),
        settings: PatchSettings { last_seen: Some(LastSeen::Nobody), ..Default::default() },
    };
    let mut expected = user.clone();
    expected.name = "Countess".into();
    expected.phone = Some("+441234".into());
    expected.picture = Some(picture);
    expected.settings = Settings { last_seen: LastSeen::Nobody, ..Settings::default() };
    assert_eq!(directory.update_user(user.id, &first).await.expect("changes"), expected);

    let second = UserPatch {
        phone: Some(None),
        picture: Some(None),
        settings: PatchSettings { read_receipts: Some(false), ..Default::default() },
        ..UserPatch::default()
    };
    expected.phone = None;
    expected.picture = None;
    expected.settings.read_receipts = false;
    assert_eq!(directory.update_user(user.id, &second).await.expect("changes"), expected);
    assert_eq!(directory.user_fresh(user.id).await.expect("answers"), Some(expected));
}

/// Different changes to one user at the same moment do not undo each other.
pub async fn changes_at_once_are_all_kept(directory: Tested) {
    let user = registered(&directory).await;
    let (id, device) = (user.id, user.devices[0].id);
    let claim = user.devices[0].tokens.newest();
    race(|number| {
        let directory = Arc::clone(&directory);
        async move {
            match number {
                0..4 => {
                    let device = NewDevice { name: Some(number.to_string()), platform: None };
                    directory.link_device(id, device).await.map(drop)
                }
                4..8 => directory
                    .rotate_token(id, device, claim, schemas::Micros::now())
                    .await
                    .map(drop),
                8..12 => {
                    let name = Some("Countess".to_owned());
                    let patch = UserPatch { name, ..UserPatch::default() };
                    directory.update_user(id, &patch).await.map(drop)
                }
                _ => {
                    let settings = PatchSettings { push_preview: Some(true), ..Default::default() };
                    let patch = UserPatch { settings, ..UserPatch::default() };
                    directory.update_user(id, &patch).await.map(drop)
                }
            }
            .expect("changes");
        }
    })
    .await;
    let user = directory.user_fresh(id).await.expect("answers").expect("there");
    assert_eq!((user.name.as_str(), user.settings.push_preview), ("Countess", true));
    assert_eq!(user.devices.len(), 1 + 4);
    assert_eq!(user.devices[0].tokens.issued, 1 + 4);
}
