//! Messages of the stream, both ways, and the summaries in its binary frames.

use conductor_shared::basis_points::BasisPoints;
use conductor_shared::control::{At, ControlState};
use conductor_shared::http::ReceiptJson;
use conductor_shared::ids::Ident;
use conductor_shared::stream::{FromConsole, MAX_FRAME, Resume, Summary, ToConsole, VERSION};
use conductor_shared::verify;

use super::{KIB_8, SMALL, assert_same, log};
use crate::corpus::Example;
use crate::target::{Memory, Outcome, Target};

/// A state is many small maps.
const STATES_TAKE: Memory = Memory { base: 1 << 20, each: 512 };
/// A state with a value of every kind, which the encoding of states is tested by.
const STATE: &str = include_str!("../../../../shared/src/control/canonical/full-state.json");

fn json<T: serde::Serialize>(message: &T) -> Vec<u8> {
    serde_json::to_vec(message).expect("JSON")
}

pub(super) const TO_CONSOLE: Target = Target {
    name: "to_console",
    reads: "what an agent sends to a console: `shared/src/stream.rs`, `tui/src/client/decode.rs`",
    law: "what is read survives being written; a fact of any receipt can be folded",
    max_len: 64 << 10,
    memory: STATES_TAKE,
    inputs: 200,
    examples: || {
        let state: ControlState = serde_json::from_str(STATE).expect("a state");
        let receipt = Box::new(verify::read(&log::entry(1)).expect("a receipt"));
        let node = r#"{"node_id":"01010101010101010101010101010101","name":"n1","now_us":1,"node_seq":2,"signer":"up","signer_detail":"","troubles":[],"backlog":0,"backlog_age_us":0,"admissions_stop_us":null,"allow_rate":1.5,"deny_rate":0.0,"receipts":3,"tenants":1,"open_runs":0,"disk_free":9}"#;
        let (tenant, node_seq) = (log::TENANT, 9);
        let messages = [
            ("begin", ToConsole::OverviewBegin { tenants: 3 }),
            ("end-of-overview", ToConsole::OverviewEnd),
            ("node", ToConsole::Node(serde_json::from_str(node).expect("health"))),
            ("state", ToConsole::State { tenant, node_seq, state: Box::new(state) }),
            ("fact", ToConsole::Fact { tenant, node_seq, receipt }),
            ("resync", ToConsole::Resync { tenant: None, why: "slow".into() }),
            ("end", ToConsole::End { why: "stopping".into() }),
        ];
        messages.iter().map(|(name, m)| Example::new(*name, json(m))).collect()
    },
    read: |bytes| {
        let Some(message) =
            std::str::from_utf8(bytes).ok().and_then(|t| serde_json::from_str::<ToConsole>(t).ok())
        else {
            return Outcome::Refused;
        };
        match &message {
            // Rates are floats, of which the reader may miss the last bit.
            ToConsole::Node(_) => {}
            ToConsole::Fact { receipt, .. } => fold(receipt),
            _ => {}
        }
        if !matches!(message, ToConsole::Node(_)) {
            assert_same(&message, serde_json::from_slice(&json(&message)).ok());
        }
        Outcome::Read
    },
};

/// As a console does with each receipt that it is sent.
fn fold(receipt: &ReceiptJson) {
    let fact = conductor_tui::client::decode::fact(receipt);
    let at = At { index: receipt.index, time_us: receipt.time_us };
    // A snapshot of another state is refused.
    let _ = ControlState::default().apply_receipt(at, receipt.kind, fact.as_ref());
}

pub(super) const FROM_CONSOLE: Target = Target {
    name: "from_console",
    reads: "what a console sends to an agent: `shared/src/stream.rs`",
    law: "what is read survives being written",
    max_len: KIB_8,
    memory: SMALL,
    inputs: 600,
    examples: || {
        let resume = Resume { boot: "b".into(), node_seq: 7, open: vec![log::TENANT] };
        let messages = [
            ("hello", FromConsole::Hello { version: VERSION, resume: None }),
            ("resume", FromConsole::Hello { version: VERSION, resume: Some(resume) }),
            ("open", FromConsole::Open { tenant: log::TENANT }),
            ("close", FromConsole::Close { tenant: log::TENANT }),
        ];
        messages.iter().map(|(name, m)| Example::new(*name, json(m))).collect()
    },
    read: |bytes| {
        let text = std::str::from_utf8(bytes).ok();
        let Some(message) = text.and_then(|t| serde_json::from_str::<FromConsole>(t).ok()) else {
            return Outcome::Refused;
        };
        assert_same(&message, serde_json::from_slice(&json(&message)).ok());
        Outcome::Read
    },
};

pub(super) const SUMMARIES: Target = Target {
    name: "summaries",
    reads: "binary frames of summaries: `shared/src/stream.rs`",
    law: "what is read survives being written",
    max_len: MAX_FRAME,
    memory: SMALL,
    inputs: 600,
    examples: || {
        let summary = |name: &str, n: u64| Summary {
            tenant: log::TENANT,
            name: Ident::new(name).expect("an identifier"),
            flags: 0x7f,
            ramp: BasisPoints::saturating(1_000),
            size: n,
            root: [4; 32],
            signed: 1,
            last_us: log::NOW_US,
            open_runs: 7,
            run_quota: 8,
            steps_used: 9,
            step_burst: 10,
            step_rate: 11,
            backlog_quota: u32::MAX,
            allowed: u64::MAX,
            denied: 14,
            incidents: 15,
            epoch: 16,
        };
        let mut frame = vec![];
        for s in [summary("a", 0), summary(&"n".repeat(63), u64::MAX)] {
            s.put(&mut frame);
        }
        vec![Example::new("one", &frame[..Summary::LEN]), Example::new("two", frame.clone())]
    },
    read: |bytes| {
        let Ok(all) = Summary::read_all(bytes) else { return Outcome::Refused };
        let mut again = vec![];
        for s in &all {
            s.put(&mut again);
        }
        assert_same(&all, Summary::read_all(&again).ok());
        assert!(all.iter().all(|s| s.backlog() <= s.size));
        Outcome::Read
    },
};
