//! The dialog that answers another person's request. The password is asked for each time. Pure.

use crate::model::confirmation::Target;
use crate::model::dialog::approve::Approve;
use crate::model::dialog::{Field, Layer, Waiting};
use crate::model::input::TextInput;
use crate::model::keys::Act;
use crate::model::message::{Effect, Secret};
use crate::model::tenants::RowKey;
use crate::model::{KeyState, Model};
use conductor_shared::clock::WallTime;
use conductor_shared::command::Command;
use conductor_shared::fact::ChangeClass;
use conductor_shared::operator::{Answer, Approval};
use crossterm::event::KeyEvent;
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use zeroize::Zeroizing;

/// Life of an answer.
const LIFE: Duration = Duration::from_secs(300);
/// A dialog that stays open longer than this composes its answer again.
const REDRAW: Duration = Duration::from_secs(120);

/// Opens the dialog on the selected request.
pub(crate) fn begin(m: &mut Model, verdict: Answer) {
    if m.read_only {
        return;
    }
    let Some(w) = m.approvals.selected() else { return };
    let Some(command) = w.command.clone() else {
        return m.say("The node shows a text that is not this command: it cannot be answered here.");
    };
    let (row, agent) = (&w.row, w.agent);
    let (text, by, name) = (row.text.clone(), row.person.to_string(), row.tenant_id.clone());
    let key = RowKey { agent, tenant: row.tenant_uid };
    let Some(target) = m.target_named(key, name) else { return };
    let at = m.agent_of(key).map_or(WallTime::EPOCH, |a| a.time(m.now));
    let digest = Sha256::digest(text.as_bytes()).into();
    let Some((text, approval)) = compose(m, &target, &command, digest, verdict, at) else { return };
    let password = match &m.key {
        KeyState::Unlocked(k) if !k.encrypted => None,
        _ => Some(TextInput::new(256)),
    };
    let opened = m.now.mono;
    let name = TextInput::new(63);
    let focus = Field::Cancel;
    let a = Approve { target, command, by, text, approval, name, password, focus, at: opened, error: None };
    m.layers.push(Layer::Approve(Box::new(a)));
}

/// The text, and the answer parsed back from it.
fn compose(
    m: &mut Model,
    target: &Target,
    command: &Command,
    command_digest: [u8; 32],
    verdict: Answer,
    at: WallTime,
) -> Option<(String, Approval)> {
    let text = Approval {
        command_id: command.command_id,
        command_digest,
        node: target.node_id,
        tenant: command.tenant,
        verdict,
        issued_at_us: at.as_micros(),
        expires_at_us: (at + LIFE).as_micros(),
        nonce: m.ids.draw(),
    }
    .text();
    let read = Approval::parse(text.as_bytes())?;
    Some((text, read))
}

/// A key in the dialog.
pub(crate) fn key(
    m: &mut Model,
    mut a: Box<Approve>,
    key: KeyEvent,
    act: Option<Act>,
    out: &mut Vec<Effect>,
) {
    match act {
        Some(Act::Back) => return,
        Some(Act::Down | Act::NextField) => a.turn(true),
        Some(Act::Up | Act::PreviousField) => a.turn(false),
        Some(Act::Enter) => match a.focus {
            Field::Cancel => return,
            Field::Confirm => match a.lock(m.fresh(a.target.key)) {
                Some(why) => a.error = Some(why.into()),
                None => return send(m, *a, out),
            },
            _ => a.turn(true),
        },
        _ => {
            a.error = None;
            if let Some(i) = a.input() {
                i.key(key);
            }
        }
    }
    m.layers.push(Layer::Approve(a));
}

fn send(m: &mut Model, a: Approve, out: &mut Vec<Effect>) {
    m.ticket += 1;
    let ticket = m.ticket;
    let approves = a.approval.verdict == Answer::Approve;
    let what = a.command.operation.sentence();
    m.layers.push(Layer::Waiting(Waiting {
        ticket,
        target: a.target.clone(),
        sentence: format!("{}: {what}", if approves { "Approve" } else { "Refuse" }),
        class: if approves { ChangeClass::Loosen } else { ChangeClass::Tighten },
        since: m.now.mono,
    }));
    let password = a.password.as_ref().map(|p| Secret(Zeroizing::new(p.text().to_owned())));
    out.push(Effect::Approve { ticket, agent: a.target.key.agent, text: a.text, password });
}

/// Composes an old answer again, with a new time.
pub(crate) fn tick(m: &mut Model) {
    let now = m.now.mono;
    let old = |l: &Layer| matches!(l, Layer::Approve(a) if now - a.at > REDRAW);
    let Some(place) = m.layers.iter().position(old) else { return };
    let Layer::Approve(mut a) = m.layers.remove(place) else { return };
    let at = m.agent_of(a.target.key).map_or(WallTime::EPOCH, |x| x.time(m.now));
    let (digest, verdict) = (a.approval.command_digest, a.approval.verdict);
    if let Some((text, approval)) = compose(m, &a.target, &a.command, digest, verdict, at) {
        (a.text, a.approval, a.at) = (text, approval, now);
    }
    m.layers.insert(place, Layer::Approve(a));
    m.dirty = true;
}
