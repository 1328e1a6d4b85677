//! The ten-minute demo: it runs as it is written, against real processes, without a terminal and without recorded
//! workflows. What cannot be seen from its exit code is looked for in what it prints.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on fails")]

use conductor_tests::bin;
use std::path::Path;
use std::process::Command;

#[test]
fn the_demo_runs_as_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let out = Command::new(root.join("scripts/demo.sh"))
        .env("CONDUCTOR_BIN_DIR", bin("conductor").parent().unwrap())
        .env("CONDUCTOR_WFINSTANCES", scratch.path())
        .env("CONDUCTOR_DEMO_BATCH", "1")
        .env("TMPDIR", scratch.path())
        .stdin(std::process::Stdio::null())
        .output()
        .expect("bash");
    let (said, log) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{}\n{said}\n{log}", out.status);
    // What each step must show: the profile by two persons, allow and deny with reasons, the fall by itself,
    // the incident on the timeline, and receipts that verify.
    for words in [
        "approved: effective",
        "denied: ramp_excluded",
        "run/etl fell from 50 % to 10 % (errors)",
        "run/etl rolled back from 50 % to 10 % (errors)",
        "denied: revision_bad",
        "rollups and receipts agree",
        "total       0.",
        "usage.correct usage for globex: effective",
        "BilledCost,",
        "\"specversion\":\"1.0\"",
        "(exit code 3, as expected)",
        "The demo is done",
    ] {
        assert!(said.contains(words) || log.contains(words), "{words:?} is not in:\n{said}\n{log}");
    }
    // Whether the agent had noticed already that the signer is gone is a matter of moments.
    let gone =
        ["signer_unavailable:", "checkpoint_timeout:"].iter().any(|r| said.contains(r) || log.contains(r));
    assert!(gone, "nothing was denied for want of the signer:\n{said}\n{log}");
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "nothing is left behind");
}
