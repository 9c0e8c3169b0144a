//! Collecting the gateways' answers to one question. Pure.

use std::collections::BTreeSet;

use schemas::GatewayId;

/// A question to all gateways that lived when it was first asked.
#[derive(Debug)]
pub(super) struct Poll {
    own: GatewayId,
    answered: BTreeSet<GatewayId>,
    /// Nothing before it is known who lives.
    awaited: Option<BTreeSet<GatewayId>>,
}

impl Poll {
    /// A question that nobody has answered, asked by this gateway and to be
    /// answered by it, too.
    pub(super) fn new(own: GatewayId) -> Self {
        Self { own, answered: BTreeSet::new(), awaited: None }
    }

    /// A gateway has answered; some do so before it is known that they live.
    pub(super) fn answered(&mut self, gateway: GatewayId) {
        self.answered.insert(gateway);
    }

    /// These hold a lease now. Who came after the first look is not asked:
    /// what the question is about had happened before. Who is gone since will
    /// not answer. Whoever asks lives, whatever the leases say.
    pub(super) fn live(&mut self, live: &BTreeSet<GatewayId>) {
        let mut awaited = match self.awaited.take() {
            Some(awaited) => awaited.intersection(live).copied().collect(),
            None => live.clone(),
        };
        awaited.insert(self.own);
        self.awaited = Some(awaited);
    }

    /// Whether everybody has answered who still can.
    pub(super) fn is_over(&self) -> bool {
        self.awaited.as_ref().is_some_and(|awaited| awaited.is_subset(&self.answered))
    }

    /// Who has not answered yet, as far as that is known.
    pub(super) fn silent(&self) -> impl Iterator<Item = GatewayId> {
        let awaited = self.awaited.iter().flatten();
        awaited.filter(|gateway| !self.answered.contains(gateway)).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: u64 = 0;

    fn gateway(number: u64) -> GatewayId {
        GatewayId::from_parts(number, 0)
    }

    fn gateways(numbers: &BTreeSet<u64>) -> BTreeSet<GatewayId> {
        numbers.iter().copied().map(gateway).collect()
    }

    #[derive(Debug, Clone)]
    enum Step {
        Answer(u64),
        Look(BTreeSet<u64>),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..5u64).prop_map(Step::Answer),
            prop::collection::btree_set(0..5u64, 0..5).prop_map(Step::Look),
        ];
        prop::collection::vec(step, 0..30)
    }

    proptest! {
        #[test]
        fn it_is_over_when_all_who_were_there_from_the_first_have_answered_or_gone(
            steps in steps(),
        ) {
            let mut poll = Poll::new(gateway(OWN));
            let mut answers = BTreeSet::new();
            let mut looks: Vec<BTreeSet<u64>> = Vec::new();
            for step in steps {
                match step {
                    Step::Answer(number) => {
                        poll.answered(gateway(number));
                        answers.insert(number);
                    }
                    Step::Look(live) => {
                        poll.live(&gateways(&live));
                        looks.push(live);
                    }
                }
                let awaited = |number: &u64| {
                    *number == OWN || looks.iter().all(|live| live.contains(number))
                };
                let silent: BTreeSet<u64> = (0..5)
                    .filter(|number| !looks.is_empty() && awaited(number))
                    .filter(|number| !answers.contains(number))
                    .collect();
                prop_assert_eq!(poll.silent().collect::<BTreeSet<_>>(), gateways(&silent));
                prop_assert_eq!(poll.is_over(), !looks.is_empty() && silent.is_empty());
            }
        }
    }
}
