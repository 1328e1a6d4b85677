//! Escapes untrusted text, and fits text to a width in columns.

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

/// Broken into lines of at most a width, at spaces where there are any.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let mut out = vec![String::new()];
    for word in text.split(' ') {
        let mut word = word;
        loop {
            let line = out.last_mut().map_or(0, |l| l.width());
            let gap = usize::from(line > 0);
            if line + gap + word.width() <= width {
                if let Some(l) = out.last_mut() {
                    if gap > 0 {
                        l.push(' ');
                    }
                    l.push_str(word);
                }
                break;
            }
            if line > 0 {
                out.push(String::new());
                continue;
            }
            // A word longer than a line is broken.
            let cut = fit(word, width, "");
            if cut.is_empty() {
                break;
            }
            word = &word[cut.len()..];
            if let Some(l) = out.last_mut() {
                l.push_str(&cut);
            }
            out.push(String::new());
        }
    }
    out
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
    }
}
