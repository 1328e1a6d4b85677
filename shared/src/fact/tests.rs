//! Golden vectors of records, and the table of kinds.

use super::*;
use crate::ids::NodeId;
use crate::record::{Body, Encoded, Header, PolicyVersion, Sealed};

/// DESIGN, Record: kinds are unique and stay what they are; the table is a public name.
#[test]
fn the_table_of_kinds() {
    let mut seen = std::collections::BTreeSet::new();
    for s in SCHEMAS {
        assert!(seen.insert(s.kind), "{} twice", s.kind);
        assert_eq!(s.groups.is_some(), s.kind >= FIRST_TRAFFIC);
    }
    insta::assert_snapshot!(
        SCHEMAS
            .iter()
            .map(|s| format!(
                "{:#06x} {} {:?} {:?}\n",
                s.kind,
                s.name,
                s.fields,
                s.groups.unwrap_or_default()
            ))
            .collect::<String>()
    );
}

fn sample() -> Fact {
    RunDecided {
        principal: "token:00".into(),
        run: RunId([1; 16]),
        workflow: Ident::new("etl").unwrap(),
        env: Env::Production,
        actor: ActorType::Service,
        action: Ident::new("run").unwrap(),
        subject: UntrustedText::new("customer-1"),
        verdict: Verdict::Allow,
        reasons: Listed(vec![]),
        rule: "*/etl".into(),
        bucket: 77,
        ramp: 1000,
        lease_us: 60_000_000,
    }
    .into()
}

/// DESIGN, Record: published vectors of one traffic and one control record, from values to leaf.
#[test]
fn published_record_vectors() {
    let control: Fact =
        LogOpened { reason: "created".into(), name: Ident::new("acme").unwrap(), cites: None }.into();
    for (name, fact) in [("traffic", sample()), ("control", control)] {
        let body = Body { seed: [9; 32], values: fact.values() };
        let digests = body.digests(schema(fact.kind()).unwrap().fields);
        let header = Header {
            origin: crate::ids::Origin { node: NodeId([1; 16]), tenant: TenantUid([2; 16]), epoch: 1 },
            index: 5,
            time_us: 1_700_000_000_000_000,
            kind: fact.kind(),
            policy: PolicyVersion::built_in(),
            commitments: u16::try_from(digests.len()).unwrap(),
        };
        let sealed = Sealed { header, digests };
        assert_eq!(Sealed::from_bytes(&sealed.to_bytes()).unwrap(), sealed);
        assert_eq!(Body::from_bytes(&body.to_bytes(), header.commitments).unwrap(), body);
        let written = Encoded::new(&body.seed, |out| fact.put_values(out));
        let names = schema(fact.kind()).unwrap().fields;
        assert_eq!(written.sealed(&header, names), sealed.to_bytes());
        assert_eq!(
            (written.as_bytes(), written.digests(names)),
            (&body.to_bytes()[..], sealed.digests.clone())
        );
        assert_eq!(Fact::from_values(fact.kind(), &body.values).unwrap(), Some(fact.clone()));
        let hexed = |b: &[u8]| crate::ids::hex(b);
        insta::assert_snapshot!(
            format!("record-vector-{name}"),
            format!(
                "body   {}\nheader {}\n{}leaf   {}\n",
                hexed(&body.to_bytes()),
                hexed(&header.to_bytes()),
                sealed.digests.iter().map(|d| format!("digest {}\n", hexed(d))).collect::<String>(),
                hexed(&sealed.leaf())
            )
        );
    }
}

/// DESIGN, One idea: a kind from a newer program is told apart from a damaged record.
#[test]
fn unknown_is_not_damaged() {
    assert_eq!(Fact::from_values(0x0fff, &[]).unwrap(), None);
    assert_eq!(Fact::from_values(0x7000, &[]).unwrap(), None);
    assert!(Fact::from_values(0x1001, &[]).is_err());
    let mut v = sample().values();
    let Value::List(what) = &mut v[1] else { unreachable!() };
    what.push(Value::U64(1));
    assert!(Fact::from_values(0x1001, &v).is_err());
}
