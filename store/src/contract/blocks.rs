//! Blocking.

use std::sync::Arc;

use schemas::{UserId, limits::BLOCKED_USERS};

use super::{Tested, race, registered};
use crate::DirectoryError;

/// Blocks are a set in the order they were made; doing either again changes nothing.
pub async fn blocks_come_and_go(directory: Tested) {
    let user = registered(&directory).await;
    assert_eq!(user.blocked, []);
    let (user, one, other) = (user.id, UserId::mint(), UserId::mint());
    assert_eq!(directory.blocked(user).await.expect("answers"), []);
    directory.unblock(user, one).await.expect("unblocks");

    for blocked in [other, one, other] {
        directory.block(user, blocked).await.expect("blocks");
    }
    assert_eq!(directory.blocked(user).await.expect("answers"), [other, one]);
    let stored = directory.user_fresh(user).await.expect("answers").expect("there");
    assert_eq!(stored.blocked, [other, one]);

    for _ in 0..2 {
        directory.unblock(user, other).await.expect("unblocks");
        assert_eq!(directory.blocked(user).await.expect("answers"), [one]);
    }
}

/// Who never registered blocks nobody.
pub async fn a_stranger_blocks_nobody(directory: Tested) {
    let stranger = UserId::mint();
    let blocked = directory.block(stranger, UserId::mint()).await;
    assert!(matches!(blocked, Err(DirectoryError::NotFound(_))), "{blocked:?}");
    let unblocked = directory.unblock(stranger, UserId::mint()).await;
    assert!(matches!(unblocked, Err(DirectoryError::NotFound(_))), "{unblocked:?}");
    assert_eq!(directory.blocked(stranger).await.expect("answers"), []);
}

/// The limit holds, also for those who race for the last places.
pub async fn blocks_have_a_limit(directory: Tested) {
    const LEFT: usize = 2;
    let user = registered(&directory).await.id;
    let mut blocked = Vec::new();
    while blocked.len() < BLOCKED_USERS - LEFT {
        let other = UserId::mint();
        directory.block(user, other).await.expect("blocks");
        blocked.push(other);
    }
    let outcomes = race(|_| {
        let directory = Arc::clone(&directory);
        async move { directory.block(user, UserId::mint()).await }
    });
    let mut winners = 0;
    for outcome in outcomes.await {
        match outcome {
            Ok(()) => winners += 1,
            Err(DirectoryError::LimitReached { limit: BLOCKED_USERS, .. }) => {}
            Err(error) => panic!("neither won nor lost: {error:?}"),
        }
    }
    assert_eq!(winners, LEFT);
    let stored = directory.blocked(user).await.expect("answers");
    assert_eq!(stored.len(), BLOCKED_USERS);
    assert_eq!(stored[..blocked.len()], blocked);

    // At the limit, blocking again is still no error, and a place can be freed.
    directory.block(user, blocked[0]).await.expect("is blocked already");
    directory.unblock(user, blocked[0]).await.expect("unblocks");
    directory.block(user, UserId::mint()).await.expect("has a place");
}
