//! Freeze profiles with their windows, and which logs of this node are frozen now.

use crate::http::access::Person;
use crate::http::error::ApiError;
use crate::http::state::ApiState;
use axum::Json;
use axum::extract::State;
use conductor_shared::clock::WallTime;
use conductor_shared::control::ControlState;
use conductor_shared::control::profiles;
use conductor_shared::http::{FreezeList, FreezeRow, ProfileRow, WindowRow};
use conductor_shared::ids::Ident;
use conductor_shared::profile::{DEFAULT, Profile};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) async fn freezes(
    State(api): State<ApiState>,
    person: Person,
) -> Result<Json<FreezeList>, ApiError> {
    let node = api.node_control()?;
    let now = api.clock.now().wall;
    let mut governs = BTreeMap::<String, u64>::new();
    let mut tenants = Vec::new();
    for (shared, _) in person.logs(&api) {
        let control = Arc::clone(&shared.view.load().control);
        let name = profiles::name_of(&control);
        *governs.entry(name.to_owned()).or_default() += 1;
        let frozen = profiles::frozen_by(&control, &node).next().is_some();
        let told = shared.id.tenant.is_node() || frozen || name != DEFAULT || control.break_glass.is_some();
        let Some(profile) = Ident::new(name).ok().filter(|_| told) else { continue };
        tenants.push(FreezeRow {
            tenant_uid: shared.id.tenant,
            tenant_id: shared.name.clone(),
            profile,
            frozen,
            freezes: control.freezes.clone(),
            break_glass: control.break_glass.clone(),
        });
    }
    tenants.sort_by(|a, b| {
        (!a.tenant_uid.is_node(), &a.tenant_id).cmp(&(!b.tenant_uid.is_node(), &b.tenant_id))
    });
    let mut all = node.profiles.clone();
    if let Ok(name) = Ident::new(DEFAULT) {
        all.entry(name).or_default();
    }
    // Profiles are the node's configuration: whoever does not see that sees those that govern what they see.
    let sees_all = person.sees_the_node();
    all.retain(|name, _| sees_all || governs.contains_key(name.as_str()));
    let row = |(name, p): (&Ident, &Profile)| {
        let governs = governs.get(name.as_str()).copied().unwrap_or(0);
        profile_row(&node, name, p, governs, now)
    };
    Ok(Json(FreezeList { now_us: now.as_micros(), profiles: all.iter().map(row).collect(), tenants }))
}

fn profile_row(node: &ControlState, name: &Ident, p: &Profile, governs: u64, now: WallTime) -> ProfileRow {
    let active = node.active_windows.get(name);
    let windows = p.windows.iter().map(|(window, when)| {
        let next = when.next_change(now);
        WindowRow {
            window: window.clone(),
            when: when.clone(),
            active: active.is_some_and(|ws| ws.contains_key(window)),
            next_us: next.map(|n| n.0.as_micros()),
            next_active: next.is_some_and(|n| n.1),
        }
    });
    ProfileRow {
        profile: name.clone(),
        governs,
        break_glass_alone: p.break_glass_alone,
        policy_outage: p.policy_outage,
        last_known_s: p.last_known_s,
        windows: windows.collect(),
    }
}
