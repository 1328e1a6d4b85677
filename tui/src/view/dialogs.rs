//! Dialogs over a screen: frames, texts and fields, drawn from the layers of the model.

use crate::model::Model;
use crate::model::confirmation::{Target, object_words};
use crate::model::dialog::approve::Approve;
use crate::model::dialog::loosen::{Loosen, Radius};
use crate::model::dialog::{Confirm, Field, Layer, Notice, RampForm, Unlock, Waiting};
use crate::model::input::Input;
use crate::model::keys::{Scope, bindings};
use crate::style::Tone;
use crate::text::format::{count, span};
use crate::text::wrap::{fit, safe, wrap};
use crate::view::help;
use conductor_shared::basis_points::percent;
use conductor_shared::command::{Operation, ops};
use conductor_shared::fact::ChangeClass;
use conductor_shared::operator::Answer;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};
use unicode_width::UnicodeWidthStr as _;

/// The layers, from the bottom.
pub(crate) fn draw(m: &Model, f: &mut Frame<'_>) {
    for l in &m.layers {
        match l {
            Layer::Palette(_) | Layer::Filter(_) => {}
            Layer::Help(scroll) => {
                let width = m.size.0.min(100);
                let lines = help::text(m, usize::from(width.saturating_sub(4)));
                let lines: Vec<_> = lines.into_iter().skip(usize::from(*scroll)).collect();
                frame(m, f, " Keys ", Tone::Accent, (width, m.size.1.saturating_sub(1)), lines);
            }
            Layer::Menu(t) => menu(m, f, t),
            Layer::Confirm(c) => confirm(m, f, c),
            Layer::Ramp(r) => ramp(m, f, r),
            Layer::Loosen(l) => loosen(m, f, l),
            Layer::Approve(a) => approve(m, f, a),
            Layer::Waiting(w) => waiting(m, f, w),
            Layer::Notice(n) => notice(m, f, n),
            Layer::Unlock(u) => unlock(m, f, u),
            Layer::Alarms => alarms(m, f),
        }
    }
}

/// A frame in the middle; gives the area inside.
fn frame(
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
fn boxed(m: &Model, f: &mut Frame<'_>, title: &str, tone: Tone, width: u16, lines: Vec<Line<'_>>) -> Rect {
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
    frame(m, f, title, tone, (width, height), lines)
}

/// What an act is about: tenant, node, environment. Nothing that changes anything is shown without it.
fn about(m: &Model, t: &Target) -> Line<'static> {
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
fn staleness(m: &Model, t: &Target) -> Option<Line<'static>> {
    let a = m.agent_of(t.key)?;
    if a.fresh(m.now) {
        return None;
    }
    let age = a.age_us(m.now).map_or_else(|| "unknown".into(), span);
    let text = format!("{} What you see is {age} old. Tightening works on old data.", m.look.warn());
    Some(Line::styled(text, m.look.style(Tone::Warn)))
}

fn menu(m: &Model, f: &mut Frame<'_>, t: &Target) {
    let look = m.look;
    let mut lines = vec![about(m, t), Line::raw("")];
    for b in bindings(&[Scope::Menu], m.read_only) {
        lines.push(Line::from(vec![
            Span::styled(format!(" {:<5}", b.keys), look.style(Tone::Key)),
            Span::raw(b.help),
        ]));
    }
    boxed(m, f, " Act ", Tone::Accent, 64, lines);
}

fn confirm(m: &Model, f: &mut Frame<'_>, c: &Confirm) {
    let look = m.look;
    let Some(chosen) = c.choices.get(c.chosen) else { return };
    let mut lines = vec![about(m, &chosen.target), Line::raw("")];
    lines.extend(choices(m, c));
    lines.push(Line::raw(""));
    let y = lines.len();
    if let Some(comment) = &c.comment {
        lines.push(field(m, "comment", comment, true, false, 50));
        let stands = match &chosen.command().operation {
            Operation::IncidentAck(ops::IncidentAck { comment, .. })
            | Operation::IncidentClose(ops::IncidentClose { comment, .. }) => comment.escaped(50),
            _ => String::new(),
        };
        lines.push(Line::styled(
            format!("             the receipt will say: {stands}"),
            look.style(Tone::Dim),
        ));
    }
    lines.extend(staleness(m, &chosen.target));
    if c.elsewhere {
        lines.extend(reach(m, &chosen.target));
    }
    if chosen.target.offline && chosen.command().operation.is_absolute() {
        let text = format!("{} Who cannot be reached gets it later, within a day.", look.warn());
        lines.push(Line::styled(text, look.style(Tone::Warn)));
    }
    let others = if c.choices.len() > 1 { "   up down choose" } else { "" };
    lines.push(Line::from(vec![
        Span::styled("enter", look.style(Tone::Key)),
        Span::raw(" does it now   "),
        Span::styled("esc", look.style(Tone::Key)),
        Span::raw(" cancels"),
        Span::styled(others, look.style(Tone::Dim)),
    ]));
    let inside = boxed(m, f, " Make it safer ", Tone::Accent, 66, lines);
    if let Some(comment) = &c.comment {
        cursor(f, inside, y, 13, comment);
    }
}

/// What can be chosen, the marked one with the state it would change.
fn choices(m: &Model, c: &Confirm) -> Vec<Line<'static>> {
    let look = m.look;
    let mut lines = vec![];
    let first = (c.chosen + 1).saturating_sub(6);
    for (i, a) in c.choices.iter().enumerate().skip(first).take(6) {
        let marked = i == c.chosen;
        let pointer = if marked { look.pointer() } else { " " };
        let style = if marked { look.style(Tone::Title) } else { look.style(Tone::Dim) };
        lines.push(Line::from(vec![
            Span::styled(format!("{pointer} "), look.style(Tone::Accent)),
            Span::styled(a.command().operation.sentence(), style),
        ]));
        if marked && let Some(before) = &a.before {
            let text = format!("    now: {}", object_words(before));
            lines.push(Line::styled(fit(&text, 60, look.more()), look.style(Tone::Dim)));
        }
    }
    if c.choices.len() > 6 {
        lines.push(Line::styled(format!("    {} in all", c.choices.len()), look.style(Tone::Dim)));
    }
    lines
}

/// Which nodes are meant, and the key that changes it.
fn reach(m: &Model, target: &Target) -> [Line<'static>; 2] {
    let look = m.look;
    let nodes = target.nodes();
    let names: Vec<String> = nodes.iter().map(|n| n.1.to_string()).collect();
    let (what, other) = match nodes.len() {
        1 => (format!("on {} only", names.join(", ")), "means all nodes that hold it"),
        n => (format!("on {n} nodes: {}", names.join(", ")), "means this node only"),
    };
    [
        Line::from(vec![Span::raw(fit(&what, 62, look.more()))]),
        Line::from(vec![
            Span::styled("a", look.style(Tone::Key)),
            Span::styled(format!(" {other}"), look.style(Tone::Dim)),
        ]),
    ]
}

fn ramp(m: &Model, f: &mut Frame<'_>, r: &RampForm) {
    let look = m.look;
    let mut lines = vec![about(m, &r.target), Line::raw("")];
    let first = (r.chosen + 1).saturating_sub(8);
    for (i, (sel, now)) in r.rules.iter().enumerate().skip(first).take(8) {
        let marked = i == r.chosen;
        let now = now.map_or_else(|| "no rule".into(), percent);
        let style = look.style(if marked { Tone::Title } else { Tone::Dim });
        lines.push(Line::from(vec![
            Span::styled(if marked { look.pointer() } else { " " }, look.style(Tone::Accent)),
            Span::styled(format!(" {:<30} {now}", sel.to_string()), style),
        ]));
    }
    lines.push(Line::raw(""));
    let y = lines.len();
    lines.push(field(m, "new value %", &r.percent, true, false, 10));
    if let Some(e) = &r.error {
        lines.push(Line::styled(e.clone(), look.style(Tone::Warn)));
    }
    lines.push(Line::styled("down is done at once, up shows its blast radius first", look.style(Tone::Dim)));
    let inside = boxed(m, f, " Set a ramp ", Tone::Accent, 60, lines);
    cursor(f, inside, y, 13, &r.percent);
}

fn cursor(f: &mut Frame<'_>, inside: Rect, line: usize, lead: usize, input: &Input) {
    let before: String = input.text().chars().take(input.at()).collect();
    let x = u16::try_from(lead + before.width()).unwrap_or(u16::MAX);
    let y = u16::try_from(line).unwrap_or(u16::MAX);
    if y < inside.height {
        f.set_cursor_position((inside.x + x.min(inside.width.saturating_sub(1)), inside.y + y));
    }
}

fn field(m: &Model, name: &str, input: &Input, focus: bool, hidden: bool, width: usize) -> Line<'static> {
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

fn button(m: &Model, name: &str, focus: bool, style: Style) -> Span<'static> {
    if focus {
        let s = m.look.style(Tone::Selected).patch(style);
        Span::styled(format!("[ {name} ]"), s.add_modifier(ratatui::style::Modifier::REVERSED))
    } else {
        Span::styled(format!("[ {name} ]"), style)
    }
}

fn loosen(m: &Model, f: &mut Frame<'_>, l: &Loosen) {
    let look = m.look;
    let width = m.size.0.clamp(60, 76);
    let inner = usize::from(width) - 4;
    let op = l.action.as_ref().map_or(&l.operation, |a| &a.command().operation);
    let mut lines = vec![about(m, &l.target), Line::styled(op.sentence(), look.style(Tone::Title))];
    radius(m, &l.radius, inner, &mut lines);
    lines.push(Line::raw(""));
    let name_y = lines.len();
    let room = inner - 14;
    lines.push(field(m, "tenant name", &l.name, l.focus == Field::Name, false, room));
    lines.push(field(m, "why", &l.reason, l.focus == Field::Reason, false, room));
    if let Some(p) = &l.password {
        lines.push(field(m, "password", p, l.focus == Field::Password, true, room));
    }
    lines.push(Line::raw(""));
    let barred = l.lock(m.fresh(l.target.key));
    let yes = if barred.is_some() { look.style(Tone::Dim) } else { look.style(Tone::Bad) };
    lines.push(Line::from(vec![
        button(m, "Cancel", l.focus == Field::Cancel, look.style(Tone::Text)),
        Span::raw("  "),
        button(m, "Loosen", l.focus == Field::Confirm, yes),
    ]));
    let (text, tone) = match (&l.error, barred) {
        (Some(e), _) => (safe(e, 200), Tone::Bad),
        (None, Some(why)) => (why.to_owned(), Tone::Warn),
        (None, None) => ("waits for a signed checkpoint before it takes effect".into(), Tone::Dim),
    };
    lines.push(Line::styled(fit(&text, inner, look.more()), look.style(tone)));
    let inside = boxed(m, f, " This makes something riskier ", Tone::Bad, width, lines);
    let at = match l.focus {
        Field::Name => Some((name_y, &l.name)),
        Field::Reason => Some((name_y + 1, &l.reason)),
        Field::Password => l.password.as_ref().map(|p| (name_y + 2, p)),
        Field::Cancel | Field::Confirm => None,
    };
    if let Some((y, input)) = at {
        cursor(f, inside, y, 13, input);
    }
}

/// What another person asked for, read from the text that waits, and the answer, read from the text that is signed.
fn approve(m: &Model, f: &mut Frame<'_>, a: &Approve) {
    let look = m.look;
    let width = m.size.0.clamp(60, 76);
    let inner = usize::from(width) - 4;
    let approves = a.approval.verdict == Answer::Approve;
    let dim = look.style(Tone::Dim);
    let mut lines = request(m, a, inner);
    lines.push(Line::raw(""));
    let name_y = lines.len();
    if approves {
        lines.push(field(m, "name", &a.name, a.focus == Field::Name, false, inner - 14));
    }
    let password_y = lines.len();
    if let Some(p) = &a.password {
        lines.push(field(m, "password", p, a.focus == Field::Password, true, inner - 14));
    }
    lines.push(Line::raw(""));
    let barred = a.lock(m.fresh(a.target.key));
    let risky = if approves { Tone::Bad } else { Tone::Text };
    let yes = if barred.is_some() { dim } else { look.style(risky) };
    lines.push(Line::from(vec![
        button(m, "Cancel", a.focus == Field::Cancel, look.style(Tone::Text)),
        Span::raw("  "),
        button(m, if approves { "Approve" } else { "Refuse" }, a.focus == Field::Confirm, yes),
    ]));
    let (text, tone) = match (&a.error, barred) {
        (Some(e), _) => (safe(e, 200), Tone::Bad),
        (None, Some(why)) => (why.to_owned(), Tone::Warn),
        (None, None) => ("your key is unlocked for this answer alone".into(), Tone::Dim),
    };
    lines.push(Line::styled(fit(&text, inner, look.more()), look.style(tone)));
    let (title, tone) = if approves {
        (" Approve what another asked for ", Tone::Bad)
    } else {
        (" Refuse a request ", Tone::Accent)
    };
    let inside = boxed(m, f, title, tone, width, lines);
    match (a.focus, &a.password) {
        (Field::Name, _) => cursor(f, inside, name_y, 13, &a.name),
        (Field::Password, Some(p)) => cursor(f, inside, password_y, 13, p),
        _ => {}
    }
}

/// What was asked for, by whom, and what is signed.
fn request(m: &Model, a: &Approve, inner: usize) -> Vec<Line<'static>> {
    let look = m.look;
    let dim = look.style(Tone::Dim);
    let mut lines = vec![about(m, &a.target)];
    lines.push(Line::styled(
        fit(&a.command.operation.sentence(), inner, look.more()),
        look.style(Tone::Title),
    ));
    let room = usize::from(m.size.1).saturating_sub(17).clamp(1, 8);
    let args = a.command.operation.args();
    for (k, v) in args.iter().take(room) {
        lines.push(Line::raw(fit(&format!("  {k} = {}", safe(v, 120)), inner, look.more())));
    }
    if args.len() > room {
        let text = format!("  and {} more: read them with conductor approval show", args.len() - room);
        lines.push(Line::styled(text, look.style(Tone::Warn)));
    }
    lines.push(Line::styled(
        fit(&format!("asked by {}: {}", safe(&a.by, 63), a.command.reason.escaped(200)), inner, look.more()),
        dim,
    ));
    let digest = conductor_shared::ids::hex(&a.approval.command_digest[..8]);
    lines.push(Line::styled(
        format!("digest of its text {digest}..., you sign: {}", a.approval.verdict.as_str()),
        dim,
    ));
    lines
}

fn radius(m: &Model, r: &Radius, width: usize, lines: &mut Vec<Line<'static>>) {
    let look = m.look;
    match r {
        Radius::Loading => {
            lines.push(Line::styled("counting the last hour's requests", look.style(Tone::Dim)));
        }
        Radius::Failed(e) => {
            for l in wrap(&format!("{} no blast radius: {}", look.bad(), safe(e, 160)), width) {
                lines.push(Line::styled(l, look.style(Tone::Bad)));
            }
        }
        Radius::Ready(p, at) => {
            let words = format!("{} {} {}", object_words(&p.before), look.arrow(), object_words(&p.after));
            lines.push(Line::styled(fit(&words, width, look.more()), look.style(Tone::Accent)));
            lines.push(Line::raw(""));
            let age = span(m.now.mono_us.saturating_sub(*at));
            lines.push(Line::from(vec![
                Span::styled("Blast radius", look.style(Tone::Title)),
                Span::styled(
                    format!("  {} run requests in the last hour, counted {age} ago", count(p.requests)),
                    look.style(Tone::Dim),
                ),
            ]));
            let mut said = vec![Span::styled(
                format!("{} newly allowed", count(p.newly_allowed)),
                look.style(if p.newly_allowed > 0 { Tone::Warn } else { Tone::Text }),
            )];
            said.push(Span::raw(format!(", {} newly denied", count(p.newly_denied))));
            if p.open_runs_stopped > 0 {
                said.push(Span::styled(
                    format!(", {} open runs stopped", count(p.open_runs_stopped)),
                    look.style(Tone::Warn),
                ));
            }
            if p.class == ChangeClass::Tighten {
                said.push(Span::styled("  the agent says: nothing is looser", look.style(Tone::Good)));
            }
            lines.push(Line::from(said));
            for row in p.by_workflow.iter().take(3) {
                let text = format!(
                    "  {:<24} {:>8} requests  {:>8} allowed",
                    fit(row.workflow_type.as_str(), 24, look.more()),
                    count(row.requests),
                    count(row.newly_allowed)
                );
                lines.push(Line::styled(text, look.style(Tone::Dim)));
            }
            if p.by_workflow.len() > 3 {
                let more = format!("  and {} more workflows", p.by_workflow.len() - 3);
                lines.push(Line::styled(more, look.style(Tone::Dim)));
            }
        }
    }
}

fn waiting(m: &Model, f: &mut Frame<'_>, w: &Waiting) {
    let look = m.look;
    let since = m.now.mono_us.saturating_sub(w.since_us);
    let what = match w.class {
        ChangeClass::Tighten => "sent, waits for its receipt",
        ChangeClass::Loosen => "proposed, waits for a signed checkpoint (at most 5 s)",
    };
    let lines = vec![
        about(m, &w.target),
        Line::styled(w.sentence.clone(), look.style(Tone::Title)),
        Line::raw(""),
        Line::raw(format!("{what}: {}", span(since))),
    ];
    boxed(m, f, " Under way ", Tone::Accent, 66, lines);
}

fn notice(m: &Model, f: &mut Frame<'_>, n: &Notice) {
    let look = m.look;
    let (mark, tone) = if n.good { (look.ok(), Tone::Good) } else { (look.bad(), Tone::Bad) };
    let mut lines = vec![];
    for l in &n.lines {
        for w in wrap(&safe(l, 400), 62) {
            lines.push(Line::raw(w));
        }
    }
    boxed(m, f, &format!(" {mark} {} ", n.title), tone, 66, lines);
}

fn unlock(m: &Model, f: &mut Frame<'_>, u: &Unlock) {
    let look = m.look;
    let mut lines = vec![
        Line::raw("Agents show their data to enrolled persons only."),
        Line::raw(""),
        field(m, "password", &u.password, !u.busy, true, 40),
    ];
    let (text, tone) = match (&u.error, u.busy) {
        (_, true) => ("unlocking; this takes a second or two".to_owned(), Tone::Dim),
        (Some(e), false) => (safe(e, 300), Tone::Bad),
        (None, false) => (String::new(), Tone::Dim),
    };
    // What is wrong stands after the path of the file, which may be long.
    lines.extend(wrap(&text, 56).into_iter().map(|l| Line::styled(l, look.style(tone))));
    let inside = boxed(m, f, " Unlock your key ", Tone::Accent, 62, lines);
    if !u.busy {
        cursor(f, inside, 2, 13, &u.password);
    }
}

fn alarms(m: &Model, f: &mut Frame<'_>) {
    let look = m.look;
    let width = m.size.0.min(100);
    let inner = usize::from(width.saturating_sub(4));
    let mut lines = vec![];
    if m.alarms.is_empty() {
        lines.push(Line::styled("There was none since the console started.", look.style(Tone::Dim)));
    }
    let room = usize::from(m.size.1.saturating_sub(8)) / 3;
    for a in m.alarms.iter().rev().take(room.max(1)) {
        let (mark, tone) = if a.note { (look.warn(), Tone::Warn) } else { (look.bad(), Tone::Bad) };
        let read = if a.acknowledged { "  acknowledged" } else { "" };
        lines.push(Line::from(vec![
            Span::styled(format!("{mark} {}", a.subject), look.style(tone)),
            Span::styled(format!("  {}{read}", crate::text::format::date(a.at_us)), look.style(Tone::Dim)),
        ]));
        for l in wrap(&a.what, inner.saturating_sub(2)) {
            lines.push(Line::raw(format!("  {l}")));
        }
    }
    if m.alarms.len() > room.max(1) {
        lines
            .push(Line::styled(format!("and {} older", m.alarms.len() - room.max(1)), look.style(Tone::Dim)));
    }
    boxed(m, f, " Alarms ", Tone::Bad, width, lines);
}
