//! The page at `/docs`: both documents for people, in one HTML text that needs
//! nothing else, neither scripts nor a network.

mod fields;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use pulldown_cmark::{Options, Parser};
use serde_json::Value;

use fields::{fields, type_of};

/// The page of these two documents.
pub(super) fn render(openapi: &Value, asyncapi: &Value) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Petrel: how to talk to it" }
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body {
                (contents(openapi, asyncapi))
                main {
                    (welcome(openapi, asyncapi))
                    (http(openapi))
                    (socket(asyncapi))
                    (types(openapi, asyncapi))
                }
            }
        }
    };
    page.into_string()
}

fn contents(openapi: &Value, asyncapi: &Value) -> Markup {
    html! {
        nav {
            a.name href="#top" { "Petrel" }
            h2 { a href="#http" { "HTTP" } }
            @for tag in items(&openapi["tags"]) {
                h3 { (text(&tag["name"])) }
                ul {
                    @for (path, method, operation) in operations(openapi, &tag["name"]) {
                        li { a href={ "#" (text(&operation["operationId"])) } {
                            (verb(method)) " " code { (path) }
                        } }
                    }
                }
            }
            h2 { a href="#socket" { "Socket" } }
            @for (side, heading) in SIDES {
                h3 { (heading) }
                ul {
                    @for (name, message) in messages(asyncapi, side) {
                        li { a href={ "#" (name) } { code { (text(&message["name"])) } } }
                    }
                }
            }
            h2 { a href="#types" { "Types" } }
        }
    }
}

/// The two directions, by the first word of a message's name.
const SIDES: [(&str, &str); 2] =
    [("Client", "What a client says"), ("Server", "What the server says")];

fn welcome(openapi: &Value, asyncapi: &Value) -> Markup {
    let example = |side: &str, tag: &str| {
        let found = messages(asyncapi, side).find(|(_, message)| message["name"] == tag);
        found.map(|(_, message)| message["examples"][0]["payload"].to_string()).unwrap_or_default()
    };
    let register = &openapi["paths"]["/v1/register"]["post"]["requestBody"]["content"];
    html! {
        header #top {
            h1 { "How to talk to Petrel" }
            p {
                "Version " (text(&openapi["info"]["version"])) " of the protocol. For programs: "
                a href="/openapi.json" { "openapi.json" } " and "
                a href="/asyncapi.json" { "asyncapi.json" } "."
            }
            h2 { "A first conversation" }
            ol {
                li {
                    p { "Make an account; the answer has an access token." }
                    pre { "POST /v1/register\n"
                        (register["application/json"]["example"].to_string()) }
                }
                li {
                    p { "Open a WebSocket at " code { "/v1/ws" } " and say who you are." }
                    pre { (example("Client", "hello")) }
                }
                li {
                    p { "Send a message. " code { "sent" } " tells that it is stored and safe." }
                    pre { (example("Client", "send")) "\n" (example("Server", "sent")) }
                }
                li {
                    p { "Receive one. Once it is stored on the device, acknowledge it: "
                        "the server then forgets it." }
                    pre { (example("Server", "messages")) "\n" (example("Client", "ack")) }
                }
            }
        }
    }
}

fn http(openapi: &Value) -> Markup {
    html! {
        section #http {
            h2 { "HTTP" }
            (markdown(&openapi["info"]["description"]))
            @for tag in items(&openapi["tags"]) {
                h3 { (text(&tag["name"])) }
                p { (text(&tag["description"])) }
                @for (path, method, operation) in operations(openapi, &tag["name"]) {
                    (call(openapi, path, method, operation))
                }
            }
        }
    }
}

fn call(openapi: &Value, path: &str, method: &str, operation: &Value) -> Markup {
    let request = &operation["requestBody"]["content"]["application/json"];
    html! {
        article id=(text(&operation["operationId"])) {
            h4 {
                (verb(method)) " " code { (path) }
                @if !items(&operation["security"]).is_empty() {
                    span.token title="Authorization: Bearer, with an access token" { "token" }
                }
            }
            p { (text(&operation["summary"])) "." }
            (markdown(&operation["description"]))
            @if operation["parameters"].is_array() {
                table {
                    @for parameter in items(&operation["parameters"]) {
                        tr {
                            td { code { (text(&parameter["name"])) } }
                            td { (type_of(&parameter["schema"])) " in the " (text(&parameter["in"])) }
                            td { (markdown(&parameter["description"])) }
                        }
                    }
                }
            }
            @if request.is_object() {
                p { "Takes " (type_of(&request["schema"])) }
                (example(&request["example"]))
            }
            table {
                @for (status, response) in entries(&operation["responses"]) {
                    (answer(status, resolve(openapi, response)))
                }
            }
        }
    }
}

fn answer(status: &str, response: &Value) -> Markup {
    let json = &response["content"]["application/json"];
    html! {
        tr {
            td { code.status { (status) } }
            td {
                (markdown(&response["description"]))
                @if json["schema"].is_object() {
                    (type_of(&json["schema"]))
                    (example(&json["example"]))
                }
            }
        }
    }
}

fn socket(asyncapi: &Value) -> Markup {
    let schemas = &asyncapi["components"]["schemas"];
    html! {
        section #socket {
            h2 { "Socket" }
            (markdown(&asyncapi["info"]["description"]))
            @for (side, heading) in SIDES {
                h3 { (heading) }
                @for (name, message) in messages(asyncapi, side) {
                    article id=(name) {
                        h4 { code { (text(&message["name"])) } }
                        (markdown(&schemas[name]["description"]))
                        (fields(&schemas[name]))
                        @for shown in items(&message["examples"]) {
                            (example(&shown["payload"]))
                        }
                    }
                }
            }
        }
    }
}

/// The schemas that are no frames, each once.
fn types(openapi: &Value, asyncapi: &Value) -> Markup {
    let is_frame = |name: &str| {
        name == "ClientFrame"
            || name == "ServerFrame"
            || asyncapi["components"]["messages"].get(name).is_some()
    };
    let mut all: Vec<(&str, &Value)> = [openapi, asyncapi]
        .into_iter()
        .flat_map(|document| entries(&document["components"]["schemas"]))
        .filter(|(name, _)| !is_frame(name))
        .collect();
    all.sort_by_key(|(name, _)| *name);
    all.dedup_by_key(|(name, _)| *name);
    html! {
        section #types {
            h2 { "Types" }
            @for (name, schema) in all {
                article id=(name) {
                    h4 { code { (name) } }
                    (markdown(&schema["description"]))
                    (fields(schema))
                }
            }
        }
    }
}

fn example(value: &Value) -> Markup {
    html! { @if !value.is_null() { pre { (format!("{value:#}")) } } }
}

fn verb(method: &str) -> Markup {
    html! { span class={ "verb " (method) } { (method.to_uppercase()) } }
}

/// The operations of a chapter: path, method, description.
fn operations<'a>(
    openapi: &'a Value,
    tag: &'a Value,
) -> impl Iterator<Item = (&'a str, &'a str, &'a Value)> {
    entries(&openapi["paths"])
        .flat_map(|(path, methods)| {
            entries(methods).map(move |(method, operation)| (path, method, operation))
        })
        .filter(move |(_, _, operation)| operation["tags"][0] == *tag)
}

fn messages<'a>(asyncapi: &'a Value, side: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    entries(&asyncapi["components"]["messages"]).filter(move |(name, _)| name.starts_with(side))
}

/// What a `$ref` within the document refers to, or the value itself.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let pointer = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    pointer.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}

fn markdown(value: &Value) -> Markup {
    let mut rendered = String::new();
    pulldown_cmark::html::push_html(
        &mut rendered,
        Parser::new_ext(text(value), Options::ENABLE_TABLES),
    );
    PreEscaped(rendered)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> + Clone {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}
