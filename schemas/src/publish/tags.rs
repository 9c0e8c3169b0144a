//! Schemas of tagged enums, made plain.
//!
//! schemars writes a variant that holds a struct as the tag beside a `$ref`.
//! Readers and older tools (AsyncAPI's schemas are JSON Schema draft 7, where
//! nothing may stand beside a `$ref`) want one object with all its fields.

use serde_json::{Map, Value, json};

/// The variants of a tagged enum's schema by their tag's value, each as one object.
pub(super) fn variants(
    schema: &Value,
    tag: &str,
    definitions: &Map<String, Value>,
) -> Vec<(String, Value)> {
    let variants = schema["oneOf"].as_array().map(Vec::as_slice).unwrap_or_default();
    variants
        .iter()
        .filter_map(|variant| {
            let value = variant["properties"][tag]["const"].as_str()?;
            Some((value.to_owned(), flat(variant, definitions)))
        })
        .collect()
}

/// One object of the tag and the fields of what the variant holds.
fn flat(variant: &Value, definitions: &Map<String, Value>) -> Value {
    let Some(reference) = variant["$ref"].as_str() else { return variant.clone() };
    let held = reference.rsplit('/').next().and_then(|name| definitions.get(name));
    let Some(held) = held.filter(|held| held["properties"].is_object()) else {
        // It holds another tagged enum, whose choices cannot be merged.
        let mut variant = variant.clone();
        if let Some(object) = variant.as_object_mut() {
            object.shift_remove("$ref");
        }
        variant["allOf"] = json!([{ "$ref": reference }]);
        return variant;
    };
    let texts = [&variant["description"], &held["description"]];
    let description: Vec<&str> = texts.into_iter().filter_map(Value::as_str).collect();
    json!({
        "description": description.join("\n\n"),
        "type": "object",
        "properties": merged(&variant["properties"], &held["properties"]),
        "required": joined(&variant["required"], &held["required"]),
    })
}

fn merged(tag: &Value, fields: &Value) -> Value {
    let both = [tag, fields].into_iter().filter_map(Value::as_object);
    Value::Object(both.flatten().map(|(name, schema)| (name.clone(), schema.clone())).collect())
}

fn joined(tag: &Value, fields: &Value) -> Value {
    Value::Array([tag, fields].into_iter().filter_map(Value::as_array).flatten().cloned().collect())
}

/// `caught_up` as `CaughtUp`.
pub(super) fn camel(snake: &str) -> String {
    let capitalised = |word: &str| match word.split_at_checked(1) {
        Some((first, rest)) => first.to_ascii_uppercase() + rest,
        None => String::new(),
    };
    snake.split('_').map(capitalised).collect()
}

/// What a list of things calls this one.
pub(super) fn first_paragraph(schema: &Value) -> String {
    let description = schema["description"].as_str().unwrap_or_default();
    description.split("\n\n").next().unwrap_or_default().replace('\n', " ")
}
