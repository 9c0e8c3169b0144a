//! What goes out: ranges, conditions, and what a browser is told.

use reqwest::{Method, header};
use schemas::ErrorCode;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Answer, MOST, Studio, bytes, get, put, request, reserve};
use crate::{
    people::{FIRST, Person},
    support::memory_kib,
};

async fn person() -> Person {
    Person::on(&Studio::shared().await.stack).await
}

#[tokio::test]
async fn a_file_is_served_locked_down() {
    let (studio, alice) = (Studio::shared().await, person().await);
    let text = bytes::Bytes::from("<script>alert(1)</script>");
    let id = studio.ready(&alice, "text/plain", &text).await;
    for method in [Method::GET, Method::HEAD] {
        let answer = request(method.clone(), &alice, &format!("{id}/content"), &[]).await;
        assert_eq!(answer.status, 200);
        for (name, value) in [
            ("content-type", "text/plain"),
            ("content-length", "25"),
            ("accept-ranges", "bytes"),
            ("etag", &format!("\"{id}.content\"")),
            ("cache-control", "private, max-age=3600"),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "sandbox; default-src 'none'"),
            ("cross-origin-resource-policy", "same-site"),
            (
                "content-disposition",
                "attachment; filename=\"Engine _1.png\"; filename*=UTF-8''Engine%20%E2%84%961.png",
            ),
        ] {
            assert_eq!(answer.header(name), Some(value), "{method} {name}");
        }
        assert_eq!(answer.text.is_empty(), method == Method::HEAD);
    }
    get(&alice, &format!("{id}/thumbnail"), &[]).await.is_problem(ErrorCode::NotFound);
    let picture = studio.ready(&alice, "image/png", &text).await;
    let thumbnail = get(&alice, &format!("{picture}/thumbnail"), &[]).await;
    assert_eq!((thumbnail.status, thumbnail.text.as_str()), (200, "a small picture"));
    assert_eq!(thumbnail.header("content-type"), Some("image/jpeg"));
    assert!(thumbnail.header("content-disposition").unwrap().starts_with("inline"));
}

#[tokio::test]
async fn a_part_of_it_and_what_is_there_already() {
    let (studio, alice) = (Studio::shared().await, person().await);
    let id = studio.ready(&alice, "text/plain", &"0123456789".into()).await;
    let tag = format!("\"{id}.content\"");
    let content = async |headers: &[(&str, &str)]| -> Answer {
        get(&alice, &format!("{id}/content"), headers).await
    };
    for (range, part, told) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=3-6", "3456", "bytes 3-6/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=5-500", "56789", "bytes 5-9/10"),
    ] {
        for condition in [None, Some(("if-range", tag.as_str()))] {
            let headers: Vec<_> = [("range", range)].into_iter().chain(condition).collect();
            let answer = content(&headers).await;
            assert_eq!((answer.status, answer.text.as_str()), (206, part), "{range}");
            assert_eq!(answer.header(header::CONTENT_RANGE), Some(told));
        }
        let answer = content(&[("range", range), ("if-range", "\"other\"")]).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "0123456789"));
    }
    for range in ["bytes=10-", "bytes=-0"] {
        let answer = content(&[("range", range)]).await;
        assert_eq!(answer.status, 416);
        assert_eq!(answer.header(header::CONTENT_RANGE), Some("bytes */10"));
    }
    let answer = content(&[("range", "bytes=0-1,3-4")]).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "0123456789"));
    let answer = content(&[("if-none-match", tag.as_str())]).await;
    assert_eq!((answer.status, answer.text.as_str()), (304, ""));
    assert_eq!(answer.header(header::ETAG), Some(tag.as_str()));
    assert_eq!(content(&[("if-none-match", "\"other\"")]).await.status, 200);
}

#[tokio::test]
async fn what_is_pending_is_not_served_yet() {
    let alice = person().await;
    let reserved = reserve(&alice, "image/png", 10).await;
    for uploaded in [false, true] {
        if uploaded {
            assert_eq!(put(&reserved, bytes(10)).await.status, 204);
        }
        for part in ["content", "thumbnail"] {
            let path = format!("{}/{part}", reserved.id);
            get(&alice, &path, &[]).await.is_problem(ErrorCode::Conflict);
        }
    }
}

#[tokio::test]
async fn slow_readers_cost_no_memory() {
    let studio = Studio::start().await;
    let alice = Person::on(&studio.stack).await;
    let id = studio.ready(&alice, "application/zip", &bytes(MOST as usize)).await;
    let gateway = &studio.stack.gateways()[FIRST];
    assert_eq!(get(&alice, &format!("{id}/content"), &[("range", "bytes=0-1")]).await.status, 206);
    let before = memory_kib(gateway);
    let mut readers = Vec::new();
    for _ in 0..10 {
        let mut stream = TcpStream::connect(gateway.addr()).await.unwrap();
        let token = alice.account.token();
        let head = format!(
            "GET /v1/media/{id}/content HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // It has begun, and nothing more is read.
        stream.read_exact(&mut [0; 12]).await.unwrap();
        readers.push(stream);
    }
    // Meanwhile another one reads all of it.
    let url = alice.account.api.base().join(&format!("v1/media/{id}/content")).unwrap();
    let read = super::client().get(url).bearer_auth(alice.account.token()).send().await.unwrap();
    assert!(read.bytes().await.unwrap() == bytes(MOST as usize));
    let more = memory_kib(gateway).saturating_sub(before);
    assert!(more < 30 * 1024, "{more} KiB more for ten readers of 20 MiB");
}
