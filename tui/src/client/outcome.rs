//! What came of a command that a node has on record but did not tell: read from the node's log.
//!
//! The command is found again by the exact bytes that were signed, never by its id alone: another person may have used it.

use super::decode;
use super::error::ClientError;
use super::http::From;
use super::outbox::{Addressee, KeptCommand, Outbox, State};
use super::session::ReadSession;
use conductor_shared::command::Command;
use conductor_shared::fact::{ControlFact, Fact};
use conductor_shared::http::ReceiptRef;
use conductor_shared::untrusted::escape;
use std::io;
use std::time::Duration;

/// A node's clock may be behind the one that issued the command by so much.
const SKEW: Duration = Duration::from_secs(60);
/// Pages of the timeline that are looked through for one command.
const PAGES: usize = 20;
/// Kinds of facts that tell what came of a command.
const KINDS: [&str; 6] = ["Changed", "Proposed", "Effective", "Abandoned", "Requested", "RequestClosed"];

/// What the facts read so far say.
#[derive(Debug, Default)]
struct Trail {
    /// Receipts that hold the command, waiting for what comes of them.
    waiting: Vec<u64>,
    state: Option<State>,
}

impl Trail {
    /// Takes the next control fact of the log.
    fn follow(&mut self, at: ReceiptRef, fact: &ControlFact, text: &[u8]) {
        let mine = |index: &u64| self.waiting.contains(index);
        let refused = |why: &str| State::Refused { reasons: vec![], why: escape(why, 300) };
        let state = match fact {
            ControlFact::Changed(f) if f.text == text => State::Acknowledged { receipt: at },
            ControlFact::Effective(f) if mine(&f.proposal) => State::Acknowledged { receipt: at },
            ControlFact::Requested(f) if f.text == text => {
                self.waiting.push(at.index);
                State::Requested { receipt: at }
            }
            ControlFact::Proposed(f) if f.text == text => {
                self.waiting.push(at.index);
                return;
            }
            ControlFact::Abandoned(f) if mine(&f.proposal) => refused(&f.why),
            ControlFact::RequestClosed(f) if mine(&f.request) => refused(&f.why),
            _ => return,
        };
        self.state = Some(state);
    }
}

/// What came of a command. `None` when the log, as far as it was read, does not tell.
pub(crate) async fn outcome(
    s: &ReadSession,
    command: &Command,
    text: &str,
) -> Result<Option<State>, ClientError> {
    let from = command.issued_at_us.saturating_sub(u64::try_from(SKEW.as_micros()).unwrap_or(0));
    let (mut trail, mut after) = (Trail::default(), None);
    for _ in 0..PAGES {
        let bearer = s.bearer().await?;
        let page = s.agent().timeline(&bearer, command.tenant, (Some(from), None), after).await?;
        for row in page.rows.iter().filter(|r| KINDS.contains(&r.kind.as_str())) {
            let got = s.agent().receipts(&bearer, command.tenant, From::Index(row.index), 1).await?;
            let Some(receipt) = got.receipts.first().filter(|r| r.index == row.index) else { continue };
            if let Some(Fact::Control(fact)) = decode::fact(receipt) {
                let at = ReceiptRef { origin: got.origin, index: row.index };
                trail.follow(at, &fact, text.as_bytes());
            }
        }
        after = page.next.filter(|n| after.is_none_or(|a| *n > a));
        if after.is_none() {
            break;
        }
    }
    Ok(trail.state)
}

/// Asks the nodes that have the command on record what came of it. True when one told something new.
pub(crate) async fn follow(
    kept: &mut KeptCommand,
    session: impl Fn(&Addressee) -> Option<ReadSession>,
) -> Result<bool, String> {
    let command = kept.command()?;
    let text = kept.signed.text.clone();
    let mut new = false;
    for node in kept.nodes.iter_mut().filter(|n| n.state.may_change()) {
        let Some(s) = session(node) else { continue };
        // A node that does not answer now is asked again later.
        let is_there = s.get().await.is_ok_and(|open| open.node.node_id == node.node_id);
        if is_there && let Ok(Some(state)) = outcome(&s, &command, &text).await {
            new |= node.state != state;
            node.state = state;
        }
    }
    Ok(new)
}

/// The same for all kept commands, whose states are stored.
pub(crate) async fn follow_all(
    outbox: &Outbox,
    kept: &mut [(Command, KeptCommand)],
    session: impl Fn(&Addressee) -> Option<ReadSession> + Copy,
) -> io::Result<()> {
    for (_, k) in kept {
        if follow(k, session).await.map_err(io::Error::other)? {
            outbox.update(k)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_shared::codec::Listed;
    use conductor_shared::fact::{ChangeClass, RequestClosed, Requested};
    use conductor_shared::ids::{CommandId, PersonId};
    use conductor_shared::untrusted::UntrustedText;

    fn at(index: u64) -> ReceiptRef {
        ReceiptRef { origin: crate::sample::origin(), index }
    }

    fn requested(text: &[u8]) -> ControlFact {
        ControlFact::Requested(Requested {
            change: Listed(vec![]),
            before: Listed(vec![]),
            after: Listed(vec![]),
            class: ChangeClass::Tighten,
            person: PersonId([1; 16]),
            why: UntrustedText::new(""),
            command_id: CommandId([2; 16]),
            expires_at_us: 0,
            judged_at_us: 0,
            text: text.to_vec(),
            signature: String::new(),
            needed: 1,
            node_size: 1,
        })
    }

    /// A2: what waits for a second person is no acknowledgement; another person's command under the same id is not ours.
    #[test]
    fn a_request_is_not_an_effect() {
        let mut t = Trail::default();
        t.follow(at(3), &requested(b"another's"), b"mine");
        assert_eq!(t.state, None);
        t.follow(at(4), &requested(b"mine"), b"mine");
        assert_eq!(t.state, Some(State::Requested { receipt: at(4) }));
        let closed = |request| {
            ControlFact::RequestClosed(RequestClosed {
                author: PersonId([1; 16]),
                digest: [0; 32],
                command_id: CommandId([2; 16]),
                request,
                person: PersonId([0; 16]),
                why: "command_expired".into(),
                text: vec![],
                signature: String::new(),
            })
        };
        t.follow(at(5), &closed(3), b"mine");
        assert_eq!(t.state, Some(State::Requested { receipt: at(4) }));
        t.follow(at(6), &closed(4), b"mine");
        assert_eq!(t.state, Some(State::Refused { reasons: vec![], why: "command_expired".into() }));
    }
}
