#![allow(clippy::unwrap_used)]
use std::{
    collections::VecDeque,
    sync::{Mutex, atomic::AtomicUsize, atomic::Ordering},
};

use nats::api::ApiError;
use proptest::prelude::*;
use tokio::time::sleep;

use super::*;

const LIFE: Duration = Duration::from_secs(15);

/// What becomes of one renewal.
#[derive(Debug, Clone, Copy)]
struct Fate {
    /// Milliseconds until the server has it.
    there: u64,
    /// Milliseconds until the answer is back.
    back: u64,
    /// Whether it got there, and whether the answer got back.
    stored: bool,
    answered: bool,
}

impl Fate {
    const GOOD: Self = Self { there: 1, back: 1, stored: true, answered: true };
    const LOST: Self = Self { there: 1, back: 2_500, stored: false, answered: false };
}

/// The server's side: until when it has the lease.
#[derive(Debug, Clone, Default)]
struct Server(Arc<Mutex<(VecDeque<Fate>, Option<Instant>)>>);

impl Server {
    fn fated(fates: impl IntoIterator<Item = Fate>) -> Self {
        Self(Arc::new(Mutex::new((fates.into_iter().collect(), None))))
    }

    fn has_lease(&self) -> bool {
        self.0.lock().unwrap().1.is_some_and(|until| Instant::now() < until)
    }
}

impl Office for Server {
    async fn renew(&self, life: Duration) -> Result<(), Failure> {
        let fate = self.0.lock().unwrap().0.pop_front().unwrap_or(Fate::GOOD);
        sleep(Duration::from_millis(fate.there)).await;
        if fate.stored {
            self.0.lock().unwrap().1 = Some(Instant::now() + life);
        }
        sleep(Duration::from_millis(fate.back)).await;
        let lost = Failure::Unavailable(ApiError::TimedOut);
        if fate.stored && fate.answered { Ok(()) } else { Err(lost) }
    }

    async fn end(&self) -> Result<(), Failure> {
        self.0.lock().unwrap().1 = None;
        Ok(())
    }
}

/// The lease, and how often it lapsed.
async fn lease(server: &Server, stop: &CancellationToken) -> (Lease, Arc<AtomicUsize>) {
    let (keeper, lease) = Keeper::take(server.clone(), LIFE).await.unwrap();
    let lapses = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&lapses);
    let lapsed = move || {
        counted.fetch_add(1, Ordering::Relaxed);
    };
    tokio::spawn(keeper.keep(stop.clone(), lapsed, || true));
    (lease, lapses)
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_for_as_long_as_it_is_kept() {
    let (server, stop) = (Server::default(), CancellationToken::new());
    let (lease, lapses) = lease(&server, &stop).await;
    let work = lease.while_held(|_| sleep(100 * LIFE)).await;
    assert_eq!((work, lapses.load(Ordering::Relaxed)), (Ok(()), 0));
    assert!(server.has_lease());

    stop.cancel();
    sleep(Duration::from_millis(1)).await;
    assert!(!server.has_lease(), "given up");
    assert_eq!(lease.while_held(async |_| ()).await, Err(Lapsed));
}

#[tokio::test(start_paused = true)]
async fn a_stall_shorter_than_its_life_costs_no_lease() {
    let stall = [Fate::GOOD, Fate::LOST, Fate::LOST, Fate::LOST];
    let (server, stop) = (Server::fated(stall), CancellationToken::new());
    let (lease, lapses) = lease(&server, &stop).await;
    let work = lease.while_held(|_| sleep(3 * LIFE)).await;
    assert_eq!((work, lapses.load(Ordering::Relaxed)), (Ok(()), 0));
}

#[tokio::test(start_paused = true)]
async fn who_is_cut_off_stops_before_the_others_go_on_and_begins_afresh() {
    let outage = [Fate::GOOD].into_iter().chain(std::iter::repeat_n(Fate::LOST, 20));
    let (server, stop) = (Server::fated(outage), CancellationToken::new());
    let (lease, lapses) = lease(&server, &stop).await;
    assert_eq!(lease.while_held(|_| std::future::pending::<()>()).await, Err(Lapsed));
    assert!(server.has_lease(), "the others still wait");
    assert_eq!(lease.while_held(async |_| ()).await, Err(Lapsed));
    assert_eq!(lapses.load(Ordering::Relaxed), 0, "nothing is let go before there is a lease");
    sleep(60 * LIFE).await;
    assert_eq!(lapses.load(Ordering::Relaxed), 1);
    assert_eq!(lease.while_held(|_| sleep(LIFE)).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_first_lease_that_cannot_be_had_is_an_error() {
    let server = Server::fated(std::iter::repeat_n(Fate::LOST, 1_000));
    let asked = Instant::now();
    assert!(Keeper::take(server, LIFE).await.is_err());
    assert!(asked.elapsed() < 2 * FIRST);
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = (0..3_000u64, 0..3_000u64, any::<bool>(), any::<bool>())
        .prop_map(|(there, back, stored, answered)| Fate { there, back, stored, answered });
    prop::collection::vec(prop_oneof![1 => Just(Fate::GOOD), 2 => fate], 0..20)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever becomes of the renewals, nobody acts on a lease that the server
    /// does not have.
    #[test]
    fn who_holds_the_lease_has_it(fates in fates()) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
            let fates = std::iter::once(Fate::GOOD).chain(fates);
            let (server, stop) = (Server::fated(fates), CancellationToken::new());
            let (lease, _) = lease(&server, &stop).await;
            for _ in 0..500 {
                let seen = lease.while_held(|term| async move {
                    sleep(Duration::from_millis(97)).await;
                    term.check()
                });
                let holds = seen.await == Ok(Ok(()));
                assert!(!holds || server.has_lease());
                sleep(Duration::from_millis(101)).await;
            }
            sleep(10 * LIFE).await;
            assert_eq!(lease.while_held(async |_| ()).await, Ok(()), "it comes back");
        });
    }
}
