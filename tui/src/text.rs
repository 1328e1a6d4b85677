//! Text for people: numbers, times, and escaped untrusted text. Pure.

pub(crate) mod format;
pub(crate) mod wrap;
