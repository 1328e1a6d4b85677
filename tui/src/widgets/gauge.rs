//! Gauges and sparklines of one line.

use crate::style::{Look, Tone};
use ratatui::text::Span;

/// A bar of how much of a limit is used, in the tone of its severity.
pub(crate) fn gauge(look: Look, used: u64, limit: u64, width: usize) -> Vec<Span<'static>> {
    let (full, empty) = look.gauge();
    let filled = if limit == 0 {
        width
    } else {
        let n = (u128::from(used) * width as u128).div_ceil(u128::from(limit));
        usize::try_from(n).unwrap_or(width).min(width)
    };
    let tone = gauge_tone(used, limit);
    vec![
        Span::styled(full.to_string().repeat(filled), look.style(tone)),
        Span::styled(empty.to_string().repeat(width - filled), look.style(Tone::Dim)),
    ]
}

/// Good below four fifths, then a warning, bad when all is used.
pub(crate) fn gauge_tone(used: u64, limit: u64) -> Tone {
    if used >= limit {
        Tone::Bad
    } else if u128::from(used) * 5 >= u128::from(limit) * 4 {
        Tone::Warn
    } else {
        Tone::Allow
    }
}

/// One column a slot; `which` picks what is counted.
pub(crate) fn spark(look: Look, slots: &[(u16, u16)], which: fn(&(u16, u16)) -> u16) -> String {
    let top = slots.iter().map(which).max().unwrap_or(0).max(1);
    slots
        .iter()
        .map(|s| {
            let n = which(s);
            look.level(usize::from(n.min(top)).saturating_mul(8).div_ceil(usize::from(top)))
        })
        .collect()
}
