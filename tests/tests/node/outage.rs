//! Signers that die, stop, lie, forget: what the fail-closed table says, with real processes.

use conductor_shared::basis_points::BasisPoints;
use conductor_shared::command::{Operation, ops};
use conductor_shared::quota::QuotaKind;
use conductor_tests::{Node, bin, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn signer_state(node: &Node) -> bool {
    let text = node.client("").get("/metrics");
    String::from_utf8(text.body).unwrap().contains("\nconductor_signer_up 1\n")
}

fn raise() -> Operation {
    Operation::RampSet(ops::RampSet {
        selector: "run/etl".parse().unwrap(),
        hundredths: BasisPoints::saturating(9000),
    })
}
fn lower(h: u16) -> Operation {
    Operation::RampCap(ops::RampCap {
        selector: "run/etl".parse().unwrap(),
        hundredths: BasisPoints::saturating(h),
    })
}

/// SPEC invariant 3, column "signer down", and issue 2, Signer: admissions go on within the backlog quota and stop at it,
/// tightening goes on, loosening never slips through, and when the signer returns the backlog is signed by itself.
#[test]
fn a_dead_or_frozen_signer_loosens_nothing() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    node.command(a.uid, Operation::QuotaCap(ops::QuotaCap { kind: QuotaKind::ReceiptBacklog, limit: 40 }));
    node.command(a.uid, lower(8000));
    for frozen in [false, true] {
        let before =
            node.operator().get(&format!("/v1/tenants/{}", a.uid)).json()["control"]["ramps"].clone();
        let pid = Pid::from_raw(i32::try_from(node.signer.as_ref().unwrap().id()).unwrap());
        let up = node.compose(a.uid, raise());
        if frozen {
            kill(pid, Signal::SIGSTOP).unwrap();
        } else {
            node.kill_signer();
        }
        // Right at the beginning of the outage, when the agent does not know of it yet: proposed, and abandoned.
        let r = node.send(&up);
        let v = r.json();
        let abandoned = v["status"] == "abandoned" && v["reasons"] == json!(["checkpoint_timeout"]);
        assert!(abandoned || r.reasons() == ["signer_unavailable"], "{}", String::from_utf8_lossy(&r.body));
        wait_for("the agent notices", 20, || (!signer_state(&node)).then_some(()));
        for _ in 0..3 {
            let r = node.send(&node.compose(a.uid, raise()));
            assert_eq!((r.status, r.reasons()), (503, vec!["signer_unavailable".to_owned()]));
        }
        let now = node.operator().get(&format!("/v1/tenants/{}", a.uid)).json()["control"]["ramps"].clone();
        assert_eq!(now, before, "nothing was loosened");
        // Admissions until the backlog is full, settles beyond it, tightening always.
        let mut c = node.client(&a.token);
        let mut open = vec![];
        let denied = loop {
            let r = node.start_run(&mut c, &a, Some(&format!("{}", open.len())));
            match r.status {
                200 => open.push(r.json()["run_id"].as_str().unwrap().to_owned()),
                _ if r.reasons() == ["ramp_excluded"] => {}
                _ => break r,
            }
            assert!(open.len() < 60);
        };
        assert!(denied.reasons().contains(&"quota_receipt_backlog".to_owned()), "{:?}", denied.reasons());
        for run in &open {
            let done = json!({"tenant_id": "acme", "outcome": "succeeded"});
            assert_eq!(c.post(&format!("/v1/runs/{run}/finish"), &done).status, 200, "settle goes on");
        }
        let tightened = node.command(a.uid, lower(if frozen { 5000 } else { 6000 }));
        assert_eq!(tightened["class"], "tighten");
        if frozen {
            kill(pid, Signal::SIGCONT).unwrap();
        } else {
            node.start_signer();
        }
        wait_for("the signer is back", 30, || signer_state(&node).then_some(()));
        node.all_signed(a.uid);
        let mut c = node.client(&a.token);
        let r = (0..40)
            .map(|i| node.start_run(&mut c, &a, Some(&format!("again-{i}"))))
            .find(|r| r.status == 200);
        assert!(r.is_some(), "admissions are back");
    }
    node.stop_agent();
    node.check();
}

/// What stands in for the signer.
pub(super) enum Standin {
    /// Bytes that mean nothing.
    Garbage,
    /// One byte a second.
    Trickle,
    /// Says that it waits for its password.
    Locked,
    /// A real signer with another key.
    OtherKey,
    /// Says that it signed, and did not.
    Liar,
}

impl Standin {
    /// Listens at the signer's socket until dropped.
    pub(super) fn take_place(&self, node: &Node) -> Place {
        let socket = node.path("signer.sock");
        let _ = std::fs::remove_file(&socket);
        if matches!(self, Self::OtherKey) {
            let run = |verb: &str, more: &[&std::ffi::OsStr]| {
                let mut c = Command::new(bin("conductor-signer"));
                c.arg(verb).arg("--dir").arg(node.path("other-signer")).args(more).stderr(Stdio::null());
                c
            };
            assert!(
                run("init", &["--unencrypted".as_ref()]).stdout(Stdio::null()).status().unwrap().success()
            );
            let child = run("run", &["--socket".as_ref(), socket.as_os_str()]).spawn().unwrap();
            return Place { child: Some(child), _listener: None };
        }
        let said: Vec<u8> = match self {
            Self::Garbage => vec![0, 0, 0, 9, b'{', 0xff, 0, 1, 2, 3, 4, 5, 6],
            Self::Trickle => vec![0, 0, 1, 0],
            Self::Locked => {
                frame(&json!({"answer": "refused", "reason": "locked", "detail": "waits for its password"}))
            }
            Self::Liar | Self::OtherKey => {
                let signature = "untrusted comment: x\nAAAA\ntrusted comment: y\nAAAA\n";
                frame(&json!({"answer": "probed", "signature": signature}))
            }
        };
        let slow = matches!(self, Self::Trickle);
        let listener = UnixListener::bind(&socket).unwrap();
        let accepting = listener.try_clone().unwrap();
        std::thread::spawn(move || {
            for s in accepting.incoming() {
                let Ok(mut s) = s else { return };
                let said = said.clone();
                std::thread::spawn(move || {
                    for b in said.chunks(if slow { 1 } else { 4_096 }) {
                        if s.write_all(b).is_err() {
                            return;
                        }
                        std::thread::sleep(Duration::from_millis(if slow { 1_000 } else { 50 }));
                    }
                });
            }
        });
        Place { child: None, _listener: Some(listener) }
    }
}

fn frame(v: &serde_json::Value) -> Vec<u8> {
    let text = v.to_string();
    let mut out = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    out.extend_from_slice(text.as_bytes());
    out
}

pub(super) struct Place {
    child: Option<Child>,
    _listener: Option<UnixListener>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(mut c) = self.child.take() {
            let _ = c.kill();
            let _ = c.wait();
        }
    }
}

/// SPEC invariant 3, column "signer down": a signer that talks nonsense, is slow, is locked, holds another key or claims
/// to have signed is as good as none; and nothing it said is believed.
#[test]
fn a_signer_that_lies_is_no_signer() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    node.command(a.uid, lower(8000));
    for standin in [Standin::Garbage, Standin::Trickle, Standin::Locked, Standin::OtherKey, Standin::Liar] {
        let signed = node.all_signed(a.uid);
        node.kill_signer();
        let place = standin.take_place(&node);
        // Something to sign: without it a signer is asked for a sign of life once a minute.
        node.start_run(&mut node.client(&a.token), &a, Some("s"));
        wait_for("the agent notices", 20, || (!signer_state(&node)).then_some(()));
        let r = node.send(&node.compose(a.uid, raise()));
        assert_eq!((r.status, r.reasons()), (503, vec!["signer_unavailable".to_owned()]));
        let mut c = node.client(&a.token);
        let r = (0..60).map(|i| node.start_run(&mut c, &a, Some(&format!("s{i}")))).find(|r| r.status == 200);
        assert!(r.is_some(), "admissions go on");
        assert_eq!(node.command(a.uid, lower(8000))["class"], "tighten");
        assert_eq!(node.head(a.uid).1, signed, "nothing was taken for a signature");
        assert!(!signer_state(&node));
        drop(place);
        std::fs::remove_file(node.path("signer.sock")).unwrap();
        node.start_signer();
        wait_for("the signer is back", 30, || signer_state(&node).then_some(()));
    }
    node.all_signed(a.uid);
    node.stop_agent();
    node.check();
}

/// SPEC invariant 3, "also not when the outage begins between check and commit": the signer stops after the proposal,
/// the agent is killed before the deadline, and everything comes back: nothing was loosened.
#[test]
fn a_proposal_found_at_start_is_abandoned() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    node.command(a.uid, lower(1000));
    let up = node.compose(a.uid, raise());
    let body = node.signed(&up.text()).to_string();
    let pid = Pid::from_raw(i32::try_from(node.signer.as_ref().unwrap().id()).unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    let socket = node.socket();
    let waiting = std::thread::spawn(move || {
        conductor_tests::Client::new(&socket, "").once("POST", "/v1/commands", body.as_bytes(), &[])
    });
    let path = format!("/v1/tenants/{}", a.uid);
    wait_for("it is proposed", 5, || {
        let v = node.operator().get(&path).json();
        v["control"]["pending"].as_object().is_some_and(|p| !p.is_empty()).then_some(())
    });
    node.kill_agent();
    assert!(waiting.join().unwrap().is_err(), "nobody was told that it took effect");
    kill(pid, Signal::SIGCONT).unwrap();
    node.start_agent();
    let v = node.operator().get(&path).json();
    assert_eq!(v["control"]["pending"], json!({}));
    assert_eq!(v["control"]["ramps"]["run/etl"]["hundredths"], 1000);
    let page = node.operator().get(&format!("/v1/tenants/{}/receipts?from=-5", a.uid)).json();
    let last = page["receipts"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["kind_name"], "Abandoned");
}

/// DESIGN, Origins: a log that is shorter than what was signed is only read from then on.
#[test]
fn a_log_that_was_rolled_back_is_read_only() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    let mut c = node.client(&a.token);
    node.start_run(&mut c, &a, None);
    node.stop_agent();
    let copy = |from: &str, to: &str| {
        let ok = std::process::Command::new("cp")
            .arg("-a")
            .arg(node.path(from))
            .arg(node.path(to))
            .status()
            .unwrap();
        assert!(ok.success());
    };
    copy("data", "old-data");
    node.start_agent();
    let cap = node.compose(
        a.uid,
        Operation::RampCap(ops::RampCap {
            selector: "run/other".parse().unwrap(),
            hundredths: BasisPoints::saturating(100),
        }),
    );
    assert_eq!(node.send(&cap).json()["status"], "effective");
    let mut c = node.client(&a.token);
    for _ in 0..20 {
        assert_eq!(node.start_run(&mut c, &a, None).status, 200);
    }
    node.all_signed(a.uid);
    node.stop_agent();
    std::fs::remove_dir_all(node.path("data")).unwrap();
    std::fs::rename(node.path("old-data"), node.path("data")).unwrap();
    node.start_agent();
    let mut c = node.client(&a.token);
    let denied = wait_for("the signer refuses", 20, || {
        let r = node.start_run(&mut c, &a, None);
        r.reasons().contains(&"log_rolled_back".to_owned()).then_some(r)
    });
    assert_eq!(denied.status, 503);
    // Issue 3, replay after a restore: the log that would remember the command is gone, and so it takes none at all.
    assert!(node.send(&cap).reasons().contains(&"log_rolled_back".to_owned()));
    let ramps = node.operator().get(&format!("/v1/tenants/{}", a.uid)).json()["control"]["ramps"].clone();
    assert_eq!(ramps, json!({}));
    assert_eq!(c.get(&format!("/v1/tenants/{}/receipts", a.uid)).status, 200, "reading goes on");
}
