//! Parts of dialogs: the frame, what it is about, fields and buttons.

use crate::model::Model;
use crate::model::confirmation::Target;
use crate::model::input::TextInput;
use crate::style::Tone;
use crate::text::format::span;
use crate::text::wrap::fit;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};
use unicode_width::UnicodeWidthStr as _;

/// A frame in the middle; gives the area inside.
pub(super) fn frame(
    m: &Model,
    f: &mut Frame<'_>,
    title: &str,
    tone: Tone,
    size: (u16, u16),
    lines: Vec<Line<'_>>,
) -> Rect {
    let (w, h) = (size.0.min(m.size.0), size.1.min(m.size.1));
    let area = Rect { x: (m.size.0 - w) / 2, y: (m.size.1 - h) / 3, width: w, height: h };
    let look = m.look;
    let title = Span::styled(fit(title, usize::from(w.saturating_sub(4)), look.more()), look.style(tone));
    let block = Block::bordered()
        .border_set(look.border())
        .border_style(look.style(if tone == Tone::Bad { Tone::Bad } else { Tone::Dim }))
        .title(title);
    let inside = block.inner(area);
    f.render_widget(Clear, area);
    f.render_widget(block, area);
    let inside = Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside };
    f.render_widget(Paragraph::new(lines), inside);
    inside
}

/// A frame as high as its lines.
pub(super) fn boxed(
    m: &Model,
    f: &mut Frame<'_>,
    title: &str,
    tone: Tone,
    width: u16,
    lines: Vec<Line<'_>>,
) -> Rect {
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
    frame(m, f, title, tone, (width, height), lines)
}

/// What an act is about: tenant, node, environment. Nothing that changes anything is shown without it.
pub(super) fn about(m: &Model, t: &Target) -> Line<'static> {
    let look = m.look;
    let (env, style) = look.environment(t.environment.as_str());
    Line::from(vec![
        Span::styled(t.name.to_string(), look.style(Tone::Title)),
        Span::raw(" on "),
        Span::styled(t.node.to_string(), look.style(Tone::Title)),
        Span::raw("  "),
        Span::styled(env, style),
    ])
}

/// A sentence when the data are old; tightening goes on, loosening does not.
pub(super) fn staleness(m: &Model, t: &Target) -> Option<Line<'static>> {
    let a = m.agent_of(t.key)?;
    if a.fresh(m.now) {
        return None;
    }
    let age = a.age(m.now).map_or_else(|| "unknown".into(), span);
    let text = format!("{} What you see is {age} old. Tightening works on old data.", m.look.warn());
    Some(Line::styled(text, m.look.style(Tone::Warn)))
}

pub(super) fn cursor(f: &mut Frame<'_>, inside: Rect, line: usize, lead: usize, input: &TextInput) {
    let before: String = input.text().chars().take(input.at()).collect();
    let x = u16::try_from(lead + before.width()).unwrap_or(u16::MAX);
    let y = u16::try_from(line).unwrap_or(u16::MAX);
    if y < inside.height {
        f.set_cursor_position((inside.x + x.min(inside.width.saturating_sub(1)), inside.y + y));
    }
}

pub(super) fn field(
    m: &Model,
    name: &str,
    input: &TextInput,
    focus: bool,
    hidden: bool,
    width: usize,
) -> Line<'static> {
    let look = m.look;
    let text = if hidden { "*".repeat(input.text().chars().count()) } else { input.text().to_owned() };
    // The end of a long line is what is being typed.
    let skip = text.chars().count().saturating_sub(width.saturating_sub(1));
    let text: String = text.chars().skip(skip).collect();
    let pad = " ".repeat(width.saturating_sub(text.width()));
    let style = if focus { look.style(Tone::Field) } else { look.style(Tone::Dim) };
    Line::from(vec![
        Span::styled(format!("{name:<12} "), look.style(if focus { Tone::Key } else { Tone::Dim })),
        Span::styled(format!("{text}{pad}"), style),
    ])
}

pub(super) fn button(m: &Model, name: &str, focus: bool, style: Style) -> Span<'static> {
    if focus {
        let s = m.look.style(Tone::Selected).patch(style);
        Span::styled(format!("[ {name} ]"), s.add_modifier(Modifier::REVERSED))
    } else {
        Span::styled(format!("[ {name} ]"), style)
    }
}
