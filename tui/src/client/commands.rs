//! Commands: composed, shown, signed and sent.
//!
//! A confirmation is drawn from [`Prepared::parsed`], which reads back the very bytes that [`Prepared::sign_and_send`]
//! signs: what a person confirms is what the agent will read. A tightening carries no base and needs no fresh state; a
//! loosening carries the digest of what was shown.

use super::error::ClientError;
use super::session::ReadSession;
use conductor_shared::clock::WallTime;
use conductor_shared::command::{Audience, Command, MAX_LIFE, MAX_REASON, Operation, TYPE_LINE};
use conductor_shared::fact::ChangeClass;
use conductor_shared::http::{CommandOutcome, NodeInfo, Preview, PreviewRequest};
use conductor_shared::ids::{CommandId, NodeId, TenantUid, unhex};
use conductor_shared::untrusted::{UntrustedText, is_unshowable};
use std::time::Duration;

/// Life of a command.
pub const LIFE: Duration = Duration::from_secs(300);
/// Life of a command that waits for other persons.
pub const REQUEST_LIFE: Duration = MAX_LIFE.saturating_sub(Duration::from_secs(1));

/// Bytes from the system's random source.
pub fn random<const N: usize>() -> Result<[u8; N], ClientError> {
    let mut out = [0u8; N];
    getrandom::fill(&mut out)
        .map_err(|e| ClientError::Usage(format!("the system gives no random bytes: {e}")))?;
    Ok(out)
}

/// Checks a reason by the rules of the command parser.
pub fn reason(text: &str) -> Result<UntrustedText, ClientError> {
    let fits = text.chars().count() <= MAX_REASON && !text.chars().any(is_unshowable);
    if fits && !text.trim().is_empty() {
        return Ok(UntrustedText::new(text));
    }
    let why = format!("a reason is 1 to {MAX_REASON} visible characters on one line (--reason \"why\")");
    Err(ClientError::Usage(why))
}

/// The content of a command that has no id yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Nodes that it is for: one signature serves them all.
    pub nodes: Vec<NodeId>,
    /// Whose log it is for.
    pub tenant: TenantUid,
    pub operation: Operation,
    /// Digest of the state that was shown, for a loosening only.
    pub base: Option<[u8; 32]>,
    pub reason: UntrustedText,
    /// The nodes' time.
    pub now: WallTime,
    /// How long it lives.
    pub life: Duration,
}

impl Draft {
    /// The command with this id and nonce.
    pub fn command(self, id: [u8; 16], nonce: [u8; 16]) -> Command {
        Command {
            command_id: CommandId(id),
            audience: Audience::Nodes(self.nodes),
            tenant: self.tenant,
            base: self.base,
            operation: self.operation,
            reason: self.reason,
            issued_at_us: self.now.as_micros(),
            expires_at_us: (self.now + self.life).as_micros(),
            nonce,
        }
    }
}

/// A command as exact bytes, not signed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    bytes: String,
}

impl Prepared {
    /// Composes a command. What the agent would refuse is refused here.
    pub fn compose(draft: Draft) -> Result<Self, ClientError> {
        let this = Self { bytes: draft.command(random()?, random()?).text() };
        this.parsed()?;
        Ok(this)
    }

    /// The exact text that will be signed.
    pub fn text(&self) -> &str {
        &self.bytes
    }

    /// Read back from the bytes that will be signed: draw confirmations from this.
    pub fn parsed(&self) -> Result<Command, ClientError> {
        Command::parse(self.bytes.as_bytes())
            .map_err(|e| ClientError::Usage(format!("this command cannot be signed: {e}")))
    }

    /// Signs these bytes and sends them.
    pub async fn sign_and_send(&self, session: &ReadSession) -> Result<CommandOutcome, ClientError> {
        let id = self.parsed()?.command_id;
        let signed = session.key().sign(&self.bytes, &format!("{TYPE_LINE} {id}"))?;
        session.agent().command(&signed).await
    }
}

/// A change with what the agent says it would do.
#[derive(Debug, Clone)]
pub struct PlannedChange {
    pub prepared: Prepared,
    /// What it would do; `None` when it was not asked for.
    pub preview: Option<Preview>,
    /// The node, and its time when it was asked.
    pub node: NodeInfo,
}

impl PlannedChange {
    /// True when somebody has to confirm it: anything but a tightening.
    pub fn needs_confirmation(&self) -> bool {
        self.preview.as_ref().is_some_and(|p| p.class != ChangeClass::Tighten)
    }
}

/// Asks for class and blast radius and composes the command: with a base for a loosening, without for a tightening.
/// If the preview fails, a change that `tightens` is composed without it.
pub async fn plan(
    session: &ReadSession,
    tenant: TenantUid,
    operation: Operation,
    why: UntrustedText,
    tightens: bool,
) -> Result<PlannedChange, ClientError> {
    let agent = session.agent();
    let request = PreviewRequest { operation: operation.to_list() };
    let looked = async {
        let bearer = session.bearer().await?;
        let node = agent.node(&bearer).await?;
        let preview = agent.preview(&bearer, tenant, &request).await;
        Ok::<_, ClientError>((node, preview))
    };
    let (node, preview) = match looked.await {
        Ok((node, Ok(p))) => (node, Some(p)),
        Ok((node, Err(_))) if tightens => (node, None),
        // Without a session: the challenge route names node and time to anybody.
        Err(e) if tightens => (agent.challenge().await.map_err(|_| e)?.node, None),
        Ok((_, Err(e))) | Err(e) => return Err(e),
    };
    let base = match &preview {
        Some(p) if p.class != ChangeClass::Tighten => {
            let base = unhex(&p.base);
            Some(base.ok_or_else(|| agent.bad("preview", "base is not 64 hex digits"))?)
        }
        _ => None,
    };
    let waits = preview.as_ref().is_some_and(|p| p.approvals > 0);
    let life = if waits { REQUEST_LIFE } else { LIFE };
    let nodes = vec![node.node_id];
    let now = WallTime::from_micros(node.now_us);
    let draft = Draft { nodes, tenant, operation, base, reason: why, now, life };
    let prepared = Prepared::compose(draft)?;
    Ok(PlannedChange { prepared, preview, node })
}
