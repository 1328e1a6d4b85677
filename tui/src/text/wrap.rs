//! Escapes untrusted text, and fits text to a width in columns.

use std::borrow::Cow;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Escapes untrusted text. Text that the agent already escaped is not escaped twice, yet nothing it sent is trusted.
pub(crate) fn safe(text: &str, max: usize) -> String {
    conductor_shared::untrusted::escape(text, max).replace("\\\\", "\\")
}

/// Cut to a width in columns, with a mark when something is missing.
pub(crate) fn fit(text: &str, width: usize, more: &str) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(more.width());
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w > room {
            break;
        }
        used += w;
        out.push(c);
    }
    out.push_str(more);
    out
}

/// Broken into lines of at most a width (8 or more), at spaces only: ids and paths hold hyphens. A longer word is cut.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let options = Options::new(width.max(8))
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    textwrap::wrap(text, options).into_iter().map(Cow::into_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC, Bad input: what an agent sends as text is escaped here again.
    #[test]
    fn outside_text() {
        assert_eq!(safe("a\x1b[2Jb\\u{7}", 99), "a\\u{1b}[2Jb\\u{7}");
        assert_eq!(fit("日本語", 5, "…"), "日本…");
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefghijkl", 8), ["abcdefgh", "ijkl"]);
        assert_eq!(wrap("a node-1-x b", 8), ["a", "node-1-x", "b"], "a name is not broken at its hyphens");
        assert_eq!(wrap("日本 日本語 x", 8), ["日本", "日本語 x"], "columns, not characters");
        assert_eq!(wrap("日本語日本語", 8), ["日本語日", "本語"]);
    }
}
