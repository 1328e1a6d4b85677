//! What a sink tells the API, metrics and health.

use super::config::SinkConfig;
use conductor_shared::clock::{WallTime, micros};
use conductor_shared::http::SinkStatus;
use conductor_shared::ids::{Ident, PartitionId};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Tenants that are named in one line.
const NAMED: usize = 3;

/// A sink and its state.
pub struct Sink {
    pub config: SinkConfig,
    pub(super) delivered: AtomicU64,
    pub(super) failures: AtomicU64,
    measured: Mutex<Measured>,
    trouble: Mutex<Trouble>,
}

/// Sums over the tenants, as of the last look.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Measured {
    pub dead_letters: u64,
    pub waiting: u64,
    /// Receipt time of the oldest receipt that is not delivered.
    pub oldest: Option<WallTime>,
}

struct Trouble {
    /// Why it cannot be opened; empty when it is open.
    unopened: String,
    /// Deliveries fail, whoever's they are.
    fails: bool,
    /// Tenants whose events wait, and why.
    tenants: BTreeMap<PartitionId, (Ident, String)>,
}

impl Sink {
    pub fn new(config: SinkConfig) -> Self {
        let trouble =
            Trouble { unopened: "it is not open yet".into(), fails: false, tenants: BTreeMap::new() };
        Self {
            config,
            delivered: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            measured: Mutex::default(),
            trouble: Mutex::new(trouble),
        }
    }

    pub fn status(&self, now: WallTime) -> SinkStatus {
        let measured = *self.measured.lock();
        let t = self.trouble.lock();
        SinkStatus {
            name: self.config.name.clone(),
            target: self.config.target(),
            delivers: t.unopened.is_empty() && !t.fails,
            delivered: self.delivered.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            dead_letters: measured.dead_letters,
            waiting_receipts: measured.waiting,
            lag_us: measured.oldest.map_or(0, |oldest| micros(now - oldest)),
            tenants_held: t.tenants.len() as u64,
            trouble: t.text(),
        }
    }

    pub(super) fn measure(&self, measured: Measured) {
        *self.measured.lock() = measured;
    }

    /// Whether it is open, and why not.
    pub(super) fn note_open(&self, opened: Result<(), String>) {
        let why = opened.err().unwrap_or_default();
        let mut t = self.trouble.lock();
        if t.unopened != why {
            if why.is_empty() {
                tracing::info!("sink {} is open", self.config.name);
            } else {
                tracing::warn!("sink {}: not delivering: {why}", self.config.name);
            }
            t.unopened = why;
        }
    }

    /// A tenant's events wait.
    pub(super) fn note_held(&self, tenant: (PartitionId, &Ident), why: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut t = self.trouble.lock();
        let held = t.tenants.insert(tenant.0, (tenant.1.clone(), why.to_owned()));
        if held.is_none_or(|(_, before)| before != why) {
            tracing::warn!("sink {}: {}: {why}", self.config.name, tenant.1);
        }
    }

    /// A tenant's events are delivered.
    pub(super) fn note_delivered(&self, tenant: (PartitionId, &Ident)) {
        if self.trouble.lock().tenants.remove(&tenant.0).is_some() {
            tracing::info!("sink {} delivers events of {}", self.config.name, tenant.1);
        }
    }

    /// Whether all deliveries fail.
    pub(super) fn note_fails(&self, fails: bool) {
        self.trouble.lock().fails = fails;
    }

    /// Forgets all tenants but these.
    pub(super) fn retain(&self, known: impl Fn(&PartitionId) -> bool) {
        self.trouble.lock().tenants.retain(|id, _| known(id));
    }
}

impl Trouble {
    fn text(&self) -> String {
        if !self.unopened.is_empty() {
            return format!("not delivering: {}", self.unopened);
        }
        let named = self.tenants.values().take(NAMED).map(|(name, why)| format!("{name}: {why}"));
        let mut text = named.collect::<Vec<_>>().join("; ");
        if self.tenants.len() > NAMED {
            text += &format!("; and {} tenants more", self.tenants.len() - NAMED);
        }
        if self.fails && !text.is_empty() {
            text = format!("not delivering: {text}");
        }
        text
    }
}
