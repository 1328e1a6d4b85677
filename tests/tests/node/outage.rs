//! Signers that die, stop, lie, forget: what the fail-closed table says, with real processes.

use conductor_shared::basis_points::BasisPoints;
use conductor_shared::command::{Operation, ops};
use conductor_shared::fact::ChangeClass;
use conductor_shared::http::ReceiptPage;
use conductor_shared::quota::QuotaKind;
use conductor_tests::fake_signer::Standin;
use conductor_tests::{Node, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

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

/// How the signer is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Out {
    Dead,
    Frozen,
}

impl Out {
    fn begin(self, node: &mut Node) {
        match self {
            Self::Dead => node.kill_signer(),
            Self::Frozen => kill(signer(node), Signal::SIGSTOP).unwrap(),
        }
    }

    fn end(self, node: &mut Node) {
        match self {
            Self::Dead => node.start_signer(),
            Self::Frozen => kill(signer(node), Signal::SIGCONT).unwrap(),
        }
        node.wait_signer(true);
    }
}

fn signer(node: &Node) -> Pid {
    Pid::from_raw(i32::try_from(node.signer.as_ref().unwrap().id()).unwrap())
}

/// Invariant 3, column "signer down": with a signer that is killed or stopped a loosening never slips through, from the
/// first moment of the outage on; tightening goes on.
#[test]
fn a_dead_or_frozen_signer_loosens_nothing() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    node.command(a.uid, lower(8000));
    for out in [Out::Dead, Out::Frozen] {
        let before = node.control(a.uid).ramps;
        let up = node.compose(a.uid, raise());
        out.begin(&mut node);
        // Right at the beginning of the outage, when the agent does not know of it yet: proposed, and abandoned.
        let r = node.send(&up);
        let abandoned = r.came_to() == ["abandoned"] && r.reasons() == ["checkpoint_timeout"];
        assert!(abandoned || r.reasons() == ["signer_unavailable"], "{r}");
        node.wait_signer(false);
        for _ in 0..3 {
            let r = node.send(&node.compose(a.uid, raise()));
            assert_eq!((r.status, r.reasons()), (503, vec!["signer_unavailable".to_owned()]));
        }
        assert_eq!(node.control(a.uid).ramps, before, "nothing was loosened");
        let lowered = lower(if out == Out::Frozen { 5000 } else { 6000 });
        assert_eq!(node.command(a.uid, lowered).class, ChangeClass::Tighten);
        out.end(&mut node);
        node.all_signed(a.uid);
    }
    node.stop_agent();
    node.check();
}

/// Invariant 3, column "signer down", and Signer: admissions go on within the backlog quota and stop at it, settles go
/// on beyond it, and when the signer returns the backlog is signed by itself and admissions are back.
#[test]
fn without_a_signer_admissions_stop_at_the_backlog() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    node.command(a.uid, ops::QuotaCap { kind: QuotaKind::ReceiptBacklog, limit: 40 });
    for out in [Out::Dead, Out::Frozen] {
        out.begin(&mut node);
        let mut c = node.client(&a.token);
        let mut open = vec![];
        let denied = loop {
            let r = c.start_run(&a, Some(&format!("{}", open.len())));
            if r.status != 200 {
                break r;
            }
            open.push(r.decided().run_id);
            assert!(open.len() < 60);
        };
        assert!(denied.reasons().contains(&"quota_receipt_backlog".to_owned()), "{denied}");
        for run in &open {
            assert_eq!(c.finish_run(&a, *run).status, 200, "settle goes on");
        }
        out.end(&mut node);
        node.all_signed(a.uid);
        c.start_run(&a, Some("again")).decided();
    }
    node.stop_agent();
    node.check();
}

/// Invariant 3, column "signer down": a signer that talks nonsense, is slow, is locked, holds another key or claims to
/// have signed is as good as none; and nothing it said is believed.
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
        node.client(&a.token).start_run(&a, Some("s"));
        node.wait_signer(false);
        let r = node.send(&node.compose(a.uid, raise()));
        assert_eq!((r.status, r.reasons()), (503, vec!["signer_unavailable".to_owned()]));
        let mut c = node.client(&a.token);
        let r = (0..60).map(|i| c.start_run(&a, Some(&format!("s{i}")))).find(|r| r.status == 200);
        assert!(r.is_some(), "admissions go on");
        assert_eq!(node.command(a.uid, lower(8000)).class, ChangeClass::Tighten);
        assert_eq!(node.head(a.uid).1, signed, "nothing was taken for a signature");
        node.wait_signer(false);
        drop(place);
        std::fs::remove_file(node.path("signer.sock")).unwrap();
        node.start_signer();
        node.wait_signer(true);
    }
    node.all_signed(a.uid);
    node.stop_agent();
    node.check();
}

/// Invariant 3, "also not when the outage begins between check and commit": the signer stops after the proposal, the
/// agent is killed before the deadline, and everything comes back: nothing was loosened.
#[test]
fn a_proposal_found_at_start_is_abandoned() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    node.command(a.uid, lower(1000));
    let up = node.compose(a.uid, raise());
    let body = node.signed(&up.text()).to_string();
    kill(signer(&node), Signal::SIGSTOP).unwrap();
    let socket = node.operator_socket();
    let waiting = std::thread::spawn(move || {
        conductor_tests::Client::new(&socket, "").once("POST", "/v1/commands", body.as_bytes(), &[])
    });
    wait_for("it is proposed", 5, || (!node.control(a.uid).pending.is_empty()).then_some(()));
    node.kill_agent();
    assert!(waiting.join().unwrap().is_err(), "nobody was told that it took effect");
    kill(signer(&node), Signal::SIGCONT).unwrap();
    node.start_agent();
    let control = node.control(a.uid);
    assert!(control.pending.is_empty(), "{control:?}");
    assert!(control.ramps.values().all(|ramp| ramp.hundredths.get() == 1000), "{control:?}");
    let page: ReceiptPage = node.operator().get(&format!("/v1/tenants/{}/receipts?from=-5", a.uid)).read();
    assert_eq!(page.receipts.last().unwrap().kind_name, "Abandoned");
}

/// Origins: a log that is shorter than what was signed is only read from then on.
#[test]
fn a_log_that_was_rolled_back_is_read_only() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    let mut c = node.client(&a.token);
    c.start_run(&a, None);
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
        ops::RampCap { selector: "run/other".parse().unwrap(), hundredths: BasisPoints::saturating(100) },
    );
    assert_eq!(node.send(&cap).came_to(), ["effective"]);
    let mut c = node.client(&a.token);
    for _ in 0..20 {
        assert_eq!(c.start_run(&a, None).status, 200);
    }
    node.all_signed(a.uid);
    node.stop_agent();
    std::fs::remove_dir_all(node.path("data")).unwrap();
    std::fs::rename(node.path("old-data"), node.path("data")).unwrap();
    node.start_agent();
    let mut c = node.client(&a.token);
    let denied = wait_for("the signer refuses", 20, || {
        let r = c.start_run(&a, None);
        r.reasons().contains(&"log_rolled_back".to_owned()).then_some(r)
    });
    assert_eq!(denied.status, 503);
    // Replay after a restore: the log that would remember the command is gone, and so it takes none at all.
    assert!(node.send(&cap).reasons().contains(&"log_rolled_back".to_owned()));
    assert!(node.control(a.uid).ramps.is_empty());
    assert_eq!(c.get(&format!("/v1/tenants/{}/receipts", a.uid)).status, 200, "reading goes on");
}
