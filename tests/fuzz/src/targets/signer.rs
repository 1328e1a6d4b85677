//! The signer's protocol, both ways, its frames, and the bytes of its memory.

use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use conductor_agent::signer::protocol::{
    Answer, Item, ItemReason, Known, MAX_PASSWORD, MAX_PROOF, Nonce, Reason, Refusal, Request, Response,
};
use conductor_agent::signer::state_format::{Anchor, Header, SLOT, encode_entry, scan};
use conductor_agent::signer::wire::{Deadline, WireError, read_frame};
use conductor_shared::checkpoint::SignedCheckpoint;

use super::{KIB_8, SMALL, assert_same, log};
use crate::corpus::Example;
use crate::target::{Memory, Outcome, Target};

fn json<T: serde::Serialize>(of: &T) -> Vec<u8> {
    serde_json::to_vec(of).expect("JSON")
}

fn checkpoint() -> SignedCheckpoint {
    SignedCheckpoint { text: "a\n".into(), signature: "b\n".into() }
}

/// Hashes are read as texts first.
const REQUESTS_TAKE: Memory = Memory { base: 64 << 10, each: 64 };

pub(super) const REQUESTS: Target = Target {
    name: "signer_requests",
    reads: "what the signer is asked: `agent/src/signer/protocol.rs`",
    law: "what is read survives being written; proofs and passwords are within their bounds",
    max_len: 64 << 10,
    memory: REQUESTS_TAKE,
    inputs: 600,
    examples: || {
        let item = |proof_from, last| Item {
            origin: log::ORIGIN,
            size: 7,
            root: [1; 32],
            proof_from,
            proof: vec![[2; 32]; 3],
            last,
        };
        let items = vec![item(0, None), item(3, Some(checkpoint()))];
        let asked = [
            ("status", json(&Request::Status {})),
            ("probe", json(&Request::Probe { nonce: Nonce([7; 16]) })),
            ("checkpoints", json(&Request::Checkpoints { items })),
        ];
        let mut all: Vec<Example> = asked.into_iter().map(|(n, b)| Example::new(n, b)).collect();
        all.push(Example::new("unlock", r#"{"ask":"unlock","password":"p\u0000\u00e9"}"#));
        all
    },
    read: |bytes| {
        let Ok(request) = serde_json::from_slice::<Request>(bytes) else { return Outcome::Refused };
        match &request {
            Request::Checkpoints { items } => assert!(items.iter().all(|i| i.proof.len() <= MAX_PROOF)),
            Request::Unlock { password } => assert!(password.reveal().len() <= MAX_PASSWORD),
            Request::Status {} | Request::Probe { .. } => {}
        }
        // It has no equality: a password is not to be compared.
        let written = json(&request);
        let again = serde_json::from_slice::<Request>(&written).expect("what it wrote itself");
        assert_eq!(json(&again), written);
        Outcome::Read
    },
};

pub(super) const ANSWERS: Target = Target {
    name: "signer_answers",
    reads: "what the signer answers: `agent/src/signer/protocol.rs`",
    law: "what is read survives being written",
    max_len: 64 << 10,
    memory: REQUESTS_TAKE,
    inputs: 600,
    examples: || {
        let last = Some(Known { size: 9, root: [1; 32] });
        let answers = vec![
            Answer::Signed { checkpoint: checkpoint() },
            Answer::Refused { reason: ItemReason::Forked, last },
        ];
        let said = [
            ("checkpoints", Response::Checkpoints { answers }),
            ("probed", Response::Probed { signature: "s".into() }),
            ("unlocked", Response::Unlocked {}),
            ("refused", Response::Refused(Refusal::new(Reason::Locked, "unlock it"))),
        ];
        let mut all: Vec<Example> = said.iter().map(|(n, r)| Example::new(*n, json(r))).collect();
        all.push(Example::new(
            "status",
            r#"{"answer":"status","state":"ready","detail":"","unlock_command":"","public_key":"k","key_id":"i","version":"0.1.0","protocol":1,"memory_id":"m","origins":1,"entries":2,"signed":3,"wrong_passwords":0}"#,
        ));
        all
    },
    read: |bytes| {
        let Ok(answer) = serde_json::from_slice::<Response>(bytes) else { return Outcome::Refused };
        assert_same(&answer, serde_json::from_slice(&json(&answer)).ok());
        Outcome::Read
    },
};

/// Longest frame that is taken here, bytes: what a socket holds without a reader.
const FRAME: usize = 4 << 10;

pub(super) const FRAMES: Target = Target {
    name: "signer_frames",
    reads: "frames on the signer's socket: `agent/src/signer/wire.rs`",
    law: "the announced bytes or none; no more memory than came",
    max_len: FRAME + 64,
    memory: Memory { base: 16 << 10, each: 8 },
    inputs: 300,
    examples: || {
        let frame = |body: &[u8]| {
            let length = u32::try_from(body.len()).expect("short");
            [&length.to_be_bytes()[..], body].concat()
        };
        vec![
            Example::new("status", frame(br#"{"ask":"status"}"#)),
            Example::new("longest", frame(&[b'x'; FRAME])),
        ]
    },
    read: |bytes| {
        let (mut from, mut to) = UnixStream::pair().expect("a pair of sockets");
        from.write_all(bytes).expect("room in a socket");
        from.shutdown(Shutdown::Write).expect("an open socket");
        // Far more than it takes: nothing is waited for, since the other side is done.
        match read_frame(&mut to, FRAME, Deadline::after(Duration::from_secs(60))) {
            Ok(body) => {
                let length = u32::try_from(body.len()).expect("short");
                assert_eq!([&length.to_be_bytes()[..], &body].concat(), bytes[..4 + body.len()]);
                Outcome::Read
            }
            Err(WireError::TimedOut) => panic!("it waits for what never comes"),
            Err(_) => Outcome::Refused,
        }
    },
};

const OF: Header = Header { id: [9; 16], key: [4; 32], before: 10, made_with: 2 };

/// A memory file or the anchor beside it, whichever the bytes begin as.
pub(super) const MEMORY: Target = Target {
    name: "signer_memory",
    reads: "what the signer remembers, and its anchor: `agent/src/signer/state_format.rs`",
    law: "what is read has one spelling; an entry that was edited is torn off or told, never believed",
    max_len: KIB_8,
    memory: SMALL,
    inputs: 600,
    examples: || {
        let entry =
            |n: u64, place| encode_entry(&OF.id, &log::ORIGIN, &Known { size: n, root: [7; 32] }, n, place);
        let whole =
            [OF.encode().to_vec(), entry(11, 0).into(), entry(12, 1).into(), entry(13, 0).into()].concat();
        let anchor = Anchor { id: OF.id, key: OF.key, entries: 13 };
        vec![
            Example::new("torn", &whole[..whole.len() - 9]),
            Example::new("whole", whole),
            Example::new("anchor", anchor.encode()),
        ]
    },
    read: |bytes| {
        if let Some(anchor) = std::str::from_utf8(bytes).ok().and_then(Anchor::decode) {
            assert_eq!(anchor.encode().as_bytes(), bytes);
            return Outcome::Read;
        }
        let Some(header) = Header::decode(bytes) else { return Outcome::Refused };
        assert_eq!(header.encode(), bytes[..SLOT]);
        let Ok(found) = scan(&header, bytes) else { return Outcome::Refused };
        assert_eq!(SLOT * (found.entries.len() + 1) + found.torn, bytes.len());
        if header == OF {
            assert!(
                found.entries.iter().all(|(o, k)| *o == log::ORIGIN && k.root == [7; 32] && k.size <= 13)
            );
        }
        Outcome::Read
    },
};
