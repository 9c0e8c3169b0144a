//! The definitions that a document's parts refer to.
//!
//! schemars describes a type as it is read or as it is written. What clients
//! say is described as it is read, what they are told as it is written, and
//! both meet here, each type under one name.

use std::collections::BTreeSet;

use schemars::{
    JsonSchema, Schema, SchemaGenerator,
    generate::{Contract, SchemaSettings},
};
use serde_json::{Map, Value, json};

use super::{frames::Frame, tags};
use crate::{body::Body, client, server};

/// Where a document keeps them.
const PATH: &str = "#/components/schemas/";

/// Adds a type to a generator and answers a reference to it.
pub(super) type SchemaFn = fn(&mut SchemaGenerator) -> Schema;

/// The definitions of one document, collected while it is written.
pub(super) struct Components {
    heard: SchemaGenerator,
    said: SchemaGenerator,
    /// Frames, which have no Rust type of their own with their tag in it.
    frames: Map<String, Value>,
    roots: BTreeSet<String>,
}

impl Components {
    pub(super) fn new() -> Self {
        Self {
            heard: generator(Contract::Deserialize),
            said: generator(Contract::Serialize),
            frames: Map::new(),
            roots: BTreeSet::new(),
        }
    }

    /// A type that clients send.
    pub(super) fn heard(&mut self, schema: SchemaFn) -> Value {
        let reference = schema(&mut self.heard).to_value();
        self.roots.extend(references(&reference));
        reference
    }

    /// A type that clients are sent.
    pub(super) fn said(&mut self, schema: SchemaFn) -> Value {
        let reference = schema(&mut self.said).to_value();
        self.roots.extend(references(&reference));
        reference
    }

    /// The frames of a client, in the order of the enum, and `ClientFrame`.
    pub(super) fn client_frames(&mut self) -> Vec<Frame> {
        let all = client::Frame::json_schema(&mut self.heard).to_value();
        let mut variants = tags::variants(&all, "type", self.heard.definitions());
        for (tag, variant) in &mut variants {
            // The server's own kind of body is refused from a client.
            if tag == "send" {
                variant["properties"]["body"]["$ref"] = format!("{PATH}ClientBody").into();
            }
        }
        self.add_frames("Client", all["description"].clone(), variants)
    }

    /// The frames of the server, in the order of the enum, and `ServerFrame`.
    pub(super) fn server_frames(&mut self) -> Vec<Frame> {
        let all = server::Frame::json_schema(&mut self.said).to_value();
        let mut variants = tags::variants(&all, "type", self.said.definitions());
        for (_, variant) in &mut variants {
            absent_rather_than_null(variant);
        }
        self.add_frames("Server", all["description"].clone(), variants)
    }

    fn add_frames(
        &mut self,
        side: &str,
        description: Value,
        variants: Vec<(String, Value)>,
    ) -> Vec<Frame> {
        let frames: Vec<Frame> = variants
            .iter()
            .map(|(tag, schema)| Frame {
                name: format!("{side}{}", tags::camel(tag)),
                tag: tag.clone(),
                summary: tags::first_paragraph(schema),
            })
            .collect();
        let names = frames.iter().map(|frame| frame.name.as_str());
        self.frames.insert(format!("{side}Frame"), one_of(description, names));
        for (frame, (_, schema)) in frames.iter().zip(variants) {
            self.frames.insert(frame.name.clone(), schema);
        }
        self.roots.extend(self.frames.keys().cloned());
        frames
    }

    /// All that the document refers to, and nothing else.
    pub(super) fn finish(mut self) -> Map<String, Value> {
        let mut all = self.heard.take_definitions(true);
        for (name, mut schema) in self.said.take_definitions(true) {
            // What is heard is passed on as it came, its nulls included.
            all.entry(name).or_insert_with(|| {
                absent_rather_than_null(&mut schema);
                schema
            });
        }
        split_bodies(&mut all);
        all.extend(self.frames);
        closure(&all, self.roots.iter().map(String::as_str))
    }
}

fn generator(contract: Contract) -> SchemaGenerator {
    SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.definitions_path = PATH.trim_start_matches('#').into();
            settings.contract = contract;
        })
        .into_generator()
}

/// Gives each kind of body its own name, and `ClientBody` to those that clients may send.
fn split_bodies(all: &mut Map<String, Value>) {
    let Some(body) = all.get(&*Body::schema_name()) else { return };
    let description = body["description"].clone();
    let bodies: Vec<(String, Value)> = tags::variants(body, "kind", all)
        .into_iter()
        .map(|(kind, schema)| (format!("{}Body", tags::camel(&kind)), schema))
        .collect();
    let names = || bodies.iter().map(|(name, _)| name.as_str());
    let any = one_of(description, names());
    let sendable = one_of(
        json!("A body that a client may send: at most 16 KiB of JSON text."),
        names().filter(|name| *name != "EventBody"),
    );
    all.insert(Body::schema_name().into(), any);
    all.insert("ClientBody".into(), sendable);
    all.extend(bodies);
}

fn one_of<'a>(description: Value, names: impl Iterator<Item = &'a str>) -> Value {
    let references: Vec<Value> =
        names.map(|name| json!({ "$ref": format!("{PATH}{name}") })).collect();
    json!({ "description": description, "oneOf": references })
}

/// The server leaves an optional field out and never writes it as `null`;
/// schemars cannot tell that from `skip_serializing_if`.
fn absent_rather_than_null(schema: &mut Value) {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    for (name, property) in properties {
        if !required.iter().any(|required| required == name) {
            forbid_null(property);
        }
    }
}

fn forbid_null(property: &mut Value) {
    let Some(property) = property.as_object_mut() else { return };
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            property.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(choices)) = property.get_mut("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            property.shift_remove("anyOf");
            property.extend(only);
        }
    }
}

/// The names that a schema refers to directly.
pub(super) fn references(schema: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    visit_references(schema, &mut |reference| {
        names.extend(reference.rsplit('/').next().map(str::to_owned));
    });
    names
}

fn visit_references(schema: &Value, visit: &mut impl FnMut(&str)) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get("$ref") {
                visit(reference);
            }
            object.values().for_each(|value| visit_references(value, visit));
        }
        Value::Array(items) => items.iter().for_each(|value| visit_references(value, visit)),
        _ => {}
    }
}

/// Points all references to definitions at another place.
pub(super) fn move_references(schema: &mut Value, path: &str) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get_mut("$ref") {
                *reference = reference.replacen(PATH, path, 1);
            }
            object.values_mut().for_each(|value| move_references(value, path));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| move_references(value, path)),
        _ => {}
    }
}

/// The definitions that these names need, in their order in `all`.
pub(super) fn closure<'a>(
    all: &Map<String, Value>,
    roots: impl IntoIterator<Item = &'a str>,
) -> Map<String, Value> {
    let mut needed = BTreeSet::new();
    let mut open: Vec<String> = roots.into_iter().map(str::to_owned).collect();
    while let Some(name) = open.pop() {
        if let Some(schema) = all.get(&name)
            && needed.insert(name)
        {
            open.extend(references(schema));
        }
    }
    all.iter()
        .filter(|(name, _)| needed.contains(*name))
        .map(|(name, schema)| (name.clone(), schema.clone()))
        .collect()
}
