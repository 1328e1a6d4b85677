//! Preview of a change: its class, and its exact effect on the requests of the last hour, from the receipts.

use crate::command::may_sign;
use crate::http::access::{LogReader, Person};
use crate::http::auth::{self, Peer};
use crate::http::error::ApiError;
use crate::http::input::Body;
use crate::http::read::blocking;
use crate::http::state::{Api, ApiState};
use crate::ledger::{Partition, ReadError, Receipt, read_receipt};
use crate::rows::{RunRow, decode};
use crate::store::{Row, RowKind, Store};
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use conductor_shared::access::Sight;
use conductor_shared::change_class;
use conductor_shared::clock::WallTime;
use conductor_shared::command::Operation;
use conductor_shared::control::ControlState;
use conductor_shared::control::profiles;
use conductor_shared::fact::{ChangeClass, Fact, RunDecided, TrafficFact};
use conductor_shared::http::{Preview, PreviewRequest, PreviewRow};
use conductor_shared::ids::{Ident, PersonId, hex};
use conductor_shared::meter::HOUR_US;
use conductor_shared::ramp::effective;
use conductor_shared::reason::Reason;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Maximum workflow types in one answer.
const ROWS: usize = 50;

pub(crate) async fn preview(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    LogReader { cell: shared, .. }: LogReader,
    who: Person,
    Body(request): Body<PreviewRequest>,
) -> Result<Json<Preview>, ApiError> {
    let unknown =
        || ApiError::bad(StatusCode::BAD_REQUEST, "operation: not an operation that this agent knows");
    let op = Operation::from_list(&request.operation).ok_or_else(unknown)?;
    let node = api.board.node_control().unwrap_or_default();
    let tenant = shared.id.tenant;
    if who.sight(tenant) != Some(Sight::Full) && !may_sign(&op, who.key(), tenant, &node) {
        let caller = auth::Caller::Person(who.scope);
        return Err(auth::denied(&api, &peer, "preview", &caller, op.name(), Reason::RoleMissing).await);
    }
    let view = shared.view.load_full();
    let (before, after) = (view.control.as_ref().clone(), view.control.after(&op));
    let since = api.clock.now().wall - Duration::from_micros(HOUR_US);
    let (size, folding) = (view.size(), view.folding.clone());
    let states = (before.clone(), after.clone());
    let read = blocking(&shared, move |store, p| {
        let hour = Sums { folded: folding.into_iter().collect(), ..Sums::default() };
        let sums = hour.count(store, p, (since, size), &states.0, &states.1)?;
        Ok((sums, runs_stopped(store, p, &states.0, &states.1)?))
    });
    let (sums, open_runs_stopped) = read.await?;
    let mut by_workflow = sums.rows();
    let total = |f: fn(&PreviewRow) -> u64| by_workflow.iter().map(f).sum::<u64>();
    let (requests, newly_allowed, newly_denied) =
        (total(|r| r.requests), total(|r| r.newly_allowed), total(|r| r.newly_denied));
    by_workflow.sort_by_key(|r| std::cmp::Reverse((r.newly_allowed + r.newly_denied, r.requests)));
    by_workflow.truncate(ROWS);
    let class = ChangeClass::from(change_class::class_of(&before, &op));
    Ok(Json(Preview {
        class,
        base: hex(&before.object_digest(&op)),
        before: before.object(&op),
        after: after.object(&op),
        since_us: since.as_micros(),
        requests,
        newly_allowed,
        newly_denied,
        by_workflow,
        open_runs_stopped,
        approvals: match class {
            ChangeClass::Loosen => approvals(&api, who.scope.person(), &op, &before, &node),
            ChangeClass::Tighten => 0,
        },
        frozen: class == ChangeClass::Loosen
            && before.break_glass.is_none()
            && profiles::forbids(&before, &node, &op),
    }))
}

/// Approvals that this change needs now if this person asks for it.
fn approvals(api: &Api, person: PersonId, op: &Operation, before: &ControlState, node: &ControlState) -> u64 {
    let now = api.clock.now().wall;
    let all = api.board.all();
    let alone = all.iter().map(|s| {
        let v = s.view.load();
        profiles::alone_on_day(&v.control, person, now.max(v.last))
    });
    change_class::approvals_of(before, node, op, alone.sum())
}

/// Open runs that a kill switch of the new state stops and none of the old state.
fn runs_stopped(
    store: &Store,
    p: &Partition,
    before: &ControlState,
    after: &ControlState,
) -> Result<u64, ReadError> {
    let mut stopped = 0;
    for (row, value) in store.rows(&p.family, &Row::scan_of(RowKind::OpenRun))? {
        let key = row.key();
        let row: RunRow = decode(&p.open(&key, &value)?).map_err(|e| p.damaged(&key, &e))?;
        let stops =
            |s: &ControlState| s.killed(row.action.as_str(), row.workflow.as_str()).is_some_and(|k| !k.drain);
        stopped += u64::from(stops(after) && !stops(before));
    }
    Ok(stopped)
}

#[derive(Default)]
struct Sum {
    requests: u64,
    newly_allowed: u64,
    newly_denied: u64,
}

/// Counted from the newest receipt back, so that the count of folded denials comes before the denial it belongs to.
#[derive(Default)]
struct Sums {
    by_workflow: BTreeMap<Ident, Sum>,
    folded: HashMap<u64, u64>,
}

impl Sums {
    /// Counts the receipts below `size` that are not older than `since`.
    fn count(
        mut self,
        store: &Store,
        p: &Partition,
        (since, size): (WallTime, u64),
        before: &ControlState,
        after: &ControlState,
    ) -> Result<Self, ReadError> {
        for index in (0..size).rev() {
            let r = read_receipt(store, p, index)?;
            if r.sealed.header.time_us < since.as_micros() {
                break;
            }
            self.add(&r, before, after);
        }
        Ok(self)
    }

    fn rows(self) -> Vec<PreviewRow> {
        let row = |(workflow_type, s): (Ident, Sum)| PreviewRow {
            workflow_type,
            requests: s.requests,
            newly_allowed: s.newly_allowed,
            newly_denied: s.newly_denied,
        };
        self.by_workflow.into_iter().map(row).collect()
    }

    fn add(&mut self, r: &Receipt, before: &ControlState, after: &ControlState) {
        match &r.fact {
            Some(Fact::Traffic(TrafficFact::DenialsFolded(f))) => {
                *self.folded.entry(f.first).or_default() += f.count;
            }
            Some(Fact::Traffic(TrafficFact::RunDecided(f))) => {
                let n = 1 + self.folded.remove(&r.sealed.header.index).unwrap_or(0);
                let (was, would) = (passes(f, before), passes(f, after));
                let s = self.by_workflow.entry(f.workflow.clone()).or_default();
                s.requests += n;
                s.newly_allowed += if would && !was { n } else { 0 };
                s.newly_denied += if was && !would { n } else { 0 };
            }
            _ => {}
        }
    }
}

/// Whether ramp and kill switches of this state admit the request.
fn passes(f: &RunDecided, state: &ControlState) -> bool {
    let (action, workflow) = (f.action.as_str(), f.workflow.as_str());
    state.killed(action, workflow).is_none()
        && state.workflows.contains(&f.workflow)
        && f.bucket < u64::from(effective(&state.ramps, action, workflow))
}
