//! How policy is: whether it answers, by whom, and what went wrong. One reading for all who tell it.

use super::{Loaded, Policy};
use conductor_shared::clock::{MonoTime, Now, WallTime};
use conductor_shared::record::PolicyVersion;
use parking_lot::Mutex;
use std::time::Duration;

/// The state of policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The bundle in force.
    pub version: PolicyVersion,
    /// When it is over; never for the one built in.
    pub expires_at: Option<WallTime>,
    /// `embedded` or `opa`.
    pub engine: &'static str,
    /// Why it answers nobody; empty when it does.
    pub down: String,
    /// What it did to the engine, and when first: some requests have no answer until another bundle is loaded.
    pub broken: Option<(WallTime, String)>,
    /// When an engine last evaluated something under this bundle, for somebody or as a probe, and whether that is too
    /// long ago.
    pub evaluated_at: Option<WallTime>,
    pub silent: bool,
    /// Threads that evaluate, and those that were given up because their evaluation does not end.
    pub workers: usize,
    pub given_up: usize,
}

impl Health {
    /// What people are told; empty when there is nothing to tell.
    pub fn trouble(&self) -> String {
        match (&self.broken, self.down.is_empty(), self.silent) {
            (_, false, _) => self.down.clone(),
            (Some((_, why)), true, _) => {
                format!("bundle {} leaves some requests without an answer: {why}", self.version.revision)
            }
            (None, true, true) => format!("nothing was evaluated for {} s", SILENT.as_secs()),
            (None, true, false) => String::new(),
        }
    }
}

/// Probes come more often than this.
const SILENT: Duration = Duration::from_secs(60);

#[derive(Clone, Default)]
struct Last {
    evaluated: Option<Now>,
    broken: Option<(WallTime, String)>,
}

/// What is seen of a bundle while it is in force.
#[derive(Default)]
pub(super) struct Seen(Mutex<Last>);

impl Seen {
    pub(super) fn evaluated(&self, at: Now) {
        self.0.lock().evaluated = Some(at);
    }

    /// It broke an engine. What is told is the first time.
    pub(super) fn broke(&self, at: WallTime, why: &str) {
        self.0.lock().broken.get_or_insert_with(|| (at, why.to_owned()));
    }

    pub(super) fn is_broken(&self) -> bool {
        self.0.lock().broken.is_some()
    }
}

impl Policy {
    /// How policy is now.
    pub fn health(&self, now: Now) -> Health {
        let loaded = self.loaded.load();
        let Last { evaluated, broken } = loaded.seen.0.lock().clone();
        let (workers, given_up) = self.workers.count();
        Health {
            version: loaded.version,
            expires_at: loaded.ends.map(|e| e.0),
            engine: if self.remote.is_some() { "opa" } else { "embedded" },
            down: self.why_down(&loaded, now).unwrap_or_default(),
            broken,
            evaluated_at: evaluated.map(|at| at.wall),
            silent: evaluated.is_some_and(|at| now.mono >= at.mono + SILENT),
            workers,
            given_up,
        }
    }

    pub fn up(&self, now: Now) -> bool {
        self.why_down(&self.loaded.load(), now).is_none()
    }

    /// The bundle in force broke an engine: whoever replaces it does not depend on its answer.
    pub fn is_broken(&self) -> bool {
        self.loaded.load().seen.is_broken()
    }

    pub(super) fn why_down(&self, loaded: &Loaded, now: Now) -> Option<String> {
        if let Err(e) = &loaded.engine {
            return Some(e.clone());
        }
        let over = |(wall, mono): (WallTime, MonoTime)| now.wall >= wall || now.mono >= mono;
        if loaded.ends.is_some_and(over) {
            return Some(format!("bundle {} has expired; load a newer one", loaded.version.revision));
        }
        if self.workers.count().0 == 0 {
            return Some("no thread is left that evaluates: load another bundle".to_owned());
        }
        self.trouble.lock().clone()
    }
}
