//! Patterns over tokens that must not stand in the code, inside macros neither.

use crate::tokens::Token;

fn text(tokens: &[Token], i: usize) -> &str {
    tokens.get(i).filter(|token| !token.is_literal).map_or("", |token| token.text.as_str())
}

/// Whether the token at `i` is one of these words.
pub fn is_any(tokens: &[Token], i: usize, words: &[&str]) -> bool {
    words.contains(&text(tokens, i))
}

/// Whether the token at `i` begins a use of `std::<module>`, alone or inside `std::{...}`.
pub fn names_std(tokens: &[Token], i: usize, module: &str) -> bool {
    if text(tokens, i) != "std" || text(tokens, i + 1) != "::" {
        return false;
    }
    if text(tokens, i + 2) != "{" {
        return text(tokens, i + 2) == module;
    }
    let mut depth = 0_u32;
    for k in i + 2..tokens.len() {
        match text(tokens, k) {
            "{" => depth += 1,
            "}" if depth == 1 => return false,
            "}" => depth -= 1,
            name if name == module && depth == 1 && matches!(text(tokens, k - 1), "{" | ",") => return true,
            _ => {}
        }
    }
    false
}

/// Whether the token at `i` makes, or names the type of, a channel without a limit. `oneshot` holds one value.
pub fn makes_unbounded_channel(tokens: &[Token], i: usize) -> bool {
    let before = |n: usize| i.checked_sub(n).map_or("", |k| text(tokens, k));
    match text(tokens, i) {
        "unbounded_channel" | "UnboundedSender" | "UnboundedReceiver" => true,
        "unbounded" => matches!(text(tokens, i + 1), "(" | "::") && !matches!(before(1), "fn" | "."),
        "channel" => {
            let made_elsewhere =
                matches!(before(1), "fn" | ".") || (before(1) == "::" && before(2) != "mpsc");
            !made_elsewhere && called_without_arguments(tokens, i + 1)
        }
        _ => false,
    }
}

/// Whether the tokens from `i` begin with `()` or `::<...>()`.
fn called_without_arguments(tokens: &[Token], mut i: usize) -> bool {
    if text(tokens, i) == "::" && text(tokens, i + 1) == "<" {
        let mut depth = 0_i32;
        while i < tokens.len() {
            depth += i32::from(text(tokens, i) == "<") - i32::from(text(tokens, i) == ">");
            i += 1;
            if depth == 0 && text(tokens, i - 1) == ">" {
                break;
            }
        }
    }
    text(tokens, i) == "(" && text(tokens, i + 1) == ")"
}

/// The characters of the Unicode property `Bidi_Control` (Unicode, `PropList.txt`).
pub fn turns_direction(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::tokens;

    /// A check that cannot fail protects nothing: each pattern is tried on text that must and text that must not match.
    #[test]
    fn the_patterns_find_what_they_are_for() {
        let hits = |text: &str, hit: fn(&[Token], usize) -> bool| {
            let tokens = tokens(text.parse().expect("tokens"));
            (0..tokens.len()).filter(|i| hit(&tokens, *i)).count()
        };
        let fs: fn(&[Token], usize) -> bool = |t, i| names_std(t, i, "fs");
        for (text, expected) in [
            ("use std::fs;", 1),
            ("use std::fs::File;", 1),
            ("std :: fs :: read(p)", 1),
            ("use std::{collections::BTreeMap, fs};", 1),
            ("use std::{io::{self, Read}, fs::File};", 1),
            ("use std::{collections::{btree_map, fs}};", 0),
            ("write!(f, \"{}\", std::fs::read(p))", 1),
            ("use mine::fs; let std = 1;", 0),
            ("// use std::fs;\n/* std::fs /* std::fs */ std::fs */", 0),
            ("let s = \"std::fs\"; let r = r#\"std::fs \" std::fs\"#; let b = b\"std::fs\";", 0),
        ] {
            assert_eq!(hits(text, fs), expected, "{text}");
        }
        for (text, expected) in [
            ("tokio::sync::mpsc::unbounded_channel::<u8>()", 1),
            ("use tokio::sync::mpsc::UnboundedSender;", 1),
            ("crossbeam_channel::unbounded()", 1),
            ("let (a, b) = unbounded::<u8>();", 1),
            ("let (a, b) = std::sync::mpsc::channel();", 1),
            ("let (a, b) = mpsc::channel::<Vec<u8>>();", 1),
            ("let (a, b) = channel();", 1),
            ("tokio::sync::mpsc::channel(16)", 0),
            ("tokio::sync::oneshot::channel()", 0),
            ("oneshot::channel::<Reply>()", 0),
            ("self.channel() + fn channel() {}", 0),
            ("let unbounded = Quota::unbounded;", 0),
        ] {
            assert_eq!(hits(text, makes_unbounded_channel), expected, "{text}");
        }
        assert!(turns_direction('\u{202e}') && turns_direction('\u{2066}') && !turns_direction('a'));
    }
}
