//! Policy profiles with their freeze windows, freezes of one tenant, and break-glass.

use super::args::{BreakGlassCommand, ChangeArgs, FreezeCommand, ProfileCommand};
use super::change::{Change, carry_out, uid_is_enough};
use super::context::Context;
use super::fanout::everywhere;
use super::output::{CliError, Output, table, time};
use crate::client::commands::random;
use crate::client::error::ClientError;
use crate::client::resolve::{self, Found, TenantName};
use conductor_shared::clock::WallTime;
use conductor_shared::command::{Operation, ops};
use conductor_shared::freeze::Window;
use conductor_shared::http::{FreezeList, FreezeRow, ProfileRow};
use conductor_shared::ids::GrantId;
use conductor_shared::profile::{Setting, is_ticket};
use conductor_shared::untrusted::escape;
use serde_json::json;
use std::fmt::Write as _;
use std::time::Duration;

fn minutes_long(minutes: u64) -> Duration {
    Duration::from_secs(minutes.saturating_mul(60))
}

async fn list(context: &Context) -> Result<FreezeList, CliError> {
    let session = context.session().await?;
    Ok(session.agent().freezes(&session.bearer().await?).await?)
}

pub async fn profile(context: &Context, command: ProfileCommand) -> Result<Output, CliError> {
    let (tenant, operation, confirm, tightens, change) = match command {
        ProfileCommand::List => {
            let all = list(context).await?;
            return Ok(Output::ok(profiles(&all.profiles), json!({ "profiles": all.profiles })));
        }
        ProfileCommand::Create { profile, change } => {
            let confirm = profile.to_string();
            (Found::node(), Operation::ProfileCreate(ops::ProfileCreate { profile }), confirm, true, change)
        }
        ProfileCommand::Set { profile, setting, value, change } => {
            let setting = Setting::parse(&setting, &value).ok_or_else(|| {
                let known = Setting::NAMES.map(|(n, v)| format!("{n} ({v})")).join(", ");
                CliError::Input(format!("no such setting or value; there are: {known}"))
            })?;
            let confirm = profile.to_string();
            (
                Found::node(),
                Operation::ProfileSet(ops::ProfileSet { profile, setting }),
                confirm,
                false,
                change,
            )
        }
        ProfileCommand::Window { profile, window, when, change } => {
            let when: Window = when.parse().map_err(|e| CliError::Input(format!("{e}")))?;
            let confirm = profile.to_string();
            (
                Found::node(),
                Operation::ProfileWindow(ops::ProfileWindow { profile, window, when }),
                confirm,
                false,
                change,
            )
        }
        ProfileCommand::Unwindow { profile, window, change } => {
            let confirm = profile.to_string();
            (
                Found::node(),
                Operation::ProfileUnwindow(ops::ProfileUnwindow { profile, window }),
                confirm,
                false,
                change,
            )
        }
        ProfileCommand::Assign { tenant, profile, change } => {
            let session = context.session().await?;
            let found = resolve::tenant(&session, &tenant).await?;
            let confirm = found.name.clone();
            (found, Operation::ProfileAssign(ops::ProfileAssign { profile }), confirm, false, change)
        }
    };
    context.may_change()?;
    let session = context.session().await?;
    carry_out(context, &session, Change { tenant, confirm, operation, tightens }, &change).await
}

fn profiles(rows: &[ProfileRow]) -> String {
    let mut cells = vec![];
    for p in rows {
        let mode = |p: &ProfileRow| match p.policy_outage {
            conductor_shared::profile::PolicyOutage::Deny => "deny".to_owned(),
            conductor_shared::profile::PolicyOutage::LastKnown => format!("last known {} s", p.last_known_s),
        };
        let alone = if p.break_glass_alone { "one person" } else { "two persons" };
        let mut first = vec![p.profile.to_string(), p.governs.to_string(), alone.into(), mode(p)];
        for w in &p.windows {
            let state = if w.active { "open" } else { "closed" };
            let next = w.next_us.map_or_else(
                || "never changes".to_owned(),
                |us| {
                    format!("{} {}", if w.next_active { "opens" } else { "closes" }, both_times(us, &w.when))
                },
            );
            first.extend([w.window.to_string(), w.when.to_string(), state.into(), next]);
            cells.push(std::mem::replace(&mut first, vec![String::new(); 4]));
        }
        if first.first().is_some_and(|f| !f.is_empty()) {
            first.extend(["-".into(), "-".into(), "-".into(), "-".into()]);
            cells.push(first);
        }
    }
    table(&["PROFILE", "GOVERNS", "BREAK-GLASS", "POLICY OUT", "WINDOW", "WHEN", "NOW", "NEXT"], &cells)
}

/// In this machine's zone, and in the window's own when that is another.
fn both_times(us: u64, when: &Window) -> String {
    let Ok(t) = jiff::Timestamp::from_microsecond(i64::try_from(us).unwrap_or(i64::MAX)) else {
        return time(us);
    };
    let here = t.to_zoned(jiff::tz::TimeZone::system());
    let text = here.strftime("%a %Y-%m-%d %H:%M %Z").to_string();
    let zone = when.to_string().rsplit(' ').next().map(str::to_owned).unwrap_or_default();
    match t.in_tz(&zone) {
        Ok(there) if there.datetime() != here.datetime() => {
            format!("{text} ({} {zone})", there.strftime("%a %H:%M"))
        }
        _ => text,
    }
}

async fn freeze_here(
    context: &Context,
    tenant: &TenantName,
    operation: impl Fn(WallTime) -> Operation,
    change: &ChangeArgs,
) -> Result<Output, CliError> {
    let session = context.session().await?;
    let now = WallTime::from_micros(session.agent().challenge().await?.node.now_us);
    // Like a kill: the tenant's uid is enough when names cannot be looked up.
    let tenant = uid_is_enough(resolve::tenant(&session, tenant).await, tenant)?;
    let (confirm, operation) = (tenant.name.clone(), operation(now));
    carry_out(context, &session, Change { tenant, confirm, operation, tightens: true }, change).await
}

pub async fn freeze(context: &Context, command: FreezeCommand) -> Result<Output, CliError> {
    match command {
        FreezeCommand::Show => {
            let all = list(context).await?;
            let mut text = frozen(&all.tenants);
            let _ = write!(text, "\n\n{}", profiles(&all.profiles));
            Ok(Output::ok(text, json!(all)))
        }
        FreezeCommand::Set { tenant, name, minutes, change } => {
            context.may_change()?;
            // In the agent's time.
            let operation = |now: WallTime| {
                Operation::FreezeSet(ops::FreezeSet {
                    freeze: name.clone(),
                    until_us: minutes.map(|m| (now + minutes_long(m)).as_micros()),
                })
            };
            if context.agents().len() > 1 {
                return everywhere(context, &tenant, operation, &change).await;
            }
            match freeze_here(context, &tenant, operation, &change).await {
                Err(CliError::Client(ClientError::Unreachable { .. })) => {
                    everywhere(context, &tenant, operation, &change).await
                }
                done => done,
            }
        }
        FreezeCommand::Clear { tenant, name, change } => {
            context.may_change()?;
            let session = context.session().await?;
            let found = resolve::tenant(&session, &tenant).await?;
            let confirm = found.name.clone();
            let operation = Operation::FreezeClear(ops::FreezeClear { freeze: name });
            carry_out(
                context,
                &session,
                Change { tenant: found, confirm, operation, tightens: false },
                &change,
            )
            .await
        }
    }
}

fn frozen(rows: &[FreezeRow]) -> String {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|r| {
            let freezes: Vec<String> = r
                .freezes
                .iter()
                .map(|(n, f)| {
                    f.until_us.map_or_else(|| n.to_string(), |us| format!("{n} until {}", time(us)))
                })
                .collect();
            let glass = r.break_glass.as_ref().map_or("-".to_owned(), |g| {
                let until = time((WallTime::from_micros(g.opened_us) + minutes_long(g.minutes)).as_micros());
                format!("{} until {until}, used {} times", escape(&g.ticket, 80), g.used)
            });
            vec![
                r.tenant_id.to_string(),
                r.profile.to_string(),
                if r.frozen { "frozen" } else { "-" }.to_owned(),
                if freezes.is_empty() { "-".to_owned() } else { freezes.join(", ") },
                glass,
            ]
        })
        .collect();
    table(&["TENANT", "PROFILE", "NOW", "FREEZES", "BREAK-GLASS"], &cells)
}

pub async fn break_glass(context: &Context, command: BreakGlassCommand) -> Result<Output, CliError> {
    context.may_change()?;
    let session = context.session().await?;
    let (tenant, operation, tightens, change) = match command {
        BreakGlassCommand::Open { tenant, ticket, minutes, change } => {
            if !is_ticket(&ticket) {
                return Err(CliError::Input(
                    "--ticket: letters, digits and . _ - / : # after a letter or digit, as in INC-7".into(),
                ));
            }
            let grant = GrantId(random()?);
            (tenant, Operation::BreakGlassOpen(ops::BreakGlassOpen { grant, ticket, minutes }), false, change)
        }
        BreakGlassCommand::Close { tenant, change } => {
            let grant = open_grant(context, &tenant).await?;
            (tenant, Operation::BreakGlassClose(ops::BreakGlassClose { grant }), true, change)
        }
    };
    let tenant = resolve::tenant(&session, &tenant).await?;
    let confirm = tenant.name.clone();
    carry_out(context, &session, Change { tenant, confirm, operation, tightens }, &change).await
}

async fn open_grant(context: &Context, tenant: &TenantName) -> Result<GrantId, CliError> {
    let session = context.session().await?;
    let found = resolve::tenant(&session, tenant).await?;
    let all = session.agent().freezes(&session.bearer().await?).await?;
    let row = all.tenants.iter().find(|t| t.tenant_uid == found.uid);
    row.and_then(|r| r.break_glass.as_ref()).map(|g| g.grant).ok_or_else(|| {
        CliError::Input(format!("no break-glass is open for {}; see: conductor freeze show", found.name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_shared::ids::{Ident, TenantUid};
    use conductor_shared::profile::{BreakGlass, Freeze, PolicyOutage};

    /// SPEC 3.3: what is frozen, by what and until when, and the next change of each window, in words.
    #[test]
    fn freezes_in_words() {
        let ident = |t: &str| Ident::new(t).unwrap();
        let window = |name: &str, when: &str, next_us: Option<u64>| conductor_shared::http::WindowRow {
            window: ident(name),
            when: when.parse().unwrap(),
            active: next_us == Some(0),
            next_us: next_us.filter(|n| *n > 0),
            next_active: true,
        };
        let strict = ProfileRow {
            profile: ident("strict"),
            governs: 3,
            break_glass_alone: true,
            policy_outage: PolicyOutage::LastKnown,
            last_known_s: 60,
            windows: vec![
                window("xmas", "once 2026-12-19T00:00:00Z to 2027-01-04T06:00:00Z", Some(0)),
                window("weekend", "weekly fri 18:00 for 62h00m Europe/Berlin", None),
            ],
        };
        let default = ProfileRow {
            profile: ident("default"),
            governs: 9,
            break_glass_alone: false,
            policy_outage: PolicyOutage::Deny,
            last_known_s: 60,
            windows: vec![],
        };
        let row = FreezeRow {
            tenant_uid: TenantUid([1; 16]),
            tenant_id: ident("acme"),
            profile: ident("strict"),
            frozen: true,
            freezes: [
                (ident("now"), Freeze { until_us: None }),
                (ident("db"), Freeze { until_us: Some(1_700_000_000_000_000) }),
            ]
            .into(),
            break_glass: Some(BreakGlass {
                grant: GrantId([1; 16]),
                ticket: "INC-7".into(),
                minutes: 30,
                person: None,
                alone: true,
                opened_us: 1_700_000_000_000_000,
                used: 2,
            }),
        };
        let free = FreezeRow { frozen: false, freezes: [].into(), break_glass: None, ..row.clone() };
        insta::assert_snapshot!(
            "freezes",
            format!("{}\n\n{}", frozen(&[row, free]), profiles(&[default, strict]))
        );
    }
}
