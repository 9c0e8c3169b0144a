//! Workers die.

use super::{party::Party, undelivered};
use crate::support;

#[tokio::test(flavor = "multi_thread")]
async fn while_no_worker_lives_people_talk_on_and_the_ticks_come_later() {
    let stack = support::stack().gateways(2).limits(false).start().await.unwrap();
    let worker = &stack.workers()[0];
    let bus = stack.bus().await.unwrap();
    let party = Party::at(&stack).await;
    party
        .talks_while(async {
            for _ in 0..3 {
                party.confirms(10).await;
                worker.kill9().await;
                // Nobody needs a worker to be sent something, or to see it.
                let read = party.guests[0].notes().shown.len();
                party.confirms(20).await;
                assert!(party.guests[0].notes().shown.len() > read);
                assert!(undelivered(&bus).await.unwrap() > 0, "who has deleted them?");
                worker.restart().await.unwrap();
            }
        })
        .await;
    party.settles().await;
    party.leaves_nothing_behind().await;
}
