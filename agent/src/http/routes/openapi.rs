//! The table of routes as an `OpenAPI` 3.1 document. Schemas come from the very types that are read and written.

use axum::Json;
use conductor_shared::http::{IDEMPOTENCY_KEY, Problem};
use conductor_shared::ids::IDENT;
use conductor_shared::ofrep::Failure;
use conductor_shared::routes::{Answer, Asks, ROUTES, Route, Shape};
use conductor_shared::stream::{FromConsole, ToConsole};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::sync::LazyLock;

/// Where the schemas of types stand in the document.
const SCHEMAS: &str = "/components/schemas";

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

pub(crate) async fn openapi() -> Json<&'static Value> {
    Json(&DOCUMENT)
}

/// Writes schemas: of what is read, and of what is written. A member with a default may be left out of the one and is
/// always in the other.
struct Schemas {
    read: SchemaGenerator,
    written: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|s| {
            s.definitions_path = SCHEMAS.into();
            s.meta_schema = None;
        });
        Self {
            read: settings.clone().for_deserialize().into_generator(),
            written: settings.for_serialize().into_generator(),
        }
    }

    fn read(&mut self, shape: Shape) -> Value {
        shape(&mut self.read).to_value()
    }

    fn written(&mut self, shape: Shape) -> Value {
        shape(&mut self.written).to_value()
    }

    /// All types that were named. One that is both read and written looks the same in both: a test holds it.
    fn all(mut self) -> Map<String, Value> {
        let mut all = self.read.take_definitions(true);
        all.extend(self.written.take_definitions(true));
        all.values_mut().for_each(words_as_enum);
        all
    }
}

/// A type of words, each with a sentence of its own, as the one list that generators of clients make an enumeration of. The
/// sentences go to the description.
fn words_as_enum(schema: &mut Value) {
    let Some(words) = schema.get("oneOf").and_then(Value::as_array) else { return };
    let of =
        |w: &Value| Some((w.get("const")?.as_str()?.to_owned(), w.get("description")?.as_str()?.to_owned()));
    let Some(words) = words.iter().map(of).collect::<Option<Vec<_>>>() else { return };
    let mut said = schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    for (word, sentence) in &words {
        let _ = write!(said, "\n- `{word}`: {sentence}");
    }
    let names: Vec<_> = words.into_iter().map(|(word, _)| word).collect();
    *schema = json!({"type": "string", "enum": names, "description": said});
}

/// `OpenAPI` has no form for a parameter that takes the rest of a path.
fn path(route: &str) -> String {
    route.replace("{*", "{")
}

fn document() -> Value {
    let mut schemas = Schemas::new();
    let problem = schemas.written(SchemaGenerator::subschema_for::<Problem>);
    let failure = schemas.written(SchemaGenerator::subschema_for::<Failure>);
    schemas.read(SchemaGenerator::subschema_for::<FromConsole>);
    schemas.written(SchemaGenerator::subschema_for::<ToConsole>);
    let errors = Errors { problem, failure };
    let mut paths = Map::new();
    for r in ROUTES {
        let item = paths.entry(path(r.path)).or_insert_with(|| json!({}));
        item[r.method.to_lowercase()] = operation(r, &mut schemas, &errors);
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Conductor agent",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas.all(),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    });
    plain_words(&mut document);
    document
}

/// Schemas of errors.
struct Errors {
    problem: Value,
    failure: Value,
}

fn operation(r: &Route, schemas: &mut Schemas, errors: &Errors) -> Value {
    let mut op = json!({
        "operationId": r.name.word(),
        "summary": r.summary,
        "x-conductor-class": r.class.name(),
        "parameters": parameters(r, schemas),
        "responses": responses(r, schemas, errors),
        "security": if r.right.authenticates() { json!([{"bearer": []}]) } else { json!([]) },
    });
    if let Asks::Body(shape) = r.asks {
        let schema = schemas.read(shape);
        op["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": schema}}});
    }
    op
}

fn parameters(r: &Route, schemas: &mut Schemas) -> Vec<Value> {
    let in_path = |p: &'static str| Some(p.strip_prefix('{')?.strip_suffix('}')?.trim_start_matches('*'));
    let of_path = |name| json!({"name": name, "in": "path", "required": true, "schema": in_a_path(name)});
    let mut all: Vec<Value> = r.path.split('/').filter_map(in_path).map(of_path).collect();
    if let Asks::Query(shape) = r.asks {
        let asked = schemas.read(shape);
        let required = |name: &str| asked["required"].as_array().is_some_and(|r| r.iter().any(|n| n == name));
        for (name, schema) in asked["properties"].as_object().into_iter().flatten() {
            let mut schema = schema.clone();
            never_null(&mut schema);
            all.push(json!({"name": name, "in": "query", "required": required(name), "schema": schema}));
        }
    }
    if r.mutates() {
        let schema = json!({"type": "string", "pattern": "^[!-~]{1,128}$"});
        all.push(json!({"name": IDEMPOTENCY_KEY, "in": "header", "required": false, "schema": schema}));
    }
    all
}

/// A parameter that is not asked for is left out, and never null.
fn never_null(schema: &mut Value) {
    if let Some(types) = schema["type"].as_array().cloned() {
        let mut some = types.into_iter().filter(|t| t != "null");
        schema["type"] = some.next().unwrap_or_default();
    }
    if let Some(any) = schema["anyOf"].as_array().cloned() {
        let mut some = any.into_iter().filter(|t| t["type"] != "null");
        *schema = some.next().unwrap_or_default();
    }
}

/// What stands in a path. Null for a name that is not known here: a test refuses it.
fn in_a_path(name: &str) -> Value {
    match name {
        "tenant" => json!({
            "type": "string", "pattern": IDENT,
            "description": "A tenant's uid, 32 hex digits, or its display id; zeros for the node's own log",
        }),
        "run" => json!({"type": "string", "pattern": "^[0-9a-f]{32}$"}),
        "digest" => json!({"type": "string", "pattern": "^[0-9a-f]{64}$"}),
        "step" | "index" | "revision" => json!({"type": "integer", "format": "uint64", "minimum": 0}),
        "flag" => json!({"type": "string", "description": "action/workflow, or a workflow type alone"}),
        _ => Value::Null,
    }
}

fn responses(r: &Route, schemas: &mut Schemas, errors: &Errors) -> Value {
    let json = |schema: &Value| json!({"application/json": {"schema": schema}});
    let text = json!({"type": "string"});
    let good = match r.answer {
        Answer::Json(shape) | Answer::Flags(shape) => json(&schemas.written(shape)),
        Answer::JsonOrCsv(shape) => {
            let mut content = json(&schemas.written(shape));
            content["text/csv"] = json!({"schema": text});
            content
        }
        Answer::Lines(first, rest) => {
            let line = json!({"anyOf": [schemas.written(first), schemas.written(rest)]});
            json!({"application/jsonl": {"schema": {"type": "string", "x-conductor-line": line}}})
        }
        Answer::Object => json(&json!({"type": "object"})),
        Answer::Text => json!({"text/plain": {"schema": text}}),
        Answer::Metrics => json!({"application/openmetrics-text": {"schema": text}}),
        Answer::Stream | Answer::Nothing => Value::Null,
    };
    let problem = |what: &str| json!({"description": what, "content": {"application/problem+json": {"schema": errors.problem}}});
    let mut all = json!({"default": problem("A problem document; a denial has its reasons and its receipt")});
    match r.answer {
        Answer::Stream => {
            all["101"] = json!({"description": "The stream: messages are of FromConsole and ToConsole"});
            all["426"] = problem("Asked for without an upgrade to a WebSocket");
        }
        Answer::Nothing => all["204"] = json!({"description": r.summary}),
        _ => all["200"] = json!({"description": r.summary, "content": good}),
    }
    if let Answer::Flags(_) = r.answer {
        let failed = json!({"description": "An error of the protocol", "content": json(&errors.failure)});
        all["400"] = failed.clone();
        all["404"] = failed;
        all["304"] = json!({"description": "The same as the entity tag of If-None-Match"});
    }
    if matches!(r.answer, Answer::Text) {
        let content = json!({"text/plain": {"schema": text}});
        all["503"] = json!({"description": "It is not so; the line says why", "content": content});
    }
    if r.right.authenticates() {
        all["401"] = problem("No credentials, or credentials that are not valid");
        all["403"] = problem("The right is missing, or another tenant was named");
    }
    all
}

/// Comments of the code become descriptions: without the brackets and paths of its links.
fn plain_words(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "description" => *text = plain(text),
                    other => plain_words(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(plain_words),
        _ => {}
    }
}

fn plain(text: &str) -> String {
    text.replace("[`crate::", "`").replace("[`", "`").replace("`]", "`").replace("::", ".")
}

#[cfg(test)]
mod tests;
