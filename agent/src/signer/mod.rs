//! The signer: a process of its own, under a user of its own, that holds the minisign secret key, so that the agent
//! never does.
//!
//! It signs two kinds of text, which it composes itself from typed requests: checkpoints of logs that only grew, and
//! probes. It must never sign bytes that it is given, never sign two histories of one log, and never release a
//! signature before its own memory of it is on the disk.
//!
//! - [`protocol`]: requests and answers. - [`wire`]: frames under one deadline. - [`decide`]: may this be signed?
//! - [`state`]: what was signed last, for each log, and [`state_format`], its bytes. - [`keys`]: the key file and its password.
//! - `minisign_file`: a signature file. - [`engine`]: requests to answers. - [`server`]: the socket. - [`client`]: the agent's end, which believes nothing.

pub mod client;
pub mod decide;
pub mod engine;
pub mod harden;
pub mod keys;
mod minisign_file;
pub mod protocol;
pub mod server;
pub mod state;
pub mod state_format;
pub mod wire;
