//! Every range of small logs, disclosures, and what a trust file trusts.

use super::*;
use crate::codec::Value;
use crate::http::FieldEvidence;
use crate::ids::{NodeId, TenantUid};
use crate::record::{Body, Header, PolicyVersion, salt};

const ORIGIN: Origin = Origin { node: NodeId([1; 16]), tenant: TenantUid([2; 16]), epoch: 1 };

fn entry(index: u64) -> ReceiptEvidence {
    let names = crate::fact::GROUPS;
    let body = Body {
        seed: [u8::try_from(index % 251).unwrap(); 32],
        values: (0..3u64).map(|g| Value::List(vec![Value::U64(index * 3 + g)])).collect(),
    };
    let header = Header {
        origin: ORIGIN,
        index,
        time_us: 1000 + index,
        kind: 0x1005,
        policy: PolicyVersion::built_in(),
        commitments: 3,
    };
    let sealed = Sealed { header, digests: body.digests(names) };
    let field = |(n, v): (&&str, &Value)| FieldEvidence {
        name: (*n).into(),
        disclosure: STANDARD
            .encode(Disclosed { name: (*n).into(), value: v.clone(), salt: salt(&body.seed, n) }.to_bytes()),
    };
    ReceiptEvidence {
        index,
        time_us: header.time_us,
        kind: header.kind,
        sealed: STANDARD.encode(sealed.to_bytes()),
        fields: names.iter().zip(&body.values).map(field).collect(),
    }
}
struct Leaves(Vec<Hash>);
impl merkle::Nodes for Leaves {
    type Error = std::convert::Infallible;
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let w = 1usize << level;
        let at = usize::try_from(index).unwrap() * w;
        Ok(root_of(self.0[at..at + w].iter().copied()))
    }
}

/// SPEC invariant 6 and 4.3: every range of every small log verifies, and no range with an entry left out, altered
/// or moved does.
#[test]
fn every_range_of_small_logs() {
    for size in 1..20u64 {
        let entries: Vec<_> = (0..size).map(entry).collect();
        let leaves = Leaves(entries.iter().map(|e| receipt(e).unwrap().leaf()).collect());
        let cp = Checkpoint { origin: ORIGIN, size, root: merkle::root_at(&leaves, size).unwrap() };
        for from in 0..size {
            for to in from + 1..=size {
                let fp = merkle::inclusion_proof(&leaves, from, size).unwrap();
                let lp = merkle::inclusion_proof(&leaves, to - 1, size).unwrap();
                let run = |skip: Option<u64>, alter: Option<u64>| {
                    let mut c = RangeCheck::new(from, Some(ORIGIN));
                    for i in (from..to).filter(|i| Some(*i) != skip) {
                        let e = if Some(i) == alter {
                            ReceiptEvidence { sealed: entry(i + 1).sealed, ..entry(i) }
                        } else {
                            entry(i)
                        };
                        c.push(&e);
                    }
                    c.finish(to, &fp, &lp, Some(&cp))
                };
                assert_eq!(run(None, None), (Verdict::Verified, Verdict::Verified), "{from}..{to} of {size}");
                for i in from..to {
                    assert!(matches!(run(Some(i), None).1, Verdict::Refuted(_)));
                    assert!(matches!(run(None, Some(i)).0, Verdict::Refuted(_)));
                }
            }
        }
    }
}

/// SPEC invariant 6: a disclosed value that was altered is refuted; one withheld is not.
#[test]
fn disclosures_are_checked() {
    let mut r = entry(7);
    let bytes = STANDARD.decode(&r.fields[1].disclosure).unwrap();
    let mut d = Disclosed::from_bytes(&bytes).unwrap();
    d.value = Value::List(vec![Value::U64(999)]);
    r.fields[1].disclosure = STANDARD.encode(d.to_bytes());
    assert!(receipt(&r).is_err());
    r.fields.remove(1);
    assert!(receipt(&r).is_ok());
    r.fields.swap(0, 1);
    assert!(receipt(&r).is_err());
}

/// SPEC invariant 6: keys count only for their purpose, origin and sizes.
#[test]
fn trust_is_narrow() {
    let key = |purpose: &str, origin: String, sizes| TrustedKey {
        public_key: "x".into(),
        purpose: purpose.into(),
        origin,
        sizes,
    };
    let node = format!("conductor-log/{}/", ORIGIN.node);
    let count = |k: TrustedKey| Trust { keys: vec![k] }.keys_for(&ORIGIN, 10).count();
    assert_eq!(count(key("checkpoint", ORIGIN.to_string(), None)), 1);
    assert_eq!(count(key("checkpoint", node.clone(), Some([1, 10]))), 1);
    assert_eq!(count(key("command", node.clone(), None)), 0);
    assert_eq!(count(key("checkpoint", node, Some([11, 12]))), 0);
    assert_eq!(count(key("checkpoint", "conductor-log/0".into(), None)), 0);
    assert_eq!(count(key("checkpoint", String::new(), None)), 0);
}
