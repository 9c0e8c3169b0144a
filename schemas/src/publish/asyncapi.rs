//! The AsyncAPI 3.0 document of the socket, written out of the two frame types.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    PROTOCOL_VERSION, SUBPROTOCOL,
    components::Components,
    examples,
    frames::{Frame, replies},
};
use crate::{
    close::CloseCode,
    error::ErrorCode,
    limits::{
        self, BAD_FRAMES, BODY_BYTES, CLIENT_FRAME_BYTES, CLOCK_AHEAD, DEDUPE_WINDOW, HEARTBEAT,
        HELLO_TIMEOUT, MESSAGE_AGE, MESSAGES_BYTES, MESSAGES_ITEMS, WINDOW,
    },
    server,
};

pub(super) fn document() -> Value {
    let mut components = Components::new();
    let client = components.client_frames();
    let server = components.server_frames();
    let names = client.iter().chain(&server).map(|frame| frame.name.clone());
    let channel: Map<String, Value> = names
        .map(|name| (name.clone(), json!({ "$ref": format!("#/components/messages/{name}") })))
        .collect();
    let mut messages = describe_all(&client, &examples::client_frames());
    messages.extend(describe_all(&server, &examples::server_frames()));
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Petrel socket",
            "version": PROTOCOL_VERSION,
            "description": description(),
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "channels": { "socket": {
            "address": "/v1/ws",
            "title": "The socket of one device",
            "description": "One JSON object per text frame, tagged by `type`, both ways.",
            "messages": channel,
            "bindings": { "ws": {
                "method": "GET",
                "headers": { "type": "object", "properties": { "Sec-WebSocket-Protocol": {
                    "type": "string",
                    "enum": [SUBPROTOCOL],
                    "description": "Accepted without it, too.",
                } } },
                "bindingVersion": "0.1.0",
            } },
        } },
        "operations": operations(&client, &server),
        "components": {
            "messages": messages,
            "schemas": components.finish(),
        },
        "x-limits": limits(),
        "x-close-codes": CloseCode::ALL.map(|code| json!({
            "code": code.code(),
            "reason": code.reason(),
            "reconnect": code.reconnect(),
        })),
    })
}

/// Its actions are the gateway's, as AsyncAPI wants it: it receives what a
/// client says.
fn operations(client: &[Frame], server: &[Frame]) -> Map<String, Value> {
    let channel = json!({ "$ref": "#/channels/socket" });
    let message =
        |frame: &Frame| json!({ "$ref": format!("#/channels/socket/messages/{}", frame.name) });
    let operation = |action: &str, frame: &Frame| {
        let mut operation = json!({
            "action": action,
            "channel": channel,
            "summary": frame.summary,
            "messages": [message(frame)],
        });
        let replies = if action == "receive" { replies(&frame.tag) } else { &[] };
        let replies: Vec<Value> =
            server.iter().filter(|reply| replies.contains(&&*reply.tag)).map(message).collect();
        if !replies.is_empty() {
            operation["reply"] = json!({ "channel": channel, "messages": replies });
        }
        (frame.operation(), operation)
    };
    let heard = client.iter().map(|frame| operation("receive", frame));
    let said = server.iter().map(|frame| operation("send", frame));
    heard.chain(said).collect()
}

fn describe_all(frames: &[Frame], examples: &BTreeMap<String, Vec<Value>>) -> Map<String, Value> {
    let describe = |frame: &Frame| {
        let examples = examples.get(&frame.tag).into_iter().flatten();
        let examples: Vec<Value> = examples.map(|payload| json!({ "payload": payload })).collect();
        let message = json!({
            "name": frame.tag,
            "title": frame.tag,
            "summary": frame.summary,
            "payload": { "$ref": format!("#/components/schemas/{}", frame.name) },
            "examples": examples,
        });
        (frame.name.clone(), message)
    };
    frames.iter().map(describe).collect()
}

/// What `welcome` says, and what it does not.
fn limits() -> Value {
    let mut limits = json!(server::Limits::V1);
    limits["messages_items"] = MESSAGES_ITEMS.into();
    limits["messages_bytes"] = MESSAGES_BYTES.into();
    limits["hello_secs"] = HELLO_TIMEOUT.as_secs().into();
    limits["heartbeat_secs"] = HEARTBEAT.as_secs().into();
    limits["bad_frames"] = BAD_FRAMES.into();
    limits["dedupe_secs"] = DEDUPE_WINDOW.as_secs().into();
    limits["message_age_secs"] = MESSAGE_AGE.as_secs().into();
    limits
}

fn description() -> String {
    format!(
        include_str!("socket.md"),
        subprotocol = SUBPROTOCOL,
        hello_secs = HELLO_TIMEOUT.as_secs(),
        heartbeat_secs = HEARTBEAT.as_secs(),
        frame_kib = CLIENT_FRAME_BYTES / 1024,
        body_kib = BODY_BYTES / 1024,
        bad_frames = BAD_FRAMES,
        window = WINDOW,
        messages_items = MESSAGES_ITEMS,
        messages_kib = MESSAGES_BYTES / 1024,
        dedupe_mins = DEDUPE_WINDOW.as_secs() / 60,
        behind_mins = limits::AT_BEHIND.as_secs() / 60,
        ahead_secs = CLOCK_AHEAD.as_secs(),
        age_days = MESSAGE_AGE.as_secs() / (24 * 60 * 60),
        error_codes = error_codes(),
        close_codes = close_codes(),
    )
}

fn error_codes() -> String {
    let holds = ErrorCode::ALL.into_iter().filter(|code| code.holds_chat());
    let holds: Vec<String> = holds.map(|code| format!("`{code}`")).collect();
    holds.join(", ")
}

fn close_codes() -> String {
    let rows = CloseCode::ALL.map(|code| {
        let advice = match code {
            CloseCode::Unauthorized => "with a new token",
            code if code.reconnect() => "yes",
            _ => "no",
        };
        format!("| {} | {} | {advice} |\n", code.code(), code.reason())
    });
    format!("| code | meaning | reconnect |\n|---|---|---|\n{}", rows.concat())
}
