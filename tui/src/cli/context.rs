//! What all commands share: which agent, which key, what is allowed.

use super::args::Global;
use super::output::CliError;
use crate::client::clock::SystemClock;
use crate::client::endpoint::Endpoint;
use crate::client::http::AgentClient;
use crate::client::keys::{KeyError, KeyFile, UnlockedKey};
use crate::client::session::ReadSession;
use conductor_shared::clock::Clock;
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Where the agent of this machine listens when none is named.
pub const DEFAULT_AGENT: &str = "unix:/run/conductor/operator.sock";
/// Where workloads ask it.
const DEFAULT_WORKLOAD_AGENT: &str = "unix:/run/conductor/agent.sock";

/// What the console needs to open.
#[derive(Debug, Clone)]
pub struct ConsoleArgs {
    /// Agents, at least one.
    pub agents: Vec<Endpoint>,
    /// The operator's key file, if one was named.
    pub key: Option<PathBuf>,
    pub read_only: bool,
}

/// What plain commands need.
#[derive(Clone)]
pub struct Context {
    agents: Vec<Endpoint>,
    none_named: bool,
    /// Sessions that were opened, to be closed at the end.
    opened: Arc<Mutex<Vec<ReadSession>>>,
    /// The operator's key file, if one was named.
    pub key: Option<PathBuf>,
    read_only: bool,
    pub json: bool,
    pub clock: Arc<dyn Clock>,
    unlocked: Arc<OnceCell<Arc<UnlockedKey>>>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("agents", &self.agents)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// From the global options.
    pub fn new(global: Global) -> Result<Self, CliError> {
        let mut agents = global.agents;
        let none_named = agents.is_empty();
        if none_named {
            agents.push(DEFAULT_AGENT.parse().map_err(|e| CliError::Input(format!("{e}")))?);
        }
        Ok(Self {
            agents,
            none_named,
            opened: Arc::default(),
            key: global.key,
            read_only: global.read_only,
            json: global.json,
            clock: Arc::new(SystemClock),
            unlocked: Arc::default(),
        })
    }

    /// All agents that were named, at least one.
    pub fn agents(&self) -> &[Endpoint] {
        &self.agents
    }

    pub fn console(&self) -> ConsoleArgs {
        ConsoleArgs { agents: self.agents.clone(), key: self.key.clone(), read_only: self.read_only }
    }

    /// The one agent that a plain command speaks to.
    pub fn agent(&self) -> Result<AgentClient, CliError> {
        match self.agents.as_slice() {
            [one] => Ok(AgentClient::new(one.clone())?),
            many => Err(CliError::Input(format!(
                "a plain command speaks to one agent, and {} are named: give one --agent",
                many.len()
            ))),
        }
    }

    /// The agent as a workload asks it: the one named for workloads, else the one named, else this machine's.
    pub fn workload_agent(&self, named: Option<Endpoint>) -> Result<AgentClient, CliError> {
        match named {
            Some(endpoint) => Ok(AgentClient::new(endpoint)?),
            None if self.none_named => {
                let endpoint = DEFAULT_WORKLOAD_AGENT.parse().map_err(|e| CliError::Input(format!("{e}")))?;
                Ok(AgentClient::new(endpoint)?)
            }
            None => self.agent(),
        }
    }

    /// A session for reading, with the operator's key. Asks for its password when it has one.
    pub async fn session(&self) -> Result<ReadSession, CliError> {
        Ok(self.session_with(self.agent()?, self.unlocked().await?))
    }

    /// A session with an agent. It is closed when the command is done.
    pub fn session_with(&self, agent: AgentClient, key: Arc<UnlockedKey>) -> ReadSession {
        let session = ReadSession::new(agent, key, Arc::clone(&self.clock));
        self.opened.lock().push(session.clone());
        session
    }

    /// Closes the sessions that were opened. An agent that does not answer ends them by itself.
    pub async fn close(&self) {
        let opened = std::mem::take(&mut *self.opened.lock());
        futures_util::future::join_all(opened.iter().map(ReadSession::close)).await;
    }

    /// The operator's key. Asks for its password when it has one, once.
    pub async fn unlocked(&self) -> Result<Arc<UnlockedKey>, CliError> {
        let unlock = async {
            let path = self.key.as_ref().ok_or(KeyError::Missing)?;
            Ok::<_, KeyError>(Arc::new(KeyFile::load(path)?.unlock_at_terminal().await?))
        };
        Ok(Arc::clone(self.unlocked.get_or_try_init(|| unlock).await?))
    }

    /// Refuses changes with `--read-only`.
    pub fn may_change(&self) -> Result<(), CliError> {
        if self.read_only {
            return Err(CliError::Input("--read-only was given, and this would change something".into()));
        }
        Ok(())
    }
}
