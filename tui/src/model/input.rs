//! One line of text being typed. Pure; it never interprets what is typed or pasted.

use conductor_shared::untrusted::is_unshowable;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use zeroize::Zeroize as _;

/// A line being typed, with its cursor. Wiped when dropped, since passwords are typed into it too.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct TextInput {
    text: String,
    /// Position of the cursor, in characters.
    at: usize,
    /// Longest text, in characters.
    max: usize,
}

impl TextInput {
    /// An empty line of at most `max` characters.
    pub(crate) fn new(max: usize) -> Self {
        Self { text: String::new(), at: 0, max }
    }

    /// A line that already holds something.
    pub(crate) fn with(text: &str, max: usize) -> Self {
        let text: String = text.chars().take(max).collect();
        Self { at: text.chars().count(), text, max }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The cursor's place, in characters.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Replaces the text and puts the cursor at its end.
    pub(crate) fn set(&mut self, text: &str) {
        self.text.zeroize();
        *self = Self::with(text, self.max);
    }

    pub(crate) fn clear(&mut self) {
        self.set("");
    }

    /// Inserts pasted text without line breaks and control characters; none of it counts as a key.
    pub(crate) fn paste(&mut self, text: &str) {
        for c in text.chars().filter(|c| !is_unshowable(*c)) {
            self.insert(c);
        }
    }

    fn insert(&mut self, c: char) {
        if self.text.chars().count() < self.max && !is_unshowable(c) {
            let at = self.byte(self.at);
            self.text.insert(at, c);
            self.at += 1;
        }
    }

    fn byte(&self, at: usize) -> usize {
        self.text.char_indices().nth(at).map_or(self.text.len(), |(i, _)| i)
    }

    fn remove(&mut self, at: usize) {
        if at < self.text.chars().count() {
            let at = self.byte(at);
            self.text.remove(at);
        }
    }

    /// Takes an editing key; false when it is none.
    pub(crate) fn key(&mut self, key: KeyEvent) -> bool {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        let len = self.text.chars().count();
        match (key.code, ctrl) {
            (KeyCode::Char('u'), true) => self.clear(),
            (KeyCode::Char('w'), true) => {
                while self.at > 0 && self.text[..self.byte(self.at)].ends_with(' ') {
                    self.back();
                }
                while self.at > 0 && !self.text[..self.byte(self.at)].ends_with(' ') {
                    self.back();
                }
            }
            (KeyCode::Char('a'), true) | (KeyCode::Home, _) => self.at = 0,
            (KeyCode::Char('e'), true) | (KeyCode::End, _) => self.at = len,
            (KeyCode::Char(c), false) if !key.modifiers.contains(KeyModifiers::ALT) => self.insert(c),
            (KeyCode::Backspace, _) => self.back(),
            (KeyCode::Delete, _) => self.remove(self.at),
            (KeyCode::Left, _) => self.at = self.at.saturating_sub(1),
            (KeyCode::Right, _) => self.at = (self.at + 1).min(len),
            _ => return false,
        }
        true
    }

    fn back(&mut self) {
        if self.at > 0 {
            self.at -= 1;
            self.remove(self.at);
        }
    }
}

impl Drop for TextInput {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

/// Prints only the length: passwords are typed here.
impl std::fmt::Debug for TextInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Input({} characters)", self.text.chars().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC, Bad input: pasted escapes and line breaks are left out; length is bounded.
    #[test]
    fn pasted_text_is_inert_and_bounded() {
        let mut i = TextInput::new(8);
        i.paste("a\x1b[2J\r\nb\u{202e}cdefgh");
        assert_eq!(i.text(), "a[2Jbcde");
        i.key(KeyEvent::new(KeyCode::Char('x'), KeyModifiers::NONE));
        assert_eq!(i.text(), "a[2Jbcde");
    }

    /// Terminal craft: the usual editing keys.
    #[test]
    fn editing() {
        let mut i = TextInput::with("roll back", 40);
        i.key(KeyEvent::new(KeyCode::Char('w'), KeyModifiers::CONTROL));
        assert_eq!((i.text(), i.at()), ("roll ", 5));
        i.key(KeyEvent::new(KeyCode::Home, KeyModifiers::NONE));
        i.key(KeyEvent::new(KeyCode::Char('é'), KeyModifiers::NONE));
        i.key(KeyEvent::new(KeyCode::Right, KeyModifiers::NONE));
        i.key(KeyEvent::new(KeyCode::Backspace, KeyModifiers::NONE));
        assert_eq!((i.text(), i.at()), ("éoll ", 1));
    }
}
