//! The OpenAPI 3.1 document, written out of the table of operations.

use std::collections::BTreeMap;

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::{
    PROTOCOL_VERSION,
    components::Components,
    examples::Example as _,
    operation::{
        Answer, Content, Operation, Parameter, Place, Range, Refusal, RequestBody, Shape, Tag,
        common,
    },
    operations, tags,
};
use crate::error::{ErrorCode, Problem};

const PROBLEM_JSON: &str = "application/problem+json";

pub(super) fn document() -> Value {
    let mut components = Components::new();
    let mut paths = Map::new();
    for operation in operations() {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_lowercase()] = describe(operation, &mut components);
    }
    let responses: Map<String, Value> =
        common().map(|refusal| (response_name(refusal), problem(&[refusal]))).collect();
    components.said(SchemaGenerator::subschema_for::<Problem>);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Petrel",
            "summary": "The HTTP API of a Petrel gateway",
            "description": include_str!("http.md"),
            "version": PROTOCOL_VERSION,
            "license": { "name": "Apache License 2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The gateway that serves this document." }],
        "tags": Tag::ALL.map(|tag| json!({
            "name": tag.name(),
            "description": tag.description(),
        })),
        "paths": paths,
        "components": {
            "schemas": components.finish(),
            "responses": responses,
            "securitySchemes": {
                "accessToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The `access_token` of register, login or token.",
                },
            },
        },
    })
}

fn describe(operation: &Operation, components: &mut Components) -> Value {
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.tag.name()],
        "summary": operation.summary,
    });
    if !operation.description.is_empty() {
        described["description"] = operation.description.into();
    }
    described["security"] =
        if operation.signed_in { json!([{ "accessToken": [] }]) } else { json!([]) };
    if !operation.parameters.is_empty() {
        let parameters = operation.parameters.iter();
        described["parameters"] =
            parameters.map(|parameter| describe_parameter(parameter, components)).collect();
    }
    if let Some(request) = &operation.request {
        let content = match &request.body {
            RequestBody::Json(shape) => json_content(shape, components.heard(shape.schema)),
            RequestBody::Bytes(media_type) => json!({ *media_type: {} }),
        };
        described["requestBody"] = json!({ "required": request.required, "content": content });
    }
    described["responses"] = responses(operation, components);
    described
}

fn describe_parameter(parameter: &Parameter, components: &mut Components) -> Value {
    let item = components.heard(parameter.schema);
    let mut described = json!({
        "name": parameter.name,
        "in": match parameter.place {
            Place::Path => "path",
            Place::Query => "query",
            Place::Header => "header",
        },
        "required": parameter.place == Place::Path,
        "description": parameter.description,
        "schema": item,
    });
    if let Some(Range { least, most, default }) = parameter.range {
        described["schema"] =
            json!({ "type": "integer", "minimum": least, "maximum": most, "default": default });
    }
    if let Some(most) = parameter.most {
        described["schema"] = json!({ "type": "array", "items": item, "maxItems": most });
        described["style"] = "form".into();
        described["explode"] = false.into();
    }
    described
}

fn responses(operation: &Operation, components: &mut Components) -> Value {
    let mut responses = Map::new();
    let Answer { status, also, .. } = operation.answer;
    let answer = answer(&operation.answer, components);
    for (status, description) in also {
        let mut response = json!({ "description": description });
        if let (200..300, Some(content)) = (*status, answer.get("content")) {
            response["content"] = content.clone();
        }
        responses.insert(status.to_string(), response);
    }
    responses.insert(status.to_string(), answer);
    let mut by_status = BTreeMap::<u16, Vec<Refusal>>::new();
    for refusal in operation.refusals() {
        by_status.entry(refusal.status).or_default().push(refusal);
    }
    for (status, refusals) in by_status {
        let response = match refusals.as_slice() {
            [only] if common().any(|common| common == *only) => {
                json!({ "$ref": format!("#/components/responses/{}", response_name(*only)) })
            }
            several => problem(several),
        };
        responses.insert(status.to_string(), response);
    }
    Value::Object(responses)
}

fn answer(answer: &Answer, components: &mut Components) -> Value {
    let mut response = json!({ "description": answer.description });
    match &answer.content {
        Content::Nothing => {}
        Content::Json(shape) => {
            let schema = components.said(shape.schema);
            response["content"] = json_content(shape, schema);
        }
        Content::Document(media_type) => {
            response["content"] = json!({ *media_type: {} });
        }
        Content::Bytes => {
            response["content"] = json!({ "*/*": {} });
        }
    }
    response
}

fn json_content(shape: &Shape, schema: Value) -> Value {
    json!({ "application/json": { "schema": schema, "example": (shape.example)() } })
}

fn response_name(refusal: Refusal) -> String {
    tags::camel(refusal.code.as_str())
}

/// A response for everything that goes wrong with one status.
fn problem(refusals: &[Refusal]) -> Value {
    let reasons: Vec<String> =
        refusals.iter().map(|Refusal { code, when, .. }| format!("- `{code}`: {when}")).collect();
    let mut response = json!({
        "description": reasons.join("\n"),
        "content": { PROBLEM_JSON: {
            "schema": { "$ref": "#/components/schemas/Problem" },
        } },
    });
    if refusals.iter().any(|refusal| refusal.code == ErrorCode::RateLimited) {
        response["headers"] = json!({ "Retry-After": {
            "description": "Seconds to wait.",
            "schema": { "type": "integer", "minimum": 0 },
        } });
    }
    if refusals.iter().any(|refusal| refusal.code == ErrorCode::Conflict) {
        response["content"][PROBLEM_JSON]["example"] = json!(Problem::example());
    }
    response
}
