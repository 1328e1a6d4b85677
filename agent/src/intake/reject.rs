//! Requests that are answered without being decided, and messages that the agent sends itself.

use super::queue::Queues;
use super::request::{Denial, WriterRequest};
use conductor_shared::reason::Reason;

/// Answers without deciding.
pub(crate) fn refuse(ask: WriterRequest, reason: Reason) {
    match ask {
        WriterRequest::Workload { reply, .. } => drop(reply.send(Err(Denial::bare(reason)))),
        WriterRequest::Unscoped(u, reply) => {
            let _ = reply.send(Denial { reasons: u.reasons, ..Denial::bare(reason) });
        }
        WriterRequest::Command(.., reply) | WriterRequest::Approval(.., reply) => {
            drop(reply.send(Err(Denial::bare(reason))));
        }
        WriterRequest::CreateTenants(_, reply)
        | WriterRequest::Bundle(_, reply)
        | WriterRequest::Probe(reply)
        | WriterRequest::Sink(_, reply) => {
            drop(reply.send(Err(reason.description().to_owned())));
        }
        WriterRequest::Signed(..) | WriterRequest::RolledBack(..) | WriterRequest::SignerChanged => {}
    }
}

/// Puts an internal message before the writer. None is refused but when the agent stops.
pub fn tell(queues: &Queues, ask: WriterRequest) {
    if queues.push(ask).is_err() {
        tracing::debug!("the writer takes no more messages: the agent stops");
    }
}
