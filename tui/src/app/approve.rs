//! An answer to what another person asked for. What is shown is read from the very bytes: the command from the text that
//! waits, the answer from the text that will be signed. The password is asked for each time, whatever lies open. Pure.

use super::action::Target;
use super::dialog::{Field, Layer, Waiting};
use super::input::Input;
use super::keys::Act;
use super::model::{Key, Model};
use super::msg::{Effect, Secret};
use super::tenants::RowKey;
use conductor_shared::command::Command;
use conductor_shared::fact::ChangeClass;
use conductor_shared::operator::{Answer, Approval};
use crossterm::event::KeyEvent;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// How long an answer may be on its way, microseconds.
const LIFE_US: u64 = 300_000_000;
/// An answer that lies open for longer is drawn up anew, microseconds.
const REDRAW_US: u64 = 120_000_000;

/// The dialog.
#[derive(Debug)]
pub(crate) struct Approve {
    /// Whose request.
    pub(crate) target: Target,
    /// What would be done, read from the text that waits.
    pub(crate) command: Command,
    /// Who asked.
    pub(crate) by: String,
    /// The exact text that will be signed.
    pub(crate) text: String,
    /// The same, read back.
    pub(crate) approval: Approval,
    /// The tenant's name as typed.
    pub(crate) name: Input,
    /// The password; `None` where the key has none.
    pub(crate) password: Option<Input>,
    /// Where the keys go.
    pub(crate) focus: Field,
    /// When the text was drawn up, microseconds of the monotonic clock.
    pub(crate) at_us: u64,
    /// What is wrong.
    pub(crate) error: Option<String>,
}

impl Approve {
    fn fields(&self) -> Vec<Field> {
        let mut f = vec![Field::Cancel];
        // Refusing makes nothing riskier: no name is typed for it.
        if self.approval.verdict == Answer::Approve {
            f.push(Field::Name);
        }
        if self.password.is_some() {
            f.push(Field::Password);
        }
        f.push(Field::Confirm);
        f
    }

    fn turn(&mut self, forward: bool) {
        let f = self.fields();
        let at = f.iter().position(|x| *x == self.focus).unwrap_or(0);
        self.focus = f[(at + if forward { 1 } else { f.len() - 1 }) % f.len()];
    }

    fn input(&mut self) -> Option<&mut Input> {
        match self.focus {
            Field::Name => Some(&mut self.name),
            Field::Password => self.password.as_mut(),
            _ => None,
        }
    }

    /// What still keeps it from being sent, if anything.
    pub(crate) fn lock(&self, fresh: bool) -> Option<&'static str> {
        if self.approval.verdict == Answer::Approve {
            if !fresh {
                return Some("locked: the data are not live; nothing is approved on old data");
            }
            if self.name.text() != self.target.name.as_str() {
                return Some("locked: type the name");
            }
        }
        let typed = self.password.as_ref().is_none_or(|p| !p.text().is_empty());
        (!typed).then_some("locked: type the password of your key")
    }
}

/// Opens the dialog on the marked request.
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
    let at = m.agent_of(key).map_or(0, |a| a.time_us(m.now));
    let digest = Sha256::digest(text.as_bytes()).into();
    let Some((text, approval)) = compose(m, &target, &command, digest, verdict, at) else { return };
    let password = match &m.key {
        Key::Unlocked(k) if !k.encrypted => None,
        _ => Some(Input::new(256)),
    };
    let at_us = m.now.mono_us;
    let name = Input::new(63);
    let focus = Field::Cancel;
    let a = Approve { target, command, by, text, approval, name, password, focus, at_us, error: None };
    m.layers.push(Layer::Approve(Box::new(a)));
}

/// The text, and what it says when it is read back.
fn compose(
    m: &mut Model,
    target: &Target,
    command: &Command,
    command_digest: [u8; 32],
    verdict: Answer,
    at_us: u64,
) -> Option<(String, Approval)> {
    let text = Approval {
        command_id: command.command_id,
        command_digest,
        node: target.node_id,
        tenant: command.tenant,
        verdict,
        issued_at_us: at_us,
        expires_at_us: at_us.saturating_add(LIFE_US),
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
        since_us: m.now.mono_us,
    }));
    let password = a.password.as_ref().map(|p| Secret(Zeroizing::new(p.text().to_owned())));
    out.push(Effect::Approve { ticket, agent: a.target.key.agent, text: a.text, password });
}

/// Draws up anew what has lain open for long.
pub(crate) fn tick(m: &mut Model) {
    let now = m.now.mono_us;
    let old = |l: &Layer| matches!(l, Layer::Approve(a) if now.saturating_sub(a.at_us) > REDRAW_US);
    let Some(place) = m.layers.iter().position(old) else { return };
    let Layer::Approve(mut a) = m.layers.remove(place) else { return };
    let at = m.agent_of(a.target.key).map_or(0, |x| x.time_us(m.now));
    let (digest, verdict) = (a.approval.command_digest, a.approval.verdict);
    if let Some((text, approval)) = compose(m, &a.target, &a.command, digest, verdict, at) {
        (a.text, a.approval, a.at_us) = (text, approval, now);
    }
    m.layers.insert(place, Layer::Approve(a));
    m.dirty = true;
}
