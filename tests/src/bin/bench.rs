//! `make bench`: one line a measurement, ours beside a peer or a physical limit in the same run, as a ratio; the same as
//! JSON in `bench.json` in the target folder. Interleaved, at least five rounds, median.
//!
//! `bench [name...]` runs only those: gate, policy, frame, provision, ledger (with signing), metering, http, flood; and
//! soak, which runs only when it is named.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a measurement that cannot go on stops"
)]
#![allow(clippy::disallowed_methods, reason = "measuring reads the real clock")]

#[path = "bench/core.rs"]
mod core_bench;
#[path = "bench/doors.rs"]
mod doors_bench;
#[path = "bench/http.rs"]
mod http_bench;
#[path = "bench/load.rs"]
mod load;
#[path = "bench/metering.rs"]
mod metering_bench;
#[path = "bench/policy.rs"]
mod policy_bench;
#[path = "bench/rig.rs"]
mod rig;
#[path = "bench/small.rs"]
mod small_bench;
#[path = "bench/soak.rs"]
mod soak_bench;

use serde_json::{Value, json};

// As conductord has.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The lines of a report, printed as they come and written as JSON at the end.
pub struct Report {
    lines: Vec<Value>,
}

impl Report {
    /// One measurement. `bar` is such as `>=0.3` or `<=3`, for the ratio.
    pub fn line(&mut self, name: &str, ours: (f64, &str), peer: (&str, f64), ratio: f64, bar: &str) {
        let (cmp, bound) = bar.split_at(2);
        let bound: f64 = bound.parse().expect("a number");
        let ok = if cmp == ">=" { ratio >= bound } else { ratio <= bound };
        let (n, unit) = ours;
        let word = if ok { "ok" } else { "short" };
        println!(
            "bench {name} ours={n:.1}{unit} peer={}:{:.1}{unit} ratio={ratio:.2} bar={bar} {word}",
            peer.0, peer.1
        );
        self.lines.push(json!({"name": name, "ours": n, "unit": unit, "peer": peer.0, "peer_value": peer.1,
            "ratio": ratio, "bar": bar, "ok": ok}));
    }
    /// Prints a remark below the last line: what the comparison leaves unequal.
    pub fn note(&self, text: &str) {
        let _ = self;
        println!("      {text}");
    }
}

/// The upper median; 0 for no values.
pub fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v.get(v.len() / 2).copied().unwrap_or(0.0)
}

/// The value that 99 of 100 do not exceed.
pub fn p99(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v.get(v.len() * 99 / 100).or(v.last()).copied().unwrap_or(0.0)
}

fn main() {
    // As conductord does.
    let _ = nix::sys::prctl::set_thp_disable(true);
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|a| a == name);
    let mut report = Report { lines: vec![] };
    if wanted("gate") {
        small_bench::gate(&mut report);
    }
    if wanted("policy") {
        policy_bench::policy(&mut report);
    }
    if wanted("frame") {
        small_bench::frame(&mut report);
    }
    if wanted("provision") {
        core_bench::provision(&mut report);
    }
    if wanted("ledger") {
        core_bench::ledger(&mut report);
    }
    if wanted("metering") {
        metering_bench::metering(&mut report);
    }
    if wanted("http") {
        http_bench::http(&mut report);
    }
    if wanted("flood") {
        http_bench::flood(&mut report);
        doors_bench::doors(&mut report);
    }
    if asked.iter().any(|a| a == "soak") {
        soak_bench::soak(&mut report);
    }
    let out = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| ".".into()) + "/bench.json";
    if let Err(e) = std::fs::write(&out, serde_json::to_vec_pretty(&report.lines).unwrap_or_default()) {
        eprintln!("{out}: {e}");
    }
}
