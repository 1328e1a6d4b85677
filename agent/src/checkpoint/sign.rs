//! Requests signatures of checkpoints: takes jobs from the committer, sends the signer a proof that each log only grew
//! since its last checkpoint, and queues the result for the writer. Runs on its own thread, so that a slow or dead
//! signer delays nothing else.

use crate::checkpoint::job::{CheckpointItem, CheckpointJob};
use crate::checkpoint::witness::Witness;
use crate::intake::queue::Queues;
use crate::intake::request::WriterRequest;
use crate::intake::tell;
use crate::ledger::DiskNodes;
use crate::partition::published::Registry;
use crate::signer::client::{SignerClient, SignerError};
use crate::signer::protocol::{Answer, Item, ItemReason};
use conductor_shared::checkpoint::{Checkpoint, SignedCheckpoint};
use conductor_shared::merkle::consistency_proof;
use conductor_shared::stream::SignerState;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::sync::Arc;
use std::time::Duration;

/// A signer that was not asked for so long is probed: one that ends while there is nothing to sign is noticed too.
const PROBE: Duration = Duration::from_secs(10);
/// Pause after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// Runs until committer and writer have ended.
pub fn run(
    mut client: SignerClient,
    jobs: &Receiver<CheckpointJob>,
    queues: &Arc<Queues>,
    board: &Arc<Registry>,
    mut witness: Witness,
) {
    crate::name_thread(c"checkpoints");
    probe(&client, queues, board);
    loop {
        let job = jobs.recv_timeout(PROBE);
        // The pinned key may have changed.
        if let Some(key) = board.node().and_then(|n| n.view.load().control.signer_key.clone()) {
            client.expect(&key);
        }
        match job {
            Ok(job) => {
                let done = sign(&client, &job);
                let failed = done.is_err();
                let list = match done {
                    Ok((signed, refused)) => {
                        witness.note(signed.iter().map(|(_, checkpoint, _)| checkpoint));
                        report(queues, board, SignerState::Up, "");
                        for (id, detail) in refused {
                            tell(queues, WriterRequest::RolledBack(id, detail));
                        }
                        signed
                    }
                    Err(e) => {
                        report(queues, board, SignerState::from(&e), &e.to_string());
                        Vec::new()
                    }
                };
                drop(job);
                if failed {
                    std::thread::sleep(PAUSE);
                }
                tell(queues, WriterRequest::Signed(client.public_key().to_owned(), list));
            }
            Err(RecvTimeoutError::Timeout) => probe(&client, queues, board),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn report(queues: &Queues, board: &Registry, state: SignerState, detail: &str) {
    if board.set_signer(state, detail) {
        if state == SignerState::Up {
            tracing::info!("the signer signs");
        } else {
            tracing::warn!("the signer does not sign: {detail}");
        }
        tell(queues, WriterRequest::SignerChanged);
    }
}

fn probe(client: &SignerClient, queues: &Queues, board: &Registry) {
    match client.probe() {
        Ok(()) => report(queues, board, SignerState::Up, ""),
        Err(e) => report(queues, board, SignerState::from(&e), &e.to_string()),
    }
}

type Signed = Vec<(conductor_shared::ids::PartitionId, Checkpoint, SignedCheckpoint)>;
type Refused = Vec<(conductor_shared::ids::PartitionId, String)>;

/// What the signer is asked about a log. `None`: no proof can be made now; it was said why.
fn item(i: &CheckpointItem, from: u64) -> Option<Item> {
    let no_proof = |why: &dyn std::fmt::Display| tracing::error!("no proof for {}: {why}", i.origin);
    // Given back before the signer is asked: it may take its time.
    let lease = i.cell.lease().map_err(|reason| no_proof(&reason.description())).ok()?;
    let nodes = DiskNodes::new(lease.store(), lease.partition(), i.size).with_leaves(i.leaves.clone());
    let proof = consistency_proof(&nodes, from, i.size).map_err(|e| no_proof(&e)).ok()?;
    let last = i.last.as_deref().cloned();
    Some(Item { origin: i.origin, size: i.size, root: i.root, proof_from: from, proof, last })
}

fn sign(client: &SignerClient, job: &CheckpointJob) -> Result<(Signed, Refused), SignerError> {
    let mut items = Vec::with_capacity(job.items.len());
    let mut asked = Vec::with_capacity(job.items.len());
    for i in &job.items {
        if let Some(it) = item(i, i.signed) {
            items.push(it);
            asked.push(i);
        }
    }
    if items.is_empty() {
        // Nothing to sign is no news of the signer.
        client.probe()?;
    }
    let answers = client.checkpoints(items)?;
    let (mut signed, mut refused) = (Vec::new(), Vec::new());
    let mut again = Vec::new();
    for (i, a) in asked.into_iter().zip(answers) {
        match a {
            Answer::Signed { checkpoint } => {
                signed.push((i.cell.id, cp(i), checkpoint));
            }
            // The signer signed a size whose answer was lost: prove from there.
            Answer::Refused { reason: ItemReason::NeedsProof, last: Some(last) } if last.size <= i.size => {
                again.extend(item(i, last.size).map(|it| (i, it)));
            }
            Answer::Refused { reason, last } => {
                let known = last.map_or(String::new(), |l| {
                    format!(" (it signed {} entries, here are {})", l.size, i.size)
                });
                refused.push((i.cell.id, format!("{reason}{known}")));
            }
        }
    }
    if !again.is_empty() {
        let items: Vec<Item> = again.iter().map(|(_, it)| it.clone()).collect();
        for ((i, _), a) in again.into_iter().zip(client.checkpoints(items)?) {
            match a {
                Answer::Signed { checkpoint } => signed.push((i.cell.id, cp(i), checkpoint)),
                Answer::Refused { reason, .. } => refused.push((i.cell.id, reason.to_string())),
            }
        }
    }
    Ok((signed, refused))
}

fn cp(i: &CheckpointItem) -> Checkpoint {
    Checkpoint { origin: i.origin, size: i.size, root: i.root }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::lease::Leases;
    use crate::partition::published::{PartitionCell, PartitionView};
    use conductor_shared::ids::{NodeId, Origin, PartitionId};

    /// A signer works because it answered, and not because there was nothing to ask.
    #[test]
    fn logs_without_a_proof_say_nothing_about_the_signer() {
        let id = PartitionId::NODE;
        let cell =
            PartitionCell::new(id, "node".parse().unwrap(), Leases::new(None), PartitionView::default());
        let item = CheckpointItem {
            cell: Arc::new(cell),
            origin: Origin { node: NodeId([1; 16]), tenant: id.tenant, epoch: id.epoch },
            size: 1,
            root: conductor_shared::merkle::Hash::default(),
            signed: 0,
            last: None,
            leaves: Vec::new(),
        };
        let nobody = SignerClient::new("/nonexistent/signer.sock", "", None);
        let done = sign(&nobody, &CheckpointJob { items: vec![item] });
        assert!(matches!(done, Err(SignerError::Down(_))), "nobody was asked, and nobody answered");
    }
}
