//! State of the dialog of a loosening: its inputs, and why it cannot be confirmed yet.

use super::Field;
use crate::model::confirmation::{ConfirmAction, Target};
use crate::model::input::TextInput;
use conductor_shared::clock::MonoTime;
use conductor_shared::command::Operation;
use conductor_shared::http::Preview;

/// The blast radius, requested or received.
#[derive(Debug)]
pub(crate) enum Radius {
    Loading,
    /// It could not be fetched.
    Failed(String),
    /// Received at this reading of the monotonic clock.
    Ready(Box<Preview>, MonoTime),
}

#[derive(Debug)]
pub(crate) struct Loosen {
    pub(crate) target: Target,
    pub(crate) operation: Operation,
    pub(crate) radius: Radius,
    /// Ticket of the preview it waits for.
    pub(crate) ticket: u64,
    /// When the preview was asked for.
    pub(crate) asked: MonoTime,
    /// The target's name as typed.
    pub(crate) name: TextInput,
    pub(crate) reason: TextInput,
    /// The password, when the key has one.
    pub(crate) password: Option<TextInput>,
    /// Where the keys go.
    pub(crate) focus: Field,
    /// The command, composed once the base is known.
    pub(crate) action: Option<ConfirmAction>,
    /// When the command was composed.
    pub(crate) at: Option<MonoTime>,
    /// The password is being checked.
    pub(crate) checking: bool,
    pub(crate) error: Option<String>,
}

impl Loosen {
    /// The fields of this dialog, in order.
    pub(crate) fn fields(&self) -> Vec<Field> {
        let mut f = vec![Field::Cancel, Field::Name, Field::Reason];
        if self.password.is_some() {
            f.push(Field::Password);
        }
        f.push(Field::Confirm);
        f
    }

    pub(crate) fn turn(&mut self, forward: bool) {
        let f = self.fields();
        let at = f.iter().position(|x| *x == self.focus).unwrap_or(0);
        let by = if forward { 1 } else { f.len() - 1 };
        self.focus = f[(at + by) % f.len()];
    }

    /// The line that is typed in.
    pub(crate) fn input(&mut self) -> Option<&mut TextInput> {
        match self.focus {
            Field::Name => Some(&mut self.name),
            Field::Reason => Some(&mut self.reason),
            Field::Password => self.password.as_mut(),
            Field::Cancel | Field::Confirm => None,
        }
    }

    /// Why it cannot be confirmed yet, if so. `fresh`: the node's data are live.
    pub(crate) fn lock(&self, fresh: bool) -> Option<&'static str> {
        if !fresh {
            return Some("locked: the data are not live; nothing is loosened on old data");
        }
        match &self.radius {
            Radius::Loading => return Some("locked: the blast radius is being counted"),
            Radius::Failed(_) => return Some("locked: no blast radius, no loosening"),
            Radius::Ready(..) => {}
        }
        if self.name.text() != self.target.name.as_str() {
            return Some("locked: type the tenant's name");
        }
        if self.reason.text().trim().is_empty() {
            return Some("locked: say why");
        }
        if self.password.as_ref().is_some_and(|p| p.text().is_empty()) {
            return Some("locked: type the password of your key");
        }
        if self.checking {
            return Some("the password is being checked");
        }
        if self.action.is_none() { Some("locked: the command could not be drawn up") } else { None }
    }
}
