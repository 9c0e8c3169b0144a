//! Lines that are dead without having been closed.

use std::time::{Duration, Instant};

use dev::{Gateway, client::Api};
use nats::{Bus, Inboxes};
use schemas::{CloseCode, limits::MESSAGES_BYTES};

use super::{
    PATIENCE, eventually,
    guest::Guest,
    line::{Line, text_of},
    party::Party,
    proxy::Proxy,
};
use crate::support::{self, undisturbed};

/// Two heartbeats of a second, and what a busy machine adds.
const FOUND_OUT: Duration = Duration::from_secs(10);

fn api(gateway: &Gateway) -> Api {
    Api::new(&gateway.url()).unwrap()
}

/// A gateway behind a line that can go dead.
async fn proxied(gateway: &Gateway) -> (Proxy, Api) {
    let proxy = Proxy::to(gateway.addr()).await;
    let api = Api::new(&format!("http://{}", proxy.addr())).unwrap();
    (proxy, api)
}

#[tokio::test]
async fn what_a_half_open_line_was_sent_comes_on_the_next_one() {
    undisturbed(async || {
        let stack = support::shared_stack().await;
        let bus = stack.bus().await.unwrap();
        let [first, second] = stack.gateways() else { panic!("two gateways were asked for") };
        // The next line may come to the same gateway, or to another.
        for next in [first, second] {
            next_line_after_a_dead_one(&bus, first, next, second).await;
        }
    })
    .await;
}

async fn next_line_after_a_dead_one(bus: &Bus, dead: &Gateway, next: &Gateway, other: &Gateway) {
    let (_, alice) = Guest::register(&api(other)).await;
    let (_, bob) = Guest::register(&api(other)).await;
    let mut speaker = Line::hello(&api(other), &alice).await;
    let (proxy, through_proxy) = proxied(dead).await;
    let mut dead = Line::hello(&through_proxy, &bob).await;
    dead.catches_up().await;
    proxy.freeze();

    let texts: Vec<String> = (1..=5).map(|n| n.to_string()).collect();
    let mut newest = None;
    for text in &texts {
        newest = Some(speaker.says(bob.user(), text).await);
    }
    let mut alive = Line::hello(&api(next), &bob).await;
    let items = alive.catches_up().await;
    assert_eq!(items.iter().map(text_of).collect::<Vec<_>>(), texts);
    alive.acks(items.last().unwrap().seq).await;
    speaker.is_told_delivered(bob.user(), newest.unwrap()).await;

    // The server has closed the dead one long ago.
    proxy.thaw();
    assert_eq!(dead.closed(PATIENCE).await, Some(CloseCode::Replaced.code()));
    let inboxes = Inboxes::new(bus.clone());
    let is_empty = async || {
        let page = inboxes.read(bob.user(), bob.device(), 0, 1, MESSAGES_BYTES).await;
        page.is_ok_and(|page| page.messages.is_empty())
    };
    eventually("what was delivered is deleted", is_empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_silent_heartbeats_end_a_line_at_either_end() {
    undisturbed(async || {
        let stack = support::stack().gateways(2).limits(false).env("PETREL_HEARTBEAT_SECS", "1");
        let stack = stack.start().await.unwrap();
        let [first, second] = stack.gateways() else { panic!("two gateways were asked for") };
        let bus = stack.bus().await.unwrap();
        tokio::join!(
            a_gateway_closes_what_is_silent(first, second),
            a_client_leaves_a_dead_line(&bus, first, second)
        );
    })
    .await;
}

async fn a_gateway_closes_what_is_silent(first: &Gateway, second: &Gateway) {
    let (name, alice) = Guest::register(&api(second)).await;
    let (_, bob) = Guest::register(&api(second)).await;
    let alice = Guest::arrive(name, alice, vec![api(second)]);
    alice.until("caught_up", |notes| notes.caught_up).await;
    let online_since = alice.notes().online_since;

    let (proxy, through_proxy) = proxied(first).await;
    let since = Instant::now();
    let mut silent = Line::hello(&through_proxy, &bob).await;
    silent.catches_up().await;
    proxy.mute();
    alice.say(bob.user()).await;
    alice.until("sent", |notes| notes.unconfirmed() == 0).await;
    assert_eq!(silent.closed(FOUND_OUT).await, Some(CloseCode::Silent.code()));
    assert!(since.elapsed() >= Duration::from_secs(2), "{:?}", since.elapsed());

    let items = Line::hello(&api(second), &bob).await.catches_up().await;
    assert_eq!(items.len(), 1);
    assert_eq!(text_of(&items[0]), alice.notes().said[0].text);
    // Whoever answers pings is left alone.
    assert_eq!(alice.notes().online_since, online_since);
}

async fn a_client_leaves_a_dead_line(bus: &Bus, first: &Gateway, second: &Gateway) {
    let (proxy, through_proxy) = proxied(first).await;
    let (name, alice) = Guest::register(&api(second)).await;
    let alice = Guest::arrive(name, alice, vec![api(second)]);
    let (name, bob) = Guest::register(&api(second)).await;
    let bob = Guest::arrive(name, bob, vec![through_proxy, api(second)]);
    let party = Party::of(vec![alice, bob], bus.clone()).await;
    party
        .talks_while(async {
            party.guests[1].is_served_by(first.name()).await;
            party.confirms(20).await;
            proxy.freeze();
            party.is_served_by(second.name()).await;
            party.confirms(20).await;
            // What the dead line still held comes too late to matter.
            proxy.thaw();
            party.confirms(20).await;
        })
        .await;
    party.settles().await;
}
