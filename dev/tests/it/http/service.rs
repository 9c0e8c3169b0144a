//! Health, metrics, and the documents that describe the API.

use schemas::{ErrorCode, publish};

use super::{call, call_at};
use crate::{
    people::{FIRST, Person, text},
    support,
};

#[tokio::test]
async fn the_documents_are_the_generated_ones() {
    let openapi = call("GET", "/openapi.json", None, None).await;
    assert_eq!((openapi.status, openapi.header("content-type")), (200, Some("application/json")));
    assert_eq!(openapi.json(), publish::openapi());
    assert!(openapi.json()["openapi"].as_str().unwrap().starts_with("3.1"));
    let asyncapi = call("GET", "/asyncapi.json", None, None).await;
    assert_eq!((asyncapi.status, asyncapi.header("content-type")), (200, Some("application/json")));
    assert_eq!(asyncapi.json(), publish::asyncapi());
    let docs = call("GET", "/docs", None, None).await;
    assert_eq!((docs.status, docs.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(docs.text, publish::docs_html());
}

#[tokio::test]
async fn health_is_told_to_everybody_and_metrics_only_on_the_admin_port() {
    let stack = support::shared_stack().await;
    for gateway in stack.gateways() {
        let (url, admin) = (gateway.url(), format!("http://{}", gateway.admin_addr()));
        for path in ["/healthz", "/readyz"] {
            assert_eq!(call_at(&url, "GET", path, None, None).await.status, 200);
        }
        call_at(&url, "GET", "/metrics", None, None).await.is_problem(ErrorCode::NotFound);
        for path in ["/live", "/ready"] {
            assert_eq!(call_at(&admin, "GET", path, None, None).await.status, 200);
        }
        let metrics = call_at(&admin, "GET", "/metrics", None, None).await;
        assert_eq!(metrics.status, 200);
        assert!(metrics.header("content-type").unwrap().starts_with("text/plain"));
        assert_eq!(call_at(&admin, "GET", "/v1/me", None, None).await.status, 404);
    }
}

#[tokio::test]
async fn sessions_and_messages_are_counted() {
    let stack = support::stack().limits(false).start().await.unwrap();
    let metrics = async || {
        let admin = format!("http://{}", stack.gateways()[FIRST].admin_addr());
        call_at(&admin, "GET", "/metrics", None, None).await.text
    };
    let value = |text: &str, name: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(name));
        line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    };
    let [alice, bob] = Person::several_on(&stack).await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(FIRST).await);
    a.sends(text("m1", &bob, "hi")).await;
    let item = b.gets().await;
    b.acks(item.seq).await;
    a.gets_receipt().await;
    let told = metrics().await;
    for (name, expected) in [
        ("petrel_sessions ", 2.0),
        ("petrel_messages_sent_total ", 1.0),
        ("petrel_messages_acked_total ", 1.0),
    ] {
        assert_eq!(value(&told, name), expected, "{name}: {told}");
    }
}
