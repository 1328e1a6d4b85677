//! A read session with one agent: opened with the operator's key, renewed before it ends.
//!
//! The text is composed here from what this program knows (node, transport, challenge, time) and never taken from the
//! agent as it came. A session reads; it cannot change anything.

use super::error::ClientError;
use super::http::{AgentClient, Bearer};
use super::keys::UnlockedKey;
use conductor_shared::clock::{Clock, MonoTime, WallTime};
use conductor_shared::http::NodeInfo;
use conductor_shared::ids::{Ident, unhex};
use conductor_shared::session::{Session, TYPE_LINE};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// A session is renewed when less than this is left of it.
const RENEW_BEFORE: Duration = Duration::from_secs(30);

/// Longest wait for an agent to end a session.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct Opened {
    pub bearer: Bearer,
    /// Name of the person, as the agent knows the key.
    pub person: Ident,
    pub roles: Vec<String>,
    /// The node, as of opening.
    pub node: NodeInfo,
    /// When it ends, in the agent's time.
    pub expires_at: WallTime,
    /// Reading of the local monotonic clock when `node.now_us` was the agent's time.
    pub opened: MonoTime,
}

impl Opened {
    /// The agent's time now, as far as the local monotonic clock tells.
    pub fn agent_now(&self, mono: MonoTime) -> WallTime {
        WallTime::from_micros(self.node.now_us) + (mono - self.opened)
    }
}

/// A session that is opened when first needed and renewed in time. Clones share it.
#[derive(Clone)]
pub struct ReadSession {
    agent: AgentClient,
    key: Arc<UnlockedKey>,
    clock: Arc<dyn Clock>,
    open: Arc<Mutex<Option<Opened>>>,
}

impl std::fmt::Debug for ReadSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReadSession({}, {:?})", self.agent.endpoint(), self.key)
    }
}

impl ReadSession {
    /// For this agent, with this key. Nothing is sent yet.
    pub fn new(agent: AgentClient, key: Arc<UnlockedKey>, clock: Arc<dyn Clock>) -> Self {
        Self { agent, key, clock, open: Arc::new(Mutex::new(None)) }
    }

    pub fn agent(&self) -> &AgentClient {
        &self.agent
    }

    /// The key it is opened with.
    pub fn key(&self) -> &Arc<UnlockedKey> {
        &self.key
    }

    /// The clock that decides when it is renewed.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The session, opened or renewed when needed.
    pub async fn get(&self) -> Result<Opened, ClientError> {
        let mut open = self.open.lock().await;
        let mono = self.clock.now().mono;
        if let Some(o) = open.as_ref()
            && o.agent_now(mono) + RENEW_BEFORE < o.expires_at
        {
            return Ok(o.clone());
        }
        let new = open_once(&self.agent, &self.key, self.clock.as_ref()).await?;
        *open = Some(new.clone());
        Ok(new)
    }

    /// The bearer token of the session, opened or renewed when needed.
    pub async fn bearer(&self) -> Result<Bearer, ClientError> {
        self.get().await.map(|o| o.bearer)
    }

    /// Ends the session, if one is open: its place is free for the next. Within [`CLOSE_TIMEOUT`], or not at all.
    pub async fn close(&self) {
        if let Some(open) = self.open.lock().await.take() {
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.agent.close_session(&open.bearer)).await;
        }
    }

    /// Forgets the session, after the agent refused it (it was restarted).
    pub async fn forget(&self) {
        *self.open.lock().await = None;
    }
}

async fn open_once(agent: &AgentClient, key: &UnlockedKey, clock: &dyn Clock) -> Result<Opened, ClientError> {
    let challenge = agent.challenge().await?;
    let opened = clock.now().mono;
    let bytes = unhex(&challenge.challenge)
        .ok_or_else(|| agent.bad("session_challenge", "the challenge is not 32 hex digits"))?;
    let session = Session {
        node: challenge.node.node_id,
        transport: agent.endpoint().transport(),
        challenge: bytes,
        issued_at_us: challenge.node.now_us,
    };
    let signed = key.sign(&session.text(), &format!("{TYPE_LINE} {}", session.node))?;
    let answer = agent.open_session(&signed).await?;
    Ok(Opened {
        bearer: Bearer::new(answer.token)
            .map_err(|_| agent.bad("session_open", "the token cannot stand in a header"))?,
        person: answer.person,
        roles: answer.roles,
        node: challenge.node,
        expires_at: WallTime::from_micros(answer.expires_at_us),
        opened,
    })
}
