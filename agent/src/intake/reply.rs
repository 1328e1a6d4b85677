//! Answers on their way back: held until what they rest on is durable.

use super::request::{CommandReply, Denial, Reply};
use conductor_shared::ids::PartitionId;
use conductor_shared::reason::Reason;
use tokio::sync::oneshot;

/// An answer and where it goes.
pub enum Answer {
    /// To a workload.
    Work(oneshot::Sender<Reply>, Reply),
    /// To a request that had no scope.
    Denied(oneshot::Sender<Denial>, Denial),
    /// To an operator.
    Command(oneshot::Sender<CommandReply>, CommandReply),
    /// To the node itself.
    Done(oneshot::Sender<Result<(), String>>, Result<(), String>),
}

impl Answer {
    /// Sends it.
    pub fn send(self) {
        // Whoever asked may have gone; what was decided stands, and a retry with the same key will hear it.
        match self {
            Self::Work(to, r) => drop(to.send(r)),
            Self::Denied(to, r) => drop(to.send(r)),
            Self::Command(to, r) => drop(to.send(r)),
            Self::Done(to, r) => drop(to.send(r)),
        }
    }
    /// The receipt could not be made durable: whatever was decided, the answer is no.
    pub fn deny(self) {
        let no = || Denial::bare(Reason::StoreUnavailable);
        match self {
            Self::Work(to, _) => drop(to.send(Err(no()))),
            Self::Denied(to, d) => drop(to.send(Denial { receipt: None, ..d })),
            Self::Command(to, _) => drop(to.send(Err(no()))),
            Self::Done(to, _) => drop(to.send(Err(Reason::StoreUnavailable.description().to_owned()))),
        }
    }
}

/// The answers of one batch, each with the partition that it rests on.
#[derive(Default)]
pub struct Answers(Vec<(PartitionId, Answer)>);

impl Answers {
    pub fn push(&mut self, rests_on: PartitionId, answer: Answer) {
        self.0.push((rests_on, answer));
    }

    /// Denies those that rest on this partition.
    pub fn discard(&mut self, partition: PartitionId) {
        for (_, answer) in self.0.extract_if(.., |(p, _)| *p == partition) {
            answer.deny();
        }
    }

    /// Denies all.
    pub fn deny(&mut self) {
        self.0.drain(..).for_each(|(_, answer)| answer.deny());
    }

    /// Takes them out, to be sent when the batch is durable.
    pub fn take(&mut self) -> Vec<Answer> {
        self.0.drain(..).map(|(_, answer)| answer).collect()
    }
}
