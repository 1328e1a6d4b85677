//! Requests to answers: the signer without its socket.
//!
//! It must never release a signature before the memory of it is durable, and never sign again once there is evidence
//! that the memory went back.

use super::decide::{Step, decide};
use super::keys::{Public, SigningKey};
use super::protocol::{
    Answer, Item, ItemReason, Known, MAX_ITEMS, Nonce, PROTOCOL, Reason, Refusal, State, Status,
};
use super::state::{MAX_ORIGINS, SignerState, StateError};
use crate::platform::files::{self, FileError, Private};
use conductor_shared::checkpoint::{Checkpoint, SignedCheckpoint};
use conductor_shared::ids::Origin;
use rustc_hash::FxHashMap;
use std::path::{Path, PathBuf};

/// File that keeps the evidence of a memory that went back, so that a new start refuses too.
pub const EVIDENCE: &str = "signer.refuses";

#[derive(Debug)]
pub struct Engine {
    dir: PathBuf,
    public: Public,
    key: Option<SigningKey>,
    memory: SignerState,
    /// Evidence that the memory is older than it should be, in words.
    rolled_back: Option<String>,
    signed: u64,
    wrong_passwords: u32,
    unlock_command: String,
}

impl Engine {
    /// With the memory of `public` open, and no key yet.
    pub fn new(
        dir: &Path,
        public: Public,
        memory: SignerState,
        unlock_command: String,
    ) -> Result<Self, FileError> {
        let path = dir.join(EVIDENCE);
        let rolled_back = match files::read(&path, 16 << 10, Private::Owner) {
            Ok(text) => {
                let text = String::from_utf8_lossy(&text);
                Some(conductor_shared::untrusted::escape(text.lines().next().unwrap_or(""), 500))
            }
            Err(FileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        Ok(Self {
            dir: dir.into(),
            public,
            key: None,
            memory,
            rolled_back,
            signed: 0,
            wrong_passwords: 0,
            unlock_command,
        })
    }

    /// Takes the decrypted key. Refuses another key than that of the memory.
    pub fn unlock(&mut self, key: SigningKey) -> Result<(), Refusal> {
        if key.public != self.public {
            let detail = "the secret key is not that of signer.pub: put back the pair that `init` made";
            return Err(Refusal::new(Reason::KeyUnusable, detail));
        }
        self.key = Some(key);
        Ok(())
    }

    /// True when the key is there.
    pub fn unlocked(&self) -> bool {
        self.key.is_some()
    }

    /// Counts a wrong password; returns how many there were.
    pub fn wrong_password(&mut self) -> u32 {
        self.wrong_passwords = self.wrong_passwords.saturating_add(1);
        self.wrong_passwords
    }

    /// The key it signs with.
    pub fn public(&self) -> &Public {
        &self.public
    }

    pub fn status(&self) -> Status {
        let (state, detail) = match self.refusal() {
            Some(r) => (State::Refuses, r.detail),
            None if self.key.is_none() => (State::Locked, "waits for its password".to_owned()),
            None => (State::Ready, String::new()),
        };
        Status {
            state,
            detail,
            unlock_command: if self.key.is_none() { self.unlock_command.clone() } else { String::new() },
            public_key: self.public.base64.clone(),
            key_id: self.public.key_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            memory_id: self.memory.id(),
            origins: self.memory.origins() as u64,
            entries: self.memory.entries(),
            signed: self.signed,
            wrong_passwords: self.wrong_passwords,
        }
    }

    fn refusal(&self) -> Option<Refusal> {
        if let Some(why) = &self.rolled_back {
            return Some(Refusal::new(Reason::MemoryRolledBack, why.clone()));
        }
        self.memory.failed().map(|why| Refusal::new(Reason::MemoryUnwritable, why))
    }

    fn ready(&self) -> Result<&SigningKey, Refusal> {
        if let Some(r) = self.refusal() {
            return Err(r);
        }
        let locked = || Refusal::new(Reason::Locked, format!("locked; run: {}", self.unlock_command));
        self.key.as_ref().ok_or_else(locked)
    }

    pub fn probe(&self, nonce: &Nonce) -> Result<String, Refusal> {
        self.ready()?.probe(nonce).map_err(|e| Refusal::new(Reason::Internal, e.to_string()))
    }

    /// Judges, remembers, signs: in this order, one sync for all.
    pub fn checkpoints(&mut self, items: &[Item]) -> Result<Vec<Answer>, Refusal> {
        if items.len() > MAX_ITEMS {
            let detail =
                format!("{} checkpoints in one request, at most {MAX_ITEMS} are allowed", items.len());
            return Err(Refusal::new(Reason::Malformed, detail));
        }
        self.ready()?;
        for last in items.iter().filter_map(|i| i.last.as_ref()) {
            self.check_memory(last)?;
        }
        let (verdicts, news) = self.decide_all(items);
        if let Err(e) = self.memory.remember(&news) {
            tracing::error!("{e}");
            let unwritable = matches!(e, StateError::Unwritable(_));
            let detail =
                if unwritable { e.to_string() } else { StateError::Unwritable(e.to_string()).to_string() };
            return Err(Refusal::new(Reason::MemoryUnwritable, detail));
        }
        let key = self.ready()?;
        let mut answers = Vec::with_capacity(items.len());
        for (item, verdict) in items.iter().zip(verdicts) {
            let answer = verdict.map(|_| key.checkpoint(&item.checkpoint()));
            answers.push(match answer {
                Err((reason, last)) => Answer::Refused { reason, last },
                Ok(Ok(checkpoint)) => Answer::Signed { checkpoint },
                Ok(Err(e)) => return Err(Refusal::new(Reason::Internal, e.to_string())),
            });
        }
        self.signed += answers.iter().filter(|a| matches!(a, Answer::Signed { .. })).count() as u64;
        Ok(answers)
    }

    /// Judges each item on what the one before it left, and collects what is new.
    #[allow(clippy::type_complexity)] // one verdict an item, and the news; names would say no more
    fn decide_all(
        &self,
        items: &[Item],
    ) -> (Vec<Result<Step, (ItemReason, Option<Known>)>>, Vec<(Origin, Known)>) {
        let mut staged: FxHashMap<Origin, Known> = FxHashMap::default();
        let mut news = Vec::new();
        let mut fresh = 0;
        let mut verdicts = Vec::with_capacity(items.len());
        for item in items {
            let known = staged.get(&item.origin).or_else(|| self.memory.known(&item.origin)).copied();
            let mut verdict = decide(known.as_ref(), item);
            if verdict == Ok(Step::Grow) {
                if known.is_none() && self.memory.origins() + fresh >= MAX_ORIGINS {
                    verdict = Err(ItemReason::TooManyOrigins);
                } else {
                    fresh += usize::from(known.is_none());
                    let now = Known { size: item.size, root: item.root };
                    staged.insert(item.origin, now);
                    news.push((item.origin, now));
                }
            }
            verdicts.push(verdict.map_err(|reason| (reason, known)));
        }
        (verdicts, news)
    }

    /// A checkpoint that verifies under our own key and that the memory does not know: the memory went back.
    fn check_memory(&mut self, last: &SignedCheckpoint) -> Result<(), Refusal> {
        // Cheap first: only one that says something new is worth verifying.
        let Ok(c) = Checkpoint::parse(&last.text) else { return Ok(()) };
        let known = self.memory.known(&c.origin);
        let explained = known.is_some_and(|k| c.size < k.size || (c.size == k.size && c.root == k.root));
        if explained || last.verify(&self.public.base64).is_err() {
            return Ok(());
        }
        let has = known.map_or("nothing".to_owned(), |k| format!("size {}", k.size));
        let why = format!(
            "memory_rolled_back: this key signed {} at size {}, and the memory has {has} of it. Nothing is signed any \
             more; replace the signer by `recover` (docs/guide/signer.md)",
            c.origin, c.size
        );
        tracing::error!("{why}");
        let evidence = format!("{why}\n\n{}\n{}", last.text, last.signature);
        if let Err(e) = files::replace(&self.dir.join(EVIDENCE), evidence.as_bytes()) {
            tracing::error!("the evidence could not be kept: {e}");
        }
        self.rolled_back = Some(why.clone());
        Err(Refusal::new(Reason::MemoryRolledBack, why))
    }

    /// Brings the anchor forward, for a clean stop.
    pub fn stop(&mut self) -> Result<(), StateError> {
        if self.memory.failed().is_some() { Ok(()) } else { self.memory.anchor() }
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
