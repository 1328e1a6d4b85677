//! The form of a ramp's new value. Pure.

use crate::model::Model;
use crate::model::confirmation::direction;
use crate::model::dialog::{Layer, RampForm};
use crate::model::keys::Act;
use crate::update::actions::{compose, confirm, loosen};
use conductor_shared::basis_points::{BasisPoints, parse_percent, percent};
use conductor_shared::command::{Operation, ops};
use conductor_shared::fact::ChangeClass;
use crossterm::event::KeyEvent;

/// A key in the form. Enter opens the short dialog for a lower value, and the dialog of a loosening for a higher one.
pub(crate) fn key(m: &mut Model, mut f: RampForm, key: KeyEvent, act: Option<Act>) {
    match act {
        Some(Act::Back) => return,
        Some(Act::NextField) => f.chosen = (f.chosen + 1) % f.rules.len(),
        Some(Act::PreviousField) => f.chosen = (f.chosen + f.rules.len() - 1) % f.rules.len(),
        Some(Act::Enter) => match parse_percent(f.percent.text()) {
            Some(h) => return set_ramp(m, f, h),
            None => f.error = Some("a percentage from 0 to 100, at most two decimals: 12.5".into()),
        },
        _ => {
            f.percent.key(key);
            f.error = None;
        }
    }
    m.layers.push(Layer::Ramp(f));
}

fn set_ramp(m: &mut Model, mut f: RampForm, hundredths: BasisPoints) {
    let (selector, now) = f.rules[f.chosen].clone();
    if now.unwrap_or(BasisPoints::FULL) == hundredths && now.is_some() {
        f.error = Some(format!("it is {} already", percent(hundredths)));
        return m.layers.push(Layer::Ramp(f));
    }
    let cap = Operation::RampCap(ops::RampCap { selector: selector.clone(), hundredths });
    let lower = now.is_none_or(|n| hundredths < n);
    if lower && direction(m.state(f.target.key), &cap) == ChangeClass::Tighten {
        let why = format!("ramp lowered to {} from the console", percent(hundredths));
        let choices = compose(m, &f.target, cap, &why).into_iter().collect();
        return confirm(m, choices);
    }
    loosen(m, f.target, Operation::RampSet(ops::RampSet { selector, hundredths }));
}
