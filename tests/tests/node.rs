//! One node of real processes, tried from the outside.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod node {
    mod attacks;
    mod clock;
    mod console;
    mod decide;
    mod freeze;
    mod history;
    mod kill;
    mod law;
    mod months;
    mod offline;
    mod ofrep;
    mod opa;
    mod outage;
    mod persons;
    mod policy;
    mod prove;
    mod recover;
    mod sinks;
    mod slo;
    mod store;
    mod stream;
    mod surroundings;
    mod usage;
}
