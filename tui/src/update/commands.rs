//! Runs commands typed after `:`. Pure.

use super::navigate::{filter, go, receipts_of};
use super::{actions, key_lock};
use crate::model::Model;
use crate::model::dialog::Layer;
use crate::model::keys::Act;
use crate::model::message::Effect;
use crate::model::palette::Command;
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
pub(crate) fn run(m: &mut Model, c: Command, arg: &str, out: &mut Vec<Effect>) -> Result<(), String> {
    match c {
        Command::Overview => go(m, Screen::Overview),
        Command::Tenants => {
            m.tenants.set_filter(arg, m.now.mono_us);
            go(m, Screen::Tenants);
        }
        Command::Approvals => go(m, Screen::Approvals),
        Command::Incidents => go(m, Screen::Incidents),
        Command::Freezes => go(m, Screen::Freezes),
        Command::Admin => go(m, Screen::Admin),
        Command::Ramps => go_to_tenant(m, arg, Screen::Ramps)?,
        Command::Usage => go_to_tenant(m, arg, Screen::Usage)?,
        Command::Cost => go_to_tenant(m, arg, Screen::Cost)?,
        Command::Range => {
            m.usage_cost.range = Some(Choice::typed(arg, m.now.wall_us)?);
            m.lists.top();
        }
        Command::Filter => filter(m, arg),
        Command::Tenant => {
            go_to_tenant(m, arg, Screen::Tenants)?;
            m.screens.push(Screen::Tenant);
        }
        Command::Receipts => {
            let key = named(m, arg)?;
            receipts_of(m, key);
        }
        Command::NodeLog => {
            let agent = m.tenants.selected.map_or(m.agent, |k| k.agent);
            receipts_of(m, RowKey { agent, tenant: TenantUid::NODE });
        }
        Command::Theme => {
            let t: ThemeName = arg.parse().map_err(|_| "dark, light or plain?")?;
            m.theme = t;
            m.look = m.look.with(t);
            m.clear = true;
        }
        Command::Sort => {
            m.tenants.sort = arg.parse().map_err(|_| "name, trouble, backlog, denied, runs or ramp?")?;
            m.tenants.refresh(m.now.mono_us);
        }
        Command::Alarms => m.layers.push(Layer::Alarms),
        Command::Help => m.layers.push(Layer::Help(0)),
        Command::Lock => key_lock::lock(m, out)?,
        Command::Quit => out.push(Effect::Quit),
        Command::Rollback => act_on(m, arg, Act::Rollback)?,
        Command::Kill => act_on(m, arg, Act::Kill)?,
        Command::Drain => act_on(m, arg, Act::Drain)?,
        Command::Freeze => act_on(m, arg, Act::Freeze)?,
        Command::Ramp => act_on(m, arg, Act::SetRamp)?,
        Command::Unkill => act_on(m, arg, Act::LiftKill)?,
        #[cfg(debug_assertions)]
        #[allow(clippy::panic)] // that is what it is for
        Command::Panic => panic!("asked for in the palette"),
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
