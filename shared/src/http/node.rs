//! The node itself, and how an operator opens a session with it.

use crate::ids::{Ident, NodeId};
use serde::{Deserialize, Serialize};

/// `GET /v1/node`, open to any session or tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NodeInfo {
    /// Its id.
    pub node_id: NodeId,
    /// Its name.
    pub name: Ident,
    /// Environment, a word: production, staging, rehearsal...
    pub environment: Ident,
    /// Version of the program.
    pub version: String,
    /// The agent's time, microseconds since the Unix epoch.
    pub now_us: u64,
    /// Random, for this start.
    pub boot: String,
    /// Subsystems that do not do their work, the worst first.
    #[serde(default)]
    pub troubles: Vec<crate::health::Trouble>,
}

/// `POST /v1/sessions/challenge`: nothing in, this out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Challenge {
    /// 32 hex digits; used once, within a minute.
    pub challenge: String,
    /// The node.
    pub node: NodeInfo,
}

/// `POST /v1/sessions`: a signed [`crate::session::Session`]. Also the body of `POST /v1/commands` with a signed
/// [`crate::command::Command`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedText {
    /// The exact text.
    pub text: String,
    /// Its minisign file.
    pub signature: String,
    /// Minisign public key, base64, so that the agent need not try them all. Trusted only when enrolled.
    pub public_key: String,
}

/// Answer to `POST /v1/sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SessionOpened {
    /// Bearer token for reading.
    pub token: String,
    /// In the agent's time.
    pub expires_at_us: u64,
    /// Short name of the person.
    pub person: Ident,
    /// Their roles.
    pub roles: Vec<String>,
}
