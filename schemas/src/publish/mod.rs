//! The published contract, generated from the types so that it cannot drift:
//! an AsyncAPI document of the socket, an OpenAPI document of the HTTP API,
//! JSON Schemas of everything in them, and a page for people.
//!
//! schemars turns the types into schemas and their doc comments into
//! descriptions; what a type cannot say stands in [`operations()`] and in the two
//! texts `socket.md` and `http.md` beside this file. Each call builds its
//! document anew, which takes milliseconds: a server keeps the result.

mod asyncapi;
mod components;
mod examples;
mod frames;
mod openapi;
mod operation;
mod page;
mod table;
mod tags;

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub use operation::{
    Answer, Content, Method, Operation, Parameter, Place, Range, Refusal, Request, Shape, Tag,
};

/// The version of the protocol that the documents describe.
pub const PROTOCOL_VERSION: &str = "1.0.0";

/// The subprotocol of the socket; it is accepted without, too.
pub const SUBPROTOCOL: &str = "petrel.v1";

/// Every call of the HTTP API. A gateway serves exactly these.
pub fn operations() -> &'static [Operation] {
    table::OPERATIONS
}

/// The OpenAPI 3.1 document of the HTTP API.
pub fn openapi() -> Value {
    openapi::document()
}

/// The AsyncAPI 3.0 document of the socket.
pub fn asyncapi() -> Value {
    asyncapi::document()
}

/// A JSON Schema (2020-12) of every frame and every HTTP type by its name, each
/// complete in itself. `ClientFrame` and `ServerFrame` are all frames of one
/// direction.
pub fn json_schemas() -> BTreeMap<String, Value> {
    let mut schemas = BTreeMap::new();
    for document in [openapi(), asyncapi()] {
        let Some(all) = document["components"]["schemas"].as_object() else { continue };
        for name in all.keys() {
            let closure = components::closure(all, [name.as_str()]);
            schemas.entry(name.clone()).or_insert_with(|| stand_alone(name, closure));
        }
    }
    schemas
}

/// The page at `/docs`: one self-contained HTML text for people.
pub fn docs_html() -> String {
    page::render(&openapi(), &asyncapi())
}

/// Turns components into one schema that carries the others with it.
fn stand_alone(name: &str, mut closure: serde_json::Map<String, Value>) -> Value {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name,
    });
    // A schema that refers to itself stays in `$defs` as well.
    let own = closure.get(name).cloned();
    let recursive = closure.values().any(|other| components::references(other).contains(name));
    if !recursive {
        closure.shift_remove(name);
    }
    if let (Some(schema), Some(Value::Object(own))) = (schema.as_object_mut(), own) {
        schema.extend(own);
        if !closure.is_empty() {
            schema.insert("$defs".into(), Value::Object(closure));
        }
    }
    components::move_references(&mut schema, "#/$defs/");
    schema
}
