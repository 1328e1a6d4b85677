//! docs/reference is made from the code: these tests say when it is no longer true. `UPDATE_REFERENCE=1` writes it anew.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on fails")]

use conductor_shared::access::{Sight, sight};
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::checkpoint::Checkpoint;
use conductor_shared::command::{Audience, Command, Operation, Scope, ops};
use conductor_shared::fact::{Fact, LogOpened, schema};
use conductor_shared::fail_closed::{Class, Outage, OutageRule, rule};
use conductor_shared::ids::{CommandId, Ident, NodeId, Origin, PersonId, TenantUid, hex};
use conductor_shared::merkle::Frontier;
use conductor_shared::operator::{GrantedRole, OperatorKey, Role};
use conductor_shared::ramp;
use conductor_shared::reason::Reason;
use conductor_shared::record::{Body, Header, PolicyVersion, Sealed, field_digest, salt};
use conductor_shared::routes::{ROUTES, Right};
use conductor_shared::session::{Session, Transport};
use conductor_shared::untrusted::UntrustedText;
use std::fmt::Write as _;
use strum::VariantArray as _;

fn is_true(name: &str, text: &str) {
    let path = format!("{}/../docs/reference/{name}.md", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "{path} is not what the code says; run: UPDATE_REFERENCE=1 make test");
}

/// SPEC, decision: every machine-readable reason, with its HTTP status, remedy and state.
#[test]
fn reasons() {
    let mut t = "# Reasons\n\nMade from `shared/src/reason.rs`; a test keeps it so. A denial lists every reason that \
                 applies. A reserved code comes with that part of the specification and is not answered yet; a retired \
                 one is not answered any more. No code is ever given another meaning.\n\n\
                 | code | HTTP | what it means | what to do | state |\n|---|---|---|---|---|\n"
        .to_owned();
    for r in Reason::ALL {
        let (code, status, state) = (r.code(), r.status(), r.state());
        writeln!(t, "| `{code}` | {status} | {} | {} | {state} |", r.description().trim(), r.remedy())
            .unwrap();
    }
    is_true("reasons", &t);
}

/// SPEC, Reads: every route with who may call it, and what a role shows of a log.
#[test]
fn routes() {
    let mut t = "# Routes\n\nMade from `shared/src/routes.rs`; a test keeps it so. `GET /v1/openapi.json` has what each \
                 takes and answers. `{tenant}` is a tenant's uid or its display id; zeros are the node's own log.\n\n\
                 | request | name | who may call | what it does |\n|---|---|---|---|\n"
        .to_owned();
    for r in ROUTES {
        let right = format!("{:?}", r.right);
        writeln!(t, "| `{} {}` | `{}` | {right} | {} |", r.method, r.path, r.name, r.summary).unwrap();
    }
    t += "\n## Who may call\n\n| right | whom it lets in |\n|---|---|\n";
    for right in Right::VARIANTS {
        writeln!(t, "| {right:?} | {} |", right.meaning()).unwrap();
    }
    t += "\n## What a role shows\n\nOf a tenant's log, for a role on the node or on that tenant; of the node's log, for a role \
          on the node. An outline is without subjects, texts and signatures of commands, and digests of tokens. A workload \
          sees its tenant's receipts and proofs without the last three.\n\n| role | a tenant's log | the node's log |\n\
          |---|---|---|\n";
    for role in Role::VARIANTS {
        let key = OperatorKey {
            person: PersonId([1; 16]),
            name: Ident::new("ana").unwrap(),
            public_key: String::new(),
            roles: [GrantedRole::Node(*role)].into_iter().collect(),
            since: 0,
            roles_since: None,
            suspended: false,
            revoked: None,
        };
        let shown = [TenantUid([1; 16]), TenantUid::NODE].map(|log| match sight(&key, log) {
            None => "nothing",
            Some(Sight::Full) => "all",
            Some(Sight::Outline | Sight::Own) => "an outline",
        });
        writeln!(t, "| `{role}` | {} | {} |", shown[0], shown[1]).unwrap();
    }
    is_true("routes", &t);
}

/// DESIGN, Command: every operation with its arguments, as it stands in signed texts.
#[test]
fn operations() {
    let mut t = "# Operations\n\nMade from `shared/src/command/ops`; a test keeps it so. What only tightens takes effect \
                 at once; what loosens waits for a signed checkpoint. The class is computed from the state before and \
                 after, never from the name.\n\n| operation | log | one of the roles | base | in a rollback | object | \
                 arguments, for instance | what it does |\n|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for kind in Operation::ALL {
        for op in kind.samples() {
            let log = match kind.scope {
                Scope::Node => "node",
                Scope::Tenant => "tenant",
                Scope::AnyLog => "tenant or node",
            };
            let words: Vec<String> = kind.roles.iter().map(ToString::to_string).collect();
            let roles = if kind.roles.is_empty() { "those of its changes".into() } else { words.join(", ") };
            let base = if op.is_absolute() { "none" } else { "where it loosens" };
            let config = if kind.config { "yes" } else { "no" };
            let short = |v: &str| if v.len() > 40 { format!("{}...", &v[..32]) } else { v.to_owned() };
            let args: Vec<String> = op.args().iter().map(|(k, v)| format!("`{k}: {}`", short(v))).collect();
            writeln!(
                t,
                "| `{}` | {log} | {roles} | {base} | {config} | `{}` | {} | {} |",
                kind.name,
                op.object(),
                args.join(" "),
                op.sentence()
            )
            .unwrap();
        }
    }
    is_true("operations", &t);
}

fn cell(class: Class, out: Outage) -> String {
    match rule(class, out) {
        OutageRule::Allow => "allow".into(),
        OutageRule::AllowWithinBacklog => "allow within the backlog quota".into(),
        OutageRule::AllowMarked => "allow, marked".into(),
        OutageRule::ByProfile => "by profile: deny, or `last_known`".into(),
        OutageRule::ByOwnRule => "by its own rule".into(),
        OutageRule::AllowUnreceipted => "allow, marked unreceipted; no exports".into(),
        OutageRule::Deny(r) => format!("deny `{}`", r.code()),
    }
}

/// SPEC invariant 3: the law as people read it is the table that decides.
#[test]
fn the_fail_closed_law() {
    let out = |signer, policy, store| Outage { signer, policy, store };
    let columns = [
        ("nothing is out", out(false, false, false)),
        ("signer", out(true, false, false)),
        ("policy engine", out(false, true, false)),
        ("both", out(true, true, false)),
        ("store cannot write", out(false, false, true)),
    ];
    let mut t = "# The fail-closed law\n\nMade from `rule` in `shared/src/fail_closed.rs`, which decides; a test keeps it \
                 so. A class is computed from the state before and after a change, never from its name.\n\n| class |"
        .to_owned();
    for (n, _) in &columns {
        write!(t, " {n} |").unwrap();
    }
    t += "\n|---|---|---|---|---|---|\n";
    for class in Class::ALL {
        write!(t, "| {} |", class.name()).unwrap();
        for (_, o) in &columns {
            write!(t, " {} |", cell(class, *o)).unwrap();
        }
        t += "\n";
    }
    is_true("law", &t);
}

/// DESIGN, What can never change later: vectors for whoever reimplements a format, from the inputs to the bytes.
#[test]
#[allow(clippy::too_many_lines, reason = "one document, from top to bottom")]
fn vectors() {
    let mut t = "# Test vectors\n\nMade from the code; a test keeps it so. Whoever reimplements one of these formats \
                 must get these bytes. Numbers are big-endian; `[n; m]` is m bytes of value n.\n"
        .to_owned();
    let key = [7u8; 32];
    t += "\n## Ramp bucket\nHMAC-SHA256 under the tenant's ramp key over action, workflow type and subject, each \
          with its length before it; modulo 10,000. Key: [7; 32].\n\n| action | workflow | subject | bucket |\n|---|---|---|---|\n";
    for (a, w, s) in [
        ("run", "etl", "customer-1"),
        ("run", "etl", "customer-2"),
        ("run", "etl", ""),
        ("", "", ""),
        ("ru", "netl", "customer-1"),
    ] {
        writeln!(t, "| `{a}` | `{w}` | `{s}` | {} |", ramp::bucket(&key, a, w, s.as_bytes())).unwrap();
    }
    let origin = Origin { node: NodeId([1; 16]), tenant: TenantUid([2; 16]), epoch: 1 };
    let fact: Fact =
        LogOpened { reason: "created".into(), name: Ident::new("acme").unwrap(), cites: None }.into();
    let fields = schema(fact.kind()).unwrap().fields;
    let body = Body { seed: [9; 32], values: fact.values() };
    let digests = body.digests(fields);
    let header = Header {
        origin,
        index: 5,
        time_us: 1_700_000_000_000_000,
        kind: fact.kind(),
        policy: PolicyVersion::built_in(),
        commitments: u16::try_from(digests.len()).unwrap(),
    };
    let sealed = Sealed { header, digests };
    writeln!(
        t,
        "\n## Record\nKind {} (`LogOpened`: {}), origin `{origin}`, index 5, time 1,700,000,000,000,000 us, \
         built-in policy, seed [9; 32], values `created`, `acme`, none.\n\n```text\nbody   {}\nheader {}",
        fact.kind(),
        fields.join(", "),
        hex(&body.to_bytes()),
        hex(&header.to_bytes())
    )
    .unwrap();
    for (name, d) in fields.iter().zip(&sealed.digests) {
        writeln!(t, "salt   {} ({name})\ndigest {} ({name})", hex(&salt(&[9; 32], name)), hex(d)).unwrap();
    }
    writeln!(t, "leaf   {}\n```", hex(&sealed.leaf())).unwrap();
    writeln!(
        t,
        "\nA field of its own, name `n`, type code 1, salt [3; 32], content `abc`: `{}`.",
        hex(&field_digest("n", 1, &[3; 32], b"abc"))
    )
    .unwrap();
    t += "\n## Merkle root\nRFC 6962, of the leaf hashes [0; 32], [1; 32], [2; 32]...\n\n| leaves | root |\n|---|---|\n";
    for n in [0u8, 1, 2, 3, 7, 8] {
        let mut f = Frontier::default();
        (0..n).for_each(|i| f.push([i; 32], |_, _, _| {}));
        writeln!(t, "| {n} | `{}` |", hex(&f.root())).unwrap();
    }
    let checkpoint = Checkpoint { origin, size: 42, root: [6; 32] };
    writeln!(
        t,
        "\n## Checkpoint\nSize 42, root [6; 32]; signed as a minisign file with the trusted comment `{}`.\n\n```text\n{}```",
        checkpoint.trusted_comment(),
        checkpoint.text()
    )
    .unwrap();
    let command = Command {
        command_id: CommandId([1; 16]),
        audience: Audience::Nodes(vec![NodeId([2; 16])]),
        tenant: TenantUid([3; 16]),
        base: Some([4; 32]),
        operation: Operation::RampSet(ops::RampSet {
            selector: "run/etl".parse().unwrap(),
            hundredths: BasisPoints::saturating(1000),
        }),
        reason: UntrustedText::new("rollout, ticket 7"),
        issued_at_us: 1_700_000_000_000_000,
        expires_at_us: 1_700_000_300_000_000,
        nonce: [5; 16],
    };
    writeln!(t, "\n## Command\nThe one text of a ramp to 10 %.\n\n```text\n{}```", command.text()).unwrap();
    let session = Session {
        node: NodeId([1; 16]),
        transport: Transport::Unix,
        challenge: [2; 16],
        issued_at_us: 1_700_000_000_000_000,
    };
    writeln!(t, "\n## Session\n\n```text\n{}```", session.text()).unwrap();
    is_true("vectors", &t);
}

/// SPEC 2.1: the JSON schema of each metered event, as it leaves.
#[test]
fn schemas_of_events() {
    use conductor_shared::cloudevents::schema;
    use conductor_shared::meter::EventType;
    let dir = format!("{}/../docs/reference/events", env!("CARGO_MANIFEST_DIR"));
    for &e in EventType::ALL {
        let (path, text) =
            (format!("{dir}/{e}.schema.json"), serde_json::to_string_pretty(&schema(e)).unwrap() + "\n");
        if std::env::var_os("UPDATE_REFERENCE").is_some() {
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "{path} is not what the code says; run: UPDATE_REFERENCE=1 make test");
    }
}
