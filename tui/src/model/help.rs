//! The help page as lines, made from the table of keys.

use super::Model;
use super::keys::{KeyScope, bindings};
use crate::text::wrap::wrap;
use strum::VariantArray as _;

/// Width of the column of keys.
pub(crate) const KEYS: usize = 16;

/// A line of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// Heading of a scope.
    Title(&'static str),
    /// Keys and what they do; no keys on the second line of a sentence.
    Key(&'static str, String),
    Blank,
    /// Says that the console is read-only.
    ReadOnly,
}

/// The page at this width.
pub(crate) fn lines(m: &Model, width: usize) -> Vec<Line> {
    let mut out = vec![];
    for scope in KeyScope::VARIANTS.iter().copied() {
        if scope == KeyScope::Menu && m.read_only {
            continue;
        }
        out.push(Line::Title(scope.title()));
        for b in bindings(&[scope], m.read_only) {
            let help = wrap(b.help, width.saturating_sub(KEYS + 2));
            out.extend(
                help.into_iter().enumerate().map(|(i, l)| Line::Key(if i == 0 { b.keys } else { "" }, l)),
            );
        }
        out.push(Line::Blank);
    }
    if m.read_only {
        out.push(Line::ReadOnly);
    }
    out
}

/// How many lines there are on this screen, for scrolling.
pub(crate) fn height(m: &Model) -> u16 {
    let width = usize::from(m.size.0.saturating_sub(4)).min(96);
    u16::try_from(lines(m, width).len()).unwrap_or(u16::MAX)
}
