//! What is kept from those who do not see all of a log: the one place that knows which fields and values that are.

use conductor_shared::access::Sight;
use conductor_shared::control::ControlState;
use conductor_shared::describe::TOKEN_DIGEST;
use conductor_shared::fact::{ControlFact, Fact, TrafficFact};
use conductor_shared::ids::Digest;

/// What stands in its place in a control state.
const NO_DIGEST: [u8; 32] = [0; 32];

/// A whole control state, with the digests of tokens.
const STATE: &[&str] = &["state"];

/// The committed fields that a list of receipts and the stream leave out, whoever asks: they are far longer than the others.
pub(super) fn unlisted(fact: &Fact) -> &'static [&'static str] {
    match fact {
        Fact::Control(ControlFact::StateSnapshot(_)) => STATE,
        _ => &[],
    }
}

/// The committed fields of a receipt that stay closed. A receipt without them still verifies.
pub(super) fn closed(fact: &Fact, sight: Sight) -> &'static [&'static str] {
    match (fact, sight) {
        (_, Sight::Full) => &[],
        // Traffic commits to groups, and the subject is in this one.
        (Fact::Traffic(TrafficFact::RunDecided(f)), Sight::Outline) if !f.subject.raw().is_empty() => {
            &["what"]
        }
        (Fact::Traffic(_), _) => &[],
        (Fact::Control(ControlFact::StateSnapshot(_)), _) => STATE,
        (Fact::Control(fact), _) if changes_a_token(fact) => &["change", "text", "signature"],
        (Fact::Control(_), _) => &["text", "signature"],
    }
}

fn changes_a_token(fact: &ControlFact) -> bool {
    let change = match fact {
        ControlFact::Changed(f) => &f.change,
        ControlFact::Proposed(f) => &f.change,
        ControlFact::Requested(f) => &f.change,
        _ => return false,
    };
    change.0.iter().any(|word| word == TOKEN_DIGEST)
}

/// A control state as this sight shows it: without the digests of tokens unless it shows everything.
pub fn redacted(state: &ControlState, sight: Sight) -> ControlState {
    let mut state = state.clone();
    if sight == Sight::Full {
        return state;
    }
    for token in state.tokens.values_mut() {
        token.secret_sha256 = Digest(NO_DIGEST);
    }
    let waiting = state.requests.values_mut().map(|r| &mut r.change);
    for change in waiting.chain(state.pending.values_mut().map(|p| &mut p.change)) {
        if let Some(at) = change.iter().position(|word| word == TOKEN_DIGEST)
            && let Some(digest) = change.get_mut(at + 1)
        {
            *digest = conductor_shared::ids::hex(&NO_DIGEST);
        }
    }
    state
}
