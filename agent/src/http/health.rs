//! Health of the node for consoles and metrics: sums over the published views, and rates over the last ten seconds.

use crate::health::Health;
use crate::partition::published::{PartitionCell, Registry};
use conductor_shared::clock::{MonoTime, Now, SECOND_US, micros};
use conductor_shared::http::NodeInfo;
use conductor_shared::stream::NodeHealth;
use conductor_shared::untrusted::escape;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(10);

#[derive(Clone, Copy)]
struct Sample {
    mono: MonoTime,
    allowed: u64,
    denied: u64,
    backlog: u64,
}

/// Samples of the last ten seconds.
#[derive(Default)]
pub struct Rates(Mutex<VecDeque<Sample>>);

impl Rates {
    fn note(&self, s: Sample) -> Option<(Sample, f64)> {
        let mut all = self.0.lock();
        // At most five samples a second, however many consoles poll.
        if all.back().is_none_or(|l| s.mono >= l.mono + Duration::from_millis(200)) {
            all.push_back(s);
        }
        while all.len() > 2 && all.front().is_some_and(|f| f.mono + WINDOW < s.mono) {
            all.pop_front();
        }
        let first = *all.front()?;
        let seconds = (s.mono - first.mono).as_secs_f64();
        (seconds > 0.0).then_some((first, seconds))
    }
}

/// Whom the health of a node is for.
pub(super) enum Audience {
    /// Whoever may know what all tenants do in sum.
    Node,
    /// A person of some tenants: sums are over these alone, and there are no rates.
    Of(Vec<Arc<PartitionCell>>),
}

pub(super) fn node_health(
    (board, health): (&Registry, &Health),
    info: &NodeInfo,
    now: Now,
    rates: &Rates,
    audience: Audience,
) -> NodeHealth {
    let (all, rates) = match audience {
        Audience::Node => (board.all(), Some(rates)),
        Audience::Of(cells) => (cells, None),
    };
    let (mut backlog, mut open_runs, mut allowed, mut denied) = (0, 0, 0, 0);
    let mut age = Duration::ZERO;
    // The tenant nearest to its backlog quota, as (unsigned, quota).
    let mut nearest: Option<(u64, u64)> = None;
    for s in &all {
        let v = s.view.load();
        backlog += v.backlog();
        open_runs += v.open_runs;
        allowed += v.allowed;
        denied += v.denied;
        age = age.max(v.unsigned_since.map_or(Duration::ZERO, |t| now.mono - t));
        let quota = v.control.quotas.receipt_backlog.granted;
        let left = |(b, q): (u64, u64)| q.saturating_sub(b);
        if v.backlog() > 0 && nearest.is_none_or(|n| left((v.backlog(), quota)) < left(n)) {
            nearest = Some((v.backlog(), quota));
        }
    }
    let (signer, detail) = board.signer();
    let mut troubles = health.troubles();
    if rates.is_none() {
        // What was found may name tenants.
        for t in &mut troubles {
            t.detail.clear();
        }
    }
    let receipts = match rates {
        Some(_) => board.receipts.load(std::sync::atomic::Ordering::Relaxed),
        None => all.iter().map(|cell| cell.view.load().size()).sum(),
    };
    let sample = Sample { mono: now.mono, allowed, denied, backlog };
    let (mut allow_rate, mut deny_rate, mut stop) = (0.0, 0.0, None);
    if let Some((first, seconds)) = rates.and_then(|r| r.note(sample)) {
        let per = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
        (allow_rate, deny_rate) = (per(allowed, first.allowed), per(denied, first.denied));
        let growth = per(backlog, first.backlog);
        if let Some((b, quota)) = nearest
            && signer != conductor_shared::stream::SignerState::Up
            && growth > 0.0
        {
            let left = quota.saturating_sub(b) as f64 / growth * SECOND_US as f64;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // bounded right here
            let us = left.clamp(0.0, 1e15) as u64;
            stop = Some(us);
        }
    }
    NodeHealth {
        node_id: info.node_id,
        name: info.name.clone(),
        now_us: now.wall.as_micros(),
        node_seq: board.node_seq(),
        signer,
        signer_detail: escape(&detail, 300),
        troubles,
        backlog,
        backlog_age_us: micros(age),
        admissions_stop_us: stop,
        allow_rate,
        deny_rate,
        receipts,
        tenants: all.iter().filter(|cell| !cell.id.tenant.is_node()).count() as u64,
        open_runs,
        disk_free: board.store.load().as_ref().map_or(0, |s| s.disk_free()),
    }
}
