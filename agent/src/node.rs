//! The node as a process: `conductord init`, `run` and `check`, its configuration, and what it opens at start.

pub mod check;
pub mod config;
pub mod init;
pub mod run;
mod tenant_sockets;
pub mod tls;
