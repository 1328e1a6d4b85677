//! Keys of the screens Usage and Cost. Pure.

use crate::model::Model;
use crate::model::keys::Act;
use crate::model::message::{Effect, Fetch};
use crate::model::screen::Screen;
use crate::model::usage_cost::{Metric, RANGES};
use strum::VariantArray as _;

/// A key of these screens.
pub(crate) fn act(m: &mut Model, act: Act, out: &mut Vec<Effect>) {
    match act {
        Act::NextRange => m.usage_cost.turn(1),
        Act::PreviousRange => m.usage_cost.turn(RANGES.len() - 1),
        Act::NextMetric => {
            m.usage_cost.metric = (m.usage_cost.metric + 1) % Metric::VARIANTS.len();
            return;
        }
        Act::Export => {
            let what = if m.screen() == Screen::Cost { "cost" } else { "usage" };
            let row = m.subject().and_then(|k| m.tenants.get(k));
            let Some((key, name)) = row.map(|r| (r.key, r.summary.name.to_string())) else {
                return m.say("Select a tenant first.");
            };
            m.say(format!("Exporting the {what} of {name}."));
            out.push(Effect::Fetch(Fetch::Export(key, what, m.usage_cost.choice(), name)));
            return;
        }
        _ => return,
    }
    m.lists.top();
}
