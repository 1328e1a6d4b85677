//! Work of more rows than one step of the writer may touch. Each step stages a slice of it; requests that came in
//! meanwhile are decided in between.

use super::Writer;
use crate::intake::reply::{Answer, Answers};
use crate::ledger::ReadError;
use crate::staging::BatchBuilder;
use conductor_shared::checkpoint::{Checkpoint, SignedCheckpoint};
use conductor_shared::ids::{Ident, PartitionId, TenantUid};
use std::collections::VecDeque;
use tokio::sync::oneshot;

pub(super) enum Job {
    /// Checkpoints that came back from the signer.
    Signed(SignedLogs),
    /// Tenants to be created.
    Create(NewTenants),
}

/// Checkpoints that are not taken over yet.
pub(super) struct SignedLogs {
    /// Who signed them, base64: another signer may have been pinned in between.
    pub(super) key: String,
    pub(super) left: VecDeque<(PartitionId, Checkpoint, SignedCheckpoint)>,
}

impl SignedLogs {
    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }
}

/// Tenants to be created, and who waits for them.
pub(super) struct NewTenants {
    pub(super) left: VecDeque<(TenantUid, Ident)>,
    pub(super) reply: oneshot::Sender<Result<(), String>>,
}

impl NewTenants {
    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// All are on record: the answer goes when this step is durable, and so those before it.
    pub(super) fn answer(self, answers: &mut Answers) {
        answers.push(PartitionId::NODE, Answer::Done(self.reply, Ok(())));
    }

    pub(super) fn refuse(self, why: &str) {
        let _ = self.reply.send(Err(why.to_owned()));
    }
}

impl Writer {
    /// Goes on with the jobs, in order, as far as this step allows.
    pub(super) fn work(&mut self, st: &mut BatchBuilder, answers: &mut Answers) -> Result<(), ReadError> {
        while let Some(job) = self.jobs.pop_front() {
            // What is left of a job stays, also when one of its items damaged a partition.
            let (rest, done) = match job {
                Job::Signed(mut logs) => {
                    let done = self.take_signed(st, &mut logs, answers);
                    if logs.is_empty() {
                        self.may_ask_signer_again();
                    }
                    ((!logs.is_empty()).then_some(Job::Signed(logs)), done)
                }
                Job::Create(mut tenants) => {
                    let done = self.create_next(st, &mut tenants);
                    let rest = match (&done, tenants.is_empty()) {
                        (Ok(()), true) => {
                            tenants.answer(answers);
                            None
                        }
                        (Ok(()), false) => Some(Job::Create(tenants)),
                        (Err(e), _) => {
                            tenants.refuse(&e.to_string());
                            None
                        }
                    };
                    (rest, done)
                }
            };
            let waits = rest.is_some();
            if let Some(rest) = rest {
                self.jobs.push_front(rest);
            }
            done?;
            if waits {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The store is closed: what is left of the jobs is refused or asked for again.
    pub(super) fn drop_jobs(&mut self, why: &str) {
        for job in self.jobs.drain(..) {
            match job {
                // The signer is asked again about every log that is not covered.
                Job::Signed(_) => {}
                Job::Create(tenants) => tenants.refuse(why),
            }
        }
    }
}
