//! Signs and sends confirmed actions, and keeps them for nodes that do not answer.

use super::fetch::text;
use crate::client::endpoint::Endpoint;
use crate::client::error::ClientError;
use crate::client::keys::{KeyError, KeyFile};
use crate::client::outbox::{Addressee, KeptCommand, Outbox, State};
use crate::client::outcome;
use crate::client::session::ReadSession;
use crate::model::confirmation::ConfirmedAction;
use crate::model::message::{Refusal, Reply, Secret};
use crate::model::outgoing::Outgoing;
use crate::text::wrap::safe;
use conductor_shared::clock::Clock;
use conductor_shared::command::{Command, TYPE_LINE};
use conductor_shared::http::CommandOutcome;
use conductor_shared::ids::{Ident, NodeId};
use conductor_shared::operator::APPROVAL_LINE;
use conductor_shared::reason::Reason;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Stores commands and delivers them.
pub(super) struct Delivery {
    /// One task at a time uses the outbox.
    pub(super) outbox: Arc<Mutex<Option<Outbox>>>,
    pub(super) endpoints: Vec<Endpoint>,
    /// Open sessions, to ask what came of a command.
    pub(super) sessions: Vec<ReadSession>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Delivery {
    /// Pending commands of earlier runs. `None` where there is no outbox.
    pub(super) async fn outgoing(&self) -> Option<Reply> {
        let outbox = self.outbox.lock().await;
        let (kept, _) = outbox.as_ref()?.load(self.clock.now().wall).ok()?;
        Some(listed(&kept))
    }

    /// Delivers pending commands to these nodes.
    pub(super) async fn deliver(&self, nodes: &[NodeId]) -> Option<Reply> {
        let outbox = self.outbox.lock().await;
        let now = self.clock.now().wall;
        let outbox = outbox.as_ref()?;
        let (mut kept, _) = outbox.deliver(now, |n| nodes.contains(&n)).await.ok()?;
        let wanted = |n: &Addressee| nodes.contains(&n.node_id).then(|| self.session(n)).flatten();
        outcome::follow_all(outbox, &mut kept, wanted).await.ok()?;
        Some(listed(&kept))
    }

    fn session(&self, node: &Addressee) -> Option<ReadSession> {
        self.sessions.iter().find(|s| s.agent().endpoint().to_string() == node.endpoint).cloned()
    }
}

fn listed(kept: &[(Command, KeptCommand)]) -> Reply {
    Reply::Outgoing(kept.iter().map(|(c, k)| Outgoing::of(c, k)).collect())
}

/// Sends an answer to a request. The key is unlocked again for it: the key of the session signs no approval.
pub(super) async fn approve(
    s: &ReadSession,
    key: &Path,
    text: &str,
    password: Option<Secret>,
) -> Result<CommandOutcome, Refusal> {
    let locked = |e: KeyError| Refusal {
        what: safe(&e.to_string(), 300),
        remedy: "Nothing was sent.".into(),
        unknown: false,
    };
    let file = KeyFile::load(key).map_err(locked)?;
    let key = file.unlock_async(password.map(|p| p.0)).await.map_err(locked)?;
    let signed = key.sign(text, APPROVAL_LINE).map_err(locked)?;
    s.agent().approval(&signed).await.map_err(refusal)
}

/// Signs and sends a confirmed action. A tightening is kept for nodes that did not take it.
pub(super) async fn send_or_keep(
    s: &ReadSession,
    action: &ConfirmedAction,
    way: &Delivery,
    ticket: u64,
) -> Reply {
    let no = |e: ClientError| Reply::Answered(ticket, Err(refusal(e)));
    let command = match Command::parse(action.text().as_bytes()) {
        Ok(c) => c,
        Err(e) => return no(ClientError::Usage(format!("this command cannot be signed: {e}"))),
    };
    let signed = match s.key().sign(action.text(), &format!("{TYPE_LINE} {}", command.command_id)) {
        Ok(signed) => signed,
        Err(e) => return no(e.into()),
    };
    let nodes = action.target().nodes();
    if nodes.len() == 1 {
        match s.agent().command(&signed).await {
            // A node takes a command once, so sending it again is safe.
            Err(e) if e.may_retry() && command.operation.is_absolute() => {}
            got => return Reply::Answered(ticket, got.map_err(refusal)),
        }
    }
    let addressee = |(node_id, name, agent): (NodeId, Ident, usize)| {
        let endpoint = way.endpoints.get(agent)?.to_string();
        Some(Addressee { node_id, name, endpoint, state: State::Waiting { last: String::new() } })
    };
    let nodes = nodes.into_iter().filter_map(addressee).collect();
    let mut kept = KeptCommand { tenant: action.target().name.to_string(), signed, nodes };
    let outbox = way.outbox.lock().await;
    let folder = || {
        let none = || std::io::Error::other("there is no folder for it: set HOME or XDG_STATE_HOME");
        outbox.as_ref().ok_or_else(none)
    };
    // Stored first, then sent. A full disk must not hold up a tightening, though.
    let stored = folder().and_then(|o| o.keep(&kept));
    if let Err(e) = kept.deliver(way.clock.now().wall, |_| true).await {
        return no(ClientError::Usage(e));
    }
    // What cannot be asked now is asked again when it is delivered.
    let _ = outcome::follow(&mut kept, |n| way.session(n)).await;
    let stored = stored.and_then(|()| folder()?.update(&mut kept));
    match stored {
        Err(e) if !kept.is_settled() => no(ClientError::Usage(format!(
            "{}; it could not be kept for the others: {}",
            kept.status_line(),
            safe(&e.to_string(), 200)
        ))),
        _ => Reply::Kept(ticket, Box::new(Outgoing::of(&command, &kept))),
    }
}

/// Why nothing was carried out, and what to do about it.
pub(super) fn refusal(e: ClientError) -> Refusal {
    let unknown = matches!(e, ClientError::TimedOut { .. });
    let (what, remedy) = match e {
        ClientError::Denied(p) if !p.reasons.is_empty() => {
            let each = |f: fn(&Reason) -> String| p.reasons.iter().map(f).collect::<Vec<_>>().join(" ");
            (each(|r| format!("{r}: {}", r.description().trim())), each(|r| r.remedy().to_owned()))
        }
        ClientError::TimedOut { .. } => {
            (text(e), "Look at the tenant's receipts before you repeat it.".to_owned())
        }
        e => (text(e), String::new()),
    };
    Refusal { what, remedy, unknown }
}
