//! Freeze windows on a calendar of the next seven days, and what is frozen or under break-glass.

use crate::model::agent::Agent;
use crate::model::{Model, layout};
use crate::screens::marks::heading;
use crate::style::Tone;
use crate::text::format::span;
use crate::text::wrap::safe;
use crate::widgets::table::{Cell, cell, columns, flex};
use conductor_shared::clock::{WallTime, micros};
use conductor_shared::http::{FreezeRow, ProfileRow, WindowRow};
use jiff::{Timestamp, ToSpan as _};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use std::time::Duration;

const DAYS: usize = 7;
const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn draw(m: &Model, f: &mut Frame<'_>, area: Rect) {
    let look = m.look;
    let list = layout::list(m);
    let mut lines = vec![heading(m, "freeze windows, the next seven days")];
    // Every day has the same number of columns.
    let room = usize::from(area.width).saturating_sub(1 + 1 + 12 + 1 + 12 + 1 + 1);
    let day = (room / DAYS).max(1);
    let strip = u16::try_from(day * DAYS).unwrap_or(u16::MAX);
    let mut widths = vec![1, 12, 12, strip];
    flex(area.width.min(strip + 29), &mut widths, 1);
    lines.push(columns(
        look,
        ["", "profile", "window"]
            .iter()
            .map(|h| cell(*h, look.style(Tone::Dim)))
            .chain([cell(days(m, day), look.style(Tone::Dim))])
            .collect(),
        &widths,
    ));
    let all = m.lists.windows();
    for (n, (agent, p, w)) in
        all.iter().enumerate().skip(m.lists.cursor.offset).take(usize::from(list.height))
    {
        let here = n == m.lists.cursor.place;
        let line = columns(look, row(m, *agent, p, w, here, day), &widths);
        lines.push(if here { line.patch_style(look.style(Tone::Selected)) } else { line });
    }
    if all.is_empty() {
        let answered = !m.lists.freezes.is_empty();
        let text = if answered { "  No profile has a freeze window." } else { "  Loading." };
        lines.push(Line::styled(text, look.style(Tone::Dim)));
    }
    f.render_widget(Paragraph::new(lines), area);
    let below = (list.y + list.height).saturating_sub(1);
    let rest = Rect { y: below, height: (area.y + area.height).saturating_sub(below), ..area };
    let mut under = vec![Line::raw("")];
    if let Some((agent, p, w)) = all.get(m.lists.cursor.place) {
        under.extend(detail(m, *agent, p, w));
    }
    under.extend(frozen(m));
    f.render_widget(Paragraph::new(under), rest);
}

/// Midnight of today, and of each day after it, in the zone of the screen.
fn midnights(m: &Model, now: WallTime) -> Vec<WallTime> {
    let us = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
    let Ok(now) = Timestamp::from_microsecond(us) else { return vec![] };
    let Ok(today) = now.to_zoned(m.zone.clone()).start_of_day() else { return vec![] };
    let each = (0..=DAYS).filter_map(|n| today.checked_add(i64::try_from(n).unwrap_or(0).days()).ok());
    let us = each.filter_map(|z| u64::try_from(z.timestamp().as_microsecond()).ok());
    us.map(WallTime::from_micros).collect()
}

/// Heads of the days: `Mon 23` where there is room.
fn days(m: &Model, width: usize) -> String {
    let Some(now) = m.lists.freezes.values().next().map(|f| WallTime::from_micros(f.now_us)) else {
        return String::new();
    };
    let name = |at: &WallTime| {
        let t = i64::try_from(at.as_micros()).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
        let day = t.map_or_else(String::new, |t| t.to_zoned(m.zone.clone()).strftime("%a %d").to_string());
        let day: String = day.chars().take(width.saturating_sub(1)).collect();
        format!("{day:<width$}")
    };
    midnights(m, now).iter().take(DAYS).map(name).collect()
}

/// One column for each part of a day: whether the window is open in it, and a mark for now.
fn strip(m: &Model, now: WallTime, w: &WindowRow, width: usize) -> String {
    let (full, empty) = m.look.gauge();
    let nights = midnights(m, now);
    let mut out = String::new();
    for (from, to) in nights.iter().zip(nights.iter().skip(1)) {
        let spans = w.when.spans(*from, *to);
        for n in 0..width as u64 {
            let part = |n: u64| *from + Duration::from_micros(micros(*to - *from) * n / width as u64);
            let (a, b) = (part(n), part(n + 1));
            let open = spans.iter().any(|(s, e)| *s < b && a < *e);
            let here = a <= now && now < b;
            out.push(if here {
                '|'
            } else if open {
                full
            } else {
                empty
            });
        }
    }
    out
}

fn row(m: &Model, agent: usize, p: &ProfileRow, w: &WindowRow, here: bool, day: usize) -> Vec<Cell> {
    let look = m.look;
    let node = m.agents.get(agent);
    let fresh = node.is_some_and(|a| a.fresh(m.now));
    let base = look.style(if fresh { Tone::Text } else { Tone::Stale });
    let tone = if w.active && fresh { look.style(Tone::Warn) } else { base };
    let now = m.lists.freezes.get(&agent).map_or(WallTime::EPOCH, |f| WallTime::from_micros(f.now_us));
    vec![
        cell(if here { look.pointer() } else { " " }, look.style(Tone::Accent)),
        cell(p.profile.to_string(), base),
        cell(format!("{}{}", w.window, if w.active { " (on)" } else { "" }), tone),
        cell(strip(m, now, w, day), tone),
    ]
}

/// In the zone of the screen, and in the window's own when that shows another time.
fn moment(m: &Model, at: WallTime, w: &WindowRow) -> String {
    let t = i64::try_from(at.as_micros()).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
    let Some(t) = t else { return format!("{} us", at.as_micros()) };
    let here = t.to_zoned(m.zone.clone()).strftime("%a %Y-%m-%d %H:%M %Z").to_string();
    let there = w.when.local(at);
    if here == there { here } else { format!("{here}  =  {there}") }
}

fn detail(m: &Model, agent: usize, p: &ProfileRow, w: &WindowRow) -> Vec<Line<'static>> {
    let look = m.look;
    let line = |name: &str, text: String| {
        Line::from(vec![Span::styled(format!("  {name:<12}"), look.style(Tone::Dim)), Span::raw(text)])
    };
    let node = m.agents.get(agent).map_or("", Agent::name).to_owned();
    let now = m.lists.freezes.get(&agent).map_or(WallTime::EPOCH, |f| WallTime::from_micros(f.now_us));
    let mut lines = vec![line("window", format!("{} of {} on {node}: {}", w.window, p.profile, w.when))];
    lines.push(line(
        "governs",
        format!("{} logs; {}", p.governs, if w.active { "on now" } else { "off now" }),
    ));
    // Two changes: with the next one, the one after it.
    let first = w.when.next_change(now);
    let changes = [first, first.and_then(|(at, _)| w.when.next_change(at))];
    for (at, opens) in changes.into_iter().flatten() {
        lines.push(line(if opens { "starts" } else { "ends" }, moment(m, at, w)));
    }
    if first.is_none() {
        lines.push(line("next", "it never changes again".into()));
    }
    lines
}

/// What is frozen or under break-glass, on all nodes.
fn frozen(m: &Model) -> Vec<Line<'static>> {
    let look = m.look;
    let mut lines =
        vec![Line::raw(""), Line::styled("  Frozen, or under break-glass", look.style(Tone::Title))];
    let mut any = false;
    for (agent, list) in &m.lists.freezes {
        let node = m.agents.get(*agent);
        let fresh = node.is_some_and(|a| a.fresh(m.now));
        for r in list.tenants.iter().filter(|r| r.frozen || r.break_glass.is_some()) {
            any = true;
            let tone = match (fresh, r.break_glass.is_some()) {
                (false, _) => Tone::Stale,
                (true, true) => Tone::Bad,
                (true, false) => Tone::Warn,
            };
            let mark = if r.break_glass.is_some() { look.bad() } else { look.note() };
            let words = format!(
                "  {mark} {:<20} {}",
                r.tenant_id.to_string(),
                why(m, *agent, r, WallTime::from_micros(list.now_us))
            );
            lines.push(Line::styled(safe(&words, 300), look.style(tone)));
        }
    }
    if !any {
        lines.push(Line::styled("  nothing", look.style(Tone::Dim)));
    }
    lines
}

fn why(m: &Model, agent: usize, r: &FreezeRow, now: WallTime) -> String {
    let mut parts = vec![];
    if let Some(g) = &r.break_glass {
        let age = m.agents.get(agent).and_then(|a| a.age(m.now)).unwrap_or_default().min(DAY);
        let passed = now + age - WallTime::from_micros(g.opened_us);
        let left = Duration::from_secs(g.minutes.saturating_mul(60)).saturating_sub(passed);
        parts.push(format!(
            "break-glass {} (ticket {}), {} left",
            if r.frozen { "lifts it" } else { "open" },
            g.ticket,
            span(left)
        ));
    }
    for (name, f) in &r.freezes {
        let until = f.until_us.map_or_else(
            || "until somebody lifts it".to_owned(),
            |us| format!("{} left", span(WallTime::from_micros(us) - now)),
        );
        parts.push(format!("freeze {name} {until}"));
    }
    parts.push(format!("profile {}", r.profile));
    parts.join("; ")
}
