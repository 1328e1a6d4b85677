//! The real console before a real agent, in a real terminal: tmux.

use super::persons::approve;
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::command::{Operation, ops};
use conductor_shared::ids::Ident;
use conductor_tests::{Node, bin, wait_for};
use std::process::Command;

/// A terminal of its own.
pub(super) struct Terminal {
    socket: String,
}

impl Terminal {
    fn open(node: &Node, size: (u16, u16)) -> Self {
        let (socket, key) = (node.socket(), node.operator_key());
        Self::run(node, size, &format!("--agent unix:{} --key {}", socket.display(), key.display()))
    }

    /// The console with these arguments; socket and state are in the node's folder.
    pub(super) fn run(node: &Node, size: (u16, u16), args: &str) -> Self {
        let this = Self { socket: node.path("tmux").display().to_string() };
        let program = format!("exec {} {args}", bin("conductor").display());
        let (w, h) = (size.0.to_string(), size.1.to_string());
        let state = format!("XDG_STATE_HOME={}", node.path("state").display());
        this.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &w,
            "-y",
            &h,
            "-e",
            &state,
            "-e",
            "LC_ALL=C.UTF-8",
            &program,
        ]);
        this
    }

    fn tmux(&self, args: &[&str]) -> String {
        let out = Command::new("tmux").arg("-S").arg(&self.socket).args(args).output();
        let out = out.expect("tmux is installed (make setup)");
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    pub(super) fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    pub(super) fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    pub(super) fn shows(&self, text: &str) -> String {
        wait_for(&format!("{text:?} on the screen"), 20, || {
            let s = self.screen();
            s.contains(text).then_some(s)
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}

/// Issue 3, Console: on a small terminal, before a real agent: every screen opens, an incident is looked after with two
/// keys, and another person's request is approved after its name was typed; the agent has it on record.
#[test]
fn screens_and_answers_before_a_real_agent() {
    let mut node = Node::start_with(tempfile::tempdir().unwrap(), "", &["ben"]);
    node.reconfigure(|config| format!("{config}\n[slo]\nevaluate_ms = 200\nbake_seconds = 0\n"));
    let a = node.tenant("acme");
    // A breach, so that there is an incident.
    node.command(
        a.uid,
        Operation::RampSet(ops::RampSet {
            selector: "run/etl".parse().unwrap(),
            hundredths: BasisPoints::saturating(9_000),
        }),
    );
    let mut c = node.client(&a.token);
    for n in 0..20 {
        let r = node.start_run(&mut c, &a, Some(&format!("s-{n}")));
        let Some(run) = r.json()["run_id"].as_str().map(str::to_owned) else { continue };
        let body = serde_json::json!({"tenant_id": a.name, "outcome": "failed"});
        c.post(&format!("/v1/runs/{run}/finish"), &body);
    }
    let control = || node.operator().get(&format!("/v1/tenants/{}", a.uid)).json()["control"].clone();
    wait_for("the incident", 20, || (!control()["incidents"].as_object().unwrap().is_empty()).then_some(()));
    // And a request of ben's.
    let profile = Ident::new("careful").unwrap();
    node.command(
        conductor_shared::ids::TenantUid::NODE,
        Operation::ProfileCreate(ops::ProfileCreate { profile: profile.clone() }),
    );
    let request = node.compose(a.uid, Operation::ProfileAssign(ops::ProfileAssign { profile }));
    let r = node.client("").post("/v1/commands", &node.signed_by("ben", &request.text()));
    assert_eq!(r.json()["status"], "requested");
    assert_eq!(approve(&node, "ben", &request), ["self_approval"]);

    let t = Terminal::open(&node, (80, 24));
    t.shows("live");
    t.press(&["5"]);
    t.shows("auto-rollback");
    t.press(&["Enter"]);
    t.shows("rolled back from 90 %");
    t.press(&["Escape"]);
    t.shows("press c");
    t.press(&["c"]);
    t.shows("Say that you look after this incident");
    t.press(&["Enter"]);
    t.shows("Done");
    t.press(&["Enter"]);
    t.shows("looked after, from the console");
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
    assert_eq!(control()["profile"], "careful");
    let looked = control()["incidents"].as_object().unwrap().values().next().unwrap().clone();
    assert!(looked["acknowledged"]["comment"].as_str().unwrap().contains("from the console"), "{looked}");
    t.press(&["Enter", "q"]);
    wait_for("the console ends", 10, || {
        let out = Command::new("tmux").arg("-S").arg(&t.socket).arg("has-session").output().unwrap();
        (!out.status.success()).then_some(())
    });
}

/// Issue 3, operators and commands: an unlocked key signs tightenings until the console is locked; then nothing is read
/// and nothing signed until the password is typed again.
#[test]
fn a_locked_console_signs_nothing() {
    let node = Node::start_locked("open sesame");
    let a = node.tenant("acme");
    let key = node.path("locked.key");
    let t = Terminal::run(
        &node,
        (80, 24),
        &format!("--agent unix:{} --key {}", node.socket().display(), key.display()),
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
    let kills = || node.operator().get(&format!("/v1/tenants/{}", a.uid)).json()["control"]["kills"].clone();
    assert_eq!(kills(), serde_json::json!({}));
    t.press(&["2", "g", "!", "k", "Enter"]);
    t.shows("Done");
    assert!(kills()["*/*"].is_object(), "{}", kills());
}
