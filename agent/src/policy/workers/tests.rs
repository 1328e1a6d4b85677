//! Workers under bundles that break the engine, or that do not let it end.

use super::{STUCK, THREADS};
use crate::intake::queue::Queues;
use crate::platform::clock::RealClock;
use crate::policy::{Lookup, Policy, Query, Wanted, about_command};
use conductor_policies::Bundle;
use conductor_shared::clock::Clock;
use conductor_shared::control::ControlState;
use conductor_shared::fail_closed::Class;
use conductor_shared::ids::{Digest, TenantUid};
use conductor_shared::policy::{Freeze, Input, LoadedBundle};
use futures_util::FutureExt as _;
use std::sync::Arc;
use std::time::Duration;

const TENANT: TenantUid = TenantUid([1; 16]);

/// A bundle whose rules go by the operation: one breaks the engine, one does not end, all others are allowed.
fn bundle(revision: u64) -> Bundle {
    let rules = format!(
        "package conductor\n\ndefault allow := false\n\nreasons contains \"r{revision}\" if false\n\nallow if {{\n\tinput.operation == \"breaks\"\n\tstrings.count(input.operation, \"\") == 0\n}}\n\nallow if {{\n\tinput.operation == \"hangs\"\n\tstrings.count(data.conductor.long, data.conductor.nearly) == 0\n}}\n\nallow if input.operation == \"fine\"\n"
    );
    // Compared at each place, to the end: seconds, in which no clock is looked at.
    let (long, nearly) = ("a".repeat(800_000), "a".repeat(400_000) + "b");
    let data = format!("{{\"conductor\": {{\"long\": \"{long}\", \"nearly\": \"{nearly}\"}}}}");
    Bundle::from_files([("main.rego".to_owned(), rules), ("data.json".to_owned(), data)]).unwrap()
}

struct Rig {
    policy: Arc<Policy>,
    clock: Arc<RealClock>,
    runtime: tokio::runtime::Runtime,
}

impl Rig {
    fn start(stuck: Duration) -> Self {
        let clock = Arc::new(RealClock::default());
        let queues = Arc::new(Queues::default());
        let policy = Policy::start_watched(None, Arc::clone(&clock) as Arc<dyn Clock>, &queues, stuck);
        Self { policy, clock, runtime: tokio::runtime::Builder::new_current_thread().build().unwrap() }
    }

    fn load(&self, revision: u64) {
        let bundle = bundle(revision);
        let digest = Digest(bundle.digest());
        self.policy.keep(bundle);
        let expires_at_us = u64::MAX / 2;
        let policy = Some(LoadedBundle { revision, digest, expires_at_us });
        self.policy.follow(&ControlState { policy, ..ControlState::default() });
    }

    /// Asks, waits for the answer, and says it.
    fn ask(&self, operation: &str) -> Lookup {
        let freeze = Freeze { active: false, break_glass: false };
        let input: Input<'_> = about_command(operation, false, ("acme", "default"), freeze);
        self.runtime.block_on(self.policy.prepare(Class::Loosen, Query::of(TENANT, &input)));
        self.policy.lookup(TENANT, &input, self.clock.now(), Wanted { asked: true, ..Wanted::default() })
    }
}

/// A panic costs its own request, every time; workers and other requests go on, it is told, and another bundle ends it.
#[test]
fn a_panic_costs_its_own_request() {
    let rig = Rig::start(STUCK);
    rig.load(1);
    for _ in 0..20 {
        assert_eq!(rig.ask("breaks"), Lookup::Down);
        assert_eq!(rig.ask("fine"), Lookup::Allow);
    }
    let health = rig.policy.health(rig.clock.now());
    assert_eq!((health.workers, health.given_up, health.down.as_str()), (2, 0, ""));
    assert!(health.trouble().contains("bundle 1") && health.trouble().contains("broke down"), "{health:?}");
    assert!(rig.policy.is_broken() && rig.policy.up(rig.clock.now()) && health.evaluated_at.is_some());
    rig.load(2);
    assert!(!rig.policy.is_broken());
    assert_eq!(rig.ask("fine"), Lookup::Allow);
    assert_eq!(rig.policy.health(rig.clock.now()).trouble(), "");
}

/// An evaluation that does not end is answered by a denial, and its thread replaced. It is told, and another bundle ends it.
#[test]
fn an_evaluation_that_does_not_end_is_given_up() {
    let rig = Rig::start(Duration::from_millis(300));
    rig.load(1);
    assert_eq!(rig.ask("hangs"), Lookup::Down);
    let told = rig.policy.health(rig.clock.now()).trouble();
    assert!(told.contains("does not end"), "{told}");
    // On a busy machine an honest evaluation may be given up as well; the next one is not.
    assert!((0..100).any(|_| rig.ask("fine") == Lookup::Allow), "another sits there now");
    assert_eq!(rig.policy.health(rig.clock.now()).workers, 2);
    rig.load(2);
    assert!((0..100).any(|_| rig.ask("fine") == Lookup::Allow));
    assert!(!rig.policy.is_broken());
}

/// Invariant 3: what tightens waits for no evaluation, however long those last that workloads have the engine make.
#[test]
fn what_tightens_waits_for_no_engine() {
    let rig = Rig::start(STUCK);
    rig.load(1);
    let query = |operation: &str| {
        let freeze = Freeze { active: false, break_glass: false };
        Query::of(TENANT, &about_command(operation, false, ("acme", "default"), freeze))
    };
    (0..THREADS).for_each(|_| rig.policy.ask_ahead(query("hangs")));
    let at_once = |class| rig.policy.prepare(class, query("fine")).now_or_never().is_some();
    assert!(at_once(Class::Tighten));
    assert!(!at_once(Class::Loosen), "that waits for its turn");
}
