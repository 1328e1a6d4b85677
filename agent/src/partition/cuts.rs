//! What each person took away alone of late: from this tenant, and on the node's log from other persons. A stolen key must
//! not switch off the whole node, whatever the class of its commands.

use conductor_shared::change_class::{cuts_off, persons_cut};
use conductor_shared::clock::WallTime;
use conductor_shared::control::{CommandKey, ControlState};
use conductor_shared::fact::ControlFact;
use conductor_shared::ids::{PersonId, TenantUid};
use std::collections::{BTreeSet, HashMap};

/// Whom something was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cut {
    /// A tenant, or the node itself.
    Log(TenantUid),
    Person(PersonId),
}

/// By whom, from whom, and when last, by receipt time.
#[derive(Debug, Default)]
pub struct Cuts(HashMap<(PersonId, Cut), WallTime>);

impl Cuts {
    /// What a person took away after a moment.
    pub fn since(&self, person: PersonId, since: WallTime) -> impl Iterator<Item = Cut> {
        let by = self.0.iter().filter(move |((p, _), at)| *p == person && **at > since);
        by.map(|((_, cut), _)| *cut)
    }

    /// Notes what a fact of this log took away. What two persons agreed on does not count.
    pub fn note(
        &mut self,
        log: TenantUid,
        fact: &ControlFact,
        (before, after): (&ControlState, &ControlState),
        at: WallTime,
    ) {
        if let Some(person) = alone(fact, before) {
            for cut in of_change(log, before, after) {
                self.0.insert((person, cut), at);
            }
        }
    }
}

/// Whoever put a change into effect without anybody else.
pub fn alone(fact: &ControlFact, before: &ControlState) -> Option<PersonId> {
    match fact {
        ControlFact::Changed(f) => {
            let key = CommandKey { person: f.person, command: f.command_id };
            (!before.requests.contains_key(&key)).then_some(f.person)
        }
        ControlFact::Effective(f) => {
            let key = CommandKey { person: f.author, command: f.command_id };
            before.pending.get(&key).filter(|p| p.approved.is_empty()).map(|p| p.person)
        }
        _ => None,
    }
}

/// From whom a change takes something.
pub fn of_change(log: TenantUid, before: &ControlState, after: &ControlState) -> BTreeSet<Cut> {
    if !cuts_off(before, after) {
        return BTreeSet::new();
    }
    let persons: BTreeSet<Cut> = persons_cut(before, after).into_iter().map(Cut::Person).collect();
    if persons.is_empty() { BTreeSet::from([Cut::Log(log)]) } else { persons }
}
