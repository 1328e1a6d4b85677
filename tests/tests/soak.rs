//! A node that holds as many tenants as it may. It takes minutes: `make soak` runs it. That the one too many is refused is
//! tried beside the rule as well.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use conductor_agent::store::MAX_TENANTS;
use conductor_shared::command::ops;
use conductor_shared::ids::{Ident, TenantUid};
use conductor_tests::provision::create_tenants;
use conductor_tests::{Node, wait_for};

/// Invariant 1: the tenant beyond the limit is refused by name, and everybody else goes on being served.
#[test]
fn one_tenant_too_many_is_refused_and_others_are_served() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    let run = node.client(&a.token).start_run(&a, None).decided().run_id;
    node.stop_agent();
    create_tenants(&node, MAX_TENANTS - 1);
    node.spawn_agent();
    wait_for("all are read back", 600, || {
        let r = node.client("").once("GET", "/readyz", b"", &[]).ok()?;
        (r.status == 200).then_some(())
    });
    let more = ops::TenantCreate {
        tenant_uid: TenantUid([0xee; 16]),
        tenant_id: Ident::new("more").expect("a name"),
    };
    assert_eq!(node.send(&node.compose(TenantUid::NODE, more)).reasons(), ["tenants_too_many"]);
    let mut client = node.client(&a.token);
    assert_eq!(client.finish_run(&a, run).status, 200);
    assert_eq!(client.start_run(&a, None).status, 200);
    assert!(
        node.log().contains("tenants_too_many") || !node.log().contains("the store is closed"),
        "{}",
        node.log()
    );
}
