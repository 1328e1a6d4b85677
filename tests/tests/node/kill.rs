//! kill -9 at random moments: no acknowledged receipt is lost, none cannot be verified, and rows and counts equal a
//! recount.

use conductor_shared::command::ops;
use conductor_shared::quota::QuotaKind;
use conductor_tests::acknowledged::Acknowledged;
use conductor_tests::prng::seeded;
use conductor_tests::{Node, wait_for};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Kills in one run of the test. More with `CONDUCTOR_KILLS`.
const KILLS: u64 = 50;

/// Invariants 1 and 5: what was answered before a kill, at whatever moment, is there after it.
#[test]
fn kill_at_random_moments_loses_nothing() {
    let kills: u64 = std::env::var("CONDUCTOR_KILLS").ok().and_then(|k| k.parse().ok()).unwrap_or(KILLS);
    let mut dice = seeded();
    let mut moment = move || Duration::from_micros(dice.below(120_000));
    let mut node = Node::start();
    let tenants = [node.tenant("acme"), node.tenant("bolt"), node.tenant("coil")];
    for t in &tenants {
        node.command(t.uid, ops::QuotaSet { kind: QuotaKind::ConcurrentRuns, limit: 100_000 });
    }
    let acks = Acknowledged::default();
    let socket = node.socket();
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        for i in 0..6 {
            let (t, socket, stop, acks) = (&tenants[i % 3], &socket, &stop, &acks);
            s.spawn(move || acks.work(socket, t, stop));
        }
        for k in 0..kills {
            std::thread::sleep(moment());
            node.kill_agent();
            if k % 10 == 9 {
                // Between two starts the rows are compared with the receipts.
                node.check();
            }
            node.start_agent();
        }
        let before = acks.counts().1;
        wait_for("work goes on", 60, || (acks.counts().1 > before + 100).then_some(()));
        stop.store(true, Ordering::Relaxed);
    });
    let (runs, others) = acks.counts();
    println!("{runs} runs and {others} other answers acknowledged over {kills} kills");
    assert!(runs as u64 > kills, "the load was real");
    for t in &tenants {
        acks.is_in_the_log(&node, t.uid);
    }
    node.stop_agent();
    node.check();
}
