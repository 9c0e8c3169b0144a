//! A gateway loses its subscriptions, and nothing else.

use std::time::Duration;

use nats::NatsOptions;

use super::{guest::Guest, party::Party, proxy::Proxy};
use crate::support;
use dev::client::Api;

/// By then a session has taken its first look at the store, and takes the next
/// one not before [`NEXT_LOOK`].
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// Since the session began.
const NEXT_LOOK: Duration = Duration::from_secs(24);
/// Said on the connection with the subscriptions, and on no other.
const SUBSCRIBES: &str = "SUB user.";

/// How often a slow machine may take longer than that.
const TRIES: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_while_subscriptions_were_away_is_found_when_they_are_back() {
    for _ in 0..TRIES {
        if is_found_before_the_next_look().await {
            return;
        }
    }
    panic!("it took longer than {NEXT_LOOK:?} {TRIES} times");
}

/// Whether that was soon enough to show what it is to show: later a look at the
/// store may have found it.
async fn is_found_before_the_next_look() -> bool {
    let stack = support::stack().limits(false).start().await.unwrap();
    let server = stack.nats().nodes()[0].url().trim_start_matches("nats://").parse().unwrap();
    let proxy = Proxy::to(server).await;
    let options = NatsOptions {
        nats: vec![format!("nats://{}", proxy.addr())],
        ..stack.nats_options().clone()
    };
    let behind = support::stack().nats_at(options).workers(0).limits(false).start().await.unwrap();
    let arrive = async |url: String| {
        let api = Api::new(&url).unwrap();
        let (name, account) = Guest::register(&api).await;
        Guest::arrive(name, account, vec![api])
    };
    let alice = arrive(stack.gateways()[0].url()).await;
    let bob = arrive(behind.gateways()[0].url()).await;
    let party = Party::of(vec![alice, bob], stack.bus().await.unwrap()).await;
    let [alice, bob] = &party.guests[..] else { unreachable!() };
    let online_since = bob.notes().online_since.unwrap();
    party
        .talks_while(async {
            while online_since.elapsed() < FIRST_LOOK {
                bob.confirms(1).await;
            }
        })
        .await;
    party.settles().await;

    // Nothing follows that would show that something is missing.
    proxy.accept(false);
    assert_eq!(proxy.cut(SUBSCRIBES), 1);
    let shown = bob.notes().shown.len();
    for _ in 0..20 {
        alice.say(bob.user).await;
    }
    bob.say(alice.user).await;
    alice.until("sent", |notes| notes.unconfirmed() == 0).await;
    bob.until("sent", |notes| notes.unconfirmed() == 0).await;
    assert_eq!(bob.notes().shown.len(), shown, "how did he hear of them?");
    proxy.accept(true);
    party.settles().await;

    // In traffic, what follows shows it.
    party
        .talks_while(async {
            assert_eq!(proxy.cut(SUBSCRIBES), 1);
            party.confirms(20).await;
        })
        .await;
    party.settles().await;
    if online_since.elapsed() >= NEXT_LOOK {
        return false;
    }
    assert_eq!(bob.notes().online_since, Some(online_since), "he was to notice nothing");
    party.leaves_nothing_behind().await;
    true
}
