//! State of the layers over a screen: dialogs, menu, palette, filter, help. Pure.

pub(crate) mod approve;
pub(crate) mod loosen;

use crate::model::confirmation::{ConfirmAction, Target};
use crate::model::input::TextInput;
use crate::model::palette::Palette;
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::clock::MonoTime;
use conductor_shared::fact::ChangeClass;
use conductor_shared::ramp::Selector;

/// Something over the screen. The topmost takes keys first.
#[derive(Debug)]
pub(crate) enum Layer {
    /// All keys; lines scrolled.
    Help(u16),
    /// A command is typed.
    Palette(Palette),
    /// A filter is typed.
    Filter(TextInput),
    /// Actions on a tenant.
    Menu(Target),
    /// A tightening waits for its Enter.
    Confirm(Confirm),
    /// A ramp's new value is typed.
    Ramp(RampForm),
    Loosen(Box<loosen::Loosen>),
    /// An answer to another person's request.
    Approve(Box<approve::Approve>),
    /// A command was sent and has no answer yet.
    Waiting(Waiting),
    /// The outcome of a command.
    Notice(Notice),
    /// The key's password is typed.
    Unlock(Unlock),
    Alarms,
}

/// A tightening. Enter confirms.
#[derive(Debug)]
pub(crate) struct Confirm {
    /// What can be chosen; at least one.
    pub(crate) choices: Vec<ConfirmAction>,
    pub(crate) chosen: usize,
    /// When it was composed.
    pub(crate) at: MonoTime,
    /// The tenant is on other nodes as well, which can be meant too.
    pub(crate) elsewhere: bool,
    /// A comment that can be typed; what stands in the commands while nothing is typed.
    pub(crate) comment: Option<TextInput>,
}

/// A ramp's new value.
#[derive(Debug)]
pub(crate) struct RampForm {
    pub(crate) target: Target,
    /// Rules there are, with their values; the last is a new rule for everything when none is there.
    pub(crate) rules: Vec<(Selector, Option<BasisPoints>)>,
    pub(crate) chosen: usize,
    pub(crate) percent: TextInput,
    /// Why the value cannot be used.
    pub(crate) error: Option<String>,
}

/// Fields of the riskier dialog, in the order of Tab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// The button on which the dialog opens.
    Cancel,
    /// The target's name, typed.
    Name,
    Reason,
    /// The key's password; not there when the key has none.
    Password,
    Confirm,
}

/// A command that was sent.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Which answer it waits for.
    pub(crate) ticket: u64,
    pub(crate) target: Target,
    pub(crate) sentence: String,
    pub(crate) class: ChangeClass,
    /// When it was sent.
    pub(crate) since: MonoTime,
}

/// The outcome of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// In a word or two.
    pub(crate) title: String,
    pub(crate) lines: Vec<String>,
    /// It was carried out.
    pub(crate) good: bool,
}

/// The key's password at the start.
#[derive(Debug)]
pub(crate) struct Unlock {
    pub(crate) password: TextInput,
    /// It is being checked.
    pub(crate) busy: bool,
    /// Why the last password was refused.
    pub(crate) error: Option<String>,
}
