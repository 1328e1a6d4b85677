//! Which part of the writer decides a request.

use super::Writer;
use crate::intake::refuse;
use crate::intake::reply::{Answer, Answers};
use crate::intake::request::{Denial, WriterRequest};
use crate::ledger::ReadError;
use crate::staging::BatchBuilder;
use crate::workload::{self, Defer, WorkloadCtx};
use conductor_shared::codec::Listed;
use conductor_shared::fact::{Fact, RequestDenied};
use conductor_shared::fail_closed::Class;
use conductor_shared::ids::TenantUid;
use conductor_shared::reason::Reason;
use conductor_shared::untrusted::UntrustedText;

impl Writer {
    pub(super) fn one(
        &mut self,
        st: &mut BatchBuilder,
        ask: WriterRequest,
        answers: &mut Answers,
    ) -> Result<(), ReadError> {
        let Some(open) = &mut self.open else {
            refuse(ask, Reason::StoreUnavailable);
            return Ok(());
        };
        if ask.reads_rows(!self.proposals.pending.is_empty()) {
            open.committer.drained();
        }
        match ask {
            WriterRequest::Workload { scope, op, once, tries, reply } => {
                let Some(node) = open.partitions.node_control() else {
                    let _ = reply.send(Err(Denial::bare(Reason::StoreUnavailable)));
                    return Ok(());
                };
                let Some(live) = open.partitions.get_mut(scope.tenant()) else {
                    let damaged =
                        open.partitions.status(scope.tenant()).and_then(|s| s.refuses(Class::Admit));
                    let _ = reply.send(Err(Denial::bare(damaged.unwrap_or(Reason::ScopeMismatch))));
                    return Ok(());
                };
                let work = WorkloadCtx {
                    store: &open.store,
                    space: self.space,
                    lease_us: self.parts.lease_us,
                    principal: scope.principal(),
                    policy: &self.parts.policy,
                    node: &node,
                    tries,
                };
                match work.once(live, st, &op, once.as_ref()) {
                    Ok(answer) => answers.push(live.p.id.tenant, Answer::Work(reply, answer)),
                    Err(Defer::Policy(question)) => {
                        let again = WriterRequest::Workload { scope, op, once, tries: tries + 1, reply };
                        if let Err(ask) = self.parts.policy.ask(*question, again) {
                            refuse(ask, Reason::QueueFull);
                        }
                    }
                    Err(Defer::Read(e)) => {
                        let reason = match e.damages() {
                            Some(_) => Reason::PartitionDamaged,
                            None => Reason::StoreUnavailable,
                        };
                        let _ = reply.send(Err(Denial::bare(reason)));
                        return Err(e);
                    }
                }
            }
            WriterRequest::Unscoped(u, reply) => {
                let log = if open.partitions.contains(u.log) { u.log } else { TenantUid::NODE };
                let Some(live) = open.partitions.get_mut(log) else { return Ok(()) };
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
                let denial = workload::deny_folded(live, st, &u.principal, &about, u.reasons, None, fact)?;
                answers.push(log, Answer::Denied(reply, denial));
            }
            WriterRequest::Command(signed, reply) => return self.command(st, signed, reply, answers),
            WriterRequest::Approval(a, reply) => return self.approval(st, &a, reply, answers),
            WriterRequest::Signed(key, list) => return self.signed(st, &key, list, answers),
            WriterRequest::RolledBack(id, detail) => self.rolled_back(st, id, &detail)?,
            WriterRequest::SignerChanged => {}
            WriterRequest::Bundle(bundle, reply) => {
                let done = self.keep_bundle(st, *bundle);
                answers.push(TenantUid::NODE, Answer::Done(reply, done));
            }
            WriterRequest::Sink(moved, reply) => {
                let live = open.partitions.get(moved.tenant).filter(|l| l.status.serves());
                let done =
                    live.ok_or_else(|| Reason::StoreUnavailable.description().to_owned()).map(|live| {
                        for (key, plain) in &moved.rows {
                            match plain {
                                Some(plain) => st.rows.put(&live.p, key, plain),
                                None => st.rows.delete(&live.p.family, key),
                            }
                        }
                    });
                answers.push(moved.tenant, Answer::Done(reply, done));
            }
            WriterRequest::CreateTenants(list, reply) => {
                let done = self.create_tenants(st, &list);
                let failed = self.open.as_ref().is_some_and(|o| o.store.has_failed());
                match done {
                    Err(e) if failed => {
                        let _ = reply.send(Err(Reason::StoreUnavailable.description().to_owned()));
                        return Err(e);
                    }
                    Err(e) => answers.push(TenantUid::NODE, Answer::Done(reply, Err(e.to_string()))),
                    Ok(done) => answers.push(TenantUid::NODE, Answer::Done(reply, done)),
                }
            }
        }
        Ok(())
    }
}
