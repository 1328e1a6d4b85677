//! Signed commands for nodes that could not be reached: kept on disk and delivered when a node is back, until they
//! expire. One signature serves every node of the audience; each node acknowledges for itself.
//!
//! Only commands that need no base are kept ([`Operation::is_absolute`]): a loosening depends on the state that was
//! shown, and an offline node shows none. Whoever can read this folder can deliver these commands, and nothing else.

use super::endpoint::Endpoint;
use super::error::ClientError;
use super::http::AgentClient;
use super::state_dir;
use conductor_shared::clock::WallTime;
use conductor_shared::command::{Audience, Command};
use conductor_shared::http::{CommandOutcome, CommandStatus, ReceiptRef, SignedText};
use conductor_shared::ids::{CommandId, Ident, NodeId};
use conductor_shared::reason::Reason;
use conductor_shared::untrusted::escape;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Commands that are kept at most.
const MAX_KEPT: usize = 1_000;
/// Largest file of one command, bytes.
const MAX_FILE: u64 = 1 << 20;
/// A command is listed for a day after its expiry.
const SHOWN: Duration = Duration::from_secs(24 * 3_600);
const ENDING: &str = "json";

/// Answer of one node to a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", deny_unknown_fields)]
pub(crate) enum State {
    /// It has not answered.
    Waiting {
        /// Error of the last attempt, escaped.
        last: String,
    },
    /// It is in force there.
    Acknowledged {
        /// The receipt that says so.
        receipt: ReceiptRef,
    },
    /// It waits there for other persons; nothing has changed.
    Requested {
        /// The receipt that says so.
        receipt: ReceiptRef,
    },
    /// It is on record there: an earlier attempt delivered it, and what came of it was not heard.
    Delivered,
    /// The node decided against it, for good.
    Refused {
        reasons: Vec<Reason>,
        /// The same in words, escaped.
        why: String,
    },
}

/// One node of the audience.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Addressee {
    pub(crate) node_id: NodeId,
    pub(crate) name: Ident,
    pub(crate) endpoint: String,
    pub(crate) state: State,
}

/// A command with the answers of its nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeptCommand {
    /// Name of the tenant, for people.
    pub(crate) tenant: String,
    /// The signed bytes, never changed.
    pub(crate) signed: SignedText,
    pub(crate) nodes: Vec<Addressee>,
}

impl KeptCommand {
    /// Reads the text of a file, with the command in it.
    pub(crate) fn parse(text: &str) -> Result<(Command, Self), String> {
        let kept: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        Ok((kept.command()?, kept))
    }

    /// The text of its file.
    pub(crate) fn text(&self) -> Result<String, String> {
        serde_json::to_string_pretty(self).map_err(|e| e.to_string())
    }

    /// The command, read from the bytes that were signed.
    pub(crate) fn command(&self) -> Result<Command, String> {
        let c = Command::parse(self.signed.text.as_bytes()).map_err(|e| e.to_string())?;
        if !c.operation.is_absolute() || c.base.is_some() {
            return Err(format!("{} is not kept: it rests on a state", c.operation.name()));
        }
        let Audience::Nodes(ids) = &c.audience else { return Err("it is for a fleet".into()) };
        if self.nodes.iter().any(|n| !ids.contains(&n.node_id)) {
            return Err("it lists a node that it was not signed for".into());
        }
        Ok(c)
    }

    /// Nodes in which it is in force, by their receipt.
    pub(crate) fn acknowledged(&self) -> usize {
        self.nodes.iter().filter(|n| matches!(n.state, State::Acknowledged { .. })).count()
    }

    /// Nodes that have not answered.
    pub(crate) fn waiting(&self) -> usize {
        self.nodes.iter().filter(|n| matches!(n.state, State::Waiting { .. })).count()
    }

    /// Nodes in which it waits for other persons, and nodes that did not tell what came of it.
    pub(crate) fn unsettled(&self) -> (usize, usize) {
        let count = |f: fn(&State) -> bool| self.nodes.iter().filter(|n| f(&n.state)).count();
        (count(|s| matches!(s, State::Requested { .. })), count(|s| *s == State::Delivered))
    }

    /// Every node told what came of it, for good.
    pub(crate) fn is_settled(&self) -> bool {
        self.waiting() == 0 && self.unsettled() == (0, 0)
    }

    /// `3 of 5 nodes acknowledged`, and what keeps the others.
    pub(crate) fn status_line(&self) -> String {
        let mut line = format!("{} of {} nodes acknowledged", self.acknowledged(), self.nodes.len());
        let (requested, delivered) = self.unsettled();
        if requested > 0 {
            line += &format!(", {requested} wait for another person to approve it");
        }
        if delivered > 0 {
            line += &format!(", {delivered} did not tell what came of it");
        }
        line
    }

    /// Takes what another program heard, where that says more.
    fn learn(&mut self, before: Self) {
        for theirs in before.nodes {
            if let Some(mine) = self.nodes.iter_mut().find(|n| n.node_id == theirs.node_id)
                && theirs.state.known() > mine.state.known()
            {
                mine.state = theirs.state;
            }
        }
    }

    /// Sends it to the nodes in `wanted` that have not answered. True when an answer came.
    pub(crate) async fn deliver(
        &mut self,
        now: WallTime,
        wanted: impl Fn(NodeId) -> bool,
    ) -> Result<bool, String> {
        let command = self.command()?;
        if WallTime::from_micros(command.expires_at_us) <= now {
            return Ok(false);
        }
        let mut new = false;
        let signed = &self.signed;
        let waiting = self.nodes.iter_mut().filter(|n| matches!(n.state, State::Waiting { .. }));
        let attempts = waiting.filter(|n| wanted(n.node_id)).map(|n| async move {
            let state = attempt(n, signed).await;
            (n, state)
        });
        for (node, state) in futures_util::future::join_all(attempts).await {
            new |= node.state != state;
            node.state = state;
        }
        Ok(new)
    }
}

/// One attempt. Anything but an answer about this command leaves it waiting.
async fn attempt(to: &Addressee, signed: &SignedText) -> State {
    let send = async {
        let endpoint: Endpoint = to.endpoint.parse().map_err(|e| ClientError::Usage(format!("{e}")))?;
        let agent = AgentClient::new(endpoint)?;
        let found = agent.challenge().await?.node.node_id;
        if found != to.node_id {
            return Err(ClientError::Usage(format!("another node answers at {}: {found}", to.endpoint)));
        }
        agent.command(signed).await
    };
    match send.await {
        Ok(o) => State::of(&o),
        Err(ClientError::Denied(p)) if p.reasons.contains(&Reason::CommandReplayed) => State::Delivered,
        Err(ClientError::Denied(p)) if !p.reasons.is_empty() && !p.reasons.iter().any(passes) => {
            State::Refused { why: escape(&p.detail, 300), reasons: p.reasons }
        }
        Err(e) => State::Waiting { last: escape(&e.to_string(), 300) },
    }
}

/// Reasons that are about the node or session, not about the command.
fn passes(r: &Reason) -> bool {
    matches!(r, Reason::StoreUnavailable | Reason::QueueFull | Reason::Stopping)
}

impl State {
    /// How much is known of what came of it.
    fn known(&self) -> u8 {
        match self {
            Self::Waiting { .. } => 0,
            Self::Delivered => 1,
            Self::Requested { .. } => 2,
            Self::Acknowledged { .. } | Self::Refused { .. } => 3,
        }
    }

    /// It is on record at the node, and what came of it is not known for good.
    pub(crate) fn may_change(&self) -> bool {
        matches!(self, Self::Requested { .. } | Self::Delivered)
    }

    /// What a node answered.
    pub(crate) fn of(o: &CommandOutcome) -> Self {
        match o.status {
            CommandStatus::Effective => Self::Acknowledged { receipt: o.receipt },
            CommandStatus::Requested => Self::Requested { receipt: o.receipt },
            CommandStatus::Refused | CommandStatus::Abandoned => {
                let why: Vec<&str> = o.reasons.iter().map(|r| r.code()).collect();
                Self::Refused { why: why.join(" "), reasons: o.reasons.clone() }
            }
        }
    }
}

/// Commands that could be read, and a sentence for each file that could not.
pub(crate) type Loaded = (Vec<(Command, KeptCommand)>, Vec<String>);

/// The folder, one file a command.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    folder: PathBuf,
}

impl Outbox {
    /// Where it is by default.
    pub(crate) fn find() -> Option<Self> {
        Some(Self::at(state_dir::folder()?.join("outbox")))
    }

    pub(crate) fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self, id: CommandId) -> PathBuf {
        self.folder.join(format!("{id}.{ENDING}"))
    }

    /// Stores a new command durably.
    pub(crate) fn keep(&self, kept: &KeptCommand) -> io::Result<()> {
        let id = kept.command().map_err(io::Error::other)?.command_id;
        let path = self.path(id);
        let _lock = state_dir::lock(&self.folder.join("outbox"))?;
        if !path.exists() && self.files()?.len() >= MAX_KEPT {
            let why = format!(
                "{MAX_KEPT} commands are kept already: conductor command deliver, or conductor command drop"
            );
            return Err(io::Error::other(why));
        }
        write(&path, kept)
    }

    /// Stores what nodes answered, beside what another program heard of them. Nothing when the command was dropped
    /// meanwhile.
    pub(crate) fn update(&self, kept: &mut KeptCommand) -> io::Result<()> {
        let id = kept.command().map_err(io::Error::other)?.command_id;
        let path = self.path(id);
        let _lock = state_dir::lock(&self.folder.join("outbox"))?;
        let Some((_, before)) = read(&path).map_err(io::Error::other)? else { return Ok(()) };
        kept.learn(before);
        write(&path, kept)
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match std::fs::read_dir(&self.folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            entries => entries?,
        };
        let mut files = vec![];
        for e in entries {
            let path = e?.path();
            let ours = path.extension().is_some_and(|x| x == ENDING);
            let hidden = path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
            if ours && !hidden {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// All commands, oldest first. An unreadable file is named and left in place; commands that expired more than a day
    /// ago are removed.
    pub(crate) fn load(&self, now: WallTime) -> io::Result<Loaded> {
        let (mut kept, mut bad) = (vec![], vec![]);
        for path in self.files()? {
            match read(&path) {
                Ok(Some((c, k))) => {
                    if WallTime::from_micros(c.expires_at_us) + SHOWN <= now {
                        let _ = std::fs::remove_file(&path);
                    } else {
                        kept.push((c, k));
                    }
                }
                Ok(None) => {}
                Err(e) => bad.push(format!("{}: {e}", escape(&path.to_string_lossy(), 300))),
            }
        }
        kept.sort_by_key(|(c, _)| (c.issued_at_us, c.command_id));
        Ok((kept, bad))
    }

    /// Delivers pending commands to the nodes in `wanted` and stores their answers.
    pub(crate) async fn deliver(
        &self,
        now: WallTime,
        wanted: impl Fn(NodeId) -> bool + Copy,
    ) -> io::Result<Loaded> {
        let (mut kept, mut bad) = self.load(now)?;
        for (_, k) in &mut kept {
            match k.deliver(now, wanted).await {
                Ok(true) => self.update(k)?,
                Ok(false) => {}
                Err(e) => bad.push(e),
            }
        }
        Ok((kept, bad))
    }

    /// Removes a command, so that no more nodes receive it. False if there is none.
    pub(crate) fn drop(&self, id: CommandId) -> io::Result<bool> {
        let _lock = state_dir::lock(&self.folder.join("outbox"))?;
        match std::fs::remove_file(self.path(id)) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }
}

fn write(path: &Path, kept: &KeptCommand) -> io::Result<()> {
    state_dir::replace(path, &kept.text().map_err(io::Error::other)?)
}

fn read(path: &Path) -> Result<Option<(Command, KeptCommand)>, String> {
    let Some(text) = state_dir::read(path, MAX_FILE).map_err(|e| e.to_string())? else { return Ok(None) };
    let (command, kept) = KeptCommand::parse(&text)?;
    if path.file_stem().is_none_or(|s| s.to_str() != Some(&command.command_id.to_string())) {
        return Err("it is not named after the command in it".into());
    }
    Ok(Some((command, kept)))
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
