//! Proofs: stock minisign verifies checkpoints, logs only grow, commands happen once.

use conductor_shared::basis_points::BasisPoints;
use conductor_shared::checkpoint::SignedCheckpoint;
use conductor_shared::command::{Audience, Command, Operation, ops};
use conductor_shared::http::{Consistency, LogHead, ReceiptBundle};
use conductor_shared::ids::{CommandId, NodeId, TenantUid};
use conductor_shared::{merkle, verify};
use conductor_tests::{Node, Tenant, b64};
use serde_json::json;

fn hash(text: &str) -> [u8; 32] {
    b64(text).try_into().unwrap()
}

fn head(node: &Node, tenant: &Tenant) -> LogHead {
    node.operator().get(&format!("/v1/tenants/{}/checkpoint", tenant.uid)).read()
}

/// Ledger: stock `minisign -V` verifies a checkpoint file, and refuses an altered one.
#[test]
fn stock_minisign_verifies_checkpoints() {
    let node = Node::start();
    let a = node.tenant("acme");
    node.all_signed(a.uid);
    let SignedCheckpoint { text, signature } = head(&node, &a).checkpoint.unwrap();
    std::fs::write(node.path("cp"), &text).unwrap();
    std::fs::write(node.path("cp.minisig"), signature).unwrap();
    let verify = || {
        let out = std::process::Command::new("minisign")
            .args(["-V", "-P", &node.signer_key(), "-m"])
            .arg(node.path("cp"))
            .output()
            .expect("minisign is installed by make setup");
        (out.status.success(), String::from_utf8_lossy(&out.stdout).into_owned())
    };
    let (good, said) = verify();
    assert!(good, "{said}");
    let comment = text.trim_end().replace('\n', " ");
    assert!(said.contains(&comment), "the trusted comment repeats the checkpoint: {said}");
    std::fs::write(node.path("cp"), text.replacen("conductor-log", "conductor-lug", 1)).unwrap();
    assert!(!verify().0);
}

/// Ledger: every receipt is included, and every older head is a prefix, with real proofs over HTTP across tile borders.
#[test]
fn proofs_over_http() {
    let node = Node::start();
    let a = node.tenant("acme");
    let old = head(&node, &a);
    let mut c = node.client(&a.token);
    for _ in 0..150 {
        let run = c.start_run(&a, None).decided().run_id;
        c.post(&format!("/v1/runs/{run}/finish"), &json!({"tenant_id": "acme", "outcome": "failed"}));
    }
    let size = node.all_signed(a.uid);
    assert!(size > 256, "over the first tile: {size}");
    let new = head(&node, &a);
    let (from, old_root) = (old.size, hash(&old.root));
    let path = format!("/v1/tenants/{}/consistency?from={from}&to={size}", a.uid);
    let proof: Consistency = node.operator().get(&path).read();
    let hashes: Vec<[u8; 32]> = proof.proof.iter().map(|h| hash(h)).collect();
    let root = hash(&new.root);
    assert!(merkle::verify_consistency(from, &old_root, size, &root, &hashes));
    assert!(!merkle::verify_consistency(from, &root, size, &old_root, &hashes));
    let trust = verify::Trust {
        keys: vec![verify::TrustedKey {
            public_key: node.signer_key(),
            purpose: "checkpoint".into(),
            origin: format!("conductor-log/{}/", node.id),
            sizes: None,
        }],
    };
    for i in [0, 1, 100, 254, 255, 256, 257, size - 1] {
        let b: ReceiptBundle =
            node.operator().get(&format!("/v1/tenants/{}/receipts/{i}/proof", a.uid)).read();
        let report = verify::one(&b.receipt, &b.proof, b.checkpoint.as_ref(), &trust);
        assert_eq!(report.exit_code(), verify::EXIT_VERIFIED, "{i}: {report:?}");
        let nobody = verify::Trust { keys: vec![] };
        let report = verify::one(&b.receipt, &b.proof, b.checkpoint.as_ref(), &nobody);
        assert_eq!(report.exit_code(), verify::EXIT_UNCONFIRMED, "a key that comes along is never trusted");
    }
}

/// Invariant 3 and Command: replayed, misaddressed, expired, stale, edited and mislabelled commands are denied with a
/// receipt, and change nothing, also after a restart.
#[test]
fn commands_happen_once_and_as_signed() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    let state = |node: &Node| node.control(a.uid).ramps;
    let set = |h| {
        Operation::RampSet(ops::RampSet {
            selector: "run/etl".parse().unwrap(),
            hundredths: BasisPoints::saturating(h),
        })
    };
    node.command(
        a.uid,
        ops::RampCap { selector: "run/etl".parse().unwrap(), hundredths: BasisPoints::saturating(100) },
    );
    let up = node.compose(a.uid, set(500));
    assert_eq!(node.send(&up).came_to(), ["effective"]);
    let after = state(&node);
    let reasons = |node: &Node, c: &Command| {
        let r = node.send(c);
        // What counted before is counted, and leaves none.
        assert!(r.problem().receipt.is_some() || r.reasons() == ["command_replayed"], "{r}");
        r.reasons()
    };
    let fresh = |mut c: Command, n: u8| {
        c.command_id = CommandId([n; 16]);
        c
    };
    let replayed = reasons(&node, &up);
    assert!(replayed.contains(&"command_replayed".to_owned()), "{replayed:?}");
    let mut stale = fresh(up.clone(), 1);
    stale.operation = set(700);
    assert_eq!(reasons(&node, &stale), ["base_stale"]);
    let mut c = node.compose(a.uid, set(600));
    c.audience = Audience::Nodes(vec![NodeId([9; 16])]);
    assert_eq!(reasons(&node, &c), ["command_audience"]);
    let mut c = node.compose(a.uid, set(600));
    (c.issued_at_us, c.expires_at_us) = (1, 2);
    assert_eq!(reasons(&node, &c), ["command_expired"]);
    let mut c = node.compose(a.uid, set(600));
    c.base = None;
    assert_eq!(reasons(&node, &c), ["would_loosen"]);
    let mut c = node.compose(a.uid, set(600));
    c.tenant = TenantUid([7; 16]);
    assert!(!reasons(&node, &c).is_empty());
    // Edited under a valid signature.
    let good = node.compose(a.uid, set(600));
    let mut body = node.signed(&good.text());
    body["text"] = json!(good.text().replace("hundredths: 600", "hundredths: 9999"));
    assert_eq!(node.operator().post("/v1/commands", &body).reasons(), ["signature_invalid"]);
    // A session's text is not a command, however well it is signed.
    let text = good.text().replace("conductor/command/v1", "conductor/session/v1");
    assert_eq!(node.operator().post("/v1/commands", &node.signed(&text)).status, 400);
    assert_eq!(state(&node), after, "nothing of it had an effect");
    node.kill_agent();
    node.start_agent();
    assert!(reasons(&node, &up).contains(&"command_replayed".to_owned()));
    assert_eq!(state(&node), after);
}
