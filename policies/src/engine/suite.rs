//! The applicable cases of OPA's own test suite. Where this engine answers differently, the difference is listed.

use super::{EngineError, empty, limits, said};
use crate::data::Data;
use crate::guard::{caught, on_own_stack};
use crate::resolve;
use flate2::read::GzDecoder;
use regorus::Value;
use std::collections::BTreeMap;

/// Written by scripts/opa-suite.py from the suite of OPA 1.21.3 (Apache-2.0).
const CASES: &[u8] = include_bytes!("../../tests/opa-suite.json.gz");

#[derive(serde::Deserialize)]
struct Case {
    note: String,
    path: String,
    modules: Vec<String>,
    data: serde_json::Value,
    #[serde(default)]
    input: Option<serde_json::Value>,
    /// Expected value; `None` if OPA's result is undefined.
    #[serde(default, deserialize_with = "there")]
    want: Option<serde_json::Value>,
}

fn there<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde::Deserialize::deserialize(d).map(Some)
}

/// Outcome of a case in this engine.
enum Made {
    /// Refused when the bundle is built.
    Refused(String),
    /// An error at evaluation, which denies.
    None(String),
    Answer(Value),
}

fn run(case: &Case) -> Made {
    let mut engine = empty(super::TEST_LIMIT).unwrap();
    let prepared = caught(|| -> Result<(), String> {
        for (n, text) in case.modules.iter().enumerate() {
            engine.add_policy(format!("{n}.rego"), text.clone()).map_err(|e| said(&e))?;
        }
        let data = Data::any(Value::from_json_str(&case.data.to_string()).unwrap());
        let modules = engine.get_modules().clone();
        resolve::names(&modules, &data).map_err(|e| e.to_string())?;
        engine.add_data(data.document()).map_err(|e| said(&e))
    });
    match prepared {
        Ok(Ok(())) => {}
        Ok(Err(e)) | Err(e) => return Made::Refused(e),
    }
    let asked = caught(|| {
        if let Some(input) = &case.input {
            engine.set_input_json(&input.to_string())?;
        }
        limits::within(super::TEST_FAR_LIMIT, || engine.eval_rule(case.path.clone())).0
    });
    match asked {
        Ok(Ok(v)) => Made::Answer(v),
        Ok(Err(e)) => Made::None(said(&e)),
        Err(panic) => Made::None(EngineError::Broke(panic).to_string()),
    }
}

/// As OPA writes it: sets are arrays.
fn json(v: &Value) -> serde_json::Value {
    serde_json::from_str(&v.to_json_str().unwrap()).unwrap()
}

/// Numbers by what they are, arrays that were sets in any order.
fn same(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value as V;
    let key = |v: &V| v.to_string();
    match (a, b) {
        (V::Number(a), V::Number(b)) => a.to_string() == b.to_string() || a.as_f64() == b.as_f64(),
        (V::Array(a), V::Array(b)) if a.len() == b.len() => {
            let (mut a, mut b) = (a.clone(), b.clone());
            let in_order = a.iter().zip(&b).all(|(a, b)| same(a, b));
            a.sort_by_key(key);
            b.sort_by_key(key);
            in_order || a.iter().zip(&b).all(|(a, b)| same(a, b))
        }
        (V::Object(a), V::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
        }
        _ => a == b,
    }
}

/// The same answer as OPA's, no answer (a denial), or a refusal when it is built; what is left are answers that OPA does
/// not give. Every one that is not the same is in the list.
#[test]
fn differences_from_opa_are_known() {
    let cases: Vec<Case> = serde_json::from_reader(GzDecoder::new(CASES)).unwrap();
    let made: Vec<Made> = on_own_stack(|| cases.iter().map(run).collect()).unwrap();
    let mut of: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let (mut asked, mut equal) = (0, 0);
    for (case, made) in cases.iter().zip(&made) {
        // Of packages nobody asks here.
        if matches!(made, Made::None(why) if why == "not a valid rule path") {
            continue;
        }
        asked += 1;
        let (kind, said) = match (made, &case.want) {
            (Made::Refused(why), _) => ("refused", why.clone()),
            (Made::None(why), _) => ("no answer", why.clone()),
            (Made::Answer(Value::Undefined), None) => ("", String::new()),
            (Made::Answer(v), Some(want)) if *v != Value::Undefined && same(&json(v), want) => {
                ("", String::new())
            }
            (Made::Answer(v), want) => {
                let want = want.as_ref().map_or("undefined".to_owned(), ToString::to_string);
                (
                    "another answer",
                    format!("{} instead of {want}", v.to_string().replace("\"<undefined>\"", "undefined")),
                )
            }
        };
        if kind.is_empty() {
            equal += 1;
        } else {
            of.entry(kind).or_default().push(format!("{}: {said}", case.note));
        }
    }
    let mut text = format!("{asked} cases, {equal} answered as OPA does\n");
    for (kind, all) in of {
        text += &format!("\n{kind}: {}\n", all.len());
        for line in &all {
            text += &format!("  {}\n", line.chars().take(200).collect::<String>());
        }
    }
    insta::assert_snapshot!("differences", text);
}
