//! Text from outside, and the only way to show it.
//!
//! A tenant must not be able to write escape sequences into an operator's terminal, formulas into a CSV or markup into
//! a report. So such text is an [`UntrustedText`], which has no `Display`; [`UntrustedText::escaped`] is the only way to
//! show it to a person.

use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// No step name, subject or approval name is longer, in characters: so the document of the API can say it.
pub const MAX_NAME: usize = 512;

/// Whether a text is short enough for a name.
pub fn fits(name: &str) -> bool {
    name.chars().nth(MAX_NAME).is_none()
}

/// Text from outside, unchanged. It has no `Display`; see [`UntrustedText::escaped`].
#[derive(
    Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct UntrustedText(String);

impl UntrustedText {
    /// Takes text from outside. The caller has already bounded its length.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The exact text, for storing and comparing; never for showing.
    pub fn raw(&self) -> &str {
        &self.0
    }

    /// Safe to show: control, bidi, zero-width and other invisible characters are escaped as `\u{..}`, and what is
    /// longer than `max` characters is cut with `…`.
    pub fn escaped(&self, max: usize) -> String {
        escape(&self.0, max)
    }
}

impl std::fmt::Debug for UntrustedText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UntrustedText({:?})", self.escaped(80))
    }
}

/// True for characters that a terminal or a reader would act on or not see: controls, bidi marks and overrides,
/// zero-width, other format characters, variation selectors, tags, private use and non-characters.
pub fn is_unshowable(c: char) -> bool {
    matches!(u32::from(c),
        0..=0x1f | 0x7f..=0x9f | 0xad | 0x34f | 0x61c | 0x600..=0x605 | 0x6dd | 0x70f | 0x890..=0x891 | 0x8e2
        | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f | 0x2028..=0x202e
        | 0x2060..=0x206f | 0x3164 | 0xd800..=0xf8ff | 0xfdd0..=0xfdef | 0xfe00..=0xfe0f | 0xfeff | 0xffa0
        | 0xfff0..=0xfffb | 0xfffe..=0xffff | 0x110bd | 0x110cd | 0x13430..=0x1343f | 0x1bca0..=0x1bca3
        | 0x1d173..=0x1d17a | 0x1fffe..=0x1ffff | 0xe0000..=0x0010_ffff)
}

/// See [`UntrustedText::escaped`].
pub fn escape(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max * 4));
    for (n, c) in text.chars().enumerate() {
        if n == max {
            out.push('…');
            break;
        }
        if is_unshowable(c) {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else if c == '\\' {
            out.push_str("\\\\");
        } else {
            out.push(c);
        }
    }
    out
}

/// Escapes text that [`escape`] made safe for a report in Markdown: nothing in it becomes markup, a link or a table cell.
pub fn markdown(safe: &str) -> String {
    let mut out = String::with_capacity(safe.len() * 2);
    for c in safe.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // A word with a scheme or an address becomes a link by itself in some readers.
            ':' => out.push_str("&#58;"),
            '@' => out.push_str("&#64;"),
            c if c.is_ascii_punctuation() && !matches!(c, ',' | ';' | '/' | '%' | '=' | '"' | '\'' | '?') => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC, Bad input and hostile text: nothing that a terminal acts on gets through.
    #[test]
    fn nothing_a_terminal_acts_on_gets_through() {
        let hostile = "a\x1b[2J\u{9b}31m\u{202e}gnp\u{200b}\r\n\t\u{7}\u{feff}\u{2066}\u{e0041}b";
        let safe = escape(hostile, 200);
        assert!(!safe.chars().any(is_unshowable), "{safe:?}");
        assert!(safe.starts_with("a\\u{1b}[2J") && safe.ends_with('b'));
        // Escapes cannot be forged by text that looks like one.
        assert_ne!(escape("\u{1b}", 9), escape("\\u{1b}", 9));
        assert_eq!(escape("naïve 日本", 99), "naïve 日本");
    }

    /// SPEC, Bad input: length is capped.
    #[test]
    fn long_text_is_cut() {
        assert_eq!(escape(&"x".repeat(1000), 5), "xxxxx…");
        assert_eq!(escape("12345", 5), "12345");
    }
}
