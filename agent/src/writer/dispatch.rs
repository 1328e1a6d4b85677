//! Dispatches each request to the code that decides it.

use super::{Open, Writer};
use crate::intake::refuse;
use crate::intake::reply::{Answer, Answers};
use crate::intake::request::{Denial, Idempotency, Reply, SinkMoved, Unscoped, WorkloadOp, WriterRequest};
use crate::ledger::ReadError;
use crate::partition::PartitionState;
use crate::partition::deny::{By, Denied};
use crate::scope::TenantScope;
use crate::staging::BatchBuilder;
use crate::store::Space;
use crate::workload::{Defer, WorkloadCtx};
use conductor_shared::codec::Listed;
use conductor_shared::fact::{Fact, RequestDenied};
use conductor_shared::fail_closed::Class;
use conductor_shared::ids::PartitionId;
use conductor_shared::reason::Reason;
use conductor_shared::untrusted::UntrustedText;
use tokio::sync::oneshot;

/// Maximum rows that most requests touch. The largest are approvals that complete a command, with its citations, incidents
/// and what it closes.
const MOST: usize = 64;
/// The same for each open step of a run that ends: its receipt, its row, and the deletion of its open row.
pub(super) const OPEN_STEP: usize = 3;

/// A workload request on its way through a step.
struct Work {
    scope: TenantScope,
    op: WorkloadOp,
    once: Option<Idempotency>,
    /// How many times it already waited for a policy verdict.
    tries: u8,
    reply: oneshot::Sender<Reply>,
}

impl Writer {
    /// Maximum rows that deciding a request touches.
    pub(super) fn cost(&self, ask: &WriterRequest) -> usize {
        let live = self.open.as_ref().and_then(|o| o.partitions.get(ask.partition()));
        let touch = live.map_or(0, PartitionState::rows_of_touch);
        let own = match ask {
            WriterRequest::Workload {
                op: WorkloadOp::FinishRun { run, .. } | WorkloadOp::CancelRun { run },
                ..
            } => {
                let steps = live.and_then(|l| l.runs.get(run)).map_or(0, |r| r.steps.len());
                MOST + OPEN_STEP * steps
            }
            WriterRequest::Sink(moved, _) => moved.rows.len(),
            _ => MOST,
        };
        own + touch
    }

    pub(super) fn one(
        &mut self,
        st: &mut BatchBuilder,
        ask: WriterRequest,
        answers: &mut Answers,
    ) -> Result<(), ReadError> {
        match ask {
            WriterRequest::Workload { scope, op, once, tries, reply } => {
                return self.workload(st, Work { scope, op, once, tries, reply }, answers);
            }
            WriterRequest::Unscoped(u, reply) => {
                if let Some((log, denial)) = self.unscoped(st, &u)? {
                    answers.push(log, Answer::Denied(reply, denial));
                }
            }
            WriterRequest::Command(log, signed, reply) => {
                return self.command(st, log, signed, reply, answers);
            }
            WriterRequest::Approval(log, a, reply) => return self.approval(st, log, &a, reply, answers),
            WriterRequest::Signed(key, list) => self.signed(&key, list),
            WriterRequest::RolledBack(id, detail) => self.rolled_back(st, id, &detail)?,
            WriterRequest::SignerChanged => {}
            WriterRequest::Probe(reply) => {
                // Writes the node's counters, to prove that the store writes. A read-only log is left alone.
                if let Some(node) = self.open.as_mut().and_then(|o| o.partitions.node_mut())
                    && node.status.serves()
                {
                    node.touch(st);
                }
                answers.push(PartitionId::NODE, Answer::Done(reply, Ok(())));
            }
            WriterRequest::Bundle(bundle, reply) => {
                let done = self.keep_bundle(st, *bundle);
                answers.push(PartitionId::NODE, Answer::Done(reply, done));
            }
            WriterRequest::Sink(moved, reply) => {
                let done =
                    self.open.as_ref().map_or(Err(Reason::StoreUnavailable), |o| moved_on(o, st, &moved));
                let done = done.map_err(|reason| reason.description().to_owned());
                answers.push(moved.partition, Answer::Done(reply, done));
            }
            WriterRequest::CreateTenants(list, reply) => self.create_tenants(st, list, reply)?,
        }
        Ok(())
    }

    fn workload(&mut self, st: &mut BatchBuilder, w: Work, answers: &mut Answers) -> Result<(), ReadError> {
        let node = self.open.as_ref().and_then(|o| o.partitions.node_control());
        let node_doubted = self.open.as_ref().is_some_and(|o| o.partitions.node_doubted());
        let (Some(open), Some(node)) = (&mut self.open, node) else {
            let _ = w.reply.send(Err(Denial::bare(Reason::StoreUnavailable)));
            return Ok(());
        };
        let id = w.scope.partition();
        let Some(live) = open.partitions.get_mut(id) else {
            let reason = open.partitions.refuses(id, Class::Admit).unwrap_or(Reason::ScopeMismatch);
            let _ = w.reply.send(Err(Denial::bare(reason)));
            return Ok(());
        };
        let work = WorkloadCtx {
            store: &open.store,
            space: self.space,
            lease: self.parts.lease,
            principal: w.scope.principal(),
            policy: &self.parts.policy,
            node: &node,
            node_doubted,
            tries: w.tries,
        };
        match work.once(live, st, &w.op, w.once.as_ref()) {
            Ok(answer) => answers.push(id, Answer::Work(w.reply, answer)),
            Err(Defer::Policy(question)) => {
                let Work { scope, op, once, tries, reply } = w;
                let again = WriterRequest::Workload { scope, op, once, tries: tries + 1, reply };
                if let Err(ask) = self.parts.policy.ask(*question, again) {
                    refuse(ask, Reason::QueueFull);
                }
            }
            Err(Defer::Read(e)) => {
                let damaged = e.damages().is_some();
                let reason = if damaged { Reason::PartitionDamaged } else { Reason::StoreUnavailable };
                let _ = w.reply.send(Err(Denial::bare(reason)));
                return Err(e);
            }
        }
        Ok(())
    }

    /// Records a denial in the log it belongs to, and returns which that is.
    fn unscoped(
        &mut self,
        st: &mut BatchBuilder,
        u: &Unscoped,
    ) -> Result<Option<(PartitionId, Denial)>, ReadError> {
        let Some(open) = &mut self.open else { return Ok(None) };
        if self.space == Space::ControlOnly {
            return Ok(Some((
                u.log,
                Denial { reasons: u.reasons, ..Denial::bare(Reason::StoreUnavailable) },
            )));
        }
        let log = if open.partitions.contains(u.log) { u.log } else { PartitionId::NODE };
        let Some(live) = open.partitions.get_mut(log) else { return Ok(None) };
        let about = format!("{} {}", u.operation, u.peer);
        let fact = || -> Fact {
            RequestDenied {
                principal: u.principal.clone(),
                peer: UntrustedText::new(u.peer.clone()),
                operation: u.operation.to_owned(),
                named_tenant: u.named.clone(),
                reasons: Listed(u.reasons.codes()),
            }
            .into()
        };
        let by = u.person.map_or(By::Principal(&u.principal), By::Person);
        let denial = live.deny(st, Denied { by, about, reasons: u.reasons, retry_after: None }, fact)?;
        Ok(Some((log, denial)))
    }
}

/// Stages the new position of a sink after a delivery.
fn moved_on(open: &Open, st: &mut BatchBuilder, moved: &SinkMoved) -> Result<(), Reason> {
    let live = open.partitions.get(moved.partition).filter(|l| l.status.serves());
    let live = live.ok_or(Reason::StoreUnavailable)?;
    for (key, plain) in &moved.rows {
        match plain {
            Some(plain) => st.rows.put(&live.p, key, plain),
            None => st.rows.delete(&live.p.family, key),
        }
    }
    Ok(())
}
