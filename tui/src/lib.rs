//! The console and its plain commands: everything that runs at an operator's terminal.
//!
//! It speaks to agents only through their public HTTP and WebSocket API ([`client`]), and must never import the agent.
//! Modules, from bottom to top; each imports only those above its own line:
//!
//! | module | what it holds |
//! |---|---|
//! | `text` | numbers, times and outside text made fit to show |
//! | `style` | themes and marks |
//! | `widgets` | tables, gauges, sparklines |
//! | `client` | HTTP and WebSocket to agents; files kept between starts |
//! | `model` | state of the console, messages and effects |
//! | `screens` | one file a screen: draws the model |
//! | `view` | the frame around a screen, and dialogs over it |
//! | `update` | changes the model; says what is to be done |
//! | `console` | the loop, the terminal, and tasks that carry effects out |
//! | `replay` | recorded workflows as real clients |
//! | `cli` | plain commands |

#![allow(missing_docs, reason = "only its own program, tests and benches link this crate")]

pub mod cli;
pub mod client;
pub mod console;
mod model;
mod picture;
pub mod replay;
mod sample;
mod screens;
mod style;
#[cfg(test)]
mod testing;
mod text;
mod update;
mod view;
mod widgets;

pub use model::Model;
pub use picture::picture;
pub use sample::{bench_model, draw_frame};
pub use style::ThemeName;
