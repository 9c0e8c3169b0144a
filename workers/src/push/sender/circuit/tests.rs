#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

const WIDTH: usize = 20;

fn fail(circuit: &mut Circuit, now: Instant) -> Option<Change> {
    let ticket = circuit.admit(now).unwrap();
    circuit.settle(ticket, Ending::Failed, now)
}

fn answer(circuit: &mut Circuit, now: Instant) -> Option<Change> {
    let ticket = circuit.admit(now).unwrap();
    circuit.settle(ticket, Ending::Answered, now)
}

#[test]
fn failures_in_a_row_open_it_and_an_answer_between_them_does_not() {
    let (mut circuit, now) = (Circuit::new(WIDTH), Instant::now());
    for _ in 0..3 {
        for _ in 1..FAILURES {
            assert_eq!(fail(&mut circuit, now), None);
        }
        assert_eq!(answer(&mut circuit, now), None);
    }
    for _ in 1..FAILURES {
        assert_eq!(fail(&mut circuit, now), None);
    }
    assert_eq!(fail(&mut circuit, now), Some(Change::Opened(FIRST_PAUSE)));
    assert_eq!(circuit.admit(now + FIRST_PAUSE / 2), Err(Held::Open(FIRST_PAUSE / 2)));
}

#[test]
fn one_probe_at_a_time_decides_and_pauses_grow() {
    let (mut circuit, mut now) = (Circuit::new(WIDTH), Instant::now());
    for _ in 1..FAILURES {
        fail(&mut circuit, now);
    }
    let mut pause = FIRST_PAUSE;
    let mut change = fail(&mut circuit, now);
    for _ in 0..10 {
        assert_eq!(change, Some(Change::Opened(pause)));
        now += pause;
        let probe = circuit.admit(now).unwrap();
        assert_eq!(circuit.admit(now), Err(Held::Open(SOON)));
        change = circuit.settle(probe, Ending::Failed, now);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    now += pause;
    assert_eq!(answer(&mut circuit, now), Some(Change::Closed));
    // It is as good as new.
    for _ in 1..FAILURES {
        assert_eq!(fail(&mut circuit, now), None);
    }
    assert_eq!(fail(&mut circuit, now), Some(Change::Opened(FIRST_PAUSE)));
}

#[test]
fn a_probe_that_nobody_waits_for_leaves_the_next_one_its_turn() {
    let (mut circuit, now) = (Circuit::new(WIDTH), Instant::now());
    for _ in 0..FAILURES {
        fail(&mut circuit, now);
    }
    let probe = circuit.admit(now + FIRST_PAUSE).unwrap();
    assert_eq!(circuit.settle(probe, Ending::Abandoned, now + FIRST_PAUSE), None);
    assert!(circuit.is_open());
    assert_eq!(answer(&mut circuit, now + FIRST_PAUSE), Some(Change::Closed));
    assert!(!circuit.is_open());
}

#[test]
fn what_began_before_it_opened_decides_nothing_after() {
    let (mut circuit, now) = (Circuit::new(WIDTH), Instant::now());
    let (late, later) = (circuit.admit(now).unwrap(), circuit.admit(now).unwrap());
    for _ in 0..FAILURES {
        fail(&mut circuit, now);
    }
    assert_eq!(circuit.settle(late, Ending::Answered, now), None);
    assert!(circuit.is_open());
    let probe = circuit.admit(now + FIRST_PAUSE).unwrap();
    assert_eq!(circuit.settle(later, Ending::Failed, now + FIRST_PAUSE), None);
    assert_eq!(circuit.settle(probe, Ending::Answered, now), Some(Change::Closed));
}

#[test]
fn one_that_never_answered_gets_few_requests_at_once() {
    let (mut circuit, now) = (Circuit::new(WIDTH), Instant::now());
    let mut tickets: Vec<_> = (0..UNPROVEN).map(|_| circuit.admit(now).unwrap()).collect();
    assert_eq!(circuit.admit(now), Err(Held::Full(SOON)));
    circuit.settle(tickets.pop().unwrap(), Ending::Answered, now);
    while tickets.len() < WIDTH {
        tickets.push(circuit.admit(now).unwrap());
    }
    assert_eq!(circuit.admit(now), Err(Held::Full(SOON)));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Admit,
    Settle { which: prop::sample::Index, ending: Ending },
    Wait(Duration),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ending = prop_oneof![
        2 => Just(Ending::Answered),
        5 => Just(Ending::Failed),
        1 => Just(Ending::Abandoned),
    ];
    let step = prop_oneof![
        5 => Just(Step::Admit),
        4 => (any::<prop::sample::Index>(), ending)
            .prop_map(|(which, ending)| Step::Settle { which, ending }),
        1 => (0u64..200).prop_map(|secs| Step::Wait(Duration::from_secs(secs))),
    ];
    prop::collection::vec(step, 1..300)
}

proptest! {
    /// However requests come and end: no more than its width are under way, while it
    /// is open at most one of them began since, and who waits as long as they were
    /// told gets through once all is settled.
    #[test]
    fn it_holds_back_and_never_for_good(width in 1usize..30, steps in steps()) {
        let (mut circuit, mut now) = (Circuit::new(width), Instant::now());
        let mut tickets: Vec<(Ticket, bool)> = Vec::new();
        for step in steps {
            match step {
                Step::Admit => {
                    let was_open = circuit.is_open();
                    match circuit.admit(now) {
                        Ok(ticket) => {
                            let probing = tickets.iter().any(|(_, probe)| *probe) && was_open;
                            prop_assert!(!probing || !circuit.is_open());
                            tickets.push((ticket, was_open));
                        }
                        Err(Held::Full(wait) | Held::Open(wait)) => {
                            prop_assert!(!wait.is_zero() && wait <= LONGEST_PAUSE);
                        }
                    }
                }
                Step::Settle { which, ending } if !tickets.is_empty() => {
                    let (ticket, _) = tickets.swap_remove(which.index(tickets.len()));
                    circuit.settle(ticket, ending, now);
                }
                Step::Settle { .. } => {}
                Step::Wait(time) => now += time,
            }
            prop_assert!(circuit.in_flight <= width && circuit.in_flight == tickets.len());
        }
        for (ticket, _) in tickets {
            circuit.settle(ticket, Ending::Failed, now);
        }
        if let Err(Held::Full(wait) | Held::Open(wait)) = circuit.admit(now) {
            prop_assert!(circuit.admit(now + wait).is_ok());
        }
    }
}
