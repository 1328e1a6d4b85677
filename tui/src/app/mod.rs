//! The console: model, messages and update are pure; [`run`] is the loop around them, and the only part that touches a
//! terminal. Nothing here decides what is allowed: the agent does.

pub(crate) mod action;
mod acts;
mod agents;
pub(crate) mod alarm;
pub(crate) mod approvals;
pub(crate) mod approve;
pub(crate) mod boards;
pub(crate) mod dialog;
mod effects;
pub(crate) mod input;
mod input_keys;
pub(crate) mod keys;
pub(crate) mod layout;
mod loosen;
pub(crate) mod metered;
pub(crate) mod model;
pub(crate) mod msg;
pub(crate) mod outgoing;
pub(crate) mod palette;
mod picture;
pub(crate) mod receipts;
mod run;
pub(crate) mod sample;
pub(crate) mod spark;
pub(crate) mod tenants;
mod terminal;
#[cfg(test)]
pub(crate) mod testing;
mod update;

pub use crate::view::theme::ThemeName;
pub(crate) use input_keys::ask_password;
pub use model::Model;
pub use picture::picture;
pub use run::{ConsoleConfig, ConsoleError, locale_is_ascii, run};
pub use sample::{bench_model, draw_frame};
