//! Policy bundles made, uploaded and loaded.

use crate::Node;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_policies::Bundle;
use conductor_shared::command::{Operation, ops};
use conductor_shared::http::{BundleKept, PolicyShown};
use conductor_shared::ids::TenantUid;
use conductor_shared::policy::Statement;
use serde_json::json;

const NODE: TenantUid = TenantUid::NODE;

/// The built-in rules, and more of one's own.
pub fn rules(site: &str) -> Bundle {
    let mut files = Bundle::built_in().files().clone();
    files.insert("site.rego".into(), format!("package conductor.site\n\n{site}\n"));
    Bundle::from_files(files).unwrap()
}

/// Brings the files of a bundle to the node.
pub fn upload(node: &Node, bundle: &Bundle) {
    let body = json!({ "archive": STANDARD.encode(bundle.pack(1).unwrap()) });
    let kept: BundleKept = node.operator().post("/v1/policy/bundles", &body).read();
    assert_eq!(kept.digest, conductor_shared::ids::hex(&bundle.digest()));
}

/// What a bundle's author signs.
pub fn statement(node: &Node, bundle: &Bundle, revision: u64, life_us: u64) -> Statement {
    let built_at_us = node.now_us();
    Statement { revision, digest: bundle.digest(), built_at_us, expires_at_us: built_at_us + life_us }
}

/// The command that loads a signed bundle.
pub fn load_op(node: &Node, statement: Statement, key: &str) -> Operation {
    let signed = node.signed_by(key, &statement.text());
    Operation::PolicyLoad(ops::PolicyLoad {
        statement,
        signature: STANDARD.encode(signed["signature"].as_str().unwrap()),
    })
}

/// Asked for by ana; what ben's approval comes to.
pub fn load(node: &Node, op: Operation) -> Vec<String> {
    let c = node.compose(NODE, op);
    let r = node.send(&c);
    if r.status == 200 { node.approve("ben", &c) } else { r.reasons() }
}

/// Trusts a policy key of its own and loads the bundle under it.
pub fn trust_and_load(node: &mut Node, bundle: &Bundle, revision: u64, life_us: u64) {
    if shown(node).trusted_key.is_none() {
        let public_key = node.new_key("policy");
        let c = node.request(NODE, ops::PolicyTrust { public_key });
        assert_eq!(node.approve("ben", &c), ["effective"]);
    }
    upload(node, bundle);
    let op = load_op(node, statement(node, bundle, revision, life_us), "policy");
    assert_eq!(load(node, op), ["effective"]);
}

/// What the node says of its policy.
pub fn shown(node: &Node) -> PolicyShown {
    node.operator().get("/v1/policy").read()
}
