use proptest::prelude::*;

use super::*;

#[test]
fn a_barrier_waits_for_older_versions_only() {
    let mut passes = Passes::default();
    let (old, new, unknown) =
        (passes.begin(Purpose::Use), passes.begin(Purpose::Use), passes.begin(Purpose::Use));
    passes.learn(old, 1);
    passes.learn(new, 2);
    assert_eq!(passes.barrier(Scope::All, 1, "first"), None);
    assert_eq!(passes.barrier(Scope::All, 2, "second"), None);
    assert_eq!(passes.learn(unknown, 1), ["first"], "no older one can come of it");
    assert_eq!(passes.finish(old), [""; 0]);
    assert_eq!(passes.finish(unknown), ["second"]);
    assert_eq!(
        passes.barrier(Scope::All, 2, "again"),
        Some("again"),
        "though one of its own is open"
    );
    assert!(!passes.is_idle());
    passes.finish(new);
    assert!(passes.is_idle());
}

#[test]
fn who_comes_after_a_barrier_is_not_waited_for() {
    let mut passes = Passes::default();
    let before = passes.begin(Purpose::Use);
    assert_eq!(passes.barrier(Scope::All, 7, ()), None);
    let after = passes.begin(Purpose::Use);
    assert_eq!(passes.finish(before), [()]);
    passes.finish(after);
}

#[test]
fn a_change_waits_for_its_turn_and_for_no_send() {
    let mut passes = Passes::default();
    let send = passes.begin(Purpose::Use);
    let (first, second) = (passes.begin(Purpose::Change), passes.begin(Purpose::Change));
    passes.learn(send, 1);
    assert_eq!(passes.learn(second, 3), [""; 0]);
    assert_eq!(passes.barrier(Scope::Changes, 3, "turn"), None, "the first may be earlier");
    passes.learn(first, 2);
    assert_eq!(passes.barrier(Scope::Changes, 2, "turn"), Some("turn"));
    assert_eq!(passes.finish(first), ["turn"]);
    assert_eq!(passes.barrier(Scope::All, 3, "effect"), None);
    assert_eq!(passes.finish(send), ["effect"]);
    passes.finish(second);
}

/// What may happen to the group whose model is below.
#[derive(Debug, Clone)]
enum Step {
    /// A pass begins.
    Begin,
    /// A pass reads the directory; it is told later.
    Read(usize),
    /// A pass is told what it read.
    Learn(usize),
    /// A pass ends.
    Finish(usize),
    /// The directory's version rises.
    Change,
    /// A barrier of the newest version.
    Barrier,
}

/// A pass as an observer sees it.
#[derive(Debug)]
struct Seen {
    id: PassId,
    read: Option<Version>,
    told: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Begin),
        3 => (0..8usize).prop_map(Step::Read),
        3 => (0..8usize).prop_map(Step::Learn),
        3 => (0..8usize).prop_map(Step::Finish),
        2 => Just(Step::Change),
        2 => Just(Step::Barrier),
    ];
    prop::collection::vec(step, 0..120)
}

/// Every waiter is the version of its barrier.
fn assert_over(released: Vec<Version>, open: &[Seen], waiting: &mut Vec<Version>) {
    for version in released {
        // Whoever acts or will act on what was read before the change is gone.
        for pass in open {
            assert!(pass.read.is_none_or(|read| read >= version), "{pass:?} outlived {version}");
        }
        let place = waiting.iter().position(|waiting| *waiting == version);
        waiting.remove(place.unwrap_or_else(|| panic!("{version} was released twice")));
    }
}

proptest! {
    /// A barrier that is over leaves nobody behind who acts on an older version,
    /// and it waits for nobody else.
    #[test]
    fn a_barrier_is_over_when_the_last_older_pass_is(steps in steps()) {
        let mut passes = Passes::default();
        let mut open: Vec<Seen> = Vec::new();
        let mut waiting: Vec<Version> = Vec::new();
        let mut directory: Version = 1;
        for step in steps {
            let released = match step {
                Step::Begin => {
                    open.push(Seen { id: passes.begin(Purpose::Use), read: None, told: false });
                    Vec::new()
                }
                Step::Read(place) => {
                    let unread = open.iter_mut().filter(|pass| pass.read.is_none()).nth(place);
                    unread.into_iter().for_each(|pass| pass.read = Some(directory));
                    Vec::new()
                }
                Step::Learn(place) => {
                    let mut untold =
                        open.iter_mut().filter(|pass| pass.read.is_some() && !pass.told);
                    match untold.nth(place) {
                        Some(pass) => {
                            pass.told = true;
                            passes.learn(pass.id, pass.read.unwrap_or_default())
                        }
                        None => Vec::new(),
                    }
                }
                Step::Finish(place) if place < open.len() => {
                    let pass = open.remove(place);
                    passes.finish(pass.id)
                }
                Step::Finish(_) => Vec::new(),
                Step::Change => {
                    directory += 1;
                    Vec::new()
                }
                Step::Barrier => {
                    waiting.push(directory);
                    passes.barrier(Scope::All, directory, directory).into_iter().collect()
                }
            };
            assert_over(released, &open, &mut waiting);
            // Nobody is kept waiting by those who act on the newest.
            let newest = |pass: &Seen| pass.told && pass.read == Some(directory);
            if open.iter().all(newest) {
                assert_eq!(waiting, [0; 0]);
            }
        }
        for pass in std::mem::take(&mut open) {
            let released = passes.finish(pass.id);
            assert_over(released, &[], &mut waiting);
        }
        assert_eq!(waiting, [0; 0]);
        assert!(passes.is_idle());
    }
}
