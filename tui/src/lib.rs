//! The console and its plain commands: everything that runs at an operator's terminal.
//!
//! It speaks to agents only through their public HTTP and WebSocket API ([`client`]), and must never import the agent.

pub mod app;
pub mod cli;
pub mod client;
pub mod replay;
mod view;
