//! The published documents: complete, consistent, and true of the parser.

use std::{collections::BTreeSet, fmt::Write as _};

use insta::assert_snapshot;
use jsonschema::Validator;
use schemas::{
    Body,
    client::Frame,
    publish::{self, Operation},
};
use serde_json::{Value, json};

use crate::{
    bodies::bodies,
    frames::{client_frames, server_frames},
};

fn validator(name: &str) -> Validator {
    let schemas = publish::json_schemas();
    let schema = schemas.get(name).unwrap_or_else(|| panic!("no schema {name}"));
    jsonschema::draft202012::new(schema).expect(name)
}

/// `caught_up` from the server as `ServerCaughtUp`.
fn schema_name(side: &str, frame: &Value) -> String {
    let words = frame["type"].as_str().unwrap().split('_');
    let capitalised = words.map(|word| word[..1].to_uppercase() + &word[1..]);
    format!("{side}{}", capitalised.collect::<String>())
}

fn assert_valid(validator: &Validator, value: &Value) {
    if let Err(error) = validator.validate(value) {
        panic!("{value:#}\n{error}");
    }
}

#[test]
fn frames_are_as_their_schemas_say() {
    let client = client_frames().into_iter().map(|frame| ("Client", json!(frame)));
    let server = server_frames().into_iter().map(|frame| ("Server", json!(frame)));
    for (side, frame) in client.chain(server) {
        assert_valid(&validator(&schema_name(side, &frame)), &frame);
        // Of one direction exactly one fits, or `oneOf` would refuse it.
        assert_valid(&validator(&format!("{side}Frame")), &frame);
    }
}

#[test]
fn bodies_are_as_their_schemas_say() {
    let (any, from_client) = (validator("Body"), validator("ClientBody"));
    for body in bodies() {
        let value = json!(body);
        assert_valid(&any, &value);
        assert_eq!(from_client.is_valid(&value), !matches!(body, Body::Event(_)), "{value}");
    }
}

/// The parser and the schemas refuse the same.
#[test]
fn parser_and_schema_agree() {
    let schema = validator("ClientFrame");
    let wrong = json!([
        null, true, 7, -7, 7.0, 1.5, 1e300, "", "x", "a.b", [], [7], ["x"], {}, {"x": 7},
        "u_01kdwpvng00000000000000002", "U_01KDWPVNG00000000000000002",
        {"u_01kdwpvng00000000000000002": 7}, {"u_01kdwpvng00000000000000002": null},
        ["u_01kdwpvng00000000000000002"], {"kind": "text"}, {"kind": "text", "text": "hi"},
        {"kind": "event", "event": "member.left", "user": "u_01kdwpvng00000000000000002"},
        {"kind": "dance"}, ["text"],
    ]);
    let mut compared = 0;
    let mut compare = |frame: &Value| {
        let text = frame.to_string();
        let parsed = Frame::parse(&text);
        assert_eq!(parsed.is_ok(), schema.is_valid(frame), "{text}: {parsed:?}");
        compared += 1;
    };
    for frame in client_frames() {
        let frame = json!(frame);
        for field in frame.as_object().unwrap().keys() {
            let mut changed = frame.clone();
            changed.as_object_mut().unwrap().remove(field);
            compare(&changed);
            for value in wrong.as_array().unwrap() {
                changed[field] = value.clone();
                compare(&changed);
            }
        }
    }
    assert!(compared > 500, "{compared}");
}

/// The same of what a media body is made of.
#[test]
fn parser_and_schema_agree_on_media() {
    let schema = validator("ClientFrame");
    let media = json!(bodies().into_iter().find(|body| matches!(body, Body::Media(_))).unwrap());
    let wrong = json!([null, true, 7, -7, 7.0, 1.5, 1e300, "", "m_x", [], {}]);
    for field in media.as_object().unwrap().keys() {
        for value in wrong.as_array().unwrap() {
            let mut body = media.clone();
            body[field] = value.clone();
            let text = crate::refusals::send(&body.to_string());
            let frame: Value = serde_json::from_str(&text).unwrap();
            // How large an integer may be is said by `format`, which is not checked.
            if value != &json!(1e300) {
                let parsed = Frame::parse(&text);
                assert_eq!(parsed.is_ok(), schema.is_valid(&frame), "{text}: {parsed:?}");
            }
        }
    }
}

#[test]
fn every_schema_is_one() {
    for (name, schema) in publish::json_schemas() {
        jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        for reference in references(&schema) {
            let pointer = reference.strip_prefix('#').expect("it carries all it needs");
            assert!(schema.pointer(pointer).is_some(), "{name} misses {reference}");
        }
    }
}

#[test]
fn references_lead_somewhere_and_nothing_is_left_over() {
    for document in [publish::openapi(), publish::asyncapi()] {
        let references = references(&document);
        for reference in &references {
            let pointer = reference.strip_prefix('#').expect("within the document");
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            let is_root = name == "ClientFrame" || name == "ServerFrame";
            let used = references.contains(&format!("#/components/schemas/{name}"));
            assert!(used || is_root, "{name} is not used");
        }
    }
}

#[test]
fn both_documents_say_the_same_of_the_same() {
    let (openapi, asyncapi) = (publish::openapi(), publish::asyncapi());
    let mut shared = 0;
    for (name, schema) in openapi["components"]["schemas"].as_object().unwrap() {
        if let Some(other) = asyncapi["components"]["schemas"].get(name) {
            assert_eq!(schema, other, "{name}");
            shared += 1;
        }
    }
    assert!(shared >= 4, "{shared}");
}

#[test]
fn examples_are_as_their_schemas_say() {
    let (openapi, asyncapi) = (publish::openapi(), publish::asyncapi());
    for (name, message) in asyncapi["components"]["messages"].as_object().unwrap() {
        let examples = message["examples"].as_array().unwrap();
        assert!(!examples.is_empty(), "{name} has no example");
        for example in examples {
            assert_valid(&validator(name), &example["payload"]);
        }
    }
    let mut seen = 0;
    walk(&openapi["paths"], &mut |value| {
        if let (Some(reference), false) =
            (value["schema"]["$ref"].as_str(), value["example"].is_null())
        {
            let name = reference.rsplit('/').next().unwrap();
            assert_valid(&validator(name), &value["example"]);
            seen += 1;
        }
    });
    assert!(seen >= 12, "{seen}");
}

#[test]
fn the_operations() {
    let mut table = String::new();
    for operation in publish::operations() {
        let Operation { id, path, answer, .. } = operation;
        let method = operation.method.as_str();
        let token = if operation.signed_in { "token" } else { "open" };
        let codes: BTreeSet<&str> =
            operation.refusals().map(|refusal| refusal.code.as_str()).collect();
        let codes = codes.into_iter().collect::<Vec<_>>().join(" ");
        writeln!(table, "{method} {path} ({id}, {token}): {} or {codes}", answer.status).unwrap();
    }
    assert_snapshot!(table);
}

#[test]
fn every_refusal_is_a_problem_and_a_part_is_what_the_whole_is() {
    let openapi = publish::openapi();
    let operations = openapi["paths"].as_object().unwrap().values();
    for operation in operations.flat_map(|path| path.as_object().unwrap().values()) {
        let responses = operation["responses"].as_object().unwrap();
        for (status, response) in responses {
            let name = response["$ref"].as_str().and_then(|path| path.strip_prefix('#'));
            let response = name.map_or(Some(response), |name| openapi.pointer(name)).unwrap();
            let content = &response["content"];
            if status.as_str() >= "400" {
                let problem = &content["application/problem+json"]["schema"];
                assert!(problem.is_object(), "{status}: {operation:#}");
            } else if status == "206" {
                assert_eq!(*content, responses["200"]["content"]);
                assert!(content.is_object());
            }
        }
    }
}

#[test]
fn operations_are_told_apart_and_name_their_parameters() {
    let mut ids = BTreeSet::new();
    let mut routes = BTreeSet::new();
    for operation in publish::operations() {
        assert!(ids.insert(operation.id), "{} twice", operation.id);
        assert!(routes.insert((operation.path, operation.method.as_str())), "{}", operation.path);
        let in_path: Vec<&str> =
            operation.path.split('/').filter_map(|part| part.strip_prefix('{')).collect();
        let named: Vec<String> = operation
            .parameters
            .iter()
            .filter(|parameter| parameter.place == publish::Place::Path)
            .map(|parameter| format!("{}}}", parameter.name))
            .collect();
        assert_eq!(in_path, named, "{}", operation.path);
    }
}

/// Required, optional (`?`), nullable: the whole vocabulary at a glance.
#[test]
fn the_fields_of_everything() {
    let mut table = String::new();
    for (name, schema) in publish::json_schemas() {
        let Some(properties) = schema["properties"].as_object() else { continue };
        let fields: Vec<String> = properties
            .iter()
            .map(|(field, property)| {
                let required = schema["required"]
                    .as_array()
                    .is_some_and(|required| required.iter().any(|required| required == field));
                format!("{field}{} {}", if required { "" } else { "?" }, in_short(property))
            })
            .collect();
        writeln!(table, "{name}: {}", fields.join(", ")).unwrap();
    }
    assert_snapshot!(table);
}

fn in_short(property: &Value) -> String {
    let joined = |several: &Value| {
        let several: Vec<String> = several.as_array().unwrap().iter().map(in_short).collect();
        several.join("|")
    };
    if let Some(reference) = property["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap().to_owned();
    }
    match (&property["anyOf"], &property["const"], &property["type"]) {
        (several @ Value::Array(_), _, _) => joined(several),
        (_, constant @ Value::String(_), _) => constant.to_string(),
        (_, _, several @ Value::Array(_)) => joined(several),
        (_, _, Value::String(kind)) if kind == "array" => {
            format!("[{}]", in_short(&property["items"]))
        }
        (_, _, Value::String(kind)) => kind.clone(),
        _ if property.is_string() => property.as_str().unwrap().to_owned(),
        _ => panic!("{property}"),
    }
}

#[test]
fn the_page_stands_alone_and_is_complete() {
    let page = publish::docs_html();
    for needle in
        ["<script", "<link", "<img", "src=", "=\"http://", "=\"https://", "@import", "url("]
    {
        assert!(!page.contains(needle), "the page wants {needle}");
    }
    let ids: BTreeSet<&str> = attributes(&page, " id=\"").collect();
    for target in attributes(&page, " href=\"#") {
        assert!(ids.contains(target), "a link to #{target} leads nowhere");
    }
    assert_eq!(ids.len(), attributes(&page, " id=\"").count(), "an id is there twice");
    for operation in publish::operations() {
        assert!(ids.contains(operation.id), "{} is missing", operation.id);
    }
    for message in publish::asyncapi()["components"]["messages"].as_object().unwrap().keys() {
        assert!(ids.contains(message.as_str()), "{message} is missing");
    }
}

#[test]
fn the_socket_document_names_its_limits_and_codes() {
    let document = publish::asyncapi();
    let text = document["info"]["description"].as_str().unwrap();
    assert!(!text.contains(['{', '}']), "a placeholder was left");
    for code in schemas::CloseCode::ALL {
        assert!(text.contains(&format!("| {} |", code.code())), "{code:?}");
    }
    assert_snapshot!(document["x-limits"].to_string());
}

/// The values of an attribute, by how it begins.
fn attributes<'a>(page: &'a str, beginning: &'a str) -> impl Iterator<Item = &'a str> {
    page.split(beginning).skip(1).map(|rest| rest.split('"').next().unwrap())
}

fn references(value: &Value) -> BTreeSet<String> {
    let mut references = BTreeSet::new();
    walk(value, &mut |value| {
        references.extend(value["$ref"].as_str().map(str::to_owned));
    });
    references
}

fn walk(value: &Value, visit: &mut impl FnMut(&Value)) {
    visit(value);
    match value {
        Value::Object(object) => object.values().for_each(|value| walk(value, visit)),
        Value::Array(items) => items.iter().for_each(|value| walk(value, visit)),
        _ => {}
    }
}
