use super::*;

/// Issue 2, Agent: the document has every route of the table, and each reference in it resolves.
#[test]
fn the_document_is_complete() {
    let doc = document();
    for r in ROUTES {
        let op = &doc["paths"][path(r.path)][r.method.to_lowercase()];
        assert_eq!(op["operationId"], r.name.word());
        for p in op["parameters"].as_array().unwrap() {
            assert!(p["schema"].is_object(), "{}: {p}", r.path);
        }
        let good = match r.answer {
            Answer::Stream => "101",
            Answer::Nothing => "204",
            _ => "200",
        };
        assert!(op["responses"][good].is_object() && op["responses"]["default"].is_object(), "{}", r.path);
    }
    let text = doc.to_string();
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(doc["components"]["schemas"].get(name).is_some(), "{name}");
    }
}

/// Issue 18, E8: a type that is both asked for and answered has one schema.
#[test]
fn what_is_read_and_written_looks_the_same() {
    let mut schemas = Schemas::new();
    for r in ROUTES {
        match r.asks {
            Asks::Body(shape) | Asks::Query(shape) => drop(schemas.read(shape)),
            Asks::Nothing => {}
        }
        match r.answer {
            Answer::Json(shape) | Answer::JsonOrCsv(shape) | Answer::Flags(shape) => {
                schemas.written(shape);
            }
            Answer::Lines(first, rest) => drop([schemas.written(first), schemas.written(rest)]),
            Answer::Nothing | Answer::Object | Answer::Text | Answer::Metrics | Answer::Stream => {}
        }
    }
    let written = schemas.written.take_definitions(true);
    for (name, read) in schemas.read.take_definitions(true) {
        assert!(written.get(&name).is_none_or(|w| *w == read), "{name}");
    }
}

/// The document says what is required, what may be null and what integers are, as serde takes it.
#[test]
fn the_document_says_what_is_taken() {
    let doc = document();
    let schema = |name: &str| doc["components"]["schemas"][name].clone();
    let run = schema("StartRun");
    assert_eq!(run["required"], json!(["tenant_id", "workflow_type", "env", "actor_type"]));
    assert_eq!(run["additionalProperties"], json!(false));
    let subject = &run["properties"]["subject"];
    let null = json!({"type": "null"});
    let may_be_null = subject["type"] == json!(["string", "null"])
        || subject["anyOf"].as_array().is_some_and(|any| any.contains(&null));
    assert!(may_be_null, "{subject}");
    let step = schema("FinishStep");
    assert_eq!(step["properties"]["bytes_in"]["type"], json!("integer"));
    let letters = &doc["paths"]["/v1/tenants/{tenant}/dead-letters"]["get"]["parameters"];
    let required: Vec<_> = letters.as_array().unwrap().iter().map(|p| (&p["name"], &p["required"])).collect();
    assert!(required.contains(&(&json!("sink"), &json!(true))), "{required:?}");
    assert!(required.contains(&(&json!("after"), &json!(false))), "{required:?}");
}
