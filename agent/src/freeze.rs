//! Freeze windows and break-glass, as time changes them.

pub mod calendar;
