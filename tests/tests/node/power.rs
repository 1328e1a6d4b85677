//! Power that fails: nothing of what was acknowledged is lost, whatever the disk forgets or tears of what was not synced.

use conductor_shared::command::{Command, ops};
use conductor_shared::ids::CommandId;
use conductor_shared::quota::QuotaKind;
use conductor_tests::acknowledged::Acknowledged;
use conductor_tests::power::{Disk, Unsynced};
use conductor_tests::prng::{Prng, seeded};
use conductor_tests::programs::random;
use conductor_tests::{Node, Tenant, wait_for};
use std::os::unix::process::ExitStatusExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

/// Power losses under load.
const LOSSES: usize = 8;
/// A loss comes within so many moments of syncs after its load began.
const MOMENTS: u64 = 300;
/// Little is set aside, since all of it is copied at each loss.
const SMALL_RESERVE: &str = "[space]\nreserve_bytes = 1048576\n";
/// Open runs that a tenant may have: lowered one by one, it stays far above what is open.
const RUNS: u64 = 100_000;
/// How long a tightening is good for: longer than any machine is busy with one load.
const LIFE_US: u64 = 3_600_000_000;

/// A node on a disk that forgets, agent and signer.
struct Forgetful {
    node: Node,
    disk: Disk,
    dice: Prng,
    acks: Acknowledged,
    /// The lowest quota of open runs of the first tenant that was acknowledged.
    lowered: u64,
}

impl Forgetful {
    fn start() -> Self {
        let mut node = Node::start_after(tempfile::tempdir().unwrap(), SMALL_RESERVE);
        node.stop_agent();
        node.kill_signer();
        let disk = Disk::under(&node.path("disk"), &["data", "keys", "signer"].map(|f| node.path(f)));
        node.env = disk.env_counted();
        node.signer_env = disk.env();
        let mut this = Self { node, disk, dice: seeded(), acks: Acknowledged::default(), lowered: RUNS };
        this.start_again();
        this
    }

    fn start_again(&mut self) {
        self.node.start_signer();
        self.node.start_agent();
    }

    /// A tenant that may do more than it ever does.
    fn tenant(&self, number: usize) -> Tenant {
        let t = self.node.tenant(&format!("t{number}"));
        self.node.command(t.uid, ops::QuotaSet { kind: QuotaKind::ConcurrentRuns, limit: RUNS });
        t
    }

    /// What is left of agent and signer goes, and what was not synced.
    fn lose_power(&mut self) {
        self.node.kill_agent();
        self.node.kill_signer();
        let torn = self.dice.below(2) == 0;
        self.disk.lose_power(if torn { Unsynced::Torn(&mut self.dice) } else { Unsynced::Lost });
    }

    /// Waits until the agent is ready, or until power fails: whether it is ready.
    fn ready_or_dead(&mut self) -> bool {
        let mut agent = self.node.agent.take().unwrap();
        let socket = self.node.socket();
        let ready = wait_for("ready, or dead", 120, || {
            if let Some(ended) = agent.try_wait().unwrap() {
                assert_eq!(ended.signal(), Some(9), "{ended}: {}", self.node.log());
                return Some(false);
            }
            let answer = conductor_tests::Client::new(&socket, "").once("GET", "/readyz", b"", &[]);
            answer.is_ok_and(|r| r.status == 200).then_some(true)
        });
        self.node.agent = Some(agent);
        ready
    }

    /// Workloads and a person ask until power fails.
    fn load(&mut self, tenants: &[Tenant]) {
        let moments = 1 + self.dice.below(MOMENTS);
        let (stop, socket, acks, node) = (AtomicBool::new(false), self.node.socket(), &self.acks, &self.node);
        let limit = ops::QuotaCap { kind: QuotaKind::ConcurrentRuns, limit: 0 };
        let first = node.absolute(tenants[0].uid, limit);
        let first = Command { expires_at_us: first.issued_at_us + LIFE_US, ..first };
        let mut lowered = self.lowered;
        std::thread::scope(|s| {
            for t in tenants {
                let (stop, socket) = (&stop, &socket);
                s.spawn(move || acks.work(socket, t, stop));
            }
            let person = s.spawn(|| tighten(node, acks, &first, &mut lowered));
            self.disk.fail_in(i64::try_from(moments).unwrap());
            person.join().unwrap();
            stop.store(true, Ordering::Relaxed);
        });
        self.lowered = lowered;
        let ended = self.node.agent.take().unwrap().wait().unwrap();
        assert_eq!(ended.signal(), Some(9), "{ended}: {}", self.node.log());
    }

    fn holds(&self, tenants: &[Tenant]) {
        for t in tenants {
            self.acks.is_in_the_log(&self.node, t.uid);
        }
        let quota = self.node.control(tenants[0].uid).quotas.concurrent_runs;
        assert!(quota.granted <= self.lowered, "{} was acknowledged: {quota:?}", self.lowered);
    }
}

/// Lowers the quota one by one until nobody answers any more.
fn tighten(node: &Node, acks: &Acknowledged, first: &Command, lowered: &mut u64) {
    let mut client = node.client("");
    loop {
        let limit = *lowered - 1;
        let operation = ops::QuotaCap { kind: QuotaKind::ConcurrentRuns, limit }.into();
        let command = Command { command_id: CommandId(random()), operation, ..first.clone() };
        let body = node.signed(&command.text()).to_string();
        let Ok(r) = client.once("POST", "/v1/commands", body.as_bytes(), &[]) else { return };
        assert_eq!(r.came_to(), ["effective"], "{r}");
        acks.note(command.tenant, r.outcome().receipt.index);
        *lowered = limit;
    }
}

/// Invariant 1: power fails at moments of syncs, before one took effect or right after it, and all that was not synced is gone
/// or torn: new names as well. Each acknowledged receipt, each tenant and each tightening is there and proves itself.
#[test]
fn what_was_acknowledged_survives_power_losses() {
    let mut f = Forgetful::start();
    let mut tenants = vec![f.tenant(0), f.tenant(1)];
    for loss in 0..LOSSES {
        f.load(&tenants);
        f.lose_power();
        f.start_again();
        f.holds(&tenants);
        // What is new is acknowledged right before the next loss.
        tenants.push(f.tenant(2 + loss));
    }
    let (runs, others) = f.acks.counts();
    println!("{runs} runs and {others} other answers acknowledged over {LOSSES} losses");
    assert!(runs > LOSSES, "the load was real");
    f.node.stop_agent();
    f.node.check();
}

/// Invariant 1: power that fails again and again while the agent starts, each time one moment later, loses nothing either.
#[test]
fn a_start_that_loses_power_is_started_again() {
    let mut f = Forgetful::start();
    let tenants = vec![f.tenant(0), f.tenant(1)];
    f.load(&tenants);
    f.lose_power();
    let mut starts = 0;
    for moment in 1.. {
        f.disk.fail_in(moment);
        f.node.start_signer();
        f.node.spawn_agent();
        if f.ready_or_dead() {
            break;
        }
        starts += 1;
        f.lose_power();
    }
    f.disk.fail_in(0);
    println!("{starts} starts were cut off");
    assert!(starts > 2, "a start syncs");
    f.holds(&tenants);
    f.node.stop_agent();
    f.node.check();
}

/// The test of these tests: on a disk that only says that it synced, what was acknowledged is lost, and this is seen. What
/// the signer remembers tells the agent, which then serves nobody from the log that went back.
#[test]
fn a_disk_that_lies_is_found_out() {
    let mut f = Forgetful::start();
    let tenant = f.tenant(0);
    let (kept, _) = f.node.head(tenant.uid);
    f.node.stop_agent();
    f.node.env = f.disk.env_lying();
    f.node.start_agent();
    let run = f.node.client(&tenant.token).start_run(&tenant, None).decided();
    assert!(run.receipt.index >= kept);
    f.node.all_signed(tenant.uid);
    f.lose_power();
    f.node.env = f.disk.env_counted();
    f.start_again();
    let (size, _) = f.node.head(tenant.uid);
    assert!(size <= run.receipt.index, "{size} receipts: what was not synced is there");
    let denied = wait_for("the agent knows", 60, || {
        let r = f.node.client(&tenant.token).start_run(&tenant, None);
        (r.status != 200).then_some(r)
    });
    assert_eq!(denied.reasons(), ["log_rolled_back"]);
}
