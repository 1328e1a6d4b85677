//! The table of routes as an `OpenAPI` 3.1 document.

use axum::Json;
use conductor_shared::routes::{Caller, ROUTES, Route};
use serde_json::{Map, Value, json};

pub(crate) async fn openapi() -> Json<Value> {
    Json(document())
}

/// Fields of request bodies: name, JSON type, required.
fn request_fields(name: &str) -> Vec<(&'static str, Value, bool)> {
    let ident = || json!({"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,62}$"});
    let text = || json!({"type": "string", "maxLength": conductor_shared::http::MAX_NAME});
    let number = || json!({"type": "integer", "minimum": 0});
    let words = |w: &[&str]| json!({"type": "string", "enum": w});
    let mut fields = vec![("tenant_id", ident(), true)];
    match name {
        "StartRun" => fields.extend([
            ("workflow_type", ident(), true),
            ("env", words(&["production", "staging", "development", "rehearsal"]), true),
            ("actor_type", words(&["person", "service", "schedule", "agent"]), true),
            ("action", ident(), false),
            ("subject", text(), false),
            ("prompt_sha256", json!({"type": "string", "pattern": "^[0-9a-f]{64}$"}), false),
        ]),
        "StartStep" => fields.push(("name", text(), true)),
        "FinishStep" => fields.extend([
            ("outcome", words(&["succeeded", "failed", "cancelled"]), true),
            ("duration_us", number(), true),
            ("bytes_in", number(), true),
            ("bytes_out", number(), true),
        ]),
        "FinishRun" => fields.push(("outcome", words(&["succeeded", "failed"]), true)),
        "DecideApproval" => fields.extend([
            ("name", text(), true),
            ("approver", text(), true),
            ("approved", json!({"type": "boolean"}), true),
        ]),
        "OfTenant" => {}
        "BundleFiles" => {
            fields = vec![("archive", json!({"type": "string", "contentEncoding": "base64"}), true)];
        }
        "OfrepRequest" => {
            let context = json!({"type": "object", "properties": {"targetingKey": text()}});
            fields = vec![("context", context, false)];
        }
        "ExplainRequest" => fields = vec![("input", json!({"type": "object"}), true)],
        "SignedText" => {
            let string = || json!({"type": "string"});
            fields =
                vec![("text", string(), true), ("signature", string(), true), ("public_key", string(), true)];
        }
        _ => {
            let list = json!({"type": "array", "items": {"type": "string"}});
            fields = vec![("operation", list, true)];
        }
    }
    fields
}

fn schema(name: &str) -> Value {
    let fields = request_fields(name);
    let required: Vec<_> = fields.iter().filter(|f| f.2).map(|f| f.0).collect();
    let properties: Map<String, Value> = fields.into_iter().map(|(n, t, _)| (n.to_owned(), t)).collect();
    json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
}

/// `OpenAPI` has no form for a parameter that takes the rest of a path.
fn path(route: &str) -> String {
    route.replace("{*", "{")
}

pub(super) fn document() -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for r in ROUTES {
        if !r.request.is_empty() {
            schemas.insert(r.request.to_owned(), schema(r.request));
        }
        let item = paths.entry(path(r.path)).or_insert_with(|| json!({}));
        item[r.method.to_lowercase()] = operation(r);
    }
    schemas.insert("Problem".into(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Conductor agent", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}
        }
    })
}

fn operation(r: &Route) -> Value {
    let in_path = |p: &'static str| Some(p.strip_prefix('{')?.strip_suffix('}')?.trim_start_matches('*'));
    let of_path = |p| json!({"name": p, "in": "path", "required": true, "schema": {"type": "string"}});
    let of_query = |q: &&str| json!({"name": q, "in": "query", "schema": {"type": "string"}});
    let parameters = r.path.split('/').filter_map(in_path).map(of_path).chain(r.query.iter().map(of_query));
    let problem = json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
    let mut op = json!({
        "operationId": r.name,
        "summary": r.summary,
        "x-conductor-class": r.class.name(),
        "parameters": parameters.collect::<Vec<_>>(),
        "responses": {
            "200": {"description": r.summary},
            "default": {
                "description": "A problem document; a denial has its reasons and its receipt",
                "content": problem
            }
        },
    });
    if !matches!(r.caller, Caller::Anyone | Caller::Signer) {
        op["security"] = json!([{"bearer": []}]);
    }
    if !r.request.is_empty() {
        let reference = format!("#/components/schemas/{}", r.request);
        op["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": {"$ref": reference}}}});
    }
    op
}

fn problem() -> Value {
    let reasons: Vec<_> = conductor_shared::reason::Reason::ALL.iter().map(|r| r.code()).collect();
    json!({"type": "object", "required": ["type", "title", "status", "detail"], "properties": {
        "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
        "detail": {"type": "string"}, "decision": {"enum": ["deny"]},
        "reasons": {"type": "array", "items": {"enum": reasons}},
        "receipt": {"type": "object"}, "folded": {"type": "boolean"}, "retry_after_us": {"type": "integer"}}})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Issue 2, Agent: the document has every route of the table, and each reference in it resolves.
    #[test]
    fn the_document_is_complete() {
        let doc = document();
        for r in ROUTES {
            assert_eq!(doc["paths"][path(r.path)][r.method.to_lowercase()]["operationId"], r.name);
        }
        let text = doc.to_string();
        for part in text.split("\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(doc["components"]["schemas"].get(name).is_some(), "{name}");
        }
    }
}
