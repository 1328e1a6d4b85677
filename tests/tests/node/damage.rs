//! Rows that cannot be what they are: the partition they stand in is no longer served, and all others are.

use conductor_agent::store::{Batch, Row, SpaceLimits, Store};
use conductor_shared::cause::IncidentCause;
use conductor_shared::ids::{PartitionId, TenantUid};
use conductor_tests::{Client, Node, Tenant, wait_for};

const NODE: TenantUid = TenantUid::NODE;

/// Overwrites a row of a stopped node with zeros.
fn damage(node: &Node, tenant: TenantUid, row: Row) {
    let limits = SpaceLimits { reserve_bytes: 0, ..SpaceLimits::default() };
    let store = Store::open(&node.path("data/db"), limits).unwrap();
    let family = store.family(PartitionId { tenant, epoch: 1 }).unwrap();
    let mut batch = Batch::default();
    batch.put(&family, &row.key(), 64);
    store.write(batch).unwrap();
    store.sync().unwrap();
}

fn damaged(client: &mut Client, tenant: &Tenant) {
    let r = client.start_run(tenant, None);
    assert_eq!((r.status, r.reasons()), (503, vec!["partition_damaged".to_owned()]));
}

fn incidents(node: &Node) -> usize {
    node.control(NODE).incidents.values().filter(|i| i.cause == IncidentCause::PartitionDamaged).count()
}

/// Invariant 1 and Health: a damaged row found at start stops its tenant, is an incident of the node, and stops nobody
/// else.
#[test]
fn a_damaged_row_at_start_stops_its_tenant_only() {
    let mut node = Node::start();
    let (a, b) = (node.tenant("acme"), node.tenant("globex"));
    let mut c = node.client(&a.token);
    assert_eq!(c.start_run(&a, None).status, 200);
    node.all_signed(a.uid);
    node.stop_agent();
    damage(&node, a.uid, Row::Gate);
    node.start_agent();
    damaged(&mut node.client(&a.token), &a);
    assert_eq!(node.client(&b.token).start_run(&b, None).status, 200);
    assert_eq!(incidents(&node), 1);
    let metrics = String::from_utf8(node.client("").get("/metrics").body).unwrap();
    assert!(metrics.contains("conductor_partitions_stopped 1\n"), "{metrics}");
    assert_eq!(node.client("").get("/readyz").status, 200, "the node can still be tightened");
}

/// Invariant 1: a damaged row met while deciding stops its tenant from there on; what was staged of it in the same
/// batch is taken back, others go on without the store being closed.
#[test]
fn a_damaged_row_met_while_serving_stops_its_tenant_only() {
    let mut node = Node::start();
    let (a, b) = (node.tenant("acme"), node.tenant("globex"));
    let mut c = node.client(&a.token);
    let run = c.start_run(&a, None).decided().run_id;
    assert_eq!(c.finish_run(&a, run).status, 200);
    node.all_signed(a.uid);
    node.stop_agent();
    damage(&node, a.uid, Row::EndedRun(run.0));
    node.start_agent();
    let (mut c, mut d) = (node.client(&a.token), node.client(&b.token));
    assert_eq!(c.start_run(&a, None).status, 200, "nobody has met it yet");
    let r = c.finish_run(&a, run);
    assert_eq!((r.status, r.reasons()), (503, vec!["partition_damaged".to_owned()]));
    damaged(&mut c, &a);
    let read = node.operator().get(&format!("/v1/tenants/{}/receipts", a.uid));
    assert_eq!((read.status, read.reasons()), (503, vec!["partition_damaged".to_owned()]));
    assert_eq!(d.start_run(&b, None).status, 200);
    wait_for("the incident", 20, || (incidents(&node) == 1).then_some(()));
    assert!(!node.log().contains("the store is closed"), "{}", node.log());
    assert_eq!(node.client("").get("/readyz").status, 200);
}
