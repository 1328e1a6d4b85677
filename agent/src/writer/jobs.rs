//! Jobs: work on more rows than one step may touch. Each step stages one slice, so requests are decided in between, and
//! jobs take turns.

use super::Writer;
use crate::intake::reply::{Answer, Answers};
use crate::ledger::ReadError;
use crate::staging::BatchBuilder;
use conductor_shared::checkpoint::{Checkpoint, SignedCheckpoint};
use conductor_shared::ids::{Ident, PartitionId, TenantUid};
use std::collections::VecDeque;
use tokio::sync::oneshot;

pub(super) enum Job {
    /// Signed checkpoints to take over.
    Signed(SignedLogs),
    /// Tenants to create.
    Create(NewTenants),
}

/// Signed checkpoints that are not taken over yet.
pub(super) struct SignedLogs {
    /// Key that signed them, base64. Compared before each slice: another signer may be pinned between two of them.
    pub(super) key: String,
    pub(super) left: VecDeque<(PartitionId, Checkpoint, SignedCheckpoint)>,
}

impl SignedLogs {
    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }
}

/// Tenants that are not created yet, and who waits for them.
pub(super) struct NewTenants {
    pub(super) left: VecDeque<(TenantUid, Ident)>,
    pub(super) reply: oneshot::Sender<Result<(), String>>,
}

impl NewTenants {
    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// Answers once this step is durable; the earlier slices are durable by then.
    pub(super) fn answer(self, answers: &mut Answers) {
        answers.push(PartitionId::NODE, Answer::Done(self.reply, Ok(())));
    }

    pub(super) fn refuse(self, why: &str) {
        let _ = self.reply.send(Err(why.to_owned()));
    }
}

impl Writer {
    /// Gives the first job this step. It goes behind the others if it does not end; if it does, they go on in the rest.
    pub(super) fn next_job(&mut self, st: &mut BatchBuilder, answers: &mut Answers) -> Result<(), ReadError> {
        self.go_on_with_jobs(st, answers, true)
    }

    /// Uses the rest of a step for jobs. None loses its place by that: a large item would never have a step of its own.
    pub(super) fn fill_with_jobs(
        &mut self,
        st: &mut BatchBuilder,
        answers: &mut Answers,
    ) -> Result<(), ReadError> {
        self.go_on_with_jobs(st, answers, false)
    }

    fn go_on_with_jobs(
        &mut self,
        st: &mut BatchBuilder,
        answers: &mut Answers,
        mut turn: bool,
    ) -> Result<(), ReadError> {
        while let Some(job) = self.jobs.pop_front() {
            // The rest of a job stays even if one of its items failed: that error is contained in its partition.
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
            let Some(rest) = rest else {
                done?;
                turn = false;
                continue;
            };
            if turn {
                self.jobs.push_back(rest);
            } else {
                self.jobs.push_front(rest);
            }
            return done;
        }
        Ok(())
    }

    /// The store is closed. Refuses what is left of the jobs.
    pub(super) fn drop_jobs(&mut self, why: &str) {
        for job in self.jobs.drain(..) {
            match job {
                // After reopening, the signer is asked again about every log without a checkpoint.
                Job::Signed(_) => {}
                Job::Create(tenants) => tenants.refuse(why),
            }
        }
    }
}
