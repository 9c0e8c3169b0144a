//! The port: which request is whose, and what it is answered.

use std::{convert::Infallible, future::pending, io, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::{
    Method, Request, StatusCode, Version,
    body::Incoming,
    header::{HeaderMap, LOCATION},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    Answer, Push, Shared,
    answer::{Refusal, Reply, Server, reply},
    apns, fcm, webpush,
};

/// Bytes of the largest request; providers take less, and say so.
const BODY_MAX: usize = 64 * 1024;

/// A request, read.
pub(super) struct Asked<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) version: Version,
    pub(super) body: Bytes,
}

impl Asked<'_> {
    /// A header, or an empty text.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

pub(super) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    // Connections end with this task.
    let mut open = JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let shared = shared.clone();
        open.spawn(async move {
            let service = service_fn(move |request| answer(shared.clone(), request));
            let builder = Builder::new(TokioExecutor::new());
            // A client that goes away is no failure.
            let _ = builder.serve_connection(TokioIo::new(socket), service).await;
        });
        while open.try_join_next().is_some() {}
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Reply> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_MAX).collect().await else {
        return Ok(reply(StatusCode::PAYLOAD_TOO_LARGE, None));
    };
    let asked = Asked { headers: &head.headers, version: head.version, body: body.to_bytes() };
    let path = head.uri.path();
    if head.method != Method::POST {
        return Ok(reply(StatusCode::METHOD_NOT_ALLOWED, None));
    }
    if path == "/token" {
        return token(&shared, &asked).await;
    }
    let (server, id) = match path.split_once('/').map(|(_, path)| path) {
        Some(path) if path.starts_with("push/") => (Server::WebPush, path[5..].to_owned()),
        Some(path) if path.starts_with("3/device/") => (Server::Apns, path[9..].to_owned()),
        Some(path) if path == fcm::path() => (Server::Fcm, fcm::addressee(&asked)),
        _ => return Ok(reply(StatusCode::NOT_FOUND, None)),
    };
    device(&shared, server, &id, &asked).await
}

async fn token(shared: &Shared, asked: &Asked<'_>) -> io::Result<Reply> {
    let answer = shared.state().token_answers.pop_front().unwrap_or(Answer::Accept);
    if let Some(reply) = otherwise(Server::Token, answer).await? {
        return Ok(reply);
    }
    Ok(match fcm::grant(shared, asked) {
        Ok(granted) => reply(StatusCode::OK, Some(granted)),
        Err(refusal) => refuse(shared, Server::Token, &refusal),
    })
}

async fn device(shared: &Shared, server: Server, id: &str, asked: &Asked<'_>) -> io::Result<Reply> {
    let answer = {
        let mut state = shared.state();
        let always = state.always.get(server.provider()).cloned();
        let device = state.registered(id);
        device.and_then(|device| {
            device.requests += 1;
            device.answers.pop_front().or(always)
        })
    };
    shared.news.notify_waiters();
    if let Some(answer) = answer
        && let Some(reply) = otherwise(server, answer).await?
    {
        return Ok(reply);
    }
    let read: Result<Option<Push>, Refusal> = match server {
        _ if shared.trusting => known(shared, id),
        Server::WebPush => webpush::read(shared, id, asked).map(Some),
        Server::Fcm | Server::Token => fcm::read(shared, id, asked).map(Some),
        Server::Apns => apns::read(shared, id, asked).map(Some),
    };
    Ok(match read {
        Ok(push) => {
            shared.state().accept(id, push);
            shared.news.notify_waiters();
            server.accepted()
        }
        Err(refusal) => refuse(shared, server, &refusal),
    })
}

/// Nothing to be read of a push, if it is for somebody.
fn known(shared: &Shared, id: &str) -> Result<Option<Push>, Refusal> {
    let known = shared.state().registered(id).is_some();
    known.then_some(None).ok_or_else(|| Refusal::new(404, "", "no such target"))
}

fn refuse(shared: &Shared, server: Server, refusal: &Refusal) -> Reply {
    shared.state().complain(refusal.complaint.clone());
    server.refused(refusal.status, refusal.code, None)
}

/// Answers in another way than accepting, if that is what is to be done.
async fn otherwise(server: Server, answer: Answer) -> io::Result<Option<Reply>> {
    Ok(Some(match answer {
        Answer::Accept => return Ok(None),
        Answer::Refuse { status, code, retry_after } => {
            let status = StatusCode::from_u16(status).unwrap_or_default();
            server.refused(status, code, retry_after.as_deref())
        }
        Answer::Redirect(there) => {
            let mut reply = reply(StatusCode::TEMPORARY_REDIRECT, None);
            if let Ok(there) = there.parse() {
                reply.headers_mut().insert(LOCATION, there);
            }
            reply
        }
        Answer::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
        Answer::Silence => match pending::<Infallible>().await {},
    }))
}

impl Server {
    fn provider(self) -> &'static str {
        match self {
            Self::WebPush => "webpush",
            Self::Fcm | Self::Token => "fcm",
            Self::Apns => "apns",
        }
    }
}
