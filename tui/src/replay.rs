//! Replay: recorded (or made up) workflow runs, played against an agent as a real workload would.
//!
//! [`wfformat`] reads records, [`plan`] orders their tasks, [`drive`] asks the agent about each. Nothing here is a
//! mock: the decisions, receipts and denials are the agent's.

pub mod decimal;
pub mod drive;
pub mod generate;
pub mod plan;
pub mod run;
pub mod wfformat;

#[cfg(test)]
pub(crate) mod fake_agent;
#[cfg(test)]
mod tests;
