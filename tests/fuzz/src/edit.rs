//! Edits of an example: what a damaged disk, a hostile sender or a typing person makes of valid bytes.

use std::ops::Range;

use crate::corpus::Example;

/// What an engine chooses: the kind of an edit and three numbers, which the kind reads as places, lengths or words.
pub type Choice = (u8, u32, u32, u16);

/// Words that readers stumble over, put in beside those of the examples.
const WORDS: [&str; 34] = [
    "0",
    "1",
    "-1",
    "-0",
    "00",
    "255",
    "256",
    "65536",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
    "0.5",
    "1e999",
    "-1e-999",
    "NaN",
    "null",
    "true",
    "[]",
    "{}",
    "[[[[[[[[[[[[[[[[",
    "\"",
    "\\u0000",
    "\\ud800",
    "\u{0}",
    "\u{1b}[2J",
    "\u{202e}",
    "\u{feff}",
    "é",
    "\r\n",
    " ",
];

/// Bytes that end, begin or break things.
const BYTES: [u8; 12] = [0, 1, 0x7f, 0x80, 0xff, b'\n', b'"', b'\\', b',', b':', b'/', b'0'];

/// The examples of a target, ready to be edited.
#[derive(Debug)]
pub struct Editor<'a> {
    examples: &'a [Example],
    words: Vec<Vec<u8>>,
    max_len: usize,
}

impl<'a> Editor<'a> {
    pub fn new(examples: &'a [Example], max_len: usize) -> Self {
        let mut words: Vec<Vec<u8>> = WORDS.iter().map(|w| w.as_bytes().to_vec()).collect();
        for example in examples {
            let of = example.bytes.split(|b| !is_word(*b)).filter(|w| (1..=64).contains(&w.len()));
            words.extend(of.map(<[u8]>::to_vec));
        }
        words.sort();
        words.dedup();
        Self { examples, words, max_len }
    }

    /// An example (or nothing at all) with these edits, never longer than the target allows.
    pub fn apply(&self, example: u16, edits: &[Choice]) -> Vec<u8> {
        let chosen = self.examples.get(usize::from(example) % (self.examples.len() + 1));
        let mut bytes = chosen.map(|e| e.bytes.clone()).unwrap_or_default();
        for edit in edits {
            self.edit(&mut bytes, *edit);
            bytes.truncate(self.max_len);
        }
        bytes
    }

    fn edit(&self, bytes: &mut Vec<u8>, (kind, a, b, c): Choice) {
        let at = place(a, bytes.len());
        let range = at..(at + 1 + usize::from(c) % 64).min(bytes.len());
        match kind % 16 {
            0 => set(bytes, at, |byte| byte ^ (1 << (b % 8))),
            1 => set(bytes, at, |_| BYTES[place(b, BYTES.len())]),
            2 => put(bytes, at..at, self.word(b)),
            3 => put(bytes, range.start..range.end.max(range.start), &[]),
            4 => self.repeat(bytes, range, 1, place(b, bytes.len())),
            5 => put(bytes, run(bytes, at, is_word), self.word(b)),
            6 => put(bytes, next_run(bytes, at, |b| b.is_ascii_digit()), self.word(b)),
            7 => {
                let line = run(bytes, at, |b| b != b'\n');
                self.repeat(bytes, line.start..(line.end + 1).min(bytes.len()), 1, line.start);
            }
            8 => put(bytes, run(bytes, at, |b| b != b'\n'), &[]),
            9 => self.repeat(bytes, range, usize::from(c), at),
            10 => bytes.truncate(at),
            11 => put(bytes, at..at, self.piece(b, c)),
            12 => put(bytes, at..bytes.len(), self.piece(b, u16::MAX)),
            13 => over(bytes, at, &extreme(b).to_be_bytes()[4 * usize::from(c % 2)..]),
            14 => put(bytes, next_run(bytes, at, |b| !is_word(b)), &[BYTES[place(b, BYTES.len())]]),
            _ => set(bytes, at, |byte| byte.wrapping_add(if b % 2 == 0 { 1 } else { 255 })),
        }
    }

    fn word(&self, choice: u32) -> &[u8] {
        &self.words[place(choice, self.words.len())]
    }

    /// A piece of some example.
    fn piece(&self, choice: u32, len: u16) -> &'a [u8] {
        let Some(other) = self.examples.get(choice as usize % self.examples.len().max(1)) else { return &[] };
        let from = place(choice >> 8, other.bytes.len());
        &other.bytes[from..(from + usize::from(len)).min(other.bytes.len())]
    }

    /// Puts a range in somewhere, so many times, within the length that is allowed.
    fn repeat(&self, bytes: &mut Vec<u8>, range: Range<usize>, times: usize, at: usize) {
        let piece = bytes.get(range).unwrap_or_default().to_vec();
        let room = self.max_len.saturating_sub(bytes.len()) / piece.len().max(1);
        put(bytes, at..at, &piece.repeat(times.min(room)));
    }
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'-'
}

/// A place below `len`, 0 where there is none.
fn place(choice: u32, len: usize) -> usize {
    choice as usize % len.max(1)
}

fn set(bytes: &mut [u8], at: usize, to: impl Fn(u8) -> u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = to(*byte);
    }
}

fn put(bytes: &mut Vec<u8>, range: Range<usize>, piece: &[u8]) {
    let end = range.end.min(bytes.len());
    bytes.splice(range.start.min(end)..end, piece.iter().copied());
}

fn over(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (byte, new) in bytes.iter_mut().skip(at).zip(with) {
        *byte = *new;
    }
}

/// The bytes around a place that are such.
fn run(bytes: &[u8], at: usize, such: impl Fn(u8) -> bool) -> Range<usize> {
    let before = bytes[..at.min(bytes.len())].iter().rev().take_while(|b| such(**b)).count();
    let after = bytes[at.min(bytes.len())..].iter().take_while(|b| such(**b)).count();
    at - before..at + after
}

/// The next such bytes after a place.
fn next_run(bytes: &[u8], at: usize, such: impl Fn(u8) -> bool) -> Range<usize> {
    let from = bytes.iter().skip(at).position(|b| such(*b)).map_or(bytes.len(), |n| at + n);
    run(bytes, from, such)
}

/// Numbers at the ends of what eight bytes hold.
fn extreme(choice: u32) -> u64 {
    const ENDS: [u64; 6] = [0, 1 << 31, u32::MAX as u64, 1 << 63, i64::MAX as u64, u64::MAX];
    ENDS[place(choice, ENDS.len())].wrapping_add(u64::from(choice >> 30)).wrapping_sub(1)
}
