//! JSON Schemas in words.

use maud::{Markup, html};
use serde_json::Value;

use super::{entries, items, markdown, text};

/// What a schema is made of: an object's fields, a choice's cases, or its type.
pub(super) fn fields(schema: &Value) -> Markup {
    let required = items(&schema["required"]);
    html! {
        @if schema["properties"].is_object() {
            table {
                @for (name, property) in entries(&schema["properties"]) {
                    tr {
                        td {
                            code { (name) }
                            @if !required.iter().any(|required| required == name) {
                                span.optional { " optional" }
                            }
                        }
                        td { (type_of(property)) }
                        td { (markdown(&property["description"])) }
                    }
                }
            }
            @for other in items(&schema["allOf"]) {
                p { "together with " (type_of(other)) }
            }
        } @else if schema["oneOf"].is_array() {
            (choices(items(&schema["oneOf"])))
        } @else {
            p { (type_of(schema)) }
        }
    }
}

fn choices(choices: &[Value]) -> Markup {
    html! {
        @if choices.iter().all(|choice| choice["properties"].is_object()) {
            @for choice in choices {
                div.choice {
                    (markdown(&choice["description"]))
                    (fields(choice))
                }
            }
        } @else {
            table {
                @for choice in choices {
                    tr {
                        td { (type_of(choice)) }
                        td { (markdown(&choice["description"])) }
                    }
                }
            }
        }
    }
}

/// A schema's type in a few words, with links to the types it names.
pub(super) fn type_of(schema: &Value) -> Markup {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return html! { a href={ "#" (name) } { (name) } };
    }
    for several in [&schema["anyOf"], &schema["oneOf"]] {
        if several.is_array() {
            return alternatives(items(several));
        }
    }
    if let Some(constant) = schema.get("const") {
        return html! { code { (constant) } };
    }
    match &schema["type"] {
        Value::Array(names) => {
            let names: Vec<&str> = names.iter().map(text).collect();
            html! { (names.join(" or ")) (bounds(schema)) }
        }
        Value::String(name) if name == "array" => {
            html! { "list of " (type_of(&schema["items"])) (bounds(schema)) }
        }
        Value::String(name) if name == "object" => map(schema),
        Value::String(name) => html! { (name) (bounds(schema)) },
        _ => html! { "anything" },
    }
}

fn alternatives(choices: &[Value]) -> Markup {
    html! {
        @for (index, choice) in choices.iter().enumerate() {
            @if index > 0 { " or " }
            (type_of(choice))
        }
    }
}

/// An object whose keys are data: the marks by sender.
fn map(schema: &Value) -> Markup {
    html! {
        @match entries(&schema["patternProperties"]).next() {
            Some((pattern, value)) => {
                (type_of(value)) " by " span title=(pattern) { "id" }
            }
            None => "object",
        }
    }
}

fn bounds(schema: &Value) -> Markup {
    let limits = [
        ("minLength", "at least", "characters"),
        ("maxLength", "at most", "characters"),
        ("minItems", "at least", "items"),
        ("maxItems", "at most", "items"),
        ("default", "default", ""),
    ];
    html! {
        @for (key, words, unit) in limits {
            @if let Some(limit) = schema.get(key) {
                span.bound { " " (words) " " (limit) " " (unit) }
            }
        }
        @if let Some(pattern) = schema["pattern"].as_str() {
            span.bound { " " code { (pattern) } }
        }
    }
}
