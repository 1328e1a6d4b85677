//! Alarms, which stay until somebody acknowledges them, and sentences about what needs attention now.

use crate::model::Model;
use crate::text::format::{bytes, span};
use crate::text::wrap::safe;
use conductor_shared::clock::WallTime;
use conductor_shared::control::ControlState;
use conductor_shared::health::Subsystem;
use conductor_shared::ids::TenantUid;
use conductor_shared::stream::{NodeHealth, SignerState};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Note,
    Warn,
    Bad,
}

/// Something that must not be missed. Stays on the screen until acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alarm {
    /// Log or node concerned, escaped.
    pub(crate) subject: String,
    /// What was seen, escaped.
    pub(crate) what: String,
    /// When, by this machine's clock.
    pub(crate) at: WallTime,
    pub(crate) acknowledged: bool,
    /// A restore with citation, not a fork.
    pub(crate) note: bool,
}

/// A sentence about the present state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attention {
    pub(crate) level: Level,
    pub(crate) agent: usize,
    pub(crate) text: String,
    /// A filter that shows the tenants concerned.
    pub(crate) filter: &'static str,
}

/// Everything that needs attention now, most severe first.
pub(crate) fn attention(m: &Model) -> Vec<Attention> {
    let mut out = vec![];
    for (agent, a) in m.agents.iter().enumerate() {
        let mut say = |level, text: String, filter| out.push(Attention { level, agent, text, filter });
        if a.states.get(&TenantUid::NODE).is_some_and(ControlState::clock_doubted) {
            let text =
                "its clock was stepped: nothing can be loosened until two admins run conductor recover time";
            say(Level::Bad, text.into(), "");
        }
        if let Some(h) = &a.health {
            health(h, &mut say);
        }
        if let Some(longest) = a.unproved.values().filter(|u| u.overdue(m.now)).min_by_key(|u| u.since) {
            let (n, age) = (a.unproved.len(), span(m.now.mono - longest.since));
            let logs = if n == 1 { "a log".to_owned() } else { format!("{n} logs") };
            let why = safe(&longest.why, 60);
            say(Level::Bad, format!("no proof for {age} that {logs} only grew: {why}"), "");
        }
        let c = m.tenants.counts(agent);
        let many = |n: usize, one: &str, more: &str| {
            if n == 1 { format!("1 tenant {one}") } else { format!("{n} tenants {more}") }
        };
        let counted = [
            (Level::Bad, c.incidents, "has an open incident", "have open incidents", "incident"),
            (Level::Warn, c.killed, "has a kill switch set", "have kill switches set", "killed"),
            (Level::Warn, c.quota, "was held back by a quota", "were held back by quotas", "quota"),
            (
                Level::Warn,
                c.newer,
                "has facts newer than the agent",
                "have facts newer than the agent",
                "newer",
            ),
            (Level::Note, c.pending, "has a change that waits", "have changes that wait", "pending"),
            (Level::Note, c.ramped, "is ramped below 100 %", "are ramped below 100 %", "ramped"),
        ];
        for (level, n, one, more, filter) in counted {
            if n > 0 {
                say(level, many(n, one, more), filter);
            }
        }
    }
    out.sort_by_key(|a| std::cmp::Reverse(a.level));
    out
}

/// What the health of a node says.
fn health(h: &NodeHealth, say: &mut impl FnMut(Level, String, &'static str)) {
    match h.signer {
        SignerState::Up => {}
        SignerState::Locked => {
            say(Level::Bad, "the signer is locked: conductor-signer unlock".into(), "");
        }
        SignerState::Down => {
            say(Level::Bad, "the signer is down: tightening works, nothing can be loosened".into(), "");
        }
        SignerState::Refuses => {
            say(Level::Bad, "the signer refuses: its memory and the log disagree".into(), "");
        }
    }
    if let Some(us) = h.admissions_stop_us {
        let when = span(Duration::from_micros(us));
        say(Level::Bad, format!("at this rate admissions stop in {when}: unsigned backlog"), "");
    } else if h.backlog_age_us > 10_000_000 {
        let age = span(Duration::from_micros(h.backlog_age_us));
        say(Level::Warn, format!("the oldest unsigned receipt is {age} old"), "");
    }
    for t in &h.troubles {
        // The signer has its own line, and a stepped clock too.
        let told = (t.subsystem == Subsystem::Signing.row().name && h.signer != SignerState::Up)
            || t.subsystem == Subsystem::Clock.row().name;
        if !told {
            let (name, detail, stops) = (safe(&t.subsystem, 20), safe(&t.detail, 60), safe(&t.stops, 60));
            say(Level::Bad, format!("{name}: {detail}; it stops {stops}"), "");
        }
    }
    if h.disk_free < 1 << 30 {
        let free = bytes(h.disk_free);
        say(Level::Warn, format!("{free} of disk are left"), "");
    }
}
