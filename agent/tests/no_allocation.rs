//! Issue 2, bench (b): the hot decision allocates nothing when it allows. A program of its own, since it counts every
//! allocation.

#![allow(clippy::unwrap_used)] // only tests are here

use conductor_agent::partition::admission::{AdmissionState, RunRequest, start_run, start_step};
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::clock::MonoTime;
use conductor_shared::command::{Operation, ops};
use conductor_shared::control::ControlState;
use conductor_shared::ids::Ident;
use conductor_shared::quota::QuotaKind;
use std::hint::black_box;

#[test]
fn an_allow_allocates_nothing() {
    let etl = Ident::new("etl").unwrap();
    let ops = [
        Operation::WorkflowRegister(ops::WorkflowRegister { workflow: etl.clone() }),
        Operation::QuotaSet(ops::QuotaSet { kind: QuotaKind::StepRate, limit: 1_000 }),
        Operation::RampSet(ops::RampSet {
            selector: "run/etl".parse().unwrap(),
            hundredths: BasisPoints::saturating(10_000),
        }),
        Operation::RampSet(ops::RampSet {
            selector: "*/ml".parse().unwrap(),
            hundredths: BasisPoints::saturating(500),
        }),
    ];
    let control = ops.iter().fold(ControlState::default(), |s, op| s.after(op));
    let mut gate = AdmissionState::default();
    let request = RunRequest { action: "run", workflow: &etl, subject: b"customer-0001", prompt: None };
    let mut decide = || {
        let (run, ramped) = start_run(&mut gate, &control, &[3; 32], 10, black_box(request));
        let (step, _) =
            start_step(&mut gate, &control, 10, ("run", "etl"), 3, MonoTime::from_micros(1_000_000));
        (run.is_empty() && step.is_empty(), ramped.hundredths)
    };
    assert_eq!(decide(), (true, BasisPoints::FULL));
    let count = allocation_counter::measure(|| {
        black_box(decide());
    });
    assert_eq!(count.count_total, 0, "{count:?}");
    // The counter counts.
    assert_eq!(allocation_counter::measure(|| drop(black_box(vec![0u8; 7]))).count_total, 1);
}
