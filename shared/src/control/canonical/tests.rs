//! The canonical encoding, over a state in which every field is set.

use super::*;
use crate::ids::hex;
use serde_json::Value as Json;

/// A state in which nothing is empty.
fn full() -> Json {
    serde_json::from_str(include_str!("full-state.json")).unwrap()
}

fn read(json: &Json) -> Option<ControlState> {
    serde_json::from_value(json.clone()).ok()
}

/// Every state that differs from `json` in one place: a leaf that is another, a key that is another, an item that is
/// gone. Each comes with the place's name.
fn edits(json: &Json) -> Vec<(String, Vec<Json>)> {
    let respelled = |t: &str| {
        let flipped = t.strip_suffix('0').map(|head| format!("{head}1"));
        let flipped = flipped.or_else(|| {
            t.ends_with(|c: char| c.is_ascii_hexdigit()).then(|| format!("{}0", &t[..t.len() - 1]))
        });
        let words = ["tighten", "deny", "viewer", "once 2026-12-19T00:00:00Z to 2027-01-04T06:00:00Z"];
        let mut all = vec![format!("{t}x")];
        all.extend(flipped);
        all.extend(words.map(str::to_owned));
        all
    };
    match json {
        Json::Number(n) => {
            vec![(String::new(), vec![n.as_i64().map_or(Json::Null, |n| (n + 1).into())])]
        }
        Json::Bool(b) => vec![(String::new(), vec![(!b).into()])],
        Json::String(t) => {
            vec![(String::new(), respelled(t).into_iter().map(Json::from).collect())]
        }
        Json::Array(items) => {
            let mut out = vec![(" gone".to_owned(), vec![Json::Array(items[1..].to_vec())])];
            for (n, item) in items.iter().enumerate() {
                out.extend(edits(item).into_iter().map(|(place, new)| {
                    let with = |v| {
                        let mut items = items.clone();
                        items[n] = v;
                        Json::Array(items)
                    };
                    (format!("[{n}]{place}"), new.into_iter().map(with).collect())
                }));
            }
            out
        }
        Json::Object(fields) => {
            let mut out = vec![];
            for (key, v) in fields {
                let with = |new_key: &str, v: Option<Json>| {
                    let mut fields = fields.clone();
                    fields.remove(key);
                    fields.extend(v.map(|v| (new_key.to_owned(), v)));
                    Json::Object(fields)
                };
                let respelled = respelled(key).iter().map(|k| with(k, Some(v.clone()))).collect();
                out.push((format!(".{key} respelled"), respelled));
                out.push((format!(".{key} gone"), vec![with(key, None)]));
                out.extend(edits(v).into_iter().map(|(place, new)| {
                    (format!(".{key}{place}"), new.into_iter().map(|v| with(key, Some(v))).collect())
                }));
            }
            out
        }
        Json::Null => panic!("the sample has nothing empty"),
    }
}

/// DESIGN, What can never change later: the published digest of a state in which every field is set, and of none.
#[test]
fn published_digests() {
    insta::assert_snapshot!("full-state-digest", hex(&read(&full()).unwrap().digest()));
    insta::assert_snapshot!("empty-state-digest", hex(&ControlState::default().digest()));
}

/// DESIGN, What can never change later: no two states have one digest. Every number, word, key and item counts.
#[test]
fn every_field_counts() {
    let whole = read(&full()).unwrap();
    assert_eq!(serde_json::to_value(&whole).unwrap(), full(), "the sample has every field");
    let mut leaves = 0;
    for (place, candidates) in edits(&full()) {
        let other = candidates.iter().filter_map(read).find(|s| *s != whole);
        match other {
            Some(other) => assert_ne!(other.digest(), whole.digest(), "{place}"),
            // The name of a field, and a field that must be there.
            None => assert!(place.ends_with(" respelled") || place.ends_with(" gone"), "{place}"),
        }
        leaves += usize::from(!place.ends_with(" respelled") && !place.ends_with(" gone"));
    }
    assert!(leaves > 100, "{leaves}");
}

/// DESIGN, What can never change later: what was never set is left out, and what is set to zero is not.
#[test]
fn what_was_never_set_is_left_out() {
    assert_eq!(state(&ControlState::default()), Value::List(vec![]));
    let first = ControlState { last: Some(0), ..ControlState::default() };
    assert_eq!(state(&first), Value::List(vec![Value::U64(3), Value::U64(0)]));
    let quotas = Quotas { step_rate: Grant::local(0), ..Quotas::default() };
    assert_eq!(self::quotas(&quotas), Value::List(vec![Value::U64(2), Value::List(vec![])]));
}

/// docs/adr/0030: every state is read back as it was written, and no other bytes stand for it.
#[test]
fn every_state_is_read_back() {
    let states = edits(&full()).into_iter().flat_map(|(_, new)| new).filter_map(|json| read(&json));
    let mut seen = 0;
    for s in states.chain([read(&full()).unwrap(), ControlState::default()]) {
        assert_eq!(ControlState::from_bytes(&s.to_bytes()), Ok(s));
        seen += 1;
    }
    assert!(seen > 100, "{seen}");
}

/// SPEC, Bad input: whatever byte of a state is changed, cut off or added, it is refused or is another state.
#[test]
fn other_bytes_are_refused_or_another_state() {
    let whole = read(&full()).unwrap();
    let bytes = whole.to_bytes();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80] {
            let mut other = bytes.clone();
            other[at] ^= flip;
            if let Ok(s) = ControlState::from_bytes(&other) {
                assert_ne!(s, whole, "byte {at}");
            }
        }
        assert!(ControlState::from_bytes(&bytes[..at]).is_err(), "cut at {at}");
    }
    assert!(ControlState::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
}

/// SPEC, Bad input: what is well formed and not written so is refused: fields out of order, twice, unknown, or with a value
/// that is left out.
#[test]
fn a_state_has_one_encoding() {
    let refused = |fields: &[(u64, Value)]| {
        let fields = fields.iter().flat_map(|(n, v)| [Value::U64(*n), v.clone()]).collect();
        let mut bytes = TAG.to_vec();
        Value::List(fields).put(&mut bytes);
        ControlState::from_bytes(&bytes)
    };
    let number = Value::U64;
    assert!(refused(&[(2, number(5)), (3, number(0))]).is_ok());
    for bad in [
        &[(3, number(0)), (2, number(5))][..],
        &[(2, number(5)), (2, number(5))],
        &[(2, number(0))],
        &[(40, number(1))],
        &[(8, Value::List(vec![text("b"), text("a")]))],
    ] {
        assert_eq!(refused(bad), Err(StateError::NotCanonical), "{bad:?}");
    }
    for bad in [&[(2, text("5"))][..], &[(8, Value::List(vec![text("No Name")]))], &[(4, number(2))]] {
        assert!(matches!(refused(bad), Err(StateError::Codec(_))), "{bad:?}");
    }
}
