//! Many tenants at once, put into the database of a node that is stopped.

use crate::Node;
use conductor_agent::health::{Health, Sources};
use conductor_agent::intake::queue::Queues;
use conductor_agent::intake::request::WriterRequest;
use conductor_agent::partition::SNAPSHOT_EVERY;
use conductor_agent::partition::published::Registry;
use conductor_agent::platform::clock::RealClock;
use conductor_agent::platform::random::OsRandom;
use conductor_agent::policy::Policy;
use conductor_agent::rollout::controller::Pace;
use conductor_agent::store::SpaceLimits;
use conductor_agent::writer::{Parts, TightenLimit, Writer};
use conductor_shared::clock::Clock;
use conductor_shared::ids::{Ident, TenantUid};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Creates tenants `t0`, `t1` and so on as bootstrap does, without a command each.
pub fn create_tenants(node: &Node, tenants: usize) {
    let (queues, clock) = (Arc::new(Queues::default()), Arc::new(RealClock::default()));
    let policy = Policy::start(None, Arc::clone(&clock) as Arc<dyn Clock>, &queues);
    let board = Arc::new(Registry::new(node.id, [1; 16]));
    let health = Health::new(Sources {
        board: Arc::clone(&board),
        queues: Arc::clone(&queues),
        policy: Arc::clone(&policy),
        sinks: vec![],
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
    });
    let writer = Writer::open(Parts {
        data: node.path("data"),
        keys: node.path("keys"),
        node_id: node.id,
        limits: SpaceLimits::default(),
        lease: Duration::from_secs(60),
        tighten: TightenLimit { most: usize::MAX, window: Duration::ZERO },
        snapshot_every: SNAPSHOT_EVERY,
        slo: Pace { every: Duration::from_secs(10), bake: Duration::from_secs(3_600) },
        clock_tolerance: Duration::from_secs(2),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        random: Arc::new(OsRandom::default()),
        queues: Arc::clone(&queues),
        board,
        policy,
        health,
        checkpoints: None,
        runtime: None,
    });
    let writer = writer.expect("opens");
    let writer = std::thread::spawn(move || writer.run());
    let named = |i: usize| (provisioned(i), Ident::new(&format!("t{i}")).expect("a name"));
    let (reply, done) = oneshot::channel();
    let list = (0..tenants).map(named).collect();
    queues.push(WriterRequest::CreateTenants(list, reply)).expect("taken");
    done.blocking_recv().expect("answered").expect("created");
    queues.close();
    writer.join().expect("the writer ends");
}

/// The uid of the nth of them.
pub fn provisioned(n: usize) -> TenantUid {
    let mut uid = [7; 16];
    uid[..8].copy_from_slice(&n.to_be_bytes());
    TenantUid(uid)
}
