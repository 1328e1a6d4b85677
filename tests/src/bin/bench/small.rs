//! The hot decision, and a frame of the console.

use crate::{Report, median};
use conductor_agent::partition::admission::{AdmissionState, RunRequest, start_run, start_step};
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::clock::MonoTime;
use conductor_shared::command::{Operation, ops};
use conductor_shared::control::ControlState;
use conductor_shared::ids::Ident;
use governor::{Quota, RateLimiter};
use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Instant;

const ROUNDS: usize = 9;
const N: u32 = 100_000;

fn nanos(f: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    f();
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(N)
}

/// All quotas and the ramp against one keyed check of `governor` for each limit.
pub(crate) fn gate(report: &mut Report) {
    let etl = Ident::new("etl").expect("an identifier");
    let ops = [
        Operation::WorkflowRegister(ops::WorkflowRegister { workflow: etl.clone() }),
        Operation::QuotaSet(ops::QuotaSet {
            kind: conductor_shared::quota::QuotaKind::StepRate,
            limit: 1_000_000,
        }),
        Operation::QuotaSet(ops::QuotaSet {
            kind: conductor_shared::quota::QuotaKind::StepBurst,
            limit: 1_000_000,
        }),
        Operation::RampSet(ops::RampSet {
            selector: "run/etl".parse().expect("a selector"),
            hundredths: BasisPoints::saturating(10_000),
        }),
        Operation::RampSet(ops::RampSet {
            selector: "*/ml".parse().expect("a selector"),
            hundredths: BasisPoints::saturating(500),
        }),
    ];
    let control = ops.iter().fold(ControlState::default(), |s, op| s.after(op));
    let million = NonZeroU32::new(1_000_000).expect("not zero");
    let limiters: Vec<_> =
        (0..4).map(|_| RateLimiter::keyed(Quota::per_second(million).allow_burst(million))).collect();
    let key = [7u8; 16];
    let mut gate = AdmissionState::default();
    let begun = Instant::now();
    let mut ours_of = || {
        let request = RunRequest { action: "run", workflow: &etl, subject: b"customer-0001", prompt: None };
        let (a, _) = start_run(&mut gate, &control, &[3; 32], 10, black_box(request));
        gate.open_runs = 0;
        let now = MonoTime::from_micros(1_000_000) + begun.elapsed();
        let (b, _) = start_step(&mut gate, &control, 10, ("run", "etl"), 3, now);
        assert!(a.is_empty());
        black_box(b.is_empty())
    };
    let (mut ours, mut peer) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        ours.push(nanos(|| {
            for _ in 0..N {
                black_box(ours_of());
            }
        }));
        peer.push(nanos(|| {
            for _ in 0..N {
                for l in &limiters {
                    let _ = black_box(l.check_key(black_box(&key)));
                }
            }
        }));
    }
    let (o, p) = (median(ours), median(peer));
    report.line("hot-decision", (o, "ns"), ("governor-4-keyed", p), o / p, "<=3");
    report.note("run start (catalog, open runs, backlog, kill, ramp) and step start (backlog, kill, rate) together; governor: four limits, one key; that an allow allocates nothing is shown by agent/tests/no_allocation.rs");
}

/// A frame of the tenants screen with 10,000 tenants against one with 100.
pub(crate) fn frame(report: &mut Report) {
    let (small, large) = (conductor_tui::bench_model(100), conductor_tui::bench_model(10_000));
    let time = |m: &conductor_tui::Model| {
        let begun = Instant::now();
        for _ in 0..200 {
            let backend = ratatui::backend::TestBackend::new(120, 40);
            let mut terminal = ratatui::Terminal::new(backend).expect("a terminal");
            conductor_tui::draw_frame(&mut terminal, m).expect("drawn");
            black_box(terminal.backend().buffer());
        }
        begun.elapsed().as_secs_f64() * 1e6 / 200.0
    };
    let (mut a, mut b, mut r) = (vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let (s, l) = (time(&small), time(&large));
        a.push(l);
        b.push(s);
        r.push(l / s);
    }
    report.line(
        "frame-10000-tenants",
        (median(a), "us"),
        ("frame-100-tenants", median(b)),
        median(r),
        "<=1.2",
    );
}
