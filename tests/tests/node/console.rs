//! The real console before a real agent, in a real terminal: tmux.

use conductor_shared::basis_points::BasisPoints;
use conductor_shared::command::ops;
use conductor_shared::http::CommandStatus;
use conductor_shared::ids::Ident;
use conductor_tests::terminal::Terminal;
use conductor_tests::{Node, Tenant, wait_for};

/// Errors enough to take a ramp down, so that there is an incident.
fn breach(node: &Node, a: &Tenant) {
    node.command(
        a.uid,
        ops::RampSet { selector: "run/etl".parse().unwrap(), hundredths: BasisPoints::saturating(9_000) },
    );
    let mut c = node.client(&a.token);
    for n in 0..20 {
        let r = c.start_run(a, Some(&format!("s-{n}")));
        if r.status == 200 {
            let body = serde_json::json!({"tenant_id": a.name, "outcome": "failed"});
            c.post(&format!("/v1/runs/{}/finish", r.decided().run_id), &body);
        }
    }
    wait_for("the incident", 20, || (!node.control(a.uid).incidents.is_empty()).then_some(()));
}

/// A request of ben's to assign a profile.
fn request_of_ben(node: &Node, a: &Tenant) {
    let profile = Ident::new("careful").unwrap();
    node.command(conductor_shared::ids::TenantUid::NODE, ops::ProfileCreate { profile: profile.clone() });
    let request = node.compose(a.uid, ops::ProfileAssign { profile });
    let r = node.send_as("ben", &request);
    assert_eq!(r.outcome().status, CommandStatus::Requested);
    assert_eq!(node.approve("ben", &request), ["self_approval"]);
}

/// Console: on a small terminal, before a real agent: every screen opens, an incident is acknowledged with two keys,
/// and another person's request is approved after its name was typed; the agent has it on record.
#[test]
fn screens_and_answers_before_a_real_agent() {
    let mut node = Node::start_with(tempfile::tempdir().unwrap(), "", &["ben"]);
    node.reconfigure(|config| format!("{config}\n[slo]\nevaluate_ms = 200\nbake_seconds = 0\n"));
    let a = node.tenant("acme");
    breach(&node, &a);
    request_of_ben(&node, &a);
    let t = Terminal::open(&node, (80, 24));
    t.shows("live");
    t.press(&["5"]);
    t.shows("auto-rollback");
    t.press(&["Enter"]);
    t.shows("rolled back from 90 %");
    t.press(&["Escape"]);
    t.shows("press c");
    t.press(&["c"]);
    t.shows("Acknowledge this incident");
    t.press(&["Enter"]);
    t.shows("Done");
    t.press(&["Enter"]);
    t.shows("acknowledged from the console");
    t.press(&["6"]);
    t.shows("ramps of acme");
    t.shows("90 %: there again by conductor ramp override only");
    t.press(&["7"]);
    t.shows("No profile has a freeze window.");
    t.press(&["8"]);
    let persons = t.shows("persons of node-1");
    assert!(persons.contains("ana") && persons.contains("ben"), "{persons}");
    t.press(&["4"]);
    t.shows("profile = careful");
    t.press(&["A"]);
    t.shows("asked by ben: test");
    t.press(&["Tab", "acm", "Tab", "Enter"]);
    t.shows("locked: type the name");
    t.press(&["BTab", "e", "Tab", "Enter"]);
    t.shows("Done");
    let control = node.control(a.uid);
    assert_eq!(control.profile.as_ref().map(Ident::as_str), Some("careful"));
    let incident = control.incidents.values().next().unwrap();
    assert!(incident.acknowledged.is_some(), "{incident:?}");
    t.press(&["Enter", "q"]);
    wait_for("the console ends", 10, || t.has_ended().then_some(()));
}

/// Operators and commands: an unlocked key signs tightenings until the console is locked; then nothing is read and
/// nothing signed until the password is typed again.
#[test]
fn a_locked_console_signs_nothing() {
    let node = Node::start_locked("open sesame");
    let a = node.tenant("acme");
    let key = node.path("locked.key");
    let t = Terminal::run(
        &node,
        (80, 24),
        &format!("--agent unix:{} --key {}", node.operator_socket().display(), key.display()),
    );
    t.shows("password");
    t.press(&["open sesame", "Enter"]);
    t.shows("live");
    t.press(&["2"]);
    t.shows("acme");
    t.press(&[":lock", "Enter"]);
    t.shows("you locked the console");
    t.shows("password");
    // Keys are letters of a password now.
    t.press(&["!", "k", "Enter"]);
    t.shows("wrong");
    t.press(&["open sesame", "Enter"]);
    t.shows("live");
    assert!(node.control(a.uid).kills.is_empty());
    t.press(&["2", "g", "!", "k", "Enter"]);
    t.shows("Done");
    assert_eq!(node.control(a.uid).kills.len(), 1);
}
