//! Persons, their keys and roles; what waits for a second person; local users of a tenant.

use super::args::{ApprovalCommand, OperatorCommand, PeerCommand};
use super::change::{Change, carry_out, state};
use super::context::Context;
use super::lookup::tenant_detail;
use super::output::{CliError, EXIT_FAILED, Output, table, time};
use super::policy::read_file;
use crate::client::commands::random;
use crate::client::keys::{KeyError, KeyFile, write_new};
use crate::client::resolve::{self, Found, TenantName};
use crate::client::session::ReadSession;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::clock::WallTime;
use conductor_shared::command::{Command, Operation, ops};
use conductor_shared::control::ControlState;
use conductor_shared::http::{CommandStatus, RequestRow};
use conductor_shared::ids::{CommandId, Ident, PersonId};
use conductor_shared::operator::{
    APPROVAL_LINE, Answer, Approval, KEYS_LINE, OperatorKey, key_statement, roles_shown,
};
use conductor_shared::untrusted::escape;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// Time from signing an approval to its expiry.
const APPROVAL_LIFE: Duration = Duration::from_secs(300);
/// No statement file is longer.
const MAX_STATEMENT: u64 = 16 * 1024;

/// What a new operator gives to an admin: whose key it is, and proof of possession.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyStatement {
    r#type: String,
    person: PersonId,
    name: Ident,
    public_key: String,
    /// Minisign file over the statement's text, base64.
    proof: String,
}

pub async fn operator(context: &Context, command: OperatorCommand) -> Result<Output, CliError> {
    let (operation, change, confirm, tightens) = match command {
        OperatorCommand::List => return list(context).await,
        OperatorCommand::Statement { name, person, out } => {
            return statement(context, name, person, &out).await;
        }
        OperatorCommand::Enrol { file, roles, change } => {
            let s = read_statement(&file)?;
            let (person, name, public_key, proof) = (s.person, s.name, s.public_key, s.proof);
            let confirm = name.to_string();
            (
                Operation::OperatorEnrol(ops::OperatorEnrol { person, name, public_key, roles, proof }),
                change,
                confirm,
                false,
            )
        }
        OperatorCommand::Roles { name, roles, none, change } => {
            let roles = match (roles, none) {
                (Some(r), false) => r,
                (None, true) => std::collections::BTreeSet::new(),
                _ => return Err(CliError::Input("give the roles, or --none".into())),
            };
            let (person, name) = person(context, &name).await?;
            (Operation::OperatorRoles(ops::OperatorRoles { person, roles }), change, name, false)
        }
        OperatorCommand::Suspend { name, change } => {
            let (person, name) = person(context, &name).await?;
            (Operation::OperatorSuspend(ops::OperatorSuspend { person }), change, name, true)
        }
        OperatorCommand::Resume { name, change } => {
            let (person, name) = person(context, &name).await?;
            (Operation::OperatorResume(ops::OperatorResume { person }), change, name, false)
        }
        OperatorCommand::Revoke { key, change } => {
            let confirm = key.to_string();
            (Operation::OperatorRevoke(ops::OperatorRevoke { key }), change, confirm, true)
        }
    };
    let session = context.session().await?;
    let change_ = Change { tenant: Found::node(), confirm, operation, tightens };
    carry_out(context, &session, change_, &change).await
}

async fn control_of_node(session: &ReadSession) -> Result<ControlState, CliError> {
    Ok(tenant_detail(session, &TenantName::Node).await?.1.control)
}

/// Finds a person by name or id.
async fn person(context: &Context, name: &str) -> Result<(PersonId, String), CliError> {
    let session = context.session().await?;
    let control = control_of_node(&session).await?;
    let id = name.parse::<PersonId>().ok();
    let meant = |k: &&OperatorKey| id.map_or(k.name.as_str() == name, |id| k.person == id);
    let found = control.operators.values().find(meant);
    found.map(|k| (k.person, k.name.to_string())).ok_or_else(|| {
        CliError::Input(format!(
            "no person {:?} has a key here; see: conductor operator list",
            escape(name, 63)
        ))
    })
}

async fn list(context: &Context) -> Result<Output, CliError> {
    let session = context.session().await?;
    let control = control_of_node(&session).await?;
    let word = |k: &OperatorKey| match (k.revoked, k.suspended) {
        (Some(at), _) => format!("revoked at {at}"),
        (None, true) => "suspended".to_owned(),
        (None, false) => "live".to_owned(),
    };
    let cells: Vec<Vec<String>> = control
        .operators
        .iter()
        .map(|(id, k)| {
            vec![k.name.to_string(), k.person.to_string(), id.to_string(), word(k), roles_shown(&k.roles)]
        })
        .collect();
    let json = json!({ "operators": control.operators });
    Ok(Output::ok(table(&["NAME", "PERSON", "KEY", "STATE", "ROLES"], &cells), json))
}

/// Signs whose key this is, with that key.
async fn statement(
    context: &Context,
    name: Ident,
    person: Option<PersonId>,
    out: &Path,
) -> Result<Output, CliError> {
    let path = context.key.as_ref().ok_or(KeyError::Missing)?;
    let key = KeyFile::load(path)?.unlock_at_terminal().await?;
    let person = match person {
        Some(p) => p,
        None => PersonId(random()?),
    };
    let signed = key.sign(&key_statement(person, &name, key.public_key()), KEYS_LINE)?;
    let s = KeyStatement {
        r#type: KEYS_LINE.into(),
        person,
        name,
        public_key: key.public_key().to_owned(),
        proof: STANDARD.encode(signed.signature),
    };
    let text = serde_json::to_string_pretty(&s).map_err(|e| CliError::Failed(e.to_string()))?;
    write_new(out, 0o644, format!("{text}\n").as_bytes())?;
    let place = escape(&out.to_string_lossy(), 200);
    let text = format!(
        "person     {} is {}\nkey        {}\nwritten to {place}; an admin enrols it with: conductor operator enrol\n",
        s.name,
        s.person,
        key.id()
    );
    Ok(Output::ok(text, json!({ "statement": s, "file": place })))
}

/// Reads the statement of a file, and checks that its key signed it.
pub fn read_statement(path: &Path) -> Result<KeyStatement, CliError> {
    let place = escape(&path.to_string_lossy(), 200);
    let bad = |why: String| CliError::Input(format!("{place}: {why}"));
    let text = read_file(path, MAX_STATEMENT)?;
    let s: KeyStatement = serde_json::from_slice(&text).map_err(|e| bad(escape(&e.to_string(), 200)))?;
    if s.r#type != KEYS_LINE {
        return Err(bad(format!("expected a file of type {KEYS_LINE} (conductor operator statement)")));
    }
    // The agent checks it too; here the admin learns it before anybody is asked to approve.
    let file = STANDARD.decode(&s.proof).ok().and_then(|b| String::from_utf8(b).ok()).unwrap_or_default();
    let text = key_statement(s.person, &s.name, &s.public_key);
    conductor_shared::checkpoint::verify_minisign(&s.public_key, text.as_bytes(), &file)
        .map_err(|e| bad(format!("the key did not sign this: {e}")))?;
    Ok(s)
}

pub async fn peer(context: &Context, command: PeerCommand) -> Result<Output, CliError> {
    let (args, tightens) = match command {
        PeerCommand::Allow(a) => (a, false),
        PeerCommand::Deny(a) => (a, true),
        PeerCommand::List(t) => {
            let session = context.session().await?;
            let (found, detail) = tenant_detail(&session, &t.tenant).await?;
            let peers = &detail.control.peers;
            let text: String = peers.iter().map(|uid| format!("{uid}\n")).collect();
            let json = json!({ "tenant_uid": found.uid, "tenant_id": found.name, "peers": peers });
            return Ok(Output::ok(text, json));
        }
    };
    context.may_change()?;
    let session = context.session().await?;
    let tenant = resolve::tenant(&session, &args.tenant).await?;
    let uid = args.uid;
    let operation = if tightens {
        Operation::PeerDeny(ops::PeerDeny { uid })
    } else {
        Operation::PeerAllow(ops::PeerAllow { uid })
    };
    let change = Change { confirm: tenant.name.clone(), tenant, operation, tightens };
    carry_out(context, &session, change, &args.change).await
}

pub async fn approval(context: &Context, command: ApprovalCommand) -> Result<Output, CliError> {
    let (id, verdict, dry_run) = match command {
        ApprovalCommand::List => return waiting(context).await,
        ApprovalCommand::Show { command } => {
            let session = context.session().await?;
            let row = find(&session, command).await?;
            let text = describe(&row)?;
            return Ok(Output::ok(text, json!(row)));
        }
        ApprovalCommand::Give { command, dry_run } => (command, Answer::Approve, dry_run),
        ApprovalCommand::Refuse { command, dry_run } => (command, Answer::Refuse, dry_run),
    };
    context.may_change()?;
    let session = context.session().await?;
    let row = find(&session, id).await?;
    // Read from the text whose digest is signed.
    let described = describe(&row)?;
    let bearer = session.bearer().await?;
    let here = session.agent().node(&bearer).await?;
    let approval = Approval {
        command_id: id,
        command_digest: Sha256::digest(row.text.as_bytes()).into(),
        node: here.node_id,
        tenant: row.tenant_uid,
        verdict,
        issued_at_us: here.now_us,
        expires_at_us: (WallTime::from_micros(here.now_us) + APPROVAL_LIFE).as_micros(),
        nonce: random()?,
    };
    if dry_run {
        let text = approval.text();
        let json = json!({ "dry_run": true, "text": text });
        let text = format!("{described}\nThis text would be signed (nothing was sent):\n\n{text}");
        return Ok(Output::ok(text, json));
    }
    let signed = session.key().sign(&approval.text(), &format!("{APPROVAL_LINE} {id}"))?;
    let o = session.agent().approval(&signed).await?;
    let (word, done) = match o.status {
        CommandStatus::Effective => ("approved: effective", true),
        CommandStatus::Requested => ("approved: it waits for more approvals", true),
        CommandStatus::Refused => ("refused: it never takes effect", verdict == Answer::Refuse),
        CommandStatus::Abandoned => ("abandoned: it never takes effect", false),
    };
    let mut text = format!("{described}{word}\n");
    for r in &o.reasons {
        let _ = writeln!(text, "reason     {}: {} {}", r.code(), r.description().trim(), r.remedy());
    }
    let _ = writeln!(text, "receipt    {} in {}", o.receipt.index, o.receipt.origin);
    Ok(Output { text, json: json!(o), code: if done { 0 } else { EXIT_FAILED } })
}

async fn requests(session: &ReadSession) -> Result<Vec<RequestRow>, CliError> {
    let bearer = session.bearer().await?;
    Ok(session.agent().approvals(&bearer).await?.requests)
}

async fn find(session: &ReadSession, id: CommandId) -> Result<RequestRow, CliError> {
    requests(session)
        .await?
        .into_iter()
        .find(|r| r.command_id == id)
        .ok_or_else(|| CliError::Input(format!("no request {id} waits here; see: conductor approval list")))
}

fn describe(row: &RequestRow) -> Result<String, CliError> {
    let c = Command::parse(row.text.as_bytes())
        .map_err(|e| CliError::Failed(format!("the agent shows a text that is no command: {e}")))?;
    if c.command_id != row.command_id || c.tenant != row.tenant_uid {
        return Err(CliError::Failed("the agent shows the text of another command".into()));
    }
    let mut out = String::new();
    let _ = writeln!(out, "request    {}", c.command_id);
    let _ = writeln!(out, "tenant     {} ({})", row.tenant_id, c.tenant);
    let _ = writeln!(out, "operation  {}", c.operation.name());
    for (k, v) in c.operation.args() {
        let _ = writeln!(out, "           {k} = {}", escape(&v, 100));
    }
    let _ = writeln!(out, "reason     {}", c.reason.escaped(200));
    let _ = writeln!(out, "class      {}", row.class.as_str());
    let _ = writeln!(out, "asked by   {}, until {}", row.person, time(row.expires_at_us));
    let names: Vec<&str> = row.approved.iter().map(Ident::as_str).collect();
    let so_far = if names.is_empty() { "nobody yet".to_owned() } else { names.join(" ") };
    let _ = writeln!(out, "approved   by {so_far}; it takes {}", row.needed);
    Ok(out)
}

async fn waiting(context: &Context) -> Result<Output, CliError> {
    let session = context.session().await?;
    let rows = requests(&session).await?;
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|r| {
            let what = Command::parse(r.text.as_bytes()).map_or("?".into(), |c| {
                let args: Vec<String> =
                    c.operation.args().into_iter().flat_map(|(k, v)| [k.to_owned(), v]).collect();
                format!("{} {}", c.operation.name(), state(&args))
            });
            vec![
                r.command_id.to_string(),
                r.tenant_id.to_string(),
                r.person.to_string(),
                format!("{} of {}", r.approved.len(), r.needed),
                time(r.expires_at_us),
                escape(&what, 80),
            ]
        })
        .collect();
    let mut text = table(&["REQUEST", "TENANT", "ASKED BY", "APPROVED", "UNTIL", "WHAT"], &cells);
    if rows.is_empty() {
        text = "nothing waits for another person\n".into();
    }
    Ok(Output::ok(text, json!({ "requests": rows })))
}
