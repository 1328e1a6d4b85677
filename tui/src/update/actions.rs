//! Opens the dialog of an action: a short one for tightening, a longer one for loosening. Pure.

use crate::model::confirmation::{ConfirmAction, Target, direction};
use crate::model::dialog::loosen::{Loosen, Radius};
use crate::model::dialog::{Confirm, Field, Layer, RampForm};
use crate::model::input::TextInput;
use crate::model::keys::Act;
use crate::model::screen::Screen;
use crate::model::tenants::RowKey;
use crate::model::{KeyState, Model, lists};
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::clock::{MonoTime, WallTime};
use conductor_shared::command::{MAX_REASON, Operation, ops};
use conductor_shared::fact::ChangeClass;
use conductor_shared::ids::{Ident, unhex};
use conductor_shared::ramp::Selector;
use conductor_shared::untrusted::UntrustedText;
use std::time::Duration;

/// Default reasons, recorded in receipts when none is typed.
const ROLLBACK: &str = "ramp rolled back from the console";
const KILL: &str = "killed from the console";
const DRAIN: &str = "drained from the console";
const FREEZE: &str = "frozen from the console";
const ACKNOWLEDGED: &str = "acknowledged from the console";
const CLOSED: &str = "closed from the console";
const HOUR: Duration = Duration::from_secs(3_600);

/// Begins an act on a target.
pub(crate) fn begin(m: &mut Model, target: Target, act: Act) {
    if m.read_only {
        return;
    }
    match act {
        Act::Rollback => rollback(m, &target),
        Act::Kill => kill(m, &target, false),
        Act::Drain => kill(m, &target, true),
        Act::Freeze => freeze(m, &target),
        Act::SetRamp => ramp_form(m, target),
        Act::LiftKill => lift(m, target),
        _ => {}
    }
}

/// Composes a tightening, which needs no base.
pub(crate) fn compose(m: &mut Model, target: &Target, op: Operation, why: &str) -> Option<ConfirmAction> {
    let at = m.agent_of(target.key)?.time(m.now);
    let before = m.state(target.key).map(|s| s.object(&op));
    let mut a = ConfirmAction::compose(target.clone(), op, None, why, at, &mut m.ids)?;
    a.before = before;
    Some(a)
}

/// Opens the short dialog with these choices, the first one selected.
pub(crate) fn confirm(m: &mut Model, choices: Vec<ConfirmAction>) {
    if choices.is_empty() {
        m.say("The command could not be drawn up.");
        return;
    }
    let bounds = choices.iter().all(|c| c.command().operation.is_absolute());
    let elsewhere = bounds && choices.first().is_some_and(|c| !m.everywhere(&c.target).also.is_empty());
    m.layers.push(Layer::Confirm(Confirm { choices, chosen: 0, at: m.now.mono, elsewhere, comment: None }));
}

fn rollback(m: &mut Model, target: &Target) {
    let Some(state) = m.state(target.key) else {
        m.say(format!("The ramps of {} are not here yet. ! then k kills without them.", target.name));
        return;
    };
    // The rule with the highest revision changed most recently and is most likely meant.
    let mut rules: Vec<(Selector, BasisPoints, u64)> = state
        .ramps
        .iter()
        .filter(|(_, r)| r.hundredths > BasisPoints::ZERO)
        .map(|(s, r)| (s.clone(), r.rollback_to(), r.revision))
        .collect();
    rules.sort_by_key(|(_, _, revision)| std::cmp::Reverse(*revision));
    // On the screen Ramps the selected rule comes first.
    if m.screen() == Screen::Ramps
        && let Some((marked, ..)) = lists::ramps(m).get(m.lists.cursor.place)
    {
        rules.sort_by_key(|(s, ..)| s != marked);
    }
    if rules.is_empty() {
        m.say(format!("{} has no ramp above 0 % to roll back. ! then k kills.", target.name));
        return;
    }
    let ops = rules
        .into_iter()
        .map(|(selector, hundredths, _)| Operation::RampCap(ops::RampCap { selector, hundredths }));
    let ops: Vec<Operation> = ops.collect();
    let choices = ops.into_iter().filter_map(|op| compose(m, target, op, ROLLBACK)).collect();
    confirm(m, choices);
}

fn kill(m: &mut Model, target: &Target, drain: bool) {
    let any = Selector::default();
    let mut selectors = vec![any];
    if let Some(s) = m.state(target.key) {
        selectors.extend(s.workflows.iter().map(|w| Selector { action: None, workflow: Some(w.clone()) }));
    }
    let why = if drain { DRAIN } else { KILL };
    let mut choices = vec![];
    for selector in selectors {
        let op = Operation::KillSet(ops::KillSet { selector, drain });
        if direction(m.state(target.key), &op) == ChangeClass::Tighten {
            choices.extend(compose(m, target, op, why));
        }
    }
    if choices.is_empty() {
        m.say(format!("{} is killed already, or its state is not here yet.", target.name));
        return;
    }
    confirm(m, choices);
}

/// Without end, for an hour or a day: the first choice is the safest.
fn freeze(m: &mut Model, target: &Target) {
    let Some(at) = m.agent_of(target.key).map(|a| a.time(m.now)) else { return };
    let Ok(name) = Ident::new("now") else { return };
    let ends = [None, Some(at + HOUR), Some(at + HOUR * 24)];
    let mut choices = vec![];
    for until in ends {
        let until_us = until.map(WallTime::as_micros);
        let op = Operation::FreezeSet(ops::FreezeSet { freeze: name.clone(), until_us });
        if direction(m.state(target.key), &op) == ChangeClass::Tighten {
            choices.extend(compose(m, target, op, FREEZE));
        }
    }
    confirm(m, choices);
}

/// The short dialog for an incident, with an optional comment.
pub(crate) fn incident(m: &mut Model, key: RowKey, name: Ident, id: &str, over: bool) {
    if m.read_only {
        return;
    }
    let Some(target) = m.target_named(key, name) else { return };
    let Some(incident) = unhex(id) else { return };
    let op = if over {
        Operation::IncidentClose(ops::IncidentClose { incident, comment: UntrustedText::new(CLOSED) })
    } else {
        Operation::IncidentAck(ops::IncidentAck { incident, comment: UntrustedText::new(ACKNOWLEDGED) })
    };
    let choices = compose(m, &target, op, if over { CLOSED } else { ACKNOWLEDGED });
    confirm(m, choices.into_iter().collect());
    if let Some(Layer::Confirm(c)) = m.layers.last_mut() {
        c.comment = Some(TextInput::new(MAX_REASON));
    }
}

/// The same operation with the typed comment, or the default one.
pub(crate) fn commented(op: &Operation, typed: &str) -> Operation {
    let or = |of_console: &str| {
        UntrustedText::new(if typed.trim().is_empty() { of_console } else { typed.trim() })
    };
    match op {
        Operation::IncidentAck(ops::IncidentAck { incident, .. }) => {
            Operation::IncidentAck(ops::IncidentAck { incident: *incident, comment: or(ACKNOWLEDGED) })
        }
        Operation::IncidentClose(ops::IncidentClose { incident, .. }) => {
            Operation::IncidentClose(ops::IncidentClose { incident: *incident, comment: or(CLOSED) })
        }
        other => other.clone(),
    }
}

fn ramp_form(m: &mut Model, target: Target) {
    let Some(state) = m.state(target.key) else {
        m.say(format!("The ramps of {} are not here yet.", target.name));
        return;
    };
    let mut rules: Vec<(Selector, Option<BasisPoints>)> =
        state.ramps.iter().map(|(s, r)| (s.clone(), Some(r.hundredths))).collect();
    for w in &state.workflows {
        let s = Selector { action: None, workflow: Some(w.clone()) };
        if !state.ramps.contains_key(&s) {
            rules.push((s, None));
        }
    }
    if !state.ramps.contains_key(&Selector::default()) {
        rules.push((Selector::default(), None));
    }
    m.layers.push(Layer::Ramp(RampForm {
        target,
        rules,
        chosen: 0,
        percent: TextInput::new(7),
        error: None,
    }));
}

fn lift(m: &mut Model, target: Target) {
    let Some(state) = m.state(target.key) else {
        m.say(format!("The kill switches of {} are not here yet.", target.name));
        return;
    };
    match state.kills.keys().next().cloned() {
        Some(selector) => loosen(m, target, Operation::KillClear(ops::KillClear { selector })),
        None => m.say(format!("{} has no kill switch set.", target.name)),
    }
}

/// Opens the dialog of a loosening, which requests the blast radius.
pub(crate) fn loosen(m: &mut Model, target: Target, operation: Operation) {
    let password = match &m.key {
        KeyState::Unlocked(k) if k.encrypted => Some(TextInput::new(256)),
        _ => None,
    };
    m.layers.push(Layer::Loosen(Box::new(Loosen {
        target,
        operation,
        radius: Radius::Loading,
        ticket: 0,
        asked: MonoTime::default(),
        name: TextInput::new(63),
        reason: TextInput::new(MAX_REASON),
        password,
        focus: Field::Cancel,
        action: None,
        at: None,
        checking: false,
        error: None,
    })));
}
