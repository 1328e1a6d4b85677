//! The state of what lies over a screen: dialogs, menu, palette, filter, help. Pure.

use super::action::{ConfirmAction, Target};
use super::input::Input;
use super::palette::Palette;
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::command::Operation;
use conductor_shared::fact::ChangeClass;
use conductor_shared::http::Preview;
use conductor_shared::ramp::Selector;

/// Something over the screen. The topmost takes keys first.
#[derive(Debug)]
pub(crate) enum Layer {
    /// All keys; lines scrolled.
    Help(u16),
    /// A command is typed.
    Palette(Palette),
    /// A filter is typed.
    Filter(Input),
    /// Actions on a tenant.
    Menu(Target),
    /// A tightening waits for its Enter.
    Confirm(Confirm),
    /// A ramp's new value is typed.
    Ramp(RampForm),
    /// A loosening.
    Loosen(Box<Loosen>),
    /// An answer to another person's request.
    Approve(Box<super::approve::Approve>),
    /// A command was sent.
    Waiting(Waiting),
    /// What became of it.
    Notice(Notice),
    /// The key's password is typed.
    Unlock(Unlock),
    /// Alarms.
    Alarms,
}

/// A tightening. Enter confirms.
#[derive(Debug)]
pub(crate) struct Confirm {
    /// What can be chosen; at least one.
    pub(crate) choices: Vec<ConfirmAction>,
    /// Which is.
    pub(crate) chosen: usize,
    /// When it was drawn up, microseconds of the monotonic clock.
    pub(crate) at_us: u64,
    /// The tenant is on other nodes as well, which can be meant too.
    pub(crate) elsewhere: bool,
    /// A comment that can be typed; what stands in the commands while nothing is typed.
    pub(crate) comment: Option<Input>,
}

/// A ramp's new value.
#[derive(Debug)]
pub(crate) struct RampForm {
    /// Whose.
    pub(crate) target: Target,
    /// Rules there are, with their values; the last is a new rule for everything when none is there.
    pub(crate) rules: Vec<(Selector, Option<BasisPoints>)>,
    /// Which is chosen.
    pub(crate) chosen: usize,
    /// The percentage.
    pub(crate) percent: Input,
    /// What is wrong with it.
    pub(crate) error: Option<String>,
}

/// Fields of the riskier dialog, in the order of Tab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// The button on which the dialog opens.
    Cancel,
    /// The target's name, typed.
    Name,
    /// Why.
    Reason,
    /// The key's password; not there when the key has none.
    Password,
    /// The other button.
    Confirm,
}

/// Blast radius, on its way or here.
#[derive(Debug)]
pub(crate) enum Radius {
    /// Asked for.
    Loading,
    /// Could not be had.
    Failed(String),
    /// As of a moment of the monotonic clock, microseconds.
    Ready(Box<Preview>, u64),
}

/// A loosening.
#[derive(Debug)]
pub(crate) struct Loosen {
    /// Whose.
    pub(crate) target: Target,
    /// What.
    pub(crate) operation: Operation,
    /// The blast radius.
    pub(crate) radius: Radius,
    /// Which preview it waits for.
    pub(crate) ticket: u64,
    /// When the preview was asked for, microseconds of the monotonic clock.
    pub(crate) asked_us: u64,
    /// The target's name as typed.
    pub(crate) name: Input,
    /// Why.
    pub(crate) reason: Input,
    /// The password, when the key has one.
    pub(crate) password: Option<Input>,
    /// Where the keys go.
    pub(crate) focus: Field,
    /// The command, drawn up once the base is known.
    pub(crate) action: Option<ConfirmAction>,
    /// When it was drawn up.
    pub(crate) at_us: u64,
    /// The password is being checked.
    pub(crate) checking: bool,
    /// What is wrong.
    pub(crate) error: Option<String>,
}

impl Loosen {
    /// The fields there are.
    pub(crate) fn fields(&self) -> Vec<Field> {
        let mut f = vec![Field::Cancel, Field::Name, Field::Reason];
        if self.password.is_some() {
            f.push(Field::Password);
        }
        f.push(Field::Confirm);
        f
    }

    /// Moves the focus.
    pub(crate) fn turn(&mut self, forward: bool) {
        let f = self.fields();
        let at = f.iter().position(|x| *x == self.focus).unwrap_or(0);
        let by = if forward { 1 } else { f.len() - 1 };
        self.focus = f[(at + by) % f.len()];
    }

    /// The line that is typed in.
    pub(crate) fn input(&mut self) -> Option<&mut Input> {
        match self.focus {
            Field::Name => Some(&mut self.name),
            Field::Reason => Some(&mut self.reason),
            Field::Password => self.password.as_mut(),
            Field::Cancel | Field::Confirm => None,
        }
    }

    /// What still keeps it from being confirmed, if anything. `fresh`: the node's data are live.
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

/// A command that was sent.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Which answer it waits for.
    pub(crate) ticket: u64,
    /// Whose.
    pub(crate) target: Target,
    /// What, in words.
    pub(crate) sentence: String,
    /// Its direction.
    pub(crate) class: ChangeClass,
    /// When it was sent, microseconds of the monotonic clock.
    pub(crate) since_us: u64,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// In a word or two.
    pub(crate) title: String,
    /// Sentences.
    pub(crate) lines: Vec<String>,
    /// It was carried out.
    pub(crate) good: bool,
}

/// The key's password at the start.
#[derive(Debug)]
pub(crate) struct Unlock {
    /// The password.
    pub(crate) password: Input,
    /// It is being checked.
    pub(crate) busy: bool,
    /// What was wrong with the one before.
    pub(crate) error: Option<String>,
}
