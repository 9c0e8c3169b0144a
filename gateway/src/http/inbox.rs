//! Messages without a socket.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemas::{
    client::{Ack, Read, Send},
    limits::{MESSAGES_ITEMS, POLL_WAIT, POLL_WAIT_MAX},
    server::Sent,
};
use serde::Deserialize;

use super::{
    extract::{Bearer, QueryOf, SaidBody, Token},
    problem::HttpError,
};
use crate::{app::App, poll::Polled};

/// `?wait=…&limit=…`
#[derive(Debug, Deserialize)]
pub(super) struct PollQuery {
    /// Seconds.
    wait: Option<u64>,
    /// Messages.
    limit: Option<usize>,
}

/// `POST /v1/messages`
pub(super) async fn send(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
    SaidBody(send): SaidBody<Send>,
) -> Result<Json<Sent>, HttpError> {
    Ok(Json(app.send(me, send).await?))
}

/// `GET /v1/inbox`
pub(super) async fn poll(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
    Token(token): Token,
    QueryOf(query): QueryOf<PollQuery>,
) -> Result<Response, HttpError> {
    app.limits.polls.take(me.user)?;
    let wait = query.wait.map_or(POLL_WAIT, Duration::from_secs);
    if wait > POLL_WAIT_MAX {
        let most = POLL_WAIT_MAX.as_secs();
        return Err(HttpError::invalid(format!("wait is at most {most} seconds")));
    }
    let limit = query.limit.unwrap_or(MESSAGES_ITEMS);
    if !(1..=MESSAGES_ITEMS).contains(&limit) {
        return Err(HttpError::invalid(format!("limit is 1 to {MESSAGES_ITEMS} messages")));
    }
    app.registry.seen(me);
    Ok(app.poll(&token, wait, limit).await?.into_response())
}

/// `POST /v1/inbox/ack`
pub(super) async fn ack(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
    SaidBody(ack): SaidBody<Ack>,
) -> Result<StatusCode, HttpError> {
    app.limits.polls.take(me.user)?;
    app.acknowledge(me, ack.seq).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/read`
pub(super) async fn read(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
    SaidBody(read): SaidBody<Read>,
) -> Result<StatusCode, HttpError> {
    app.limits.reads.take(me.user)?;
    app.mark_read(me, read).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl IntoResponse for Polled {
    fn into_response(self) -> Response {
        let mut response = self.json.into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        if self.leaving {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
