//! Ramps judged by what was seen under them: plans go on, breached revisions are rolled back.

pub mod controller;
