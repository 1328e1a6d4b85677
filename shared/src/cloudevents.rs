//! Metered events as CloudEvents 1.0 in JSON, and the JSON schemas of their data.

use crate::meter::{Event, EventType};
use crate::time_range::rfc3339;
use serde_json::{Map, Value, json};

/// Media type of a batch.
pub const BATCH_TYPE: &str = "application/cloudevents-batch+json";

/// The `type` of an event.
pub fn type_of(e: EventType) -> String {
    format!("conductor.{e}.v1")
}

/// The name of the schema of its data.
pub fn schema_of(e: EventType) -> String {
    format!("urn:conductor:schema:{e}:v1")
}

/// An event. `id` is unique by itself, and `source` and `id` together as the specification asks.
pub fn cloud_event(e: &Event) -> Value {
    let (s, l, a) = (e.source(), e.labels(), e.amount());
    let mut data = json!({
        "tenant_id": s.tenant_id,
        "tenant_uid": s.origin.tenant,
        "env": l.env,
        "actor_type": l.actor_type,
        "workflow_type": l.workflow_type,
        "count": a.count,
        "quantity": a.quantity,
        "unit": a.event.unit(),
        "counts_at": rfc3339(e.at()),
        "receipt_index": s.index,
        "ordinal": s.ordinal,
    });
    if let (EventType::StepExecuted, Some(d)) = (a.event, data.as_object_mut()) {
        d.insert("bytes_in".into(), json!(a.bytes_in));
        d.insert("bytes_out".into(), json!(a.bytes_out));
    }
    json!({
        "specversion": "1.0",
        "id": e.id(),
        "source": s.origin,
        "type": type_of(a.event),
        "subject": s.tenant_id,
        "time": rfc3339(s.recorded),
        "datacontenttype": "application/json",
        "dataschema": schema_of(a.event),
        "data": data,
    })
}

/// The JSON schema (2020-12) of a whole event of a type.
pub fn schema(e: EventType) -> Value {
    let words = |list: Vec<&str>| json!({"enum": list});
    let ident = json!({"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,62}$"});
    let time = json!({"type": "string", "format": "date-time", "pattern": "Z$"});
    let whole = json!({"type": "integer"});
    let index = json!({"type": "integer", "minimum": 0});
    let mut data = Map::new();
    let mut field = |name: &str, schema: &Value, about: &str| {
        let mut s = schema.clone();
        if let Some(m) = s.as_object_mut() {
            m.insert("description".into(), json!(about));
        }
        data.insert(name.to_owned(), s);
    };
    field("tenant_id", &ident, "Display id of the tenant");
    field("tenant_uid", &json!({"type": "string", "pattern": "^[0-9a-f]{32}$"}), "Never reused");
    let envs = crate::fact::Env::ALL.iter().map(|e| e.as_str()).collect();
    field("env", &words(envs), "Environment");
    let actors = crate::fact::ActorType::ALL.iter().map(|a| a.as_str()).collect();
    field("actor_type", &words(actors), "Who or what set the run off");
    field("workflow_type", &ident, "From the tenant's catalog");
    field("count", &whole, "How many; negative in a correction");
    field("quantity", &whole, "How much, in the unit");
    field("unit", &json!({"const": e.unit()}), "Unit of the quantity");
    field("counts_at", &time, "The time it counts at; earlier than `time` in a correction");
    field("receipt_index", &index, "Index of its receipt in the log that `source` names");
    field("ordinal", &index, "Place among the events of the receipt");
    if e == EventType::StepExecuted {
        field("bytes_in", &whole, "Bytes read, as claimed");
        field("bytes_out", &whole, "Bytes written, as claimed");
    }
    let required: Vec<String> = data.keys().cloned().collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": schema_of(e),
        "title": type_of(e),
        "description": e.description().trim(),
        "type": "object",
        "additionalProperties": false,
        "required": ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "pattern": "^conductor-log/[0-9a-f]{32}/[0-9a-f]{32}/[0-9]+/[0-9]+/[0-9]+$",
                "description": "(origin, index, ordinal): the same however often it is delivered"},
            "source": {"type": "string", "pattern": "^conductor-log/[0-9a-f]{32}/[0-9a-f]{32}/[0-9]+$"},
            "type": {"const": type_of(e)},
            "subject": ident,
            "time": time,
            "datacontenttype": {"const": "application/json"},
            "dataschema": {"const": schema_of(e)},
            "data": {"type": "object", "additionalProperties": false, "required": required, "properties": data},
        },
    })
}
