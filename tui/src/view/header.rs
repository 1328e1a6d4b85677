//! The frame of every screen: tabs and nodes above, filter and keys below.

use crate::model::agent::Agent;
use crate::model::dialog::Layer;
use crate::model::keys::{KeyScope, bindings};
use crate::model::screen::Screen;
use crate::model::{Model, keys, layout, palette};
use crate::screens::marks::{link, signer};
use crate::style::Tone;
use crate::text::wrap::{fit, safe};
use conductor_shared::health::Subsystem;
use conductor_shared::stream::VERSION;
use ratatui::Frame;
use ratatui::layout::{Alignment, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr as _;

/// From this width on each tab has its name.
const WITH_NAMES: u16 = 132;

/// Tabs, then a line for each node.
pub(crate) fn draw(m: &Model, f: &mut Frame<'_>, area: Rect) {
    let look = m.look;
    let mut tabs = vec![Span::styled(" conductor ", look.style(Tone::Title))];
    let main = m.screens.first().copied().unwrap_or(Screen::Overview);
    // Where not all names fit, the other tabs are their keys.
    let names = area.width >= WITH_NAMES;
    for (n, screen) in Screen::MAIN.into_iter().enumerate() {
        let (here, name) = (screen == main, screen.name());
        tabs.push(Span::raw(" "));
        tabs.push(Span::styled(format!("{} ", (n + 1) % 10), look.style(Tone::Key)));
        let (text, tone) = match here {
            true => (format!("[{name}]"), Tone::Title),
            false if names => (format!(" {name} "), Tone::Dim),
            false => continue,
        };
        tabs.push(Span::styled(text, look.style(tone)));
    }
    let here = match m.screen() {
        Screen::Tenant => m.tenant_row().map(|r| r.summary.name.to_string()),
        Screen::Timeline => Some("timeline".to_owned()),
        Screen::Receipt => m.receipts.selected.map(|i| format!("receipt {i}")),
        _ => None,
    };
    if let Some(h) = here {
        tabs.push(Span::styled(format!("  > {h}"), look.style(Tone::Accent)));
    }
    let row = |y| Rect { y: area.y + y, height: 1, ..area };
    let right = right_words(m);
    let left: usize = tabs.iter().map(|s| s.content.width()).sum();
    f.render_widget(Paragraph::new(Line::from(tabs)), row(0));
    if left + right.width() + 2 <= usize::from(area.width) {
        let tone = if m.read_only { Tone::Accent } else { Tone::Dim };
        let line = Line::styled(format!("{right} "), look.style(tone));
        f.render_widget(Paragraph::new(line).alignment(Alignment::Right), row(0));
    }
    let room = usize::from(area.height.saturating_sub(1));
    let first = (m.agent + 1).saturating_sub(room);
    for (n, a) in m.agents.iter().skip(first).take(room).enumerate() {
        let y = u16::try_from(n).unwrap_or(0) + 1;
        node(m, f, a, row(y));
    }
}

fn right_words(m: &Model) -> String {
    let who = m.agents.iter().find_map(|a| a.session.as_ref()).map(|(p, _)| safe(p, 24));
    match (who, m.read_only) {
        (Some(w), true) => format!("{w}, read-only"),
        (Some(w), false) => w,
        (None, true) => "read-only".into(),
        (None, false) => String::new(),
    }
}

fn node(m: &Model, f: &mut Frame<'_>, a: &Agent, area: Rect) {
    let look = m.look;
    let (mark, words, tone) = link(m, a);
    let mut spans = vec![
        Span::raw(" "),
        Span::styled(mark, look.style(tone)),
        Span::raw(" "),
        Span::styled(fit(a.name(), 24, look.more()), look.style(Tone::Title)),
        Span::raw(" "),
    ];
    if let Some(env) = a.environment() {
        let (text, style) = look.environment(env);
        spans.push(Span::styled(text, style));
    }
    let mut rest = format!(" {words}");
    if let Some(h) = &a.health {
        let (s, tone) = signer(h.signer);
        if tone == Tone::Bad {
            spans.push(Span::styled(format!(" {} signer {s}", look.bad()), look.style(Tone::Bad)));
        }
        for t in
            h.troubles.iter().filter(|t| tone != Tone::Bad || t.subsystem != Subsystem::Signing.row().name)
        {
            let name = safe(&t.subsystem, 20);
            spans.push(Span::styled(format!(" {} {name}", look.bad()), look.style(Tone::Bad)));
        }
    }
    if let Some(v) = a.protocol.filter(|v| *v != VERSION) {
        let word = if v > VERSION { "newer" } else { "older" };
        let _ = write!(rest, ", agent speaks {word} protocol {v}, this console {VERSION}");
    } else if let Some(i) = a.info.as_ref().filter(|i| i.version != env!("CARGO_PKG_VERSION")) {
        let _ =
            write!(rest, ", agent {} and console {} differ", safe(&i.version, 20), env!("CARGO_PKG_VERSION"));
    }
    let used: usize = spans.iter().map(|s| s.content.width()).sum();
    let rest = fit(&rest, usize::from(area.width).saturating_sub(used), look.more());
    spans.push(Span::styled(rest, look.style(tone)));
    f.render_widget(Paragraph::new(Line::from(spans)), area);
}

/// The alarm that nobody acknowledged.
pub(crate) fn alarm(m: &Model, f: &mut Frame<'_>, area: Rect) {
    let Some(a) = m.alarms.iter().rev().find(|a| !a.acknowledged) else { return };
    let look = m.look;
    let n = m.ringing();
    let more = if n > 1 { format!(" (and {} more)", n - 1) } else { String::new() };
    let mark = if a.note { look.warn() } else { look.bad() };
    let text = format!(" {mark} {}: {}{more}", a.subject, a.what);
    let tail = "  a: read ";
    let width = usize::from(area.width);
    let text = fit(&text, width.saturating_sub(tail.len()), look.more());
    let pad = " ".repeat(width.saturating_sub(text.width() + tail.len()));
    let style = look.style(Tone::Bad).add_modifier(ratatui::style::Modifier::REVERSED);
    f.render_widget(Paragraph::new(Line::styled(format!("{text}{pad}{tail}"), style)), area);
}

/// The line above the keys: what is typed, what was just done, or the filter that holds.
pub(crate) fn status(m: &Model, f: &mut Frame<'_>, area: Rect) {
    let look = m.look;
    let typed = match m.layers.last() {
        Some(Layer::Palette(p)) => Some((":", &p.input)),
        Some(Layer::Filter(i)) => Some(("/", i)),
        _ => None,
    };
    if let Some((lead, input)) = typed {
        let line = Line::from(vec![
            Span::styled(format!(" {lead}"), look.style(Tone::Key)),
            Span::raw(input.text().to_owned()),
        ]);
        f.render_widget(Paragraph::new(line), area);
        let before: String = input.text().chars().take(input.at()).collect();
        let x = u16::try_from(before.width() + 2).unwrap_or(u16::MAX).min(area.width.saturating_sub(1));
        f.set_cursor_position((area.x + x, area.y));
        if let Some(Layer::Palette(p)) = m.layers.last() {
            completions(m, p, f, area);
        }
        return;
    }
    if let Some(flash) = &m.flash {
        let text = fit(&format!(" {}", flash.text), usize::from(area.width), look.more());
        return f.render_widget(Paragraph::new(Line::styled(text, look.style(Tone::Accent))), area);
    }
    let filter = match m.screen() {
        Screen::Receipts => m.receipts.filter(),
        Screen::Tenants => m.tenants.filter(),
        _ => "",
    };
    if !filter.is_empty() {
        let line = Line::from(vec![
            Span::styled(" filter /", look.style(Tone::Key)),
            Span::raw(filter.to_owned()),
            Span::styled("  esc clears it", look.style(Tone::Dim)),
        ]);
        f.render_widget(Paragraph::new(line), area);
    }
}

fn completions(m: &Model, p: &palette::Palette, f: &mut Frame<'_>, line: Rect) {
    let look = m.look;
    let mut rows: Vec<Line<'static>> = vec![];
    if let Some(e) = &p.error {
        rows.push(Line::styled(format!(" {e}"), look.style(Tone::Warn)));
    }
    for (i, (word, help)) in p.completions(m).into_iter().enumerate() {
        let chosen = p.chosen == Some(i);
        let style = look.style(if chosen { Tone::Selected } else { Tone::Text });
        rows.push(Line::from(vec![
            Span::styled(format!(" {word:<16}"), style),
            Span::styled(help, look.style(Tone::Dim)),
        ]));
    }
    let room = layout::areas(m).body.height.saturating_sub(1);
    let first = p.chosen.map_or(0, |c| (c + 1).saturating_sub(usize::from(room)));
    let rows: Vec<_> = rows.into_iter().skip(first).take(usize::from(room)).collect();
    let height = u16::try_from(rows.len()).unwrap_or(room);
    let width = line.width.min(70);
    let area = Rect { x: 0, y: line.y.saturating_sub(height), width, height };
    f.render_widget(ratatui::widgets::Clear, area);
    f.render_widget(Paragraph::new(rows), area);
}

/// The scopes whose keys the bottom bar shows.
fn scopes(m: &Model) -> &'static [KeyScope] {
    match m.layers.last() {
        Some(Layer::Menu(_)) => return &[KeyScope::Menu],
        Some(_) => return &[],
        None => {}
    }
    keys::scopes(m.screen())
}

/// The active keys, as many as fit.
pub(crate) fn bar(m: &Model, f: &mut Frame<'_>, area: Rect) {
    let look = m.look;
    let fixed: &[(&str, &str)] = match m.layers.last() {
        Some(Layer::Palette(_)) => &[("enter", "do"), ("tab", "complete"), ("esc", "leave")],
        Some(Layer::Filter(_)) => &[("enter", "keep"), ("esc", "clear")],
        Some(Layer::Help(_)) => &[("j k", "scroll"), ("esc", "back")],
        Some(Layer::Waiting(_)) => &[("esc", "stop waiting")],
        Some(Layer::Notice(_)) => &[("enter", "close")],
        Some(Layer::Alarms) => &[("enter", "acknowledge"), ("esc", "back")],
        Some(Layer::Unlock(_)) => &[("enter", "unlock"), ("ctrl-c", "quit")],
        Some(Layer::Confirm(_)) => &[("enter", "confirm"), ("down", "other"), ("esc", "cancel")],
        Some(Layer::Ramp(_)) => &[("enter", "on"), ("down", "other rule"), ("esc", "cancel")],
        Some(Layer::Loosen(_) | Layer::Approve(_)) => {
            &[("tab", "next field"), ("enter", "press"), ("esc", "cancel")]
        }
        Some(Layer::Menu(_)) | None => &[],
    };
    let mut words: Vec<(String, &str)> = fixed.iter().map(|(k, w)| ((*k).to_owned(), *w)).collect();
    words.extend(
        bindings(scopes(m), m.read_only)
            .filter(|b| !b.bar.is_empty() && b.scope != KeyScope::List)
            .filter(|b| !(b.bar == "back" && m.screens.len() < 2))
            .map(|b| (b.keys.split(' ').next().unwrap_or("").to_owned(), b.bar)),
    );
    let mut spans = vec![Span::raw(" ")];
    let mut used = 1;
    for (key, word) in words {
        let len = key.width() + word.width() + 3;
        if used + len > usize::from(area.width) {
            break;
        }
        used += len;
        spans.push(Span::styled(key, look.style(Tone::Key)));
        spans.push(Span::styled(format!(" {word}  "), look.style(Tone::Dim)));
    }
    f.render_widget(Paragraph::new(Line::from(spans)), area);
}
