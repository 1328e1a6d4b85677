//! Work of more rows than one step of the writer may touch. Each step stages a slice of it; requests that came in
//! meanwhile are decided in between.

use super::Writer;
use super::changes::SignedLogs;
use super::provision::NewTenants;
use crate::intake::reply::Answers;
use crate::ledger::ReadError;
use crate::staging::BatchBuilder;

pub(super) enum Job {
    /// Checkpoints that came back from the signer.
    Signed(SignedLogs),
    /// Tenants to be created.
    Create(NewTenants),
}

impl Writer {
    /// Goes on with the jobs, in order, as far as this step allows.
    pub(super) fn work(&mut self, st: &mut BatchBuilder, answers: &mut Answers) -> Result<(), ReadError> {
        while let Some(job) = self.jobs.pop_front() {
            // What is left of a job stays, also when one of its items damaged a partition.
            let (rest, done) = match job {
                Job::Signed(mut logs) => {
                    let done = self.take_signed(st, &mut logs, answers);
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
