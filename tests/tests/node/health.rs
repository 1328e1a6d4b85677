//! What is the matter with an agent: each fault is made, and every outlet is asked.

use conductor_agent::store::{Batch, Row, SpaceLimits, Store};
use conductor_shared::command::ops;
use conductor_shared::health::{Severity, Subsystem};
use conductor_shared::ids::{PartitionId, TenantUid};
use conductor_tests::{Node, wait_for};

const NODE: TenantUid = TenantUid::NODE;

/// Waits until readiness tells of a subsystem, and asks the others.
fn told(node: &Node, subsystem: Subsystem) {
    let row = subsystem.row();
    let ready = wait_for(&format!("{} is told", row.name), 40, || {
        let r = node.client("").once("GET", "/readyz", b"", &[]).ok()?;
        let text = String::from_utf8(r.body.clone()).ok()?;
        text.contains(&format!(": {}: ", row.name)).then_some((r.status, text))
    });
    let (status, word) = match row.severity {
        Severity::Down => (503, "not ready: "),
        Severity::Degraded => (200, "degraded: "),
    };
    assert_eq!(ready.0, status, "{}", ready.1);
    assert!(ready.1.starts_with(word) && ready.1.contains(row.stops), "{}", ready.1);
    let metric = format!("conductor_subsystem_up{{subsystem=\"{}\"}} 0\n", row.name);
    assert!(node.metrics().contains(&metric), "{}", node.metrics());
    let (ok, shown, said) = node.cli(&["node"]);
    assert!(ok, "{said}");
    let troubles = shown["node"]["troubles"].as_array().unwrap();
    assert!(troubles.iter().any(|t| t["subsystem"] == row.name), "{shown}");
    if let Some(cause) = row.incident {
        wait_for("an incident", 40, || {
            node.control(NODE).incidents.values().any(|i| i.cause == cause).then_some(())
        });
    }
}

fn over(node: &Node, subsystem: Subsystem) {
    let row = subsystem.row();
    wait_for(&format!("{} works again", row.name), 60, || {
        let r = node.client("").once("GET", "/readyz", b"", &[]).ok()?;
        (r.body == b"ready\n").then_some(())
    });
    if let Some(cause) = row.incident {
        wait_for("the incident is closed", 40, || {
            node.control(NODE).incidents.values().all(|i| i.cause != cause).then_some(())
        });
    }
}

/// Health: the signer away, and receipts that wait for it.
#[test]
fn a_signer_that_is_away_is_told_everywhere() {
    let mut node = Node::start();
    // It was seen at work, and has nothing to sign when it ends.
    over(&node, Subsystem::Signing);
    node.kill_signer();
    told(&node, Subsystem::Signing);
    node.start_signer();
    over(&node, Subsystem::Signing);
}

/// Health: the disk is full to what is set aside.
#[test]
fn little_room_is_told_everywhere() {
    let mut node = Node::start();
    let config = node.path("c.toml");
    let before = std::fs::read_to_string(&config).unwrap();
    node.stop_agent();
    // More than any disk has: so little is left.
    std::fs::write(&config, format!("{before}\n[space]\ncritical_bytes = {}\n", u64::MAX >> 1)).unwrap();
    node.start_agent();
    told(&node, Subsystem::Disk);
    node.stop_agent();
    std::fs::write(&config, before).unwrap();
    node.start_agent();
    over(&node, Subsystem::Disk);
}

/// Health: the files of the database are gone.
#[test]
fn a_store_that_fails_is_told_everywhere() {
    let node = Node::start();
    std::fs::remove_file(node.path("data/db/CURRENT")).unwrap();
    // Nobody asks for anything: the row that health asks for finds it.
    told_without_a_log(&node, Subsystem::Store);
}

/// Health: a tenant's log is damaged.
#[test]
fn a_damaged_tenant_is_told_everywhere() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    node.all_signed(a.uid);
    node.stop_agent();
    let limits = SpaceLimits { reserve_bytes: 0, ..SpaceLimits::default() };
    let store = Store::open(&node.path("data/db"), limits).unwrap();
    let family = store.family(PartitionId { tenant: a.uid, epoch: 1 }).unwrap();
    let mut batch = Batch::default();
    batch.put(&family, &Row::Gate.key(), 64);
    store.write(batch).unwrap();
    store.sync().unwrap();
    drop((family, store));
    node.start_agent();
    told(&node, Subsystem::Partitions);
}

/// Health: the node's own log was put back.
#[test]
fn a_node_log_in_doubt_is_told_everywhere() {
    let mut node = Node::start();
    node.all_signed(NODE);
    node.stop_agent();
    let (db, old) = (node.path("data/db"), node.path("old"));
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        assert!(std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    };
    copy(&db, &old);
    node.start_agent();
    node.tenant("acme");
    node.all_signed(NODE);
    node.stop_agent();
    std::fs::remove_dir_all(&db).unwrap();
    copy(&old, &db);
    node.spawn_agent();
    told(&node, Subsystem::NodeLog);
    let kill = ops::KillSet { selector: "*/*".parse().unwrap(), drain: false };
    assert_eq!(node.send(&node.absolute(NODE, kill)).reasons(), ["log_rolled_back"]);
}

/// Readiness and metrics only: without a log nobody can open a session.
fn told_without_a_log(node: &Node, subsystem: Subsystem) {
    let row = subsystem.row();
    let text = wait_for(&format!("{} is told", row.name), 40, || {
        let r = node.client("").once("GET", "/readyz", b"", &[]).ok()?;
        let text = String::from_utf8(r.body.clone()).ok()?;
        (r.status == 503 && text.contains(row.name)).then_some(text)
    });
    assert!(text.contains(row.stops), "{text}");
    assert!(node.metrics().contains(&format!("conductor_subsystem_up{{subsystem=\"{}\"}} 0\n", row.name)));
}
