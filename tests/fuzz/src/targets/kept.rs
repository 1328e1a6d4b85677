//! Files that console and agent keep for themselves, and may find damaged.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use conductor_agent::checkpoint::witness::{FILE, Witness};
use conductor_agent::rows::{
    FoldRow, GateRow, RequestRow, RunRow, SloRow, StepRow, WatchRow, decode, encode,
};
use conductor_agent::store::Row;
use conductor_shared::clock::WallTime;
use conductor_shared::command::Operation;
use conductor_shared::fact::{ActorType, Env, Outcome as Ended};
use conductor_shared::ids::{Ident, NodeId};
use conductor_shared::untrusted::UntrustedText;
use conductor_tui::client::kept;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{KIB_8, SMALL, log, texts};
use crate::corpus::Example;
use crate::target::{Memory, Outcome, Target};

/// Reads a text, writes what was read, and reads that: it is written the same.
fn reread(bytes: &[u8], read: fn(&str) -> Result<String, String>) -> Outcome {
    let Some(written) = std::str::from_utf8(bytes).ok().and_then(|text| read(text).ok()) else {
        return Outcome::Refused;
    };
    assert_eq!(read(&written), Ok(written), "what is written is not what was read");
    Outcome::Read
}

pub(super) const PINS: Target = Target {
    name: "pins",
    reads: "the console's pins: `tui/src/client/pins.rs`",
    law: "what is read survives being written",
    max_len: KIB_8,
    memory: SMALL,
    inputs: 600,
    examples: || {
        let root = "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=";
        let first =
            format!("conductor-pins/v1\nsigner {} RWQKey\nlog {} 7 {root} 1\n", log::NODE, log::ORIGIN);
        let signed =
            format!("{first}log conductor-log/{}/{}/2 0 {root} 5 YQo= Ygo=\n", log::NODE, log::TENANT);
        vec![Example::new("one-log", first), Example::new("signed", signed)]
    },
    read: |bytes| reread(bytes, kept::pins),
};

pub(super) const OUTBOX: Target = Target {
    name: "outbox",
    reads: "commands kept for nodes that are away: `tui/src/client/outbox.rs`",
    law: "what is read survives being written; its command rests on no state",
    max_len: 2 * KIB_8,
    memory: SMALL,
    inputs: 600,
    examples: || {
        let list = ["kill.set", "selector", "run/etl", "drain", "false"].map(str::to_owned);
        let op = Operation::from_list(&list).expect("an operation");
        let command = conductor_shared::command::Command { base: None, ..texts::command(op) };
        let node = |id: NodeId, state: serde_json::Value| serde_json::json!({"node_id": id, "name": "n1", "endpoint": "unix:/run/a.sock", "state": state});
        let receipt = serde_json::json!({"origin": log::ORIGIN, "index": 7});
        let file = |state: serde_json::Value| {
            let signed = serde_json::json!({"text": command.text(), "signature": "s", "public_key": "k"});
            serde_json::json!({"tenant": "acme", "signed": signed, "nodes": [node(log::NODE, state)]})
                .to_string()
        };
        vec![
            Example::new("waiting", file(serde_json::json!({"state": "waiting", "last": "no route"}))),
            Example::new(
                "acknowledged",
                file(serde_json::json!({"state": "acknowledged", "receipt": receipt})),
            ),
            Example::new(
                "refused",
                file(serde_json::json!({"state": "refused", "reasons": ["queue_full"], "why": "w"})),
            ),
        ]
    },
    read: |bytes| reread(bytes, kept::command),
};

pub(super) const NODES: Target = Target {
    name: "nodes",
    reads: "the console's cache of nodes: `tui/src/client/node_cache.rs`",
    law: "what is read survives being written",
    max_len: KIB_8,
    memory: SMALL,
    inputs: 600,
    examples: || {
        let node = serde_json::json!({"node_id": log::NODE, "name": "n1", "seen_us": 1, "tenants": {log::TENANT.to_string(): "acme"}});
        vec![
            Example::new("one", serde_json::json!({"unix:/run/a.sock": node}).to_string()),
            Example::new("none", "{}"),
        ]
    },
    read: |bytes| reread(bytes, kept::nodes),
};

pub(super) const SIGNED_SIZES: Target = Target {
    name: "signed_sizes",
    reads: "the file of what was signed: `agent/src/checkpoint/witness.rs`",
    law: "a line that cannot be read counts as none; one that can contradicts a shorter log",
    max_len: KIB_8,
    memory: Memory { base: 256 << 10, each: 64 },
    inputs: 200,
    examples: || {
        let line = |size: u64| format!("{} {size} {}\n", log::ORIGIN, "ab".repeat(32));
        vec![Example::new("one", line(9)), Example::new("newer", line(9) + &line(12))]
    },
    read: |bytes| {
        let folder = std::env::temp_dir().join(format!("conductor-fuzz-sizes-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a scratch folder");
        let path = folder.join(FILE);
        fs::write(&path, bytes).expect("a scratch file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a file of one's own");
        let witness = Witness::open(&folder);
        let origin = log::ORIGIN;
        let (shorter, other) =
            (witness.contradicts(&origin, 0, &[0; 32]), witness.contradicts(&origin, u64::MAX, &[0; 32]));
        assert!(other.is_none() || shorter.is_some(), "{other:?}");
        Outcome::of(shorter)
    },
};

/// Reads a row; true when it is one.
type Reader = fn(&[u8]) -> bool;

fn survives<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> bool {
    let Ok(row) = decode::<T>(bytes) else { return false };
    assert_eq!(decode::<T>(&encode(&row)).as_ref(), Ok(&row));
    true
}

const KINDS: [Reader; 7] = [
    survives::<RunRow>,
    survives::<StepRow>,
    survives::<RequestRow>,
    survives::<GateRow>,
    survives::<SloRow>,
    survives::<WatchRow>,
    survives::<FoldRow>,
];

/// The first byte is the number of the kind.
pub(super) const ROWS: Target = Target {
    name: "rows",
    reads: "rows kept beside the receipts: `agent/src/rows.rs`",
    law: "what is read survives being written",
    max_len: KIB_8,
    // The decoder sets aside at most a mebibyte for a list of which it has only the length.
    memory: Memory { base: 2 << 20, each: 64 },
    inputs: 600,
    examples: || {
        let run = RunRow {
            workflow: Ident::new("etl").expect("an identifier"),
            env: Env::Production,
            actor: ActorType::Service,
            action: Ident::new("run").expect("an identifier"),
            started: WallTime::from_micros(log::NOW_US),
            started_at: 7,
            steps: 3,
            outcome: Some(Ended::Lost),
            last: 9,
            approvals: vec![([7; 16], 8)],
        };
        let step = StepRow {
            name: UntrustedText::new("load"),
            started: WallTime::from_micros(log::NOW_US),
            outcome: None,
            last: 9,
        };
        let fold =
            FoldRow { first: 1, principal: "uid:7".into(), reasons: vec!["queue_full".into()], count: 3 };
        let rows = [("run", 0, encode(&run)), ("step", 1, encode(&step)), ("fold", 6, encode(&fold))];
        rows.into_iter().map(|(name, kind, row)| Example::new(name, [&[kind][..], &row].concat())).collect()
    },
    read: |bytes| {
        let Some((kind, row)) = bytes.split_first() else { return Outcome::Refused };
        Outcome::of(KINDS.get(usize::from(*kind)).filter(|read| read(row)))
    },
};

pub(super) const ROW_KEYS: Target = Target {
    name: "row_keys",
    reads: "keys of rows in the store: `agent/src/store/format.rs`",
    law: "one encoding",
    max_len: 64,
    memory: SMALL,
    inputs: 600,
    examples: || {
        let (id, day) = ([7; 16], 20_000);
        let rows = [
            ("format", Row::Format),
            ("receipt", Row::Receipt(u64::MAX)),
            ("tile", Row::Tile(1, 2)),
            ("open-run", Row::OpenRun(id)),
            ("late-settle", Row::LateSettle(id, 1)),
            ("request", Row::Request(day, id)),
            ("slot", Row::Slot(1, 2)),
            ("day-key", Row::DayKey(day, 3, 4)),
        ];
        rows.map(|(name, row)| Example::new(name, &row.key()[..])).into()
    },
    read: |bytes| {
        let read = Row::parse(bytes);
        assert!(read.is_none_or(|row| row.key()[..] == *bytes));
        Outcome::of(read)
    },
};
