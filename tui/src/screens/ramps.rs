//! Ramp rules of one tenant with their SLO status, and an explanation of the selected one.

use crate::model::{Model, layout, lists};
use crate::screens::marks::heading;
use crate::style::Tone;
use crate::text::format::{count, span};
use crate::text::wrap::safe;
use crate::widgets::table::{Cell, cell, columns, flex, number};
use conductor_shared::basis_points::{BasisPoints, percent};
use conductor_shared::http::SloStatus;
use conductor_shared::ramp::Selector;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};
use std::time::Duration;

/// Columns, left to right, with their widths.
const COLUMNS: &[(&str, u16)] = &[
    ("", 1),
    ("rule", 20),
    ("", 10),
    ("open to", 8),
    ("verdict", 11),
    ("settled", 8),
    ("failed", 7),
    ("p99", 9),
    ("plan", 12),
];
const BAR: usize = 2;
const WITH_BAR: u16 = 110;

pub(crate) fn draw(m: &Model, f: &mut Frame<'_>, area: Rect) {
    let look = m.look;
    let list = layout::list(m);
    let Some(key) = m.subject() else {
        let text = Line::styled("  No tenant is selected: press 2 and mark one.", look.style(Tone::Dim));
        return f.render_widget(Paragraph::new(vec![Line::raw(""), text]), area);
    };
    let name = m.tenants.get(key).map_or_else(String::new, |r| r.summary.name.to_string());
    let node = m.agent_of(key).map_or("", crate::model::agent::Agent::name).to_owned();
    let mut lines = vec![heading(m, &format!("ramps of {name} on {node}"))];
    // Where there is little room the bar goes first: the number beside it says the same.
    let shown: Vec<usize> = (0..COLUMNS.len()).filter(|n| *n != BAR || area.width >= WITH_BAR).collect();
    let mut widths: Vec<u16> = shown.iter().map(|n| COLUMNS[*n].1).collect();
    flex(area.width, &mut widths, 1);
    let head = shown.iter().map(|n| {
        let c = cell(COLUMNS[*n].0, look.style(Tone::Dim));
        Cell { right: (5..=7).contains(n) || *n == 3, ..c }
    });
    lines.push(columns(look, head.collect(), &widths));
    let rules = lists::ramps(m);
    for (n, (s, h, seen)) in
        rules.iter().enumerate().skip(m.lists.cursor.offset).take(usize::from(list.height))
    {
        let here = n == m.lists.cursor.place;
        let cells = row(m, (s, *h, *seen), here, m.fresh(key)).into_iter().enumerate();
        let cells = cells.filter(|(n, _)| shown.contains(n)).map(|c| c.1).collect();
        let line = columns(look, cells, &widths);
        lines.push(if here { line.patch_style(look.style(Tone::Selected)) } else { line });
    }
    if rules.is_empty() {
        let known = m.state(key).is_some();
        let text = if known { "  No rule: every subject is included." } else { "  Loading." };
        lines.push(Line::styled(text, look.style(Tone::Dim)));
    }
    f.render_widget(Paragraph::new(lines), area);
    let below = list.y + list.height;
    let rest = Rect { y: below, height: (area.y + area.height).saturating_sub(below), ..area };
    if let Some((s, h, seen)) = rules.get(m.lists.cursor.place) {
        f.render_widget(Paragraph::new(detail(m, s, *h, *seen)).wrap(Wrap { trim: false }), rest);
    }
}

/// Mark and tone of a verdict; the word stands beside it.
fn verdict(m: &Model, word: &str) -> (&'static str, Tone) {
    match word {
        "healthy" => (m.look.ok(), Tone::Good),
        "breached" => (m.look.bad(), Tone::Bad),
        _ => (m.look.note(), Tone::Dim),
    }
}

fn row(
    m: &Model,
    (s, h, seen): (&Selector, BasisPoints, Option<&SloStatus>),
    here: bool,
    fresh: bool,
) -> Vec<Cell> {
    let look = m.look;
    let base = look.style(if fresh { Tone::Text } else { Tone::Stale });
    let (full, empty) = look.gauge();
    let n = usize::from(h.get()).div_ceil(1_000).min(10);
    let gauge = full.to_string().repeat(n) + &empty.to_string().repeat(10 - n);
    let word = seen.map_or("-", |x| x.verdict.as_str());
    let (mark, tone) = verdict(m, word);
    let tone = if fresh { look.style(tone) } else { base };
    let of = |f: fn(&SloStatus) -> String| seen.map_or_else(|| "-".to_owned(), f);
    let plan =
        seen.and_then(|x| Some(format!("step {} of {}", x.step? + 1, x.plan.as_ref()?.split(' ').count())));
    vec![
        cell(if here { look.pointer() } else { " " }, look.style(Tone::Accent)),
        cell(s.to_string(), base),
        cell(gauge, if fresh { look.style(Tone::Accent) } else { base }),
        number(percent(h), base),
        cell(format!("{mark} {}", word.replace('_', " ")), tone),
        number(of(|x| count(x.settled)), base),
        number(of(|x| count(x.failed)), base),
        number(of(|x| x.p99_us.map_or_else(|| "-".into(), |us| format!("{} ms", us.div_ceil(1_000)))), base),
        cell(plan.unwrap_or_else(|| "-".into()), base),
    ]
}

fn detail(m: &Model, s: &Selector, h: BasisPoints, seen: Option<&SloStatus>) -> Vec<Line<'static>> {
    let look = m.look;
    let line = |name: &str, text: String| {
        Line::from(vec![Span::styled(format!("  {name:<12}"), look.style(Tone::Dim)), Span::raw(text)])
    };
    let mut lines = vec![Line::raw("")];
    let all = |what: &str, part: Option<String>| {
        part.map_or_else(|| format!("any {what}"), |p| format!("{what} {p}"))
    };
    let action = all("action", s.action.as_ref().map(ToString::to_string));
    let workflow = all("workflow", s.workflow.as_ref().map(ToString::to_string));
    lines.push(line("decides for", format!("{action}, {workflow}, unless a more exact rule does")));
    let state = m.subject().and_then(|k| m.state(k));
    if let Some(r) = state.and_then(|c| c.ramps.get(s)) {
        let past: Vec<String> = r.history.iter().rev().take(6).map(|h| percent(*h)).collect();
        let past = if past.is_empty() { "nothing".into() } else { past.join(", ") };
        lines.push(line(
            "revision",
            format!("{}; before: {past}; rolls back to {}", r.revision, percent(r.rollback_to())),
        ));
    }
    // A kill switch that covers any request of this rule.
    let meets = |k: &Selector| {
        (k.action.is_none() || s.action.is_none() || k.action == s.action)
            && (k.workflow.is_none() || s.workflow.is_none() || k.workflow == s.workflow)
    };
    for (k, kill) in state.iter().flat_map(|c| &c.kills).filter(|(k, _)| meets(k)).take(3) {
        let how = if kill.drain { "new runs are denied" } else { "new runs and steps are denied" };
        lines.push(line("killed", format!("{how} by the kill switch {k}")));
    }
    let Some(x) = seen else {
        lines.push(line("seen", "loading".into()));
        return lines;
    };
    lines.extend(watch(x, h).into_iter().map(|(name, text)| line(name, text)));
    lines
}

/// Thresholds of the rule and progress towards a verdict: names and texts.
fn watch(x: &SloStatus, hundredths: BasisPoints) -> Vec<(&'static str, String)> {
    let mut lines = vec![];
    let t = &x.thresholds;
    let p99 = if t.p99_us == 0 { "not watched".into() } else { format!("up to {} ms", t.p99_us / 1_000) };
    lines.push((
        "held to",
        format!(
            "errors up to {}, p99 {p99}, at most {} waiting",
            percent(t.errors_hundredths),
            count(t.backlog)
        ),
    ));
    let baked = if x.up_us >= x.bake_us {
        "over".into()
    } else {
        format!("{} of {}", span(Duration::from_micros(x.up_us)), span(Duration::from_micros(x.bake_us)))
    };
    lines.push((
        "healthy at",
        format!("{} settled of {} and the bake over; it is {baked}", count(x.settled), count(t.min_settled)),
    ));
    if let Some(plan) = &x.plan {
        let steps: Vec<String> = plan
            .split(' ')
            .enumerate()
            .map(|(n, s)| if Some(n as u64) == x.step { format!("[{s}]") } else { s.to_owned() })
            .collect();
        lines.push(("plan", safe(&steps.join(" "), 300)));
    }
    if let Some(bad) = x.rolled_back_from.filter(|b| *b > hundredths) {
        let text = format!("{}: there again by conductor ramp override only", percent(bad));
        lines.push(("fell from", text));
    }
    lines
}
