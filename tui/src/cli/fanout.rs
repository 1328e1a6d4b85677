//! A tightening for all named agents, offline ones included, and the list of pending commands.
//!
//! The command is signed once for all nodes that hold the tenant, stored on disk, and only then sent. Neither a preview
//! nor an offline node delays it.

use super::args::{ChangeArgs, OutboxCommand};
use super::change::why;
use super::context::Context;
use super::output::{CliError, EXIT_FAILED, EXIT_OK, Output, table, time};
use crate::client::commands::{Draft, LIFE, Prepared, REQUEST_LIFE};
use crate::client::endpoint::Endpoint;
use crate::client::error::ClientError;
use crate::client::http::AgentClient;
use crate::client::keys::UnlockedKey;
use crate::client::node_cache::{CachedNode, NodeCache};
use crate::client::outbox::{Addressee, KeptCommand, Loaded, Outbox, State};
use crate::client::outcome;
use crate::client::resolve::TenantName;
use crate::client::session::ReadSession;
use conductor_shared::clock::WallTime;
use conductor_shared::command::{Command, MAX_AUDIENCE, Operation, TYPE_LINE};
use conductor_shared::http::ReceiptRef;
use conductor_shared::ids::{Ident, NodeId, TenantUid};
use conductor_shared::untrusted::{UntrustedText, escape};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// Some node has not answered yet, or not told what came of it: the command is kept.
pub const EXIT_KEPT: u8 = 5;
/// It waits for another person somewhere; there nothing has changed.
pub const EXIT_WAITS: u8 = 6;
/// Pause between attempts of `deliver --wait`.
const RETRY: Duration = Duration::from_secs(2);

/// One agent, as far as it can be known now.
struct Place {
    endpoint: Endpoint,
    node: Option<CachedNode>,
    /// What it answers now; else the node is remembered from earlier.
    reached: Result<(), ClientError>,
}

/// Sends a tightening to all named agents.
pub(super) async fn everywhere(
    context: &Context,
    tenant: &TenantName,
    operation: impl Fn(WallTime) -> Operation,
    args: &ChangeArgs,
) -> Result<Output, CliError> {
    context.may_change()?;
    let why = why(args)?;
    let key = context.unlocked().await?;
    let places = look(context, &key).await;
    let now = places
        .iter()
        .filter(|p| p.reached.is_ok())
        .find_map(|p| Some(p.node.as_ref()?.seen))
        .unwrap_or_else(|| context.clock.now().wall);
    let (groups, mut notes) = group(&places, tenant)?;
    let all = compose(groups, &places, operation, &why, now)?;
    if args.dry_run {
        let texts: Vec<&str> = all.iter().map(|(p, ..)| p.text()).collect();
        let text = format!("These texts would be signed (nothing was sent):\n\n{}", texts.join("\n"));
        return Ok(Output::ok(text, json!({ "dry_run": true, "texts": texts })));
    }
    let outbox = outbox()?;
    let mut sent = vec![];
    for (prepared, tenant, nodes) in all {
        let command = prepared.parsed()?;
        let signed = key.sign(prepared.text(), &format!("{TYPE_LINE} {}", command.command_id))?;
        let mut kept = KeptCommand { tenant, signed, nodes };
        // Stored first, then sent: it is delivered even if this program ends. A full disk must not hold up a tightening,
        // though.
        let stored = outbox.keep(&kept);
        kept.deliver(context.clock.now().wall, |_| true).await.map_err(CliError::Failed)?;
        let session = |n: &Addressee| session_with(context, &key, n);
        outcome::follow(&mut kept, session).await.map_err(CliError::Failed)?;
        if kept.is_settled() {
            let _ = outbox.drop(command.command_id);
        } else if let Err(e) = stored.and_then(|()| outbox.update(&mut kept)) {
            notes.push(format!("it could not be kept for nodes that did not answer: {e}"));
        }
        sent.push((command, kept));
    }
    Ok(report(&sent, &notes, context.clock.now().wall))
}

fn session_with(context: &Context, key: &Arc<UnlockedKey>, node: &Addressee) -> Option<ReadSession> {
    let agent = AgentClient::new(node.endpoint.parse().ok()?).ok()?;
    Some(ReadSession::new(agent, Arc::clone(key), Arc::clone(&context.clock)))
}

/// Delivers what is kept, and asks what came of what is on record. Only the latter takes a key; without one it stays open.
async fn deliver(context: &Context, outbox: &Outbox) -> std::io::Result<Loaded> {
    let (mut kept, bad) = outbox.deliver(context.clock.now().wall, |_: NodeId| true).await?;
    let open = kept.iter().flat_map(|(_, k)| &k.nodes).any(|n| n.state.may_change());
    if open && let Ok(key) = context.unlocked().await {
        outcome::follow_all(outbox, &mut kept, |n| session_with(context, &key, n)).await?;
    }
    Ok((kept, bad))
}

/// One command for each tenant, with the nodes that it is for. An operation that may loosen is refused.
fn compose(
    groups: Groups,
    places: &[Place],
    operation: impl Fn(WallTime) -> Operation,
    why: &UntrustedText,
    now: WallTime,
) -> Result<Vec<(Prepared, String, Vec<Addressee>)>, CliError> {
    let mut all = vec![];
    for ((tenant, name), nodes) in groups {
        let operation = operation(now);
        if !operation.is_absolute() {
            let what = operation.name();
            return Err(CliError::Input(format!(
                "{what} may loosen: name one --agent, which can be reached"
            )));
        }
        let offline = nodes.iter().any(|n| matches!(n.state, State::Waiting { .. }) && is_offline(places, n));
        let draft = Draft {
            nodes: nodes.iter().map(|n| n.node_id).collect(),
            tenant,
            operation,
            base: None,
            reason: why.clone(),
            now,
            life: if offline { REQUEST_LIFE } else { LIFE },
        };
        all.push((Prepared::compose(draft)?, name, nodes));
    }
    Ok(all)
}

fn is_offline(places: &[Place], n: &Addressee) -> bool {
    places.iter().any(|p| p.reached.is_err() && p.node.as_ref().is_some_and(|k| k.node_id == n.node_id))
}

/// Asks all agents who they are and what they hold, at the same time.
async fn look(context: &Context, key: &Arc<UnlockedKey>) -> Vec<Place> {
    let known = NodeCache::load();
    let ask = |endpoint: &Endpoint| {
        let endpoint = endpoint.clone();
        async {
            let asked = async {
                let agent = AgentClient::new(endpoint.clone())?;
                let session = context.session_with(agent, Arc::clone(key));
                let open = session.get().await?;
                let list = session.agent().tenants(&open.bearer).await?;
                Ok::<_, ClientError>(CachedNode::of(&open.node, &list))
            };
            match asked.await {
                Ok(node) => Place { endpoint, node: Some(node), reached: Ok(()) },
                Err(e) => Place { node: known.at(&endpoint).cloned(), endpoint, reached: Err(e) },
            }
        }
    };
    let places = futures_util::future::join_all(context.agents().iter().map(ask)).await;
    let seen = places.iter().filter(|p| p.reached.is_ok());
    NodeCache::remember(seen.filter_map(|p| Some((p.endpoint.clone(), p.node.clone()?))).collect());
    places
}

type Groups = BTreeMap<(TenantUid, String), Vec<Addressee>>;

/// The nodes that hold the tenant, by its uid (one command each), and a note about each other node.
fn group(places: &[Place], tenant: &TenantName) -> Result<(Groups, Vec<String>), CliError> {
    let (mut groups, mut notes) = (Groups::new(), vec![]);
    for p in places {
        let at = p.endpoint.to_string();
        let Some(node) = &p.node else {
            let why = p.reached.as_ref().err().map(ToString::to_string).unwrap_or_default();
            notes.push(format!(
                "{at} was never reached from here, so nothing can be kept for it: {}",
                escape(&why, 300)
            ));
            continue;
        };
        let held = match tenant {
            TenantName::Node => Some((TenantUid::NODE, "node".to_owned())),
            TenantName::Uid(uid) => {
                Some((*uid, node.tenants.get(uid).map_or(uid.to_string(), Ident::to_string)))
            }
            TenantName::Name(_) => {
                let meant = node.tenants.iter().find(|(uid, name)| tenant.means(**uid, name));
                meant.map(|(uid, name)| (*uid, name.to_string()))
            }
        };
        let Some(held) = held else {
            notes.push(format!("{} ({at}) has no such tenant", node.name));
            continue;
        };
        let last = p.reached.as_ref().err().map(|e| escape(&e.to_string(), 300)).unwrap_or_default();
        let nodes = groups.entry(held).or_default();
        if nodes.len() >= MAX_AUDIENCE {
            return Err(CliError::Input(format!("a command is for at most {MAX_AUDIENCE} nodes")));
        }
        if nodes.iter().all(|n| n.node_id != node.node_id) {
            let (node_id, name) = (node.node_id, node.name.clone());
            nodes.push(Addressee { node_id, name, endpoint: at, state: State::Waiting { last } });
        }
    }
    if groups.is_empty() {
        return Err(CliError::Failed(format!("nothing was sent. {}", notes.join(". "))));
    }
    Ok((groups, notes))
}

fn outbox() -> Result<Outbox, CliError> {
    Outbox::find().ok_or_else(|| {
        CliError::Input("there is no folder for kept commands: set HOME or XDG_STATE_HOME".into())
    })
}

pub async fn command(context: &Context, command: OutboxCommand) -> Result<Output, CliError> {
    let (outbox, now) = (outbox()?, || context.clock.now().wall);
    let io = |e: std::io::Error| CliError::Failed(format!("kept commands: {e}"));
    match command {
        OutboxCommand::List => {
            let (kept, bad) = outbox.load(now()).map_err(io)?;
            Ok(Output {
                code: if bad.is_empty() { EXIT_OK } else { EXIT_FAILED },
                ..listed(&kept, &bad, now())
            })
        }
        OutboxCommand::Deliver { wait } => {
            context.may_change()?;
            loop {
                let (kept, bad) = deliver(context, &outbox).await.map_err(io)?;
                let live = |c: &Command| WallTime::from_micros(c.expires_at_us) > now();
                if !wait || !kept.iter().any(|(c, k)| live(c) && k.waiting() > 0) {
                    return Ok(listed(&kept, &bad, now()));
                }
                tokio::time::sleep(RETRY).await;
            }
        }
        OutboxCommand::Drop { command } => {
            context.may_change()?;
            if !outbox.drop(command).map_err(io)? {
                return Err(CliError::Input(format!(
                    "no command {command} is kept (conductor command list)"
                )));
            }
            let text = format!(
                "{command} is sent to no more nodes. It stands where it was acknowledged: undo that with another command"
            );
            Ok(Output::ok(text, json!({ "dropped": command })))
        }
    }
}

fn node_row(n: &Addressee, over: bool) -> Vec<String> {
    let at = |r: &ReceiptRef| format!("receipt {} in {}", r.index, r.origin);
    let (word, more) = match &n.state {
        State::Waiting { last } if over => ("expired", escape(last, 120)),
        State::Waiting { last } => ("waits", escape(last, 120)),
        State::Acknowledged { receipt } => ("acknowledged", at(receipt)),
        State::Requested { receipt } => ("waits for another person to approve it", at(receipt)),
        State::Delivered => {
            ("on record", "what came of it is not known: deliver again with --key".to_owned())
        }
        State::Refused { why, .. } => ("refused", escape(why, 200)),
    };
    vec![n.name.to_string(), word.into(), more]
}

fn one(c: &Command, k: &KeptCommand, now: WallTime) -> String {
    let over = WallTime::from_micros(c.expires_at_us) <= now;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{} {} for {}: {}",
        c.operation.name(),
        c.operation.object(),
        escape(&k.tenant, 63),
        k.status_line()
    );
    let rows: Vec<_> = k.nodes.iter().map(|n| node_row(n, over)).collect();
    text += &table(&["NODE", "STATE", ""], &rows);
    if k.waiting() > 0 {
        let what = if over { "expired" } else { "kept until" };
        let _ = writeln!(text, "{what} {} as command {}", time(c.expires_at_us), c.command_id);
    }
    text
}

fn to_json(c: &Command, k: &KeptCommand) -> Value {
    json!({
        "command_id": c.command_id, "operation": c.operation.to_list(), "tenant": k.tenant, "tenant_uid": c.tenant,
        "issued_at_us": c.issued_at_us, "expires_at_us": c.expires_at_us, "acknowledged": k.acknowledged(),
        "nodes": k.nodes,
    })
}

fn report(sent: &[(Command, KeptCommand)], notes: &[String], now: WallTime) -> Output {
    let mut text: String = sent.iter().map(|(c, k)| one(c, k, now)).collect();
    for n in notes {
        let _ = writeln!(text, "note       {n}");
    }
    if sent.iter().any(|(_, k)| k.waiting() > 0) {
        text += "delivered by: conductor command deliver, or by the console when the node is back\n";
    }
    let code = exit_code(sent, !notes.is_empty());
    let commands: Vec<Value> = sent.iter().map(|(c, k)| to_json(c, k)).collect();
    Output { text, json: json!({ "commands": commands, "notes": notes }), code }
}

/// The worst of what became of them. `failed`: a node that could not be addressed, or a file that could not be read.
fn exit_code(commands: &[(Command, KeptCommand)], failed: bool) -> u8 {
    let any = |f: fn(&State) -> bool| commands.iter().flat_map(|(_, k)| &k.nodes).any(|n| f(&n.state));
    if failed || any(|s| matches!(s, State::Refused { .. })) {
        EXIT_FAILED
    } else if any(|s| matches!(s, State::Waiting { .. } | State::Delivered)) {
        EXIT_KEPT
    } else if any(|s| matches!(s, State::Requested { .. })) {
        EXIT_WAITS
    } else {
        EXIT_OK
    }
}

fn listed(kept: &[(Command, KeptCommand)], bad: &[String], now: WallTime) -> Output {
    let mut text = String::new();
    for (c, k) in kept {
        text += &one(c, k, now);
        text.push('\n');
    }
    if kept.is_empty() {
        text += "no commands are kept\n";
    }
    for b in bad {
        let _ = writeln!(text, "unreadable {b}");
    }
    let commands: Vec<Value> = kept.iter().map(|(c, k)| to_json(c, k)).collect();
    Output {
        text,
        json: json!({ "commands": commands, "unreadable": bad }),
        code: exit_code(kept, !bad.is_empty()),
    }
}
