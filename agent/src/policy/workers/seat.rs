//! Where a worker keeps what it is at, so that the watch can answer it when the worker cannot.

use super::Job;
use conductor_shared::clock::MonoTime;
use parking_lot::Mutex;

/// Names one stay of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

#[derive(Default)]
struct State {
    last: u64,
    job: Option<(Ticket, MonoTime, Box<Job>)>,
}

#[derive(Default)]
pub(super) struct Seat(Mutex<State>);

impl Seat {
    pub(super) fn take(&self, job: Box<Job>, now: MonoTime) -> Ticket {
        let mut state = self.0.lock();
        state.last += 1;
        let ticket = Ticket(state.last);
        state.job = Some((ticket, now, job));
        ticket
    }

    /// `None`: the watch has answered it.
    pub(super) fn give_back(&self, ticket: Ticket) -> Option<Box<Job>> {
        let mut state = self.0.lock();
        let mine = state.job.take_if(|(t, ..)| *t == ticket);
        mine.map(|(_, _, job)| job)
    }

    /// The job that has been here since before that time.
    pub(super) fn overdue(&self, before: MonoTime) -> Option<Box<Job>> {
        self.0.lock().job.take_if(|(_, since, _)| *since < before).map(|(_, _, job)| job)
    }

    /// Whatever is here.
    pub(super) fn clear(&self) -> Option<Box<Job>> {
        self.0.lock().job.take().map(|(_, _, job)| job)
    }
}
