//! Two configurations side by side, field by field.
//!
//! They are compared as the JSON that JetStream itself speaks, so that an update
//! carries along what this crate does not know: a setting of a newer server, or
//! one of the operator's.

use std::{fmt, time::Duration};

use serde_json::{Map, Value};

use crate::topology::SHARDS;

/// A field that Petrel decides on. All others belong to the operator:
/// placement, compression, description, limits on consumers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    name: &'static str,
    form: Form,
    update: Update,
}

/// How a value is shown.
#[derive(Debug, Clone, Copy)]
enum Form {
    Plain,
    /// Nanoseconds.
    Time,
    /// 0 and -1 say the same.
    Limit,
    /// One entry of a map of strings.
    Entry(&'static str),
}

/// Whether JetStream updates it in place.
#[derive(Debug, Clone, Copy)]
enum Update {
    Yes,
    /// Only from false to true.
    OnlyOn,
    Never,
}

pub(super) const STREAM_FIELDS: [Field; 24] = [
    field("subjects", Form::Plain, Update::Yes),
    field("metadata", Form::Entry(SHARDS), Update::Never),
    field("storage", Form::Plain, Update::Never),
    field("retention", Form::Plain, Update::Never),
    field("num_replicas", Form::Plain, Update::Yes),
    field("discard", Form::Plain, Update::Yes),
    field("discard_new_per_subject", Form::Plain, Update::Yes),
    field("max_msgs_per_subject", Form::Limit, Update::Yes),
    field("max_msgs", Form::Limit, Update::Yes),
    field("max_bytes", Form::Limit, Update::Yes),
    field("max_msg_size", Form::Limit, Update::Yes),
    field("max_consumers", Form::Limit, Update::Yes),
    field("max_age", Form::Time, Update::Yes),
    field("duplicate_window", Form::Time, Update::Yes),
    field("allow_direct", Form::Plain, Update::Yes),
    field("republish", Form::Plain, Update::Yes),
    field("subject_transform", Form::Plain, Update::Yes),
    field("allow_rollup_hdrs", Form::Plain, Update::Yes),
    field("no_ack", Form::Plain, Update::Yes),
    field("allow_msg_ttl", Form::Plain, Update::OnlyOn),
    field("subject_delete_marker_ttl", Form::Time, Update::Yes),
    field("deny_delete", Form::Plain, Update::OnlyOn),
    field("deny_purge", Form::Plain, Update::OnlyOn),
    field("sealed", Form::Plain, Update::OnlyOn),
];

pub(super) const CONSUMER_FIELDS: [Field; 14] = [
    field("deliver_policy", Form::Plain, Update::Never),
    field("deliver_subject", Form::Plain, Update::Never),
    field("ack_policy", Form::Plain, Update::Never),
    field("replay_policy", Form::Plain, Update::Never),
    field("max_waiting", Form::Plain, Update::Never),
    field("mem_storage", Form::Plain, Update::Never),
    field("filter_subject", Form::Plain, Update::Yes),
    field("filter_subjects", Form::Plain, Update::Yes),
    field("ack_wait", Form::Time, Update::Yes),
    field("max_ack_pending", Form::Limit, Update::Yes),
    field("headers_only", Form::Plain, Update::Yes),
    field("max_deliver", Form::Limit, Update::Yes),
    field("backoff", Form::Plain, Update::Yes),
    field("num_replicas", Form::Plain, Update::Yes),
];

const fn field(name: &'static str, form: Form, update: Update) -> Field {
    Field { name, form, update }
}

/// A field whose live value is not the declared one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// As JetStream calls it.
    pub field: String,
    /// The live value.
    pub live: String,
    /// The declared value.
    pub declared: String,
    /// JetStream can change it in place.
    pub possible: bool,
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, live, declared, possible } = self;
        let verdict = if *possible { "" } else { ", which cannot be changed in place" };
        write!(f, "{field} {live} -> {declared}{verdict}")
    }
}

/// The fields that differ.
pub(super) fn changes(fields: &[Field], declared: &Value, live: &Value) -> Vec<FieldChange> {
    let differing = |field: &&Field| field.value(declared) != field.value(live);
    fields.iter().filter(differing).map(|field| field.change(declared, live)).collect()
}

/// The live configuration with the declared values in it.
pub(super) fn merge(fields: &[Field], declared: &Value, live: Value) -> Value {
    let mut merged = match live {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for field in fields.iter().filter(|field| !matches!(field.form, Form::Entry(_))) {
        match declared.get(field.name) {
            Some(value) => merged.insert(field.name.to_owned(), value.clone()),
            None => merged.remove(field.name),
        };
    }
    Value::Object(merged)
}

impl Field {
    /// The value; none where it is what a server fills in for an absent one.
    fn value(&self, config: &Value) -> Option<Value> {
        let value = match self.form {
            Form::Entry(key) => config.get(self.name)?.get(key)?,
            _ => config.get(self.name)?,
        };
        let unlimited = matches!(self.form, Form::Limit) && value.as_i64() == Some(-1);
        if unlimited { None } else { normal(value) }
    }

    fn change(&self, declared: &Value, live: &Value) -> FieldChange {
        let (declared, live) = (self.value(declared), self.value(live));
        let possible = match self.update {
            Update::Yes => true,
            Update::OnlyOn => declared == Some(Value::Bool(true)),
            Update::Never => false,
        };
        let field = match self.form {
            Form::Entry(key) => format!("{}.{key}", self.name),
            _ => self.name.to_owned(),
        };
        FieldChange { field, live: self.show(live), declared: self.show(declared), possible }
    }

    fn show(&self, value: Option<Value>) -> String {
        match (self.form, value) {
            (Form::Limit, None) => "unlimited".to_owned(),
            (_, None) => "unset".to_owned(),
            (Form::Time, Some(value)) => {
                value.as_u64().map_or_else(|| value.to_string(), show_time)
            }
            (_, Some(Value::String(text))) => text,
            (_, Some(value)) => value.to_string(),
        }
    }
}

/// The value without what says the same as its absence: JetStream leaves some
/// of that out and fills in some.
fn normal(value: &Value) -> Option<Value> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::Number(number) if number.as_i64() == Some(0) => None,
        Value::String(text) if text.is_empty() => None,
        Value::Array(items) if items.is_empty() => None,
        Value::Object(entries) => {
            let entries = entries.iter();
            let entries: Map<_, _> =
                entries.filter_map(|(name, value)| Some((name.clone(), normal(value)?))).collect();
            (!entries.is_empty()).then_some(Value::Object(entries))
        }
        value => Some(value.clone()),
    }
}

/// In the largest unit that divides it.
fn show_time(nanos: u64) -> String {
    let time = Duration::from_nanos(nanos);
    let seconds = time.as_secs();
    if time.subsec_nanos() > 0 {
        return format!("{time:?}");
    }
    match seconds {
        s if s % 86_400 == 0 => format!("{}d", s / 86_400),
        s if s % 3_600 == 0 => format!("{}h", s / 3_600),
        s if s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn differences(declared: Value, live: Value) -> Vec<String> {
        let changes = changes(&STREAM_FIELDS, &declared, &live);
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_server_fills_in_is_no_difference() {
        let declared = json!({
            "name": "S", "subjects": ["s.>"], "max_msgs": 0, "max_age": 0,
            "republish": { "src": "s.>", "dest": "t.>", "headers_only": false },
            "metadata": { SHARDS: "8" },
        });
        let live = json!({
            "name": "S", "subjects": ["s.>"], "max_msgs": -1, "max_bytes": -1, "max_age": 0,
            "republish": { "src": "s.>", "dest": "t.>" }, "deny_delete": false,
            "compression": "none", "consumer_limits": {},
            "metadata": { SHARDS: "8", "_nats.ver": "2.15.1" },
        });
        assert_eq!(differences(declared, live), [""; 0]);
    }

    #[test]
    fn differences_are_readable() {
        let day = 86_400_000_000_000_u64;
        let declared = json!({ "max_age": 30 * day, "max_bytes": -1, "allow_direct": true });
        let live = json!({ "max_age": 7 * day, "max_bytes": 1024, "subjects": ["x"] });
        assert_eq!(
            differences(declared, live),
            [
                r#"subjects ["x"] -> unset"#,
                "max_bytes 1024 -> unlimited",
                "max_age 7d -> 30d",
                "allow_direct unset -> true",
            ]
        );
    }

    #[test]
    fn what_cannot_be_changed_says_so() {
        let declared =
            json!({ "storage": "file", "deny_purge": true, "metadata": { SHARDS: "8" } });
        let live = json!({ "storage": "memory", "deny_delete": true });
        let changes = changes(&STREAM_FIELDS, &declared, &live);
        let possible: Vec<_> =
            changes.iter().map(|change| (change.field.as_str(), change.possible)).collect();
        assert_eq!(
            possible,
            [
                ("metadata.petrel.shards", false),
                ("storage", false),
                // JetStream lets it be switched on, never off.
                ("deny_delete", false),
                ("deny_purge", true),
            ]
        );
    }

    #[test]
    fn a_merge_keeps_what_is_the_operators() {
        let declared = json!({ "max_age": 5, "metadata": { SHARDS: "8" } });
        let live = json!({
            "max_age": 4, "max_msgs": 7, "placement": { "tags": ["ssd"] }, "of_a_newer_server": 1,
            "metadata": { SHARDS: "8", "team": "chat" },
        });
        let merged = merge(&STREAM_FIELDS, &declared, live);
        assert_eq!(
            merged,
            json!({
                "max_age": 5, "placement": { "tags": ["ssd"] }, "of_a_newer_server": 1,
                "metadata": { SHARDS: "8", "team": "chat" },
            })
        );
        assert!(changes(&STREAM_FIELDS, &declared, &merged).is_empty());
    }

    #[test]
    fn times_are_shown_in_the_largest_unit_that_fits() {
        let second = 1_000_000_000;
        for (nanos, shown) in [
            (30 * 86_400 * second, "30d"),
            (3_600 * second, "1h"),
            (120 * second, "2m"),
            (61 * second, "61s"),
            (100_000_000, "100ms"),
        ] {
            assert_eq!(show_time(nanos), shown);
        }
    }
}
