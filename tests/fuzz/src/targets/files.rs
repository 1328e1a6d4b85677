//! Files that people and other programs write: trust, prices, invoices, configurations, traces.

use std::collections::BTreeSet;
use std::path::Path;

use conductor_agent::node::config::Config;
use conductor_shared::clock::WallTime;
use conductor_shared::cost::{MAX_CARD, MAX_PRICE, RateCard, read_invoice};
use conductor_shared::meter::SLOT_US;
use conductor_shared::verify::{Trust, TrustedKey};
use conductor_tui::replay::plan::TaskGraph;
use conductor_tui::replay::wfformat::read;

use super::{KIB_8, SMALL, assert_same, log};
use crate::corpus::Example;
use crate::target::{Memory, Outcome, Target};

/// The TOML reader keeps spans, keys and errors with the lines that they are about.
const TOML_TAKES: Memory = Memory { base: 256 << 10, each: 512 };

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

pub(super) const TRUST: Target = Target {
    name: "trust_files",
    reads: "trust files: `shared/src/verify.rs`",
    law: "what is read survives being written; a key counts only for its purpose, log and sizes",
    max_len: KIB_8,
    memory: TOML_TAKES,
    inputs: 300,
    examples: || {
        let key = |origin: String, sizes| TrustedKey {
            public_key: "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3".into(),
            purpose: "checkpoint".into(),
            origin,
            sizes,
        };
        let node = format!("conductor-log/{}/", log::NODE);
        let keys = vec![key(log::ORIGIN.to_string(), None), key(node, Some([1, 10]))];
        vec![Example::new("two-keys", toml::to_string(&Trust { keys }).expect("TOML"))]
    },
    read: |bytes| {
        let Some(trust) = text(bytes).and_then(|t| toml::from_str::<Trust>(t).ok()) else {
            return Outcome::Refused;
        };
        // A number above what TOML has is read from other formats only.
        if let Ok(written) = toml::to_string(&trust) {
            assert_same(&trust, toml::from_str(&written).ok());
        }
        for key in trust.keys_for(&log::ORIGIN, 11) {
            let own = key.origin == log::ORIGIN.to_string();
            assert!(key.purpose == "checkpoint" && (own || key.origin.ends_with('/')));
            assert!(key.sizes.is_none_or(|[from, to]| from <= 11 && 11 <= to));
        }
        Outcome::Read
    },
};

const CARD: &str = "# conductor/rate-card/v1\nversion = 1\ncurrency = \"EUR\"\ndecimals = 6\neffective_from = \"2026-10-01T00:00:00Z\"\ncompute_hour = 120000\nstorage_gb_month = 20000\nsigning_million = 500000\n";

pub(super) const RATE_CARDS: Target = Target {
    name: "rate_cards",
    reads: "rate cards: `shared/src/cost.rs`",
    law: "within its bounds; begins at a whole quarter of an hour",
    max_len: MAX_CARD + 512,
    memory: TOML_TAKES,
    inputs: 300,
    examples: || vec![Example::new("card", CARD)],
    read: |bytes| {
        let Some(card) = text(bytes).and_then(|t| RateCard::parse(t).ok()) else { return Outcome::Refused };
        assert!(bytes.len() <= MAX_CARD && card.version > 0 && card.decimals <= 9);
        assert!(
            [card.compute_hour, card.storage_gb_month, card.signing_million].iter().all(|p| *p <= MAX_PRICE)
        );
        let at = card.effective();
        assert!(at < WallTime::MAX && at.as_micros().is_multiple_of(SLOT_US));
        Outcome::Read
    },
};

pub(super) const INVOICES: Target = Target {
    name: "invoices",
    reads: "invoices: `shared/src/cost/invoice.rs`",
    law: "each line stands where the file has it",
    max_len: KIB_8,
    memory: SMALL,
    inputs: 300,
    examples: || {
        let lines =
            "bucket,workflow_type,env,amount\ncompute,etl,production,1250000\r\n\"storage\",ml,staging,-7\n";
        vec![Example::new("invoice", lines), Example::new("with-a-mark", format!("\u{feff}{lines}"))]
    },
    read: |bytes| {
        let Some(text) = text(bytes) else { return Outcome::Refused };
        let Ok(lines) = read_invoice(text) else { return Outcome::Refused };
        let all: Vec<&str> = text.split('\n').collect();
        for line in &lines {
            // A value in quotes may go on over a line end.
            let there = all.get(line.line - 1).expect("a line of the file");
            assert!(there.trim_start_matches('"').starts_with(line.bucket.as_str()), "{line:?} in {there:?}");
        }
        assert!(lines.windows(2).all(|w| w[0].line < w[1].line));
        Outcome::Read
    },
};

const SMALL_CONFIG: &str = "name = \"n1\"\nenvironment = \"e\"\ndata = \"/d\"\nkeys = \"/k\"\nlisten = [\"unix:/run/a.sock\"]\nlisten_operators = [\"unix:/run/o.sock\"]\n[signer]\nsocket = \"/run/s.sock\"\n";

pub(super) const CONFIGS: Target = Target {
    name: "configs",
    reads: "the agent's configuration: `agent/src/node/config.rs`",
    law: "what is read has listeners that can be listened on, and names that can be certified",
    max_len: KIB_8,
    memory: TOML_TAKES,
    inputs: 300,
    examples: || {
        let more = "lease_seconds = 60\nallow_plain = true\n";
        let tables = "uid = 7\n[slo]\nevaluate_ms = 1000\nbake_seconds = 60\n[clock]\ntolerance_ms = 2000\n[[sink]]\nname = \"s\"\nfolder = \"/e\"\nbatch = 10\n[[sink]]\nname = \"t\"\nurl = \"https://h/p\"\nca = \"/c.pem\"\n";
        let full = format!("{more}{SMALL_CONFIG}{tables}").replace(
            "[\"unix:/run/a.sock\"]",
            "[\"unix:/run/a.sock\", \"https://127.0.0.1:1\", \"http://[::1]:2\"]",
        );
        vec![Example::new("small", SMALL_CONFIG), Example::new("full", full)]
    },
    read: |bytes| {
        let parse = |t| Config::parse(Path::new("conductord.toml"), t);
        let Some(config) = text(bytes).and_then(|t| parse(t).ok()) else { return Outcome::Refused };
        let (workloads, operators) = (config.listeners(), config.operators_listeners());
        assert!(workloads.is_ok_and(|l| !l.is_empty()) && operators.is_ok_and(|l| !l.is_empty()));
        assert!(config.names_to_certify().is_ok_and(|names| !names.is_empty()));
        assert!(config.sinks.iter().all(|s| s.check().is_ok()));
        Outcome::Read
    },
};

/// Tasks, files and names are kept, with tables to find them by.
const TRACES_TAKE: Memory = Memory { base: 64 << 10, each: 64 };
/// The project's own traces, whole and broken.
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/wfformat");

pub(super) const TRACES: Target = Target {
    name: "traces",
    reads: "recorded workflows: `tui/src/replay/wfformat.rs`",
    law: "parents are there, once each; the order has every task once; sums are exact",
    max_len: 64 << 10,
    memory: TRACES_TAKE,
    inputs: 300,
    examples: || {
        let mut all = vec![];
        for folder in ["valid", "invalid"] {
            for file in std::fs::read_dir(Path::new(FIXTURES).join(folder)).expect("the fixtures") {
                let path = file.expect("a fixture").path();
                let bytes = std::fs::read(&path).expect("a fixture");
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let whole = read(&bytes).is_ok_and(|w| TaskGraph::new(&w).is_ok());
                if whole && bytes.len() < KIB_8 {
                    all.push(Example::new(name, bytes));
                }
            }
        }
        all
    },
    read: |bytes| {
        let Ok(workflow) = read(bytes) else { return Outcome::Refused };
        let count = workflow.tasks.len();
        for task in &workflow.tasks {
            let parents: BTreeSet<u32> = task.parents.iter().copied().collect();
            assert!(parents.len() == task.parents.len() && parents.iter().all(|p| (*p as usize) < count));
        }
        let sum = |of: fn(&conductor_tui::replay::wfformat::Task) -> u64| {
            workflow.tasks.iter().map(|t| u128::from(of(t))).sum::<u128>()
        };
        let sums = workflow.sums();
        assert_eq!(u128::from(sums.duration_us), sum(|t| t.duration_us));
        assert_eq!(u128::from(sums.bytes_in), sum(|t| t.bytes_in));
        assert_eq!(u128::from(sums.bytes_out), sum(|t| t.bytes_out));
        workflow.notes.iter().for_each(|n| super::assert_shown(n));
        let Ok(graph) = TaskGraph::new(&workflow) else { return Outcome::Refused };
        let order: BTreeSet<u32> = graph.order().into_iter().collect();
        assert_eq!(order.len(), count);
        Outcome::Read
    },
};
