//! Gateways die.

use super::party::Party;
use crate::support;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_loses_connections_and_nothing_else() {
    let stack = support::stack().gateways(2).limits(false).start().await.unwrap();
    let [first, second] = stack.gateways() else { panic!("two gateways were asked for") };
    let party = Party::at(&stack).await;
    party
        .talks_while(async {
            party.confirms(20).await;
            first.kill9().await;
            party.is_served_by(second.name()).await;
            party.confirms(20).await;
            // The one that came back takes all of them when the other dies.
            first.restart().await.unwrap();
            second.kill9().await;
            party.is_served_by(first.name()).await;
            party.confirms(20).await;
            second.restart().await.unwrap();
        })
        .await;
    party.settles().await;
    party.leaves_nothing_behind().await;
}
