//! Persons, keys and roles: what takes two, what one does alone, and how it is attacked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::checkpoint::key_id;
use conductor_shared::command::{Command, Operation, ops};
use conductor_shared::fact::ChangeClass;
use conductor_shared::http::{CommandStatus, RequestList, SessionOpened};
use conductor_shared::ids::{Ident, PersonId, TenantUid};
use conductor_shared::operator::{Answer, Approval, key_statement, parse_roles};
use conductor_tests::Node;

const NODE: TenantUid = TenantUid::NODE;

fn node(persons: &[&str]) -> Node {
    Node::start_with(tempfile::tempdir().unwrap(), "", persons)
}

fn enrol(node: &Node, person: PersonId, name: &str, key: &str, public_key: &str, roles: &str) -> Operation {
    let name = Ident::new(name).unwrap();
    let signed = node.signed_by(key, &key_statement(person, &name, public_key));
    Operation::OperatorEnrol(ops::OperatorEnrol {
        person,
        name,
        public_key: public_key.to_owned(),
        roles: parse_roles(roles).unwrap(),
        proof: STANDARD.encode(signed["signature"].as_str().unwrap()),
    })
}

/// Invariant 4: a key comes in with its own proof and the word of two persons; neither the requester, an edited digest,
/// nor a key that is younger than the request counts; a restart in between changes nothing.
#[test]
fn enrolment_takes_two_persons() {
    let mut node = node(&["ben", "cleo:viewer,operator"]);
    let dan = PersonId([7; 16]);
    let public = node.new_key("dan");
    let op = enrol(&node, dan, "dan", "dan", &public, "approver operator viewer");
    let c = node.request(NODE, op.clone());
    let kill = Operation::KillSet(ops::KillSet { selector: "*/*".parse().unwrap(), drain: false });
    let a = node.tenant("acme");
    assert_eq!(node.send_as("dan", &node.compose(a.uid, kill.clone())).reasons(), ["signature_invalid"]);
    assert_eq!(node.approve("ana", &c), ["self_approval"]);
    assert_eq!(node.approve("cleo", &c), ["role_missing"]);
    let mut edited = node.approval(&c, Answer::Approve);
    edited.command_digest[0] ^= 1;
    assert_eq!(node.answer("ben", &edited), ["base_stale"]);
    let elsewhere =
        Approval { node: conductor_shared::ids::NodeId([9; 16]), ..node.approval(&c, Answer::Approve) };
    assert_eq!(node.answer("ben", &elsewhere), ["command_audience"]);
    let list: RequestList = node.operator().get("/v1/approvals").read();
    let row = &list.requests[0];
    assert_eq!((row.text.as_str(), row.person.as_str()), (c.text().as_str(), "ana"));
    assert!(row.approved.is_empty());
    // A request by ben that is older than dan's key.
    let grant = Operation::OperatorRoles(ops::OperatorRoles {
        person: node.person("cleo"),
        roles: parse_roles("approver operator").unwrap(),
    });
    let older = node.compose(NODE, grant);
    assert_eq!(node.send_as("ben", &older).outcome().status, CommandStatus::Requested);
    node.kill_agent();
    node.start_agent();
    assert_eq!(node.approve("ben", &c), ["effective"]);
    assert_eq!(node.approve("ben", &c), ["object_unknown"], "once");
    assert!(node.send(&c).reasons().contains(&"command_replayed".to_owned()));
    assert_eq!(node.send_as("dan", &node.compose(a.uid, kill)).outcome().status, CommandStatus::Effective);
    assert_eq!(node.approve("dan", &older), ["approver_too_new"]);
    assert_eq!(node.approve("ana", &older), ["effective"]);
    // The same key again, for whomever, and proofs that are not.
    let again = node.compose(NODE, enrol(&node, PersonId([8; 16]), "eve", "dan", &public, "viewer"));
    assert_eq!(node.send(&again).reasons(), ["object_exists"]);
    let mut node = node;
    let other = node.new_key("eve");
    let Operation::OperatorEnrol(ops::OperatorEnrol { proof, .. }) = op else { unreachable!() };
    let good = enrol(&node, PersonId([8; 16]), "eve", "eve", &other, "viewer");
    let Operation::OperatorEnrol(ops::OperatorEnrol { person, name, public_key, roles, .. }) = good.clone()
    else {
        unreachable!()
    };
    let stolen = Operation::OperatorEnrol(ops::OperatorEnrol { person, name, public_key, roles, proof });
    assert_eq!(node.send(&node.compose(NODE, stolen)).reasons(), ["proof_invalid"]);
    let Operation::OperatorEnrol(ops::OperatorEnrol { name, public_key, roles, proof, .. }) = good else {
        unreachable!()
    };
    let moved = Operation::OperatorEnrol(ops::OperatorEnrol { person: dan, name, public_key, roles, proof });
    let r = node.send(&node.compose(NODE, moved)).reasons();
    assert_eq!(r, ["object_exists", "proof_invalid"]);
}

/// Invariant 4: two keys of one person are one person.
#[test]
fn a_second_key_is_no_second_person() {
    let mut node = node(&["ben"]);
    let ana = node.person("ana");
    let public = node.new_key("ana-2");
    let second = node.request(NODE, enrol(&node, ana, "ana", "ana-2", &public, "admin approver operator"));
    assert_eq!(node.approve("ben", &second), ["effective"]);
    let public = node.new_key("eve");
    let c = node.request(NODE, enrol(&node, PersonId([8; 16]), "eve", "eve", &public, "admin approver"));
    assert_eq!(node.approve("ana-2", &c), ["self_approval"]);
    // Whoever asked takes it back; after that nobody can approve it.
    let back = node.approval(&c, Answer::Refuse);
    assert_eq!(node.answer("ana-2", &back), ["refused"]);
    assert_eq!(node.approve("ben", &c), ["object_unknown"]);
    assert!(!node.control(NODE).operators.values().any(|operator| operator.name.as_str() == "eve"));
}

/// Operators and commands: suspending and revoking work alone and at once, also on what is open; coming back takes two;
/// a revoked key never comes back; and the last admin stays.
#[test]
fn shutting_out_is_quick_and_coming_back_is_not() {
    let node = node(&["ben", "cleo"]);
    let a = node.tenant("acme");
    let session = node.session_of("ben").read::<SessionOpened>().token;
    assert_eq!(node.client(&session).get("/v1/tenants").status, 200);
    let ben = node.person("ben");
    let done = node.command(NODE, ops::OperatorSuspend { person: ben });
    assert_eq!(done.class, ChangeClass::Tighten);
    assert_eq!(node.client(&session).get("/v1/tenants").status, 401, "the session ends with the right");
    assert_eq!(node.session_of("ben").status, 401);
    let lower = Operation::RampCap(ops::RampCap {
        selector: "run/etl".parse().unwrap(),
        hundredths: BasisPoints::saturating(1),
    });
    let c = node.compose(a.uid, lower.clone());
    assert_eq!(node.send_as("ben", &c).reasons(), ["signature_invalid"]);
    let back = node.request(NODE, ops::OperatorResume { person: ben });
    assert_eq!(node.approve("ben", &back), ["signature_invalid"], "not by themself");
    assert_eq!(node.approve("cleo", &back), ["effective"]);
    assert_eq!(
        node.send_as("ben", &node.compose(a.uid, lower.clone())).outcome().status,
        CommandStatus::Effective
    );
    // A key that was lost: its person shuts it out alone, without any role for it.
    let key = key_id(node.signed_by("cleo", "x")["public_key"].as_str().unwrap()).unwrap();
    let c = node.compose(NODE, ops::OperatorRevoke { key });
    assert_eq!(node.send_as("cleo", &c).outcome().status, CommandStatus::Effective);
    assert_eq!(node.send_as("cleo", &node.compose(a.uid, lower)).reasons(), ["signature_invalid"]);
    let public = node.signed_by("cleo", "x")["public_key"].as_str().unwrap().to_owned();
    let again = enrol(&node, node.person("cleo"), "cleo", "cleo", &public, "viewer");
    assert_eq!(node.send(&node.compose(NODE, again)).reasons(), ["object_exists"]);
    let cleo = node.control(NODE).operators[&key].clone();
    assert!(cleo.revoked.is_some(), "it stays on record: {cleo:?}");
    let c = node.request(NODE, ops::OperatorSuspend { person: ben });
    assert_eq!(node.approve("ben", &c), ["effective"], "one admin is left: it takes a second person");
    let me = node.compose(NODE, ops::OperatorSuspend { person: node.person("ana") });
    assert_eq!(node.send(&me).reasons(), ["last_admin"]);
}

/// Invariant 3: a stolen key tightens so many tenants and not one more; a second person lets it go on.
#[test]
fn tightening_is_no_weapon() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start_with(dir, "", &["ben"]);
    let tenants: Vec<_> = (0..8).map(|i| node.tenant(&format!("t{i}"))).collect();
    let kill = |n: usize| {
        node.compose(
            tenants[n].uid,
            Operation::KillSet(ops::KillSet { selector: "*/*".parse().unwrap(), drain: false }),
        )
    };
    let status = |c: &Command| node.send(c).came_to().concat();
    for n in 0..5 {
        assert_eq!(status(&kill(n)), "effective", "tenant {n}");
    }
    let sixth = kill(5);
    assert_eq!(status(&sixth), "requested", "the sixth takes a second person");
    assert_eq!(status(&kill(0)), "effective", "those that were tightened go on being tightened");
    assert_eq!(
        node.send_as("ben", &kill(6)).outcome().status,
        CommandStatus::Effective,
        "another person has their own"
    );
    assert_eq!(node.approve("ana", &sixth), ["self_approval"]);
    assert_eq!(node.approve("ben", &sixth), ["effective"]);
    let seventh = kill(7);
    node.kill_agent();
    node.start_agent();
    assert_eq!(node.send(&seventh).outcome().status, CommandStatus::Requested, "a restart forgets nothing");
}

/// Invariant 3, rows loosen and irreversible: while the signer is out nobody comes in and nothing is approved; shutting
/// out goes on.
#[test]
fn no_enrolment_without_the_signer() {
    let mut node = node(&["ben", "cleo"]);
    let public = node.new_key("eve");
    let op = enrol(&node, PersonId([8; 16]), "eve", "eve", &public, "viewer");
    let c = node.request(NODE, op.clone());
    node.kill_signer();
    // Tightening goes on, and tells the agent that nobody signs.
    let cleo = node.person("cleo");
    assert_eq!(node.command(NODE, ops::OperatorSuspend { person: cleo }).status, CommandStatus::Effective);
    node.wait_signer(false);
    assert_eq!(node.send(&node.compose(NODE, op)).reasons(), ["signer_unavailable"]);
    assert_eq!(node.approve("ben", &c), ["signer_unavailable"]);
    node.start_signer();
    node.wait_signer(true);
    assert_eq!(node.approve("ben", &c), ["effective"], "the request waited");
}

/// Operators and commands: what would be signed is shown, and nothing is sent, with `--dry-run`; for an answer to
/// another person's request too.
#[test]
fn an_answer_can_be_looked_at_first() {
    let node = Node::start_with(tempfile::tempdir().unwrap(), "", &["ben"]);
    let profile = Ident::new("careful").unwrap();
    let a = node.tenant("acme");
    node.command(TenantUid::NODE, ops::ProfileCreate { profile: profile.clone() });
    let c = node.compose(a.uid, ops::ProfileAssign { profile });
    let r = node.client("").post("/v1/commands", &node.signed_by("ben", &c.text()));
    assert_eq!(r.outcome().status, CommandStatus::Requested);
    let id = c.command_id.to_string();
    for verb in ["give", "refuse"] {
        let size = node.head(a.uid).0;
        let (ok, told, said) = node.cli(&["approval", verb, &id, "--dry-run"]);
        let text = told["text"].as_str().unwrap_or_default();
        assert!(ok && text.starts_with("conductor/approval/v1\n") && text.contains(&id), "{said}");
        assert_eq!(node.head(a.uid).0, size, "nothing was sent");
    }
    let (ok, told, said) = node.cli(&["approval", "give", &id]);
    assert!(ok && told["status"] == "effective", "{said}");
}

/// D2 and invariant 4: the same key under another id is no second person, and a name that reads as an id is nobody's.
#[test]
fn one_key_is_one_person_under_any_id() {
    let mut node = node(&["ben"]);
    let twin = node.twin_of("ben", "twin");
    let op = enrol(&node, PersonId([7; 16]), "twin", "twin", &twin, "approver viewer");
    assert_eq!(node.send(&node.compose(NODE, op)).reasons(), ["object_exists"]);
    for name in ["node", &"5f".repeat(16)] {
        let create =
            ops::TenantCreate { tenant_uid: TenantUid([8; 16]), tenant_id: Ident::new(name).unwrap() };
        assert_eq!(node.send(&node.compose(NODE, create)).reasons(), ["name_reserved"], "{name}");
    }
}
