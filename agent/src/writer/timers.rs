//! What time brings: proposals that are overdue, leases that ran out, folds that close, freezes, plans and incidents.

use super::Writer;
use crate::intake::reply::{Answer, Answers};
use crate::ledger::ReadError;
use crate::partition::DayKind;
use crate::rollout::controller::Tick;
use crate::scope::TenantScope;
use crate::staging::BatchBuilder;
use crate::store::Space;
use crate::workload::WorkloadCtx;
use conductor_shared::clock::Micros;
use conductor_shared::fact::{Fact, Outcome};
use conductor_shared::reason::Reason;

const SLOW_TICK_US: Micros = 200_000;

impl Writer {
    /// Does what is due. Cheap when nothing is.
    pub(super) fn tick(&mut self, st: &mut BatchBuilder, answers: &mut Answers) -> Result<(), ReadError> {
        let mono = st.now.mono_us;
        for p in self.proposals.overdue(mono) {
            let Some(live) = self.open.as_mut().and_then(|o| o.partitions.get_mut(p.tenant)) else {
                p.lost();
                continue;
            };
            let tenant = p.tenant;
            let out = p.abandon(live, st, Reason::CheckpointTimeout.into())?;
            answers.push(tenant, Answer::Command(out.0, out.1));
        }
        if mono < self.last_slow_tick + SLOW_TICK_US {
            return Ok(());
        }
        let since = mono.saturating_sub(self.last_slow_tick);
        self.last_slow_tick = mono;
        let (lease_us, outage) = (self.parts.lease_us, self.outage());
        let Some(open) = &mut self.open else { return Ok(()) };
        self.space = open.store.space();
        // First the freezes: a plan pauses in one.
        self.calendar.bring_up_to_date(&mut open.partitions, st, None)?;
        let tick = Tick {
            pace: self.parts.slo,
            outage,
            disk_critical: self.space == Space::Critical,
            since_us: since,
            policy: &self.parts.policy,
        };
        self.eval.evaluate(&mut open.partitions, st, tick)?;
        let node = open.partitions.node_control().unwrap_or_default();
        for live in open.partitions.iter_mut() {
            if !live.status.serves() {
                continue;
            }
            if live.folds.due(mono) {
                for closed in live.folds.close(mono, false) {
                    let unit = live.day_unit(st, DayKind::Denial)?;
                    live.append(st, &Fact::from(closed), (unit.0, &unit.1));
                }
            }
            let now_us = st.now.wall_us;
            let over = live.control.requests.iter().filter(|(_, r)| r.expires_at_us <= now_us);
            let over: Vec<_> = over.map(|(id, r)| (*id, r.index)).collect();
            for (id, index) in over {
                crate::command::close(live, st, id, index, Reason::CommandExpired.into(), None)?;
            }
            let lost: Vec<_> =
                live.runs.iter().filter(|(_, r)| r.lease_until <= mono).map(|(id, _)| *id).take(64).collect();
            if lost.is_empty() {
                continue;
            }
            let scope = TenantScope::of_agent(live.p.id.tenant);
            let work = WorkloadCtx {
                store: &open.store,
                space: self.space,
                lease_us,
                principal: scope.principal(),
                policy: &self.parts.policy,
                node: &node,
                tries: 0,
            };
            for id in lost {
                let _ = work.end_run(live, st, id, Outcome::Lost)?;
            }
        }
        Ok(())
    }
}
