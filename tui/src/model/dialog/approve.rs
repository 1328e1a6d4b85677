//! State of the dialog that answers another person's request. What it shows is parsed from the exact bytes: the command
//! from the pending text, the answer from the text that will be signed.

use super::Field;
use crate::model::confirmation::Target;
use crate::model::input::TextInput;
use conductor_shared::clock::MonoTime;
use conductor_shared::command::Command;
use conductor_shared::operator::{Answer, Approval};

#[derive(Debug)]
pub(crate) struct Approve {
    pub(crate) target: Target,
    /// The requested command, parsed from the pending text.
    pub(crate) command: Command,
    pub(crate) by: String,
    /// The exact text that will be signed.
    pub(crate) text: String,
    /// The same, read back.
    pub(crate) approval: Approval,
    /// The tenant's name as typed.
    pub(crate) name: TextInput,
    /// The password; `None` where the key has none.
    pub(crate) password: Option<TextInput>,
    /// Where the keys go.
    pub(crate) focus: Field,
    /// When the text was composed.
    pub(crate) at: MonoTime,
    pub(crate) error: Option<String>,
}

impl Approve {
    fn fields(&self) -> Vec<Field> {
        let mut f = vec![Field::Cancel];
        // A refusal makes nothing riskier, so no name is typed.
        if self.approval.verdict == Answer::Approve {
            f.push(Field::Name);
        }
        if self.password.is_some() {
            f.push(Field::Password);
        }
        f.push(Field::Confirm);
        f
    }

    pub(crate) fn turn(&mut self, forward: bool) {
        let f = self.fields();
        let at = f.iter().position(|x| *x == self.focus).unwrap_or(0);
        self.focus = f[(at + if forward { 1 } else { f.len() - 1 }) % f.len()];
    }

    pub(crate) fn input(&mut self) -> Option<&mut TextInput> {
        match self.focus {
            Field::Name => Some(&mut self.name),
            Field::Password => self.password.as_mut(),
            _ => None,
        }
    }

    /// Why it cannot be sent yet, if so.
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
