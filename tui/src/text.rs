//! Text for people: numbers, times, and text from outside made safe. Pure.

pub(crate) mod format;
pub(crate) mod wrap;
