//! The way out of a lost signer: invariant 3, class recover.

use conductor_shared::basis_points::BasisPoints;
use conductor_shared::checkpoint::SignedCheckpoint;
use conductor_shared::command::{Operation, ops};
use conductor_shared::http::LogHead;
use conductor_shared::ids::TenantUid;
use conductor_tests::{Answer, Node, Tenant, bin, wait_for};
use std::process::Command;

const NODE: TenantUid = TenantUid::NODE;

fn checkpoint(node: &Node, tenant: TenantUid) -> SignedCheckpoint {
    let head: LogHead = node.operator().get(&format!("/v1/tenants/{tenant}/checkpoint")).read();
    head.checkpoint.expect("it is signed")
}

/// Does stock minisign believe it, under this key?
fn believed(node: &Node, checkpoint: &SignedCheckpoint, key: &str) -> bool {
    let file = node.path("checkpoint");
    std::fs::write(&file, &checkpoint.text).unwrap();
    std::fs::write(node.path("checkpoint.minisig"), &checkpoint.signature).unwrap();
    let out = Command::new("minisign").args(["-V", "-P", key, "-m"]).arg(&file).output();
    out.expect("minisign is installed (make setup)").status.success()
}

fn size(checkpoint: &SignedCheckpoint) -> u64 {
    checkpoint.text.lines().nth(1).unwrap().parse().unwrap()
}

/// A node whose signer is lost, its memory first: a new one with a key and a memory of its own stands in its place, and
/// somebody has a copy of the old one.
struct Lost {
    node: Node,
    tenant: Tenant,
    old: SignedCheckpoint,
    old_key: String,
    new_key: String,
}

impl Lost {
    fn begin() -> Self {
        let mut node = Node::start_with(tempfile::tempdir().unwrap(), "", &["ben", "cleo:operator,approver"]);
        let tenant = node.tenant("acme");
        node.command(tenant.uid, ramp(5_000));
        node.all_signed(tenant.uid);
        node.all_signed(NODE);
        let (old, old_key) = (checkpoint(&node, tenant.uid), node.signer_key());
        assert!(believed(&node, &old, &old_key));
        node.kill_signer();
        let copied = Command::new("cp").arg("-a").args([node.path("signer"), node.path("stolen")]).status();
        assert!(copied.unwrap().success());
        std::fs::remove_file(node.path("signer/signer.memory")).unwrap();
        let socket = node.path("signer.sock");
        let out = signer("run", &node.path("signer")).arg("--socket").arg(socket).output().unwrap();
        let words = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && words.contains("recover"), "{words}");
        std::fs::rename(node.path("signer"), node.path("signer.lost")).unwrap();
        let out = signer("init", &node.path("signer")).arg("--unencrypted").output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        node.start_signer();
        let new_key = node.signer_key();
        assert_ne!(old_key, new_key);
        Self { node, tenant, old, old_key, new_key }
    }

    fn raise(&self, hundredths: u16) -> Answer {
        self.node.send(&self.node.compose(self.tenant.uid, ramp(hundredths)))
    }

    fn replaced(&self) {
        let c = self.node.request(NODE, replace(&self.new_key));
        assert_eq!(self.node.approve("ben", &c), ["effective"]);
        // Every log is signed again, changed or not.
        for log in [self.tenant.uid, NODE] {
            wait_for("the new signer signs", 30, || {
                believed(&self.node, &checkpoint(&self.node, log), &self.new_key).then_some(())
            });
        }
    }

    fn end(mut self) {
        self.node.kill_signer();
        self.node.stop_agent();
        self.node.check();
    }
}

fn signer(verb: &str, folder: &std::path::Path) -> Command {
    let mut c = Command::new(bin("conductor-signer"));
    c.arg(verb).arg("--dir").arg(folder);
    c
}

fn replace(key: &str) -> Operation {
    Operation::SignerReplace(ops::SignerReplace { public_key: key.to_owned() })
}

fn ramp(hundredths: u16) -> Operation {
    Operation::RampSet(ops::RampSet {
        selector: "run/other".parse().unwrap(),
        hundredths: BasisPoints::saturating(hundredths),
    })
}

/// Invariant 3 (recover): a signer whose memory is gone refuses to sign, and another one is not believed; neither one
/// person replaces it, nor two of whom one is no admin, nor with a key that is somebody's already.
#[test]
fn a_lost_signer_is_not_replaced_by_one_person() {
    let lost = Lost::begin();
    let node = &lost.node;
    assert_eq!(node.client(&lost.tenant.token).start_run(&lost.tenant, None).status, 200, "admit goes on");
    node.wait_signer(false);
    assert_eq!(lost.raise(6_000).reasons(), ["signer_unavailable"]);
    let bens = node.signed_by("ben", "x")["public_key"].as_str().unwrap().to_owned();
    for key in [&bens, &lost.old_key] {
        assert_eq!(node.send(&node.compose(NODE, replace(key))).reasons(), ["object_exists"]);
    }
    let c = node.request(NODE, replace(&lost.new_key));
    assert_eq!(node.approve("ana", &c), ["self_approval"]);
    assert_eq!(node.approve("cleo", &c), ["abandoned"]);
    assert_eq!(lost.raise(6_000).reasons(), ["signer_unavailable"]);
    lost.end();
}

/// Invariant 3 (recover), and Origins: two admins on the node itself replace a lost signer, with nothing but Rust
/// rules; the same logs go on under the new key.
#[test]
fn a_lost_signer_is_replaced() {
    let lost = Lost::begin();
    let node = &lost.node;
    assert_eq!(node.client(&lost.tenant.token).start_run(&lost.tenant, None).status, 200, "the log grows");
    lost.replaced();
    let new = checkpoint(node, lost.tenant.uid);
    let (from, to) = (size(&lost.old), size(&new));
    assert!(to > from, "it grows from where it was");
    let path = format!("/v1/tenants/{}/consistency?from={from}&to={to}", lost.tenant.uid);
    let proof = node.operator().get(&path);
    assert_eq!(proof.status, 200, "{proof}");
    assert_eq!(lost.raise(6_000).came_to(), ["effective"]);
    let control = node.control(NODE);
    assert_eq!(control.signer_key.as_deref(), Some(lost.new_key.as_str()));
    let cause = |wanted: &str| control.incidents.values().any(|i| i.cause.to_string() == wanted);
    assert!(cause("signer-replaced"), "{:?}", control.incidents);
    lost.end();
}

/// Invariant 3 (recover): a signer that was replaced turns up again, key and memory whole: what it signs counts no
/// more, also after a restart.
#[test]
fn a_replaced_signer_counts_no_more() {
    let mut lost = Lost::begin();
    lost.replaced();
    lost.node.all_signed(NODE);
    lost.node.kill_signer();
    std::fs::rename(lost.node.path("signer"), lost.node.path("signer.new")).unwrap();
    std::fs::rename(lost.node.path("stolen"), lost.node.path("signer")).unwrap();
    lost.node.start_signer();
    for restarted in [false, true] {
        if restarted {
            lost.node.stop_agent();
            lost.node.start_agent();
        }
        wait_for("the agent does not believe the old one", 20, || {
            (lost.raise(7_000).reasons() == ["signer_unavailable"]).then_some(())
        });
        assert!(believed(&lost.node, &checkpoint(&lost.node, lost.tenant.uid), &lost.new_key));
    }
    lost.end();
}
