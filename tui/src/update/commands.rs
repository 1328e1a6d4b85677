//! Runs commands typed after `:`. Pure.

use super::navigate::{filter, go, receipts_of};
use super::{actions, key_lock};
use crate::model::Model;
use crate::model::dialog::Layer;
use crate::model::keys::Act;
use crate::model::message::Effect;
use crate::model::palette::PaletteCommand;
use crate::model::screen::Screen;
use crate::model::tenants::RowKey;
use crate::model::usage_cost::Choice;
use crate::style::ThemeName;
use conductor_shared::ids::TenantUid;

/// The row a command names, or the selected one.
fn named(m: &Model, name: &str) -> Result<RowKey, String> {
    if name.is_empty() {
        return m.subject().ok_or_else(|| "no tenant is selected; name one".into());
    }
    // Several nodes may hold the name: the selected row wins, else it must be unique.
    let mut found = m.tenants.named(name).map(|r| r.key);
    match (found.next(), found.next()) {
        (None, _) => Err(format!("no tenant \"{name}\"")),
        (Some(k), None) => Ok(k),
        (Some(_), Some(_)) => m
            .subject()
            .filter(|k| m.tenants.get(*k).is_some_and(|r| r.summary.name.as_str() == name))
            .ok_or_else(|| format!("\"{name}\" is on several nodes; select the row first")),
    }
}

/// Runs a command. On an error the line stays, with the error.
pub(crate) fn run(m: &mut Model, c: PaletteCommand, arg: &str, out: &mut Vec<Effect>) -> Result<(), String> {
    match c {
        PaletteCommand::Overview => go(m, Screen::Overview),
        PaletteCommand::Tenants => {
            m.tenants.set_filter(arg, m.now.mono);
            go(m, Screen::Tenants);
        }
        PaletteCommand::Approvals => go(m, Screen::Approvals),
        PaletteCommand::Incidents => go(m, Screen::Incidents),
        PaletteCommand::Freezes => go(m, Screen::Freezes),
        PaletteCommand::Admin => go(m, Screen::Admin),
        PaletteCommand::Ramps => go_to_tenant(m, arg, Screen::Ramps)?,
        PaletteCommand::Usage => go_to_tenant(m, arg, Screen::Usage)?,
        PaletteCommand::Cost => go_to_tenant(m, arg, Screen::Cost)?,
        PaletteCommand::Range => {
            m.usage_cost.range = Some(Choice::typed(arg, m.now.wall)?);
            m.lists.top();
        }
        PaletteCommand::Filter => filter(m, arg),
        PaletteCommand::Tenant => {
            go_to_tenant(m, arg, Screen::Tenants)?;
            m.screens.push(Screen::Tenant);
        }
        PaletteCommand::Receipts => {
            let key = named(m, arg)?;
            receipts_of(m, key);
        }
        PaletteCommand::NodeLog => {
            let agent = m.tenants.selected.map_or(m.agent, |k| k.agent);
            receipts_of(m, RowKey { agent, tenant: TenantUid::NODE });
        }
        PaletteCommand::Theme => {
            let t: ThemeName = arg.parse().map_err(|_| "dark, light or plain?")?;
            m.theme = t;
            m.look = m.look.with(t);
            m.clear = true;
        }
        PaletteCommand::Sort => {
            m.tenants.sort = arg.parse().map_err(|_| "name, trouble, backlog, denied, runs or ramp?")?;
            m.tenants.refresh(m.now.mono);
        }
        PaletteCommand::Alarms => m.layers.push(Layer::Alarms),
        PaletteCommand::Help => m.layers.push(Layer::Help(0)),
        PaletteCommand::Lock => key_lock::lock(m, out)?,
        PaletteCommand::Quit => out.push(Effect::Quit),
        PaletteCommand::Rollback => act_on(m, arg, Act::Rollback)?,
        PaletteCommand::Kill => act_on(m, arg, Act::Kill)?,
        PaletteCommand::Drain => act_on(m, arg, Act::Drain)?,
        PaletteCommand::Freeze => act_on(m, arg, Act::Freeze)?,
        PaletteCommand::Ramp => act_on(m, arg, Act::SetRamp)?,
        PaletteCommand::Unkill => act_on(m, arg, Act::LiftKill)?,
        #[cfg(debug_assertions)]
        #[allow(clippy::panic)] // that is what it is for
        PaletteCommand::Panic => panic!("asked for in the palette"),
    }
    Ok(())
}

/// A screen of the named tenant, or of the selected one.
fn go_to_tenant(m: &mut Model, name: &str, screen: Screen) -> Result<(), String> {
    m.tenants.selected = Some(named(m, name)?);
    go(m, screen);
    Ok(())
}

fn act_on(m: &mut Model, name: &str, act: Act) -> Result<(), String> {
    let key = named(m, name)?;
    let target = m.target(key).ok_or("the node has not said who it is yet")?;
    actions::begin(m, target, act);
    Ok(())
}
