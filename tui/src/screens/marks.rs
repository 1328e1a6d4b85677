//! Marks, words and tones of states that several screens show.

use crate::model::Model;
use crate::model::agent::{Agent, Link};
use crate::model::alarm::Level;
use crate::model::tenants::Row;
use crate::style::{Look, Tone};
use crate::text::format::span;
use crate::text::wrap::safe;
use conductor_shared::stream::{
    FLAG_DRAINING, FLAG_FROZEN, FLAG_KILLED, FLAG_NEWER, FLAG_PENDING, FLAG_QUOTA, FLAG_RAMPED, SignerState,
};
use ratatui::text::{Line, Span};
use std::time::Duration;

/// The most severe state of a row: mark, word, tone.
pub(crate) fn state(look: Look, r: &Row) -> (&'static str, &'static str, Tone) {
    if r.forked {
        (look.bad(), "forked", Tone::Bad)
    } else if r.summary.incidents > 0 {
        (look.bad(), "incident", Tone::Bad)
    } else if r.flag(FLAG_DRAINING) {
        (look.warn(), "draining", Tone::Warn)
    } else if r.flag(FLAG_KILLED) {
        (look.warn(), "killed", Tone::Warn)
    } else if r.flag(FLAG_QUOTA) {
        (look.warn(), "quota", Tone::Warn)
    } else if r.flag(FLAG_FROZEN) {
        (look.note(), "frozen", Tone::Accent)
    } else if r.flag(FLAG_PENDING) {
        (look.note(), "pending", Tone::Accent)
    } else if r.flag(FLAG_NEWER) {
        (look.note(), "newer", Tone::Accent)
    } else if r.flag(FLAG_RAMPED) {
        (look.note(), "ramped", Tone::Text)
    } else {
        (look.ok(), "", Tone::Good)
    }
}

/// The first line of a polled list: what it shows, and which nodes did not answer.
pub(crate) fn heading(m: &Model, what: &str) -> Line<'static> {
    let look = m.look;
    let mut spans = vec![Span::styled(format!("  {}", safe(what, 200)), look.style(Tone::Title))];
    let filter = m.lists.filter(m.screen());
    if !filter.is_empty() {
        spans.push(Span::styled(format!("  /{}", safe(filter, 40)), look.style(Tone::Accent)));
    }
    for (agent, e) in &m.lists.errors {
        let node = m.agents.get(*agent).map_or("", Agent::name);
        spans.push(Span::styled(format!("  {} {node}: {}", look.bad(), safe(e, 60)), look.style(Tone::Bad)));
    }
    Line::from(spans)
}

/// State of a node's connection: mark, words and tone.
pub(crate) fn link(m: &Model, a: &Agent) -> (&'static str, String, Tone) {
    let look = m.look;
    let age = a.age(m.now);
    match &a.link {
        Link::Waiting => (look.lost(), "waits for your key".into(), Tone::Dim),
        Link::Connecting => (look.lost(), "connecting".into(), Tone::Warn),
        Link::Lost { why, retry_at } => {
            let retry = *retry_at - m.now.mono;
            let next = if retry < Duration::from_secs(1) {
                "trying".into()
            } else {
                format!("next try in {}", span(retry))
            };
            let dated = match age {
                Some(age) => format!("lost {} ago", span(age)),
                None => "not reached".into(),
            };
            (look.lost(), format!("{dated}, {next}: {}", safe(why, 60)), Tone::Bad)
        }
        Link::Live if !a.complete => (
            look.lost(),
            format!("{} of {} tenants", a.overview.1.min(a.overview.0), a.overview.0),
            Tone::Warn,
        ),
        Link::Live if a.fresh(m.now) && age.is_some_and(|a| a < Duration::from_secs(2)) => {
            (look.ok(), "live".into(), Tone::Good)
        }
        Link::Live => {
            let old = age.map_or_else(String::new, span);
            (look.warn(), format!("{old} old"), Tone::Warn)
        }
    }
}

/// The signer in a word.
pub(crate) fn signer(s: SignerState) -> (&'static str, Tone) {
    match s {
        SignerState::Up => ("up", Tone::Good),
        SignerState::Locked => ("locked", Tone::Bad),
        SignerState::Down => ("down", Tone::Bad),
        SignerState::Refuses => ("refuses", Tone::Bad),
    }
}

/// Mark and tone of a severity.
pub(crate) fn level(m: &Model, level: Level) -> (&'static str, Tone) {
    match level {
        Level::Bad => (m.look.bad(), Tone::Bad),
        Level::Warn => (m.look.warn(), Tone::Warn),
        Level::Note => (m.look.note(), Tone::Text),
    }
}
