#![allow(clippy::unwrap_used)]

use std::{
    collections::VecDeque,
    future::pending,
    sync::{Arc, Mutex},
};

use metrics_exporter_prometheus::PrometheusBuilder;
use schemas::{ChatId, DeviceId, UserId, push::PushPreview};

use super::*;
use crate::push::sender::gate::Gate;

/// A provider that answers as it is told, and never when it is told nothing more.
struct Told {
    gate: Arc<Gate>,
    answers: Mutex<VecDeque<Result<(), Failure>>>,
    /// Whether each request had a preview.
    asked: Mutex<Vec<bool>>,
    loud: Loud,
}

impl Told {
    fn new(answers: impl IntoIterator<Item = Result<(), Failure>>) -> Self {
        let options = PushOptions::of(&["--push-at-once=1"]);
        Self {
            gate: Gate::new(Self::NAME, Self::NAME, &options),
            answers: Mutex::new(answers.into_iter().collect()),
            asked: Mutex::default(),
            loud: Loud::default(),
        }
    }
}

impl Provider for Told {
    type Target = ();
    const NAME: &'static str = "told";
    const SETTING: &'static str = "--told";

    fn enter(&self, (): &()) -> Result<Pass, Failure> {
        self.gate.enter()
    }

    async fn send(&self, (): &(), notification: &Notification) -> Result<(), Failure> {
        self.asked.lock().unwrap().push(notification.preview.is_some());
        let answer = self.answers.lock().unwrap().pop_front();
        match answer {
            Some(answer) => answer,
            None => pending().await,
        }
    }

    fn loud(&self) -> &Loud {
        &self.loud
    }
}

fn with_preview() -> Notification {
    let from = UserId::mint();
    let preview = PushPreview { from, text: "hi".into() };
    let chat = ChatId::User(from);
    Notification { device: DeviceId::mint(), chat, badge: 1, preview: Some(preview) }
}

fn deliveries() -> Deliveries {
    Deliveries::new(&PushOptions::of(&[]))
}

#[tokio::test]
async fn a_payload_that_is_too_large_goes_again_without_its_preview_and_once() {
    let told =
        Told::new([Err(Failure::TooLarge), Ok(()), Err(Failure::TooLarge), Err(Failure::TooLarge)]);
    let deliveries = deliveries();
    assert_eq!(deliveries.deliver(Some(&told), Ok(&()), &with_preview()).await, Outcome::Sent);
    let outcome = deliveries.deliver(Some(&told), Ok(&()), &with_preview()).await;
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    assert_eq!(*told.asked.lock().unwrap(), [true, false, true, false]);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_after_twice_the_time_and_leaves_its_place() {
    let told = Told::new([]);
    let (deliveries, began) = (deliveries(), Instant::now());
    let first = with_preview();
    let silence = deliveries.deliver(Some(&told), Ok(&()), &first);
    tokio::pin!(silence);
    assert!(futures_util::poll!(&mut silence).is_pending());
    // There is one place.
    let soon = Outcome::Later(Some(Duration::from_secs(1)));
    assert_eq!(deliveries.deliver(Some(&told), Ok(&()), &with_preview()).await, soon);
    assert_eq!(silence.await, Outcome::Later(None));
    assert_eq!(began.elapsed(), Duration::from_secs(20));

    // So does one that nobody waits for any more.
    {
        let dropped = deliveries.deliver(Some(&told), Ok(&()), &first);
        tokio::pin!(dropped);
        assert!(futures_util::poll!(&mut dropped).is_pending());
    }
    told.answers.lock().unwrap().push_back(Ok(()));
    assert_eq!(deliveries.deliver(Some(&told), Ok(&()), &first).await, Outcome::Sent);
}

#[test]
fn what_became_of_notifications_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let broken = || Err(Failure::broken("503"));
    let told = Told::new(
        [Ok(()), Ok(()), Err(Failure::Gone)].into_iter().chain([(); 5].map(|()| broken())),
    );
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let deliveries = deliveries();
            for _ in 0..9 {
                deliveries.deliver(Some(&told), Ok(&()), &with_preview()).await;
            }
            deliveries.deliver(None::<&Told>, Ok(&()), &with_preview()).await;
        });
    });
    let shown = recorder.handle().render();
    for line in [
        r#"petrel_push_sent_total{provider="told"} 2"#,
        r#"petrel_push_failed_total{provider="told",reason="gone"} 1"#,
        r#"petrel_push_failed_total{provider="told",reason="broken"} 5"#,
        r#"petrel_push_failed_total{provider="told",reason="circuit_open"} 1"#,
        r#"petrel_push_failed_total{provider="told",reason="no_provider"} 1"#,
        r#"petrel_push_open_circuits{provider="told"} 1"#,
        r#"petrel_push_seconds_count{provider="told"} 8"#,
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
}
