//! What every directory has to do, as tests of any implementation.
//!
//! [`directory_contract!`](crate::directory_contract) makes them tests of one.
//! They use users and names of their own, so they may run at once, and against
//! a directory that is not empty. A broken promise panics.

pub mod blocks;
pub mod devices;
pub mod registration;
pub mod tokens;
pub mod users;

use std::{future::Future, sync::Arc};

use schemas::UserId;
use tokio::{sync::Barrier, task::JoinSet};

use crate::{Directory, NewDevice, NewUser, PasswordHash, User, Username};

/// The directory under test.
pub type Tested = Arc<dyn Directory>;

/// How many take part in a race.
const RACERS: usize = 16;

/// Makes each promise a `#[tokio::test]`. Its argument is an async function or
/// closure without parameters that opens the directory as
/// [`contract::Tested`](crate::contract::Tested).
#[macro_export]
macro_rules! directory_contract {
    ($open:expr) => {
        $crate::directory_contract! { $open =>
            registration::a_registered_user_is_found,
            registration::a_taken_name_is_refused_in_any_case,
            registration::a_name_has_one_winner,
            registration::an_interrupted_registration_blocks_nobody,
            users::the_unknown_are_not_there,
            users::many_are_read_in_order_and_once,
            users::a_patch_changes_what_it_names,
            users::changes_at_once_are_all_kept,
            devices::devices_come_and_go,
            devices::the_last_places_have_no_more_winners_than_there_are,
            devices::unlinking_again_is_no_error,
            devices::a_stranger_has_no_devices,
            tokens::a_token_is_good_for_its_successor,
            tokens::presented_at_once_it_is_issued_for_each,
            tokens::a_reuse_revokes_once,
            tokens::a_login_replaces_the_family,
            tokens::strangers_are_refused,
            blocks::blocks_come_and_go,
            blocks::a_stranger_blocks_nobody,
            blocks::blocks_have_a_limit,
        }
    };
    ($open:expr => $($part:ident::$promise:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $promise() {
                $crate::contract::$part::$promise(($open)().await).await;
            }
        )*
    };
}

/// A name that nobody else has.
fn fresh_name(what: &str) -> Username {
    format!("{what}.{}", UserId::mint()).parse().expect("a valid name")
}

/// A registration under that name.
fn registration(username: &Username) -> NewUser {
    NewUser {
        username: username.clone(),
        name: "Ada Lovelace".into(),
        phone: None,
        password_hash: PasswordHash::new("$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA"),
        device: NewDevice { name: Some("engine".into()), platform: Some("brass".into()) },
    }
}

/// A new user with one device.
async fn registered(directory: &Tested) -> User {
    let new = registration(&fresh_name("ada"));
    directory.create_user(new).await.expect("registers")
}

/// Lets all racers go at once; answers what came of each.
async fn race<F, T>(racer: impl Fn(usize) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let start = Arc::new(Barrier::new(RACERS));
    let mut racers = JoinSet::new();
    for number in 0..RACERS {
        let (start, run) = (Arc::clone(&start), racer(number));
        racers.spawn(async move {
            start.wait().await;
            run.await
        });
    }
    racers.join_all().await
}
