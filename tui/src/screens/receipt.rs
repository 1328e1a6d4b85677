//! One receipt, with the result of verifying it here.

use crate::model::Model;
use crate::model::receipts::Detail;
use crate::screens::receipts::verdict;
use crate::style::Tone;
use crate::text::format::date;
use crate::text::wrap::{safe, wrap};
use conductor_shared::clock::WallTime;
use conductor_shared::http::ReceiptJson;
use conductor_shared::verify::Verdict;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

pub(crate) fn draw(m: &Model, f: &mut Frame<'_>, area: Rect) {
    let look = m.look;
    let width = usize::from(area.width.saturating_sub(4));
    let Some((index, detail)) = &m.receipts.detail else { return };
    let listed = m.receipts.rows.iter().find(|r| r.index == *index);
    let mut lines = vec![];
    match detail {
        Detail::Loading => lines.push(Line::styled("  loading its proof", look.style(Tone::Dim))),
        Detail::Failed(e) => {
            lines.push(Line::styled(
                format!("  {} no proof: {}", look.bad(), safe(e, 200)),
                look.style(Tone::Bad),
            ));
        }
        Detail::Ready(got) => {
            let report = &got.report;
            lines.push(answer(
                m,
                "signature",
                &report.signature,
                "the pinned signer key signs the checkpoint",
                width,
            ));
            lines.push(answer(
                m,
                "inclusion",
                &report.inclusion,
                "it stands in the log the checkpoint speaks of",
                width,
            ));
            lines.push(answer(m, "complete", &report.completeness, "no field is withheld", width));
            if let Some((o, size)) = report.origin.zip(report.size) {
                let words = format!("  checkpoint of {o} at {size} entries");
                lines.push(Line::styled(
                    crate::text::wrap::fit(&words, width + 2, look.more()),
                    look.style(Tone::Dim),
                ));
            }
        }
    }
    lines.push(Line::raw(""));
    let shown = match detail {
        Detail::Ready(got) => got.receipt.as_ref(),
        _ => listed,
    };
    if let Some(r) = shown {
        receipt(m, r, width, &mut lines);
    }
    let scroll = usize::from(m.receipts.scroll).min(lines.len().saturating_sub(1));
    let lines: Vec<_> = lines.into_iter().skip(scroll).collect();
    f.render_widget(Paragraph::new(lines), area);
}

fn answer(m: &Model, name: &str, v: &Verdict, good: &str, width: usize) -> Line<'static> {
    let look = m.look;
    let (mark, word, why, tone) = match v {
        Verdict::Verified => (look.ok(), "verified", good.to_owned(), Tone::Good),
        Verdict::Refuted(w) => (look.bad(), "REFUTED", safe(w, 120), Tone::Bad),
        Verdict::Unconfirmed(w) => (look.lost(), "unconfirmed", safe(w, 120), Tone::Warn),
    };
    let why = crate::text::wrap::fit(&why, width.saturating_sub(27), look.more());
    Line::from(vec![
        Span::styled(format!("  {name:<11}"), look.style(Tone::Dim)),
        Span::styled(format!("{mark} {word:<12}"), look.style(tone)),
        Span::raw(why),
    ])
}

fn receipt(m: &Model, r: &ReceiptJson, width: usize, lines: &mut Vec<Line<'static>>) {
    let look = m.look;
    let (words, tone) = verdict(m, r.verdict);
    lines.push(Line::from(vec![
        Span::styled(format!("  {}", r.index), look.style(Tone::Title)),
        Span::raw(format!("  {}  ", safe(&r.kind_name, 40))),
        Span::styled(words, look.style(tone)),
        Span::styled(format!("  {}", date(WallTime::from_micros(r.time_us))), look.style(Tone::Dim)),
    ]));
    for l in wrap(&safe(&r.summary, 2_000), width) {
        lines.push(Line::raw(format!("  {l}")));
    }
    lines.push(Line::raw(""));
    for field in &r.fields {
        let name = safe(&field.name, 30);
        let value = safe(&field.shown, 4_000);
        for (i, l) in wrap(&value, width.saturating_sub(18)).into_iter().enumerate() {
            let head = if i == 0 { name.clone() } else { String::new() };
            lines.push(Line::from(vec![
                Span::styled(format!("  {head:<16}  "), look.style(Tone::Dim)),
                Span::raw(l),
            ]));
        }
    }
}
