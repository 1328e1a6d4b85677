//! One node of real processes, tried from the outside.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod node {
    mod admission;
    mod attacks;
    mod clock;
    mod console;
    mod damage;
    mod dual_control;
    mod edge;
    mod evidence;
    mod fail_closed;
    mod freeze;
    mod ground_truth;
    mod health;
    mod history;
    mod identity;
    mod kill;
    mod metrics;
    mod offline;
    mod ofrep;
    mod opa;
    mod openapi;
    mod outage;
    mod platform;
    mod policy;
    mod power;
    mod recover;
    mod roles;
    mod sinks;
    mod slo;
    mod snapshot;
    mod store;
    mod stream;
    mod usage;
    mod verify;
    mod witness;
}
