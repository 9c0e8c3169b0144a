//! A poll beside a socket: of the same account, and of the same device.

use super::{LONG, Waiting, acks, polls, sends};
use crate::{
    people::{FIRST, Person, SECOND, ids, text},
    support,
};

#[tokio::test]
async fn one_device_polls_and_another_has_a_socket() {
    let [alice, bob] = Person::several().await;
    let desk = bob.link().await;
    let mut line = bob.connect(FIRST).await;
    let mut waiting = Waiting::of(support::shared_stack().await, &bob).await;
    let poll = waiting.poll(&desk, SECOND).await;
    // What one device sends is on the other, by either way.
    let sent = sends(&alice.at(FIRST), text("m1", &bob, "hi")).await.unwrap();
    let item = line.gets().await;
    assert_eq!((item.id.as_str(), item.ts), ("m1", sent.ts));
    let items = poll.await.unwrap().unwrap();
    assert_eq!((ids(&items), items[0].ts), (vec!["m1"], sent.ts));
    acks(&desk.at(FIRST), items[0].seq).await.unwrap();
    line.acks(item.seq).await;

    sends(&desk.at(SECOND), text("m2", &alice, "from the desk")).await.unwrap();
    assert_eq!(line.gets().await.chat, alice.chat());
    line.sends(text("m3", &alice, "from the phone")).await;
    let items = polls(&desk.at(FIRST), LONG).await.unwrap();
    assert_eq!((ids(&items), items[0].from), (vec!["m3"], bob.user()));
}

#[tokio::test]
async fn a_poll_closes_no_socket_of_its_device_and_both_get_everything() {
    let [alice, bob] = Person::several().await;
    let mut line = bob.connect(FIRST).await;
    let mut waiting = Waiting::of(support::shared_stack().await, &bob).await;
    for (n, gateway) in [FIRST, SECOND].into_iter().enumerate() {
        let poll = waiting.poll(&bob, gateway).await;
        line.is_quiet().await;
        let id = format!("m{n}");
        sends(&alice.at(FIRST), text(&id, &bob, "hi")).await.unwrap();
        let item = line.gets().await;
        let items = poll.await.unwrap().unwrap();
        assert_eq!((ids(&items), items[0].seq), (vec![id.as_str()], item.seq));
        // Whoever acknowledges it first, and both may.
        acks(&bob.at(SECOND), item.seq).await.unwrap();
        line.acks(item.seq).await;
        line.is_quiet().await;
        assert_eq!(polls(&bob.at(FIRST), 0).await.unwrap(), []);
    }
    // A socket that opens ends no poll.
    let poll = waiting.poll(&bob, SECOND).await;
    let mut newer = bob.connect(SECOND).await;
    line.is_closed(schemas::CloseCode::Replaced).await;
    sends(&alice.at(FIRST), text("m9", &bob, "hi")).await.unwrap();
    assert_eq!(newer.gets().await.id.as_str(), "m9");
    assert_eq!(ids(&poll.await.unwrap().unwrap()), ["m9"]);
}
