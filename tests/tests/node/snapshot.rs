//! Snapshots of control state in a log of real processes.

use conductor_shared::command::{Command, Operation, ops};
use conductor_shared::http::{ReceiptJson, ReceiptPage};
use conductor_shared::ids::{CommandId, TenantUid};
use conductor_shared::quota::QuotaKind;
use conductor_shared::verify::EXIT_VERIFIED;
use conductor_tests::Node;
use conductor_tests::programs::random;
use conductor_tui::cli::args::VerifyArgs;
use conductor_tui::cli::verify::verify;

/// More control facts than a log has without a snapshot.
const CHANGES: u64 = 4_160;
const THREADS: u64 = 8;

/// So many commands are sent with the times of one.
const OF_ONE_TIME: u64 = 40;

/// Takes a quota down step by step, as fast as one person may.
fn change(node: &Node, tenant: TenantUid, changes: u64) {
    let cap = |limit| Operation::QuotaCap(ops::QuotaCap { kind: QuotaKind::StepRate, limit });
    let mut client = node.client("");
    let mut like = node.absolute(tenant, cap(changes));
    for limit in (1..=changes).rev() {
        if limit % OF_ONE_TIME == 0 {
            like = node.absolute(tenant, cap(limit));
        }
        let command = Command { command_id: CommandId(random()), operation: cap(limit), ..like.clone() };
        let answer = client.post("/v1/commands", &node.signed(&command.text()));
        assert_eq!(answer.came_to(), ["effective"], "{answer}");
    }
}

/// The receipts of a log's end that are snapshots.
fn snapshots(node: &Node, tenant: TenantUid) -> Vec<ReceiptJson> {
    let path = format!("/v1/tenants/{tenant}/receipts?from=-400&limit=400");
    let page: ReceiptPage = node.operator().get(&path).read();
    page.receipts.into_iter().filter(|r| r.kind_name == "StateSnapshot").collect()
}

/// docs/adr/0030: after 4,096 control facts the log holds its state. A start after it makes the same state, `conductord
/// check` makes it from the first fact, and the log verifies with the snapshot in it.
#[test]
fn a_log_with_a_snapshot_is_read_back_checked_and_verified() {
    let mut node = Node::start();
    let acme = node.tenant("acme");
    std::thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| change(&node, acme.uid, CHANGES / THREADS));
        }
    });
    let found = snapshots(&node, acme.uid);
    assert_eq!(found.len(), 1, "{:?}", found.iter().map(|r| r.index).collect::<Vec<_>>());
    let shown: Vec<&str> = found[0].fields.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(shown, ["digest"], "a list leaves the state out");
    let before = node.control(acme.uid);
    node.stop_agent();
    node.check();
    node.start_agent();
    assert_eq!(node.control(acme.uid), before);

    node.all_signed(acme.uid);
    let (file, from) = (node.path("export.jsonl"), found[0].index - 1);
    let (from, to) = (from.to_string(), (from + 3).to_string());
    let args = ["receipts", "export", "acme", "--from", &from, "--to", &to, "--out", file.to_str().unwrap()];
    let (good, _, said) = node.cli(&args);
    assert!(good, "{said}");
    let verified = verify(&VerifyArgs { file, trust: node.path("trust.toml"), show: true }).unwrap();
    assert_eq!(verified.code, EXIT_VERIFIED, "{}", verified.text);
    assert!(verified.text.contains("snapshot of the control state"), "{}", verified.text);
}
