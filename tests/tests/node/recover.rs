//! The way out of a lost signer: SPEC, invariant 3, class recover.

use super::persons::approve;
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::command::{Operation, ops};
use conductor_shared::ids::TenantUid;
use conductor_tests::{Node, bin, wait_for};
use serde_json::json;
use std::process::Command;

const NODE: TenantUid = TenantUid::NODE;

fn checkpoint(node: &Node, tenant: TenantUid) -> (String, String) {
    let v = node.operator().get(&format!("/v1/tenants/{tenant}/checkpoint")).json();
    let text = |k: &str| v["checkpoint"][k].as_str().unwrap().to_owned();
    (text("text"), text("signature"))
}

/// Does stock minisign believe it, under this key?
fn believed(node: &Node, (text, signature): &(String, String), key: &str) -> bool {
    let file = node.path("checkpoint");
    std::fs::write(&file, text).unwrap();
    std::fs::write(node.path("checkpoint.minisig"), signature).unwrap();
    let out = Command::new("minisign").args(["-V", "-P", key, "-m"]).arg(&file).output();
    out.expect("minisign is installed (make setup)").status.success()
}

/// SPEC, invariant 3 (recover), and DESIGN, Origins: a signer whose memory is gone refuses to sign; two admins on the
/// node itself replace it, with nothing but Rust rules; the same logs go on under the new key, and what the old one
/// signs no longer counts.
#[test]
fn a_lost_signer_is_replaced() {
    let mut node = Node::start_with(tempfile::tempdir().unwrap(), "", &["ben", "cleo:operator,approver"]);
    let a = node.tenant("acme");
    node.command(
        a.uid,
        Operation::RampSet(ops::RampSet {
            selector: "run/other".parse().unwrap(),
            hundredths: BasisPoints::saturating(5_000),
        }),
    );
    node.all_signed(a.uid);
    node.all_signed(NODE);
    let (old, old_key) = (checkpoint(&node, a.uid), node.signer_key());
    assert!(believed(&node, &old, &old_key));
    // The memory is lost: it does not start again. Somebody has a copy.
    node.kill_signer();
    let copied = Command::new("cp").arg("-a").args([node.path("signer"), node.path("stolen")]).status();
    assert!(copied.unwrap().success());
    std::fs::remove_file(node.path("signer/signer.memory")).unwrap();
    let out = Command::new(bin("conductor-signer"))
        .args([std::ffi::OsStr::new("run"), std::ffi::OsStr::new("--dir"), node.path("signer").as_os_str()])
        .args([std::ffi::OsStr::new("--socket"), node.path("signer.sock").as_os_str()])
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && words.contains("recover"), "{words}");
    // A new one, with a key and a memory of its own.
    std::fs::rename(node.path("signer"), node.path("signer.lost")).unwrap();
    let out = Command::new(bin("conductor-signer"))
        .args(["init", "--unencrypted", "--dir"])
        .arg(node.path("signer"))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    node.start_signer();
    let new_key = node.signer_key();
    assert_ne!(old_key, new_key);
    let raise = |node: &Node, h: u16| {
        let op = Operation::RampSet(ops::RampSet {
            selector: "run/other".parse().unwrap(),
            hundredths: BasisPoints::saturating(h),
        });
        node.send(&node.compose(a.uid, op))
    };
    assert_eq!(node.start_run(&mut node.client(&a.token), &a, None).status, 200, "admit goes on");
    wait_for("the agent does not believe it", 20, || {
        let text = String::from_utf8(node.client("").get("/metrics").body).unwrap();
        text.contains("\nconductor_signer_up 0\n").then_some(())
    });
    assert_eq!(raise(&node, 6_000).reasons(), ["signer_unavailable"]);
    // No person's key, and no key that is somebody's already.
    let replace = |node: &Node, key: &str| {
        node.compose(NODE, Operation::SignerReplace(ops::SignerReplace { public_key: key.to_owned() }))
    };
    let bens = node.signed_by("ben", "x")["public_key"].as_str().unwrap().to_owned();
    for key in [&bens, &old_key] {
        assert_eq!(node.send(&replace(&node, key)).reasons(), ["object_exists"]);
    }
    // One person does not do it, nor two of whom one is no admin.
    let c = replace(&node, &new_key);
    assert_eq!(node.send(&c).json()["status"], "requested");
    assert_eq!(approve(&node, "ana", &c), ["self_approval"]);
    assert_eq!(approve(&node, "cleo", &c), ["abandoned"]);
    assert_eq!(raise(&node, 6_000).reasons(), ["signer_unavailable"]);
    let c = replace(&node, &new_key);
    assert_eq!(node.send(&c).json()["status"], "requested");
    assert_eq!(approve(&node, "ben", &c), ["effective"]);
    // Every log is signed anew, changed or not, and grows from where it was.
    for log in [a.uid, NODE] {
        wait_for("the new signer signs", 30, || {
            let c = checkpoint(&node, log);
            believed(&node, &c, &new_key).then_some(())
        });
    }
    let new = checkpoint(&node, a.uid);
    let size = |c: &(String, String)| c.0.lines().nth(1).unwrap().parse::<u64>().unwrap();
    assert!(size(&new) > size(&old));
    let proof = node.operator().get(&format!(
        "/v1/tenants/{}/consistency?from={}&to={}",
        a.uid,
        size(&old),
        size(&new)
    ));
    assert_eq!(proof.status, 200, "{}", String::from_utf8_lossy(&proof.body));
    assert_eq!(raise(&node, 6_000).json()["status"], "effective");
    let control = node.operator().get(&format!("/v1/tenants/{NODE}")).json()["control"].clone();
    assert_eq!(control["signer_key"], json!(new_key));
    let incidents = control["incidents"].as_object().unwrap();
    assert!(incidents.values().any(|i| i["cause"] == "signer-replaced"), "{incidents:?}");
    // The old one turns up again, key and memory whole: what it signs counts no more, also after a restart.
    node.all_signed(NODE);
    node.kill_signer();
    std::fs::rename(node.path("signer"), node.path("signer.new")).unwrap();
    std::fs::rename(node.path("stolen"), node.path("signer")).unwrap();
    node.start_signer();
    for restarted in [false, true] {
        if restarted {
            node.stop_agent();
            node.start_agent();
        }
        wait_for("the agent does not believe the old one", 20, || {
            let r = raise(&node, 7_000).reasons();
            (r == ["signer_unavailable"]).then_some(())
        });
        assert!(believed(&node, &checkpoint(&node, a.uid), &new_key));
    }
    node.kill_signer();
    node.stop_agent();
    node.check();
}
