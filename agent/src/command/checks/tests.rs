use super::*;
use crate::store::MAX_TENANTS;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::checkpoint::key_id;
use conductor_shared::command::Audience;
use conductor_shared::command::{KeyPurpose, Kind, Scope, ops};
use conductor_shared::control::TenantEntry;
use conductor_shared::ids::{CommandId, Ident, KeyId, NodeId, PersonId};
use conductor_shared::operator::{GrantedRole, OperatorKey, Role};
use conductor_shared::untrusted::UntrustedText;
use strum::VariantArray as _;

const NOW: WallTime = WallTime::from_micros(1_800_000_000_000_000);

fn command(operation: Operation) -> Command {
    Command {
        command_id: CommandId([1; 16]),
        audience: Audience::Nodes(vec![NodeId([1; 16])]),
        tenant: TenantUid([3; 16]),
        base: None,
        operation,
        reason: UntrustedText::new("why"),
        issued_at_us: NOW.as_micros(),
        expires_at_us: NOW.as_micros() + 1,
        nonce: [0; 16],
    }
}

fn objections(operation: Operation, log: &ControlState) -> Reasons {
    objects(&command(operation), log, log, NOW)
}

fn rollback(changes: Vec<Operation>) -> Operation {
    ops::ConfigRollback { revision: 1, changes }.into()
}

fn configurations() -> impl Iterator<Item = Operation> {
    Operation::ALL.iter().filter(|k| k.config).flat_map(Kind::samples)
}

/// SPEC 4.1: each change in a rollback meets what it meets alone.
#[test]
fn a_rollback_is_checked_like_its_changes() {
    let log = ControlState::default();
    let mut met = 0;
    for op in configurations() {
        let alone = objections(op.clone(), &log);
        met += usize::from(!alone.is_empty());
        assert_eq!(objections(rollback(vec![op.clone()]), &log), alone, "{op:?}");
    }
    assert!(met > 0, "some sample is refused on an empty state");
}

/// SPEC 4.1: a change in a rollback meets the state that the one before it left.
#[test]
fn a_rollback_is_checked_in_order() {
    let workflow = Ident::new("etl").unwrap();
    let register = Operation::from(ops::WorkflowRegister { workflow: workflow.clone() });
    let retire = Operation::from(ops::WorkflowRetire { workflow: workflow.clone() });
    let pin = Operation::from(ops::WorkflowPin { workflow, prompt_sha256: [1; 32] });
    let log = ControlState::default();
    assert!(objections(rollback(vec![register.clone(), pin.clone()]), &log).is_empty());
    assert!(objections(rollback(vec![pin.clone(), register.clone()]), &log).has(Reason::ObjectUnknown));
    let registered = log.after(&register);
    assert!(objections(rollback(vec![retire, pin]), &registered).has(Reason::ObjectUnknown));
}

/// A6: nothing new is given a name that reads as an id or a reserved word, whatever creates it.
#[test]
fn no_name_reads_as_an_id() {
    let mut seen = vec![];
    for kind in Operation::ALL {
        for op in kind.samples() {
            let Some(given) = op.names().cloned() else { continue };
            seen.push(kind.name);
            for reserved in ["node".to_owned(), "5f".repeat(16)] {
                let list = op.to_list();
                let renamed =
                    list.iter().map(|v| if *v == given.as_str() { reserved.clone() } else { v.clone() });
                let renamed = Operation::from_list(&renamed.collect::<Vec<_>>()).unwrap();
                let log = ControlState::default();
                assert!(objections(renamed, &log).has(Reason::NameReserved), "{} {reserved}", kind.name);
            }
            assert!(!objections(op, &ControlState::default()).has(Reason::NameReserved));
        }
    }
    seen.dedup();
    let all = ["tenant.create", "workflow.register", "operator.enrol", "token.issue", "profile.create"];
    for name in all.into_iter().chain(["profile.window", "freeze.set"]) {
        assert!(seen.contains(&name), "{name}");
    }
}

/// SPEC 3.2: no step of a rollback takes a ramp to where it was rolled back from, even where a later one lowers it.
#[test]
fn no_step_of_a_rollback_raises_to_what_was_bad() {
    let mut log = ControlState::default();
    let rule = || "run/etl".parse().unwrap();
    log = log.after(&ops::RampSet { selector: rule(), hundredths: BasisPoints::saturating(100) }.into());
    log.bad.insert(rule(), BasisPoints::saturating(500));
    let set = |hundredths| {
        Operation::from(ops::RampSet { selector: rule(), hundredths: BasisPoints::saturating(hundredths) })
    };
    assert!(objections(rollback(vec![set(600), set(100)]), &log).has(Reason::RevisionBad));
    assert!(objections(rollback(vec![set(200), set(100)]), &log).is_empty());
}

/// A key in these tests.
const KEY: KeyId = KeyId([1; 8]);

fn key_of(person: u8, public_key: &str, roles: &[Role]) -> OperatorKey {
    let roles = roles.iter().map(|r| GrantedRole::Node(*r));
    OperatorKey {
        person: PersonId([person; 16]),
        name: Ident::new("ana").unwrap(),
        public_key: public_key.to_owned(),
        roles: roles.collect(),
        since: 0,
        roles_since: None,
        suspended: false,
        revoked: None,
    }
}

/// The same key under another id.
fn twin_of(key: &str) -> String {
    let mut raw = STANDARD.decode(key).unwrap();
    raw[2..10].fill(7);
    STANDARD.encode(raw)
}

/// SPEC, Operators, and D2: a key has one purpose, under whatever id: what brings in a key that is for something else is refused, for every
/// operation that brings one in.
#[test]
fn a_key_has_one_purpose() {
    let mut seen = vec![];
    for op in Operation::ALL.iter().flat_map(Kind::samples) {
        let Some((purpose, key)) = op.introduces() else { continue };
        seen.push(purpose);
        let with = |other: KeyPurpose, key: &str| {
            let id = key_id(key).unwrap();
            let mut s = ControlState::default();
            let place = match other {
                KeyPurpose::Operator => {
                    s.operators.insert(id, key_of(9, key, &[]));
                    return s;
                }
                KeyPurpose::Signer => &mut s.signer_key,
                KeyPurpose::Policy => &mut s.policy_key,
                KeyPurpose::Billing => &mut s.billing_key,
            };
            *place = Some(key.to_owned());
            s
        };
        assert!(!keys::one_purpose(&op, &ControlState::default()).has(Reason::ObjectExists));
        for other in [KeyPurpose::Operator, KeyPurpose::Signer, KeyPurpose::Policy, KeyPurpose::Billing] {
            let again = other == purpose && matches!(other, KeyPurpose::Policy | KeyPurpose::Billing);
            for known in [key.to_owned(), twin_of(key)] {
                let refused = objections(op.clone(), &with(other, &known)).has(Reason::ObjectExists);
                assert_eq!(refused, !again, "{} where the key is for {other:?}: {known}", op.name());
            }
        }
    }
    for purpose in [KeyPurpose::Operator, KeyPurpose::Signer, KeyPurpose::Policy, KeyPurpose::Billing] {
        assert!(seen.contains(&purpose), "no operation brings in a key for {purpose:?}");
    }
}

fn signed(operation: Operation) -> Signed {
    let tenant = if operation.in_node_log() { TenantUid::NODE } else { TenantUid([3; 16]) };
    Signed {
        content: Command { tenant, ..command(operation) },
        text: vec![],
        signature: String::new(),
        // Not the person of the samples: everybody may shut themselves out.
        person: PersonId([9; 16]),
        key_id: KEY,
        local: false,
    }
}

/// SPEC, Roles: every operation takes one of the roles of its row, a rollback one for each of its changes.
#[test]
fn every_operation_takes_its_role() {
    let node = |roles: &[Role]| {
        let mut s = ControlState::default();
        s.operators.insert(KEY, key_of(9, "", roles));
        s
    };
    let lacks = |op: &Operation, roles: &[Role]| {
        signer::violations(&signed(op.clone()), &node(roles)).has(Reason::RoleMissing)
    };
    for op in Operation::ALL.iter().flat_map(Kind::samples).filter(|op| op.steps().len() == 1) {
        for &role in Role::VARIANTS {
            assert_eq!(lacks(&op, &[role]), !op.kind().roles.contains(&role), "{} as {role}", op.name());
        }
    }
    for (a, b) in configurations().zip(configurations().skip(1)) {
        let both = rollback(vec![a.clone(), b.clone()]);
        for roles in [&[Role::Operator][..], &[Role::Admin], &[Role::Admin, Role::Operator]] {
            assert_eq!(lacks(&both, roles), lacks(&a, roles) || lacks(&b, roles), "{both:?} as {roles:?}");
        }
    }
}

/// SPEC, Commands: what belongs to the node is refused in a tenant's log, and the other way round.
#[test]
fn every_operation_stands_in_its_log() {
    for op in Operation::ALL.iter().flat_map(Kind::samples) {
        let fits = |tenant: TenantUid| match op.kind().scope {
            Scope::Node => tenant.is_node(),
            Scope::Tenant => !tenant.is_node(),
            Scope::AnyLog => true,
        };
        for tenant in [TenantUid::NODE, TenantUid([3; 16])] {
            assert_eq!(elsewhere(&op, tenant), !fits(tenant), "{} in {tenant}", op.name());
        }
    }
}

/// SPEC 1.2: the tenant beyond what the store holds is refused before anything is made for it; the last one is not.
#[test]
fn the_tenant_beyond_the_limit_is_refused() {
    let name = |i: usize| Ident::new(&format!("tenant-{i}")).unwrap();
    let uid = |i: usize| TenantUid((i as u128 + 1).to_be_bytes());
    let create = |i| Operation::from(ops::TenantCreate { tenant_uid: uid(i), tenant_id: name(i) });
    let tenants = (0..MAX_TENANTS - 1).map(|i| (uid(i), TenantEntry { name: name(i), epoch: 1 })).collect();
    let mut log = ControlState { tenants, ..ControlState::default() };
    assert!(objections(create(MAX_TENANTS), &log).is_empty());
    log.tenants.insert(uid(MAX_TENANTS - 1), TenantEntry { name: name(MAX_TENANTS - 1), epoch: 1 });
    assert_eq!(objections(create(MAX_TENANTS), &log), Reason::TenantsTooMany.into());
}

/// C9: the first local user of one tenant too many is refused with the reason, also within a rollback; the next user of a
/// tenant that has its socket is not.
#[test]
fn one_socket_too_many_is_refused() {
    let allow = Operation::from(ops::PeerAllow { uid: 7 });
    let none = ControlState::default();
    let some = none.after(&allow);
    for op in [allow.clone(), rollback(vec![allow])] {
        let c = command(op);
        assert_eq!(access::socket_of_peers(&c, &none, false), Reason::SocketsTooMany.into());
        assert!(access::socket_of_peers(&c, &none, true).is_empty());
        assert!(access::socket_of_peers(&c, &some, false).is_empty());
    }
    let deny = command(ops::PeerDeny { uid: 7 }.into());
    assert!(access::socket_of_peers(&deny, &none, false).is_empty());
}
