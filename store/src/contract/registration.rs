//! Registering, and whose a name is.

use std::sync::Arc;

use schemas::http::Settings;

use super::{MOST_STEPS, Tested, fresh_name, interrupted, race, registration};
use crate::{DirectoryError, Username};

/// What was registered is there, by id and by name, in every spelling.
pub async fn a_registered_user_is_found(directory: Tested) {
    let name = fresh_name("Ada");
    let user = directory.create_user(registration(&name)).await.expect("registers");

    assert_eq!(user.username.as_str(), name.as_str());
    assert_eq!(user.name, "Ada Lovelace");
    assert_eq!(user.settings, Settings::default());
    let [device] = user.devices.as_slice() else { panic!("one device: {:?}", user.devices) };
    assert_eq!(device.platform.as_deref(), Some("brass"));
    assert_eq!((device.tokens.issued, device.tokens.used), (1, 0));

    let shouted: Username = name.as_str().to_uppercase().parse().expect("a valid name");
    let by_name = directory.user_by_username(&shouted).await.expect("answers");
    assert_eq!(by_name.as_ref(), Some(&user));
    assert_eq!(by_name.expect("there").username.as_str(), name.as_str());
    assert_eq!(directory.user(user.id).await.expect("answers"), Some(user.clone()));
    assert_eq!(directory.user_fresh(user.id).await.expect("answers"), Some(user));
}

/// Names differ in more than their case.
pub async fn a_taken_name_is_refused_in_any_case(directory: Tested) {
    let name: Username = format!("Ζωή.{}", fresh_name("x")).parse().expect("a valid name");
    let owner = directory.create_user(registration(&name)).await.expect("registers");
    for spelling in [name.as_str().to_owned(), name.as_str().to_uppercase()] {
        let again = registration(&spelling.parse().expect("a valid name"));
        let refused = directory.create_user(again).await;
        assert!(matches!(refused, Err(DirectoryError::Conflict(_))), "{refused:?}");
    }
    let found = directory.user_by_username(&name).await.expect("answers");
    assert_eq!(found, Some(owner));
}

/// Of many who want a name at once, exactly one gets it.
pub async fn a_name_has_one_winner(directory: Tested) {
    let name = fresh_name("Race");
    let spellings = [name.clone(), name.as_str().to_lowercase().parse().expect("a valid name")];
    let outcomes = race(|number| {
        let (directory, new) = (Arc::clone(&directory), registration(&spellings[number % 2]));
        async move { directory.create_user(new).await }
    });
    let mut winners = Vec::new();
    for outcome in outcomes.await {
        match outcome {
            Ok(user) => winners.push(user),
            Err(DirectoryError::Conflict(_)) => {}
            Err(error) => panic!("neither won nor lost: {error:?}"),
        }
    }
    let [winner] = winners.as_slice() else { panic!("{} winners", winners.len()) };
    let found = directory.user_by_username(&name).await.expect("answers");
    assert_eq!(found.as_ref(), Some(winner));
}

/// A registration that stops at any step leaves the name either free, or with
/// a whole user, at once and for good.
pub async fn an_interrupted_registration_blocks_nobody(directory: Tested) {
    for steps in 0..MOST_STEPS {
        let name = fresh_name("cut");
        let first = directory.create_user(registration(&name));
        let first = interrupted(first, steps).await;

        let second = directory.create_user(registration(&name)).await;
        let owner = directory.user_by_username(&name).await.expect("answers");
        let owner = owner.unwrap_or_else(|| panic!("nobody has {name} after {steps} steps"));
        match second {
            Ok(user) => assert_eq!(user.id, owner.id, "after {steps} steps"),
            Err(DirectoryError::Conflict(_)) => assert_eq!(owner.devices.len(), 1),
            Err(error) => panic!("after {steps} steps: {error:?}"),
        }
        let newer = directory.renew_family(owner.id, owner.devices[0].id).await;
        assert!(newer.is_ok(), "after {steps} steps: {newer:?}");
        let third = directory.create_user(registration(&name)).await;
        assert!(matches!(third, Err(DirectoryError::Conflict(_))), "{third:?}");

        if let Some(first) = first {
            assert_eq!(first.expect("registers").id, owner.id);
            return;
        }
    }
    panic!("a registration takes more than {MOST_STEPS} steps");
}
