//! Evaluates ramps by the runs admitted under them: advances healthy plans, rolls breached revisions back.

pub mod controller;
