//! One tenant: quotas, ramps, kill switches, history, log.

use crate::model::Model;
use crate::model::tenants::Row;
use crate::screens::marks::state;
use crate::style::Tone;
use crate::text::format::{count, date, rate, short_count, span};
use crate::widgets::gauge::{gauge, gauge_tone, spark};
use conductor_shared::basis_points::percent;
use conductor_shared::clock::WallTime;
use conductor_shared::control::ControlState;
use conductor_shared::ids::Origin;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use std::fmt::Write as _;
use std::time::Duration;

pub(crate) fn draw(m: &Model, f: &mut Frame<'_>, area: Rect) {
    let look = m.look;
    let Some(row) = m.tenant_row() else {
        let line = Line::styled("  No tenant is selected.", look.style(Tone::Dim));
        return f.render_widget(Paragraph::new(vec![Line::raw(""), line]), area);
    };
    let state = m.state(row.key);
    let head = heading(m, row, state);
    let wide = area.width >= 110;
    let (left, right) = if wide {
        let half = area.width / 2;
        (Rect { width: half, ..area }, Rect { x: area.x + half, width: area.width - half, ..area })
    } else {
        (area, area)
    };
    let mut lines = head;
    lines.extend(quotas(m, row, state));
    let rules = rules(m, state);
    if wide {
        lines.extend(log(m, row));
        let mut beside = vec![Line::raw(""), Line::raw("")];
        beside.extend(rules);
        f.render_widget(Paragraph::new(beside), right);
    } else {
        lines.extend(rules);
        lines.extend(log(m, row));
    }
    f.render_widget(Paragraph::new(lines), left);
}

fn section(m: &Model, name: &str) -> Line<'static> {
    Line::styled(format!("  {name}"), m.look.style(Tone::Title))
}

fn heading(m: &Model, r: &Row, s: Option<&ControlState>) -> Vec<Line<'static>> {
    let look = m.look;
    let (mark, word, tone) = state(look, r);
    let agent = m.agent_of(r.key);
    let mut spans = vec![
        Span::styled(format!("  {mark} "), look.style(tone)),
        Span::styled(r.summary.name.to_string(), look.style(Tone::Title)),
        Span::styled(format!(" {word} "), look.style(tone)),
        Span::styled(
            format!("on {} ", agent.map_or("", crate::model::agent::Agent::name)),
            look.style(Tone::Dim),
        ),
    ];
    if s.is_some_and(|s| s.newer) {
        let text = format!(" {} newer than this console ", look.warn());
        spans.push(Span::styled(text, look.style(Tone::Warn)));
    }
    if !m.fresh(r.key) {
        let age = agent
            .and_then(|a| a.age(m.now))
            .map_or_else(|| "of unknown age".into(), |a| format!("{} old", span(a)));
        spans.push(Span::styled(format!(" {} data {age} ", look.warn()), look.style(Tone::Warn)));
    }
    vec![Line::from(spans), Line::raw("")]
}

fn quotas(m: &Model, r: &Row, s: Option<&ControlState>) -> Vec<Line<'static>> {
    let look = m.look;
    let t = &r.summary;
    let line = |name: &str, used: u64, limit: u64| {
        let mut spans = vec![Span::styled(format!("  {name:<9}"), look.style(Tone::Dim))];
        spans.extend(gauge(look, used, limit, 16));
        let near = gauge_tone(used, limit);
        let tone = if near == Tone::Allow { Tone::Text } else { near };
        spans.push(Span::styled(format!(" {} of {}", count(used), count(limit)), look.style(tone)));
        if near != Tone::Allow {
            let word = if near == Tone::Bad { "  full" } else { "  near its limit" };
            spans.push(Span::styled(word, look.style(near)));
        }
        Line::from(spans)
    };
    let mut out = vec![
        section(m, "Quotas"),
        line("runs", u64::from(t.open_runs), u64::from(t.run_quota)),
        line("steps", u64::from(t.steps_used), u64::from(t.step_burst)),
        line("backlog", t.backlog(), u64::from(t.backlog_quota)),
    ];
    let mut words = format!("  {} steps/s sustained", count(u64::from(t.step_rate)));
    if let Some(s) = s {
        let _ =
            write!(words, ", evidence up to {}", crate::text::format::bytes(s.quotas.evidence_bytes.granted));
    }
    out.push(Line::styled(words, look.style(Tone::Dim)));
    let slots = r.spark.last(m.now.mono, 32);
    let history = |name: &str, which: fn(&(u16, u16)) -> u16, now: f64, total: u64, tone| {
        Line::from(vec![
            Span::styled(format!("  {name:<9}"), look.style(Tone::Dim)),
            Span::styled(spark(look, &slots, which), look.style(tone)),
            Span::raw(format!(" {}/s, {} in all", rate(now), short_count(total))),
        ])
    };
    out.push(section(m, "Answers, last minute"));
    out.push(history("allowed", |c| c.0, r.spark.allow_rate(m.now.mono), t.allowed, Tone::Allow));
    out.push(history("denied", |c| c.1, r.spark.deny_rate(m.now.mono), t.denied, Tone::Deny));
    out
}

fn rules(m: &Model, s: Option<&ControlState>) -> Vec<Line<'static>> {
    let look = m.look;
    let mut out = vec![section(m, "Ramps")];
    let Some(s) = s else {
        out.push(Line::styled("  loading", look.style(Tone::Dim)));
        return out;
    };
    let name = |sel: &dyn std::fmt::Display| format!("{:<22}", sel.to_string());
    for (sel, ramp) in s.ramps.iter().take(12) {
        let tone = if ramp.hundredths < conductor_shared::basis_points::BasisPoints::FULL {
            Tone::Accent
        } else {
            Tone::Text
        };
        let mut spans = vec![Span::styled(format!("  {}", name(sel)), look.style(Tone::Text))];
        let (full, empty) = look.gauge();
        let n = usize::from(ramp.hundredths.get()).div_ceil(1_000).min(10);
        spans.push(Span::styled(full.to_string().repeat(n), look.style(tone)));
        spans.push(Span::styled(empty.to_string().repeat(10 - n), look.style(Tone::Dim)));
        spans.push(Span::styled(format!(" {:>7}", percent(ramp.hundredths)), look.style(tone)));
        let back = format!("  rolls back to {}", percent(ramp.rollback_to()));
        spans.push(Span::styled(back, look.style(Tone::Dim)));
        out.push(Line::from(spans));
    }
    if s.ramps.is_empty() {
        out.push(Line::styled("  none: every subject is included", look.style(Tone::Dim)));
    }
    if !s.kills.is_empty() {
        out.push(section(m, "Kill switches"));
        for (sel, k) in s.kills.iter().take(8) {
            let word = if k.drain { "drains: open runs may finish" } else { "denies new runs and steps" };
            out.push(Line::styled(format!("  {} {}{word}", look.warn(), name(sel)), look.style(Tone::Warn)));
        }
    }
    if !s.pending.is_empty() {
        out.push(section(m, "Waiting for a checkpoint"));
        for p in s.pending.values().take(4) {
            let words = crate::text::wrap::safe(&p.change.join(" "), 60);
            out.push(Line::styled(
                format!("  {} {words}, proposed in {}", look.note(), p.index),
                look.style(Tone::Accent),
            ));
        }
    }
    if !s.incidents.is_empty() {
        out.push(section(m, "Incidents"));
        for i in s.incidents.values().take(4) {
            let words = format!(
                "  {} {} since {}, receipt {}",
                look.bad(),
                i.cause,
                date(WallTime::from_micros(i.since_us)),
                i.index
            );
            out.push(Line::styled(words, look.style(Tone::Bad)));
        }
    }
    out.extend(catalog(m, s));
    out
}

fn catalog(m: &Model, s: &ControlState) -> [Line<'static>; 2] {
    let list: Vec<&str> = s.workflows.iter().take(12).map(conductor_shared::ids::Ident::as_str).collect();
    let more = s.workflows.len().saturating_sub(12);
    let mut words = if list.is_empty() {
        "  no workflow is registered".to_owned()
    } else {
        format!("  {}", list.join(", "))
    };
    if more > 0 {
        let _ = write!(words, " and {more} more");
    }
    [section(m, "Catalog"), Line::styled(words, m.look.style(Tone::Text))]
}

fn log(m: &Model, r: &Row) -> Vec<Line<'static>> {
    let look = m.look;
    let t = &r.summary;
    let dim = look.style(Tone::Dim);
    let mut out = vec![section(m, "Log")];
    let words = |k: &str, v: String, tone| {
        Line::from(vec![Span::styled(format!("  {k:<9}"), dim), Span::styled(v, look.style(tone))])
    };
    out.push(words(
        "entries",
        format!("{}, {} signed, epoch {}", count(t.size), count(t.signed), t.epoch),
        Tone::Text,
    ));
    if t.last_us > 0 {
        out.push(words("newest", date(WallTime::from_micros(t.last_us)), Tone::Text));
    }
    let origin = m.agent_of(r.key).and_then(|a| a.info.as_ref()).map(|i| Origin {
        node: i.node_id,
        tenant: t.tenant,
        epoch: u64::from(t.epoch),
    });
    let pin = origin.and_then(|o| m.pins.get(&o));
    let unproved = m.agent_of(r.key).and_then(|a| a.unproved.get(&t.tenant));
    let (text, tone) = match pin {
        _ if r.forked => (format!("{} forked or shrank: press a", look.bad()), Tone::Bad),
        Some(p) if unproved.is_some() => {
            let (since, overdue) =
                unproved.map_or((Duration::ZERO, false), |u| (m.now.mono - u.since, u.overdue(m.now)));
            let (mark, tone) = if overdue { (look.bad(), Tone::Bad) } else { (look.warn(), Tone::Warn) };
            (format!("{mark} no proof for {}; proved up to {}", span(since), count(p.size)), tone)
        }
        Some(p) if p.signed.is_some() => {
            (format!("{} only grew, proved up to {}, signed", look.ok(), count(p.size)), Tone::Good)
        }
        Some(p) => (format!("{} only grew, proved up to {}", look.ok(), count(p.size)), Tone::Good),
        None => ("not pinned yet".into(), Tone::Dim),
    };
    out.push(words("witness", text, tone));
    out.push(words("uid", t.tenant.to_string(), Tone::Dim));
    out
}
