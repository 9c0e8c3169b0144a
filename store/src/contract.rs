//! What every directory has to do, as tests of any implementation.
//!
//! [`directory_contract!`](crate::directory_contract) makes them tests of one.
//! They use users and names of their own, so they may run at once, and against
//! a directory that is not empty. A broken promise panics.

pub mod blocks;
pub mod devices;
pub mod group_races;
pub mod groups;
pub mod media;
pub mod registration;
pub mod tokens;
pub mod users;

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use schemas::UserId;
use tokio::{sync::Barrier, task::JoinSet};

use crate::{Directory, NewDevice, NewUser, PasswordHash, User, Username};

/// The directory under test.
pub type Tested = Arc<dyn Directory>;

/// How many take part in a race.
const RACERS: usize = 16;
/// More steps than any call takes.
const MOST_STEPS: usize = 10_000;

/// Makes each promise a `#[tokio::test]`. Its argument is an async function or
/// closure without parameters that opens the directory as
/// [`contract::Tested`](crate::contract::Tested), or as an option of that where
/// there may be none to test.
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
            devices::a_device_is_woken_as_was_said_last,
            tokens::a_token_is_good_for_its_successor,
            tokens::presented_at_once_it_is_issued_for_each,
            tokens::a_reuse_revokes_once,
            tokens::a_login_replaces_the_family,
            tokens::strangers_are_refused,
            blocks::blocks_come_and_go,
            blocks::a_stranger_blocks_nobody,
            blocks::blocks_have_a_limit,
            groups::a_group_that_was_made_is_found,
            groups::a_group_is_made_with_at_most_the_limit,
            groups::members_come_and_go,
            groups::a_group_gets_another_face,
            groups::changes_can_be_repeated,
            groups::refusals_change_nothing,
            groups::the_last_one_out_takes_the_group_along,
            group_races::the_last_place_in_a_group_has_one_winner,
            group_races::a_change_is_told_once,
            group_races::removal_and_promotion_take_turns,
            group_races::somebody_is_always_left_in_charge,
            group_races::nobody_is_added_to_a_group_that_is_gone,
            group_races::two_admins_cannot_depose_each_other,
            group_races::who_is_in_a_group_finds_it_whatever_raced,
            group_races::who_is_in_a_group_finds_it_whoever_overtook,
            group_races::an_interrupted_change_is_made_or_undone,
            group_races::an_interrupted_group_is_there_for_all_or_nobody,
            media::an_upload_that_was_reserved_is_found,
            media::an_upload_arrives_and_is_judged,
            media::an_upload_is_made_once,
            media::media_are_shared,
            media::media_are_fetched,
            media::media_lead_to_the_groups_of_who_reads,
            media::media_count_for_their_owner,
            media::media_are_listed_from_the_oldest_on,
            media::media_are_forgotten,
            media::media_that_are_half_forgotten_are_still_found,
            media::an_interrupted_change_can_be_repeated,
        }
    };
    ($open:expr => $($part:ident::$promise:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $promise() {
                let directory: Option<$crate::contract::Tested> = ($open)().await.into();
                if let Some(directory) = directory {
                    $crate::contract::$part::$promise(directory).await;
                }
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

/// Runs a future until it has waited that many times, and drops it then.
async fn interrupted<F: Future>(future: F, mut steps: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| {
        if steps == 0 {
            return Poll::Ready(None);
        }
        steps -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}
