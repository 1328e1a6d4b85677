//! Counts connections, after they were accepted: a listener that has no place left still answers by hanging up, and is
//! never deaf.
//!
//! A connection is a stranger's until it has shown whose it is. Strangers share a bound for each address or local user, and
//! make way for newcomers, the oldest first. A connection that has shown its owner keeps its place; an owner's share is
//! bounded, and what is beyond it stays a stranger's.

use conductor_shared::ids::{PersonId, TenantUid};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Connections that were hung up on and are not closed yet, at most: then newcomers are refused until they are.
pub const MAX_CLOSING: usize = 64;
/// A newcomer waits so long for one of those to close.
const CLOSING_WAIT: Duration = Duration::from_millis(100);

/// Whose a connection is, once that is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    Person(PersonId),
    Tenant(TenantUid),
}

/// How many connections of one kind of listener may be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnBounds {
    pub all: usize,
    /// Strangers of one address or local user.
    pub strangers_per_peer: usize,
    /// Connections that one person or tenant keeps.
    pub per_owner: usize,
}

/// The connections of one kind of listener.
pub struct ConnLimiter {
    bounds: ConnBounds,
    open: Mutex<OpenConnections>,
    /// One that was hung up on is closed.
    closed: Notify,
}

#[derive(Default)]
struct OpenConnections {
    all: usize,
    closing: usize,
    next: u64,
    strangers: HashMap<String, BTreeMap<u64, Arc<Notify>>>,
    owners: HashMap<Owner, usize>,
}

/// Permission for one connection; returned when dropped.
pub struct ConnPermit {
    limiter: Arc<ConnLimiter>,
    peer: String,
    number: u64,
    hang_up: Arc<Notify>,
    /// It showed an owner, whether or not that one had a place left.
    shown: AtomicBool,
    state: Mutex<PermitState>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PermitState {
    Stranger,
    Of(Owner),
}

impl ConnLimiter {
    pub fn new(bounds: ConnBounds) -> Arc<Self> {
        Arc::new(Self { bounds, open: Mutex::default(), closed: Notify::new() })
    }

    /// As [`Self::admit`]; waits a little where those that make way are not closed yet.
    pub(super) async fn admit_soon(self: &Arc<Self>, peer: &str) -> Option<Arc<ConnPermit>> {
        let admitted = async {
            loop {
                let place = self.admit(peer.to_owned());
                if place.is_some() || self.open.lock().closing == 0 {
                    return place;
                }
                self.closed.notified().await;
            }
        };
        tokio::time::timeout(CLOSING_WAIT, admitted).await.ok().flatten()
    }

    /// Takes a place for a connection that was accepted; `None`: hang up.
    pub fn admit(self: &Arc<Self>, peer: String) -> Option<Arc<ConnPermit>> {
        let mut open = self.open.lock();
        let strangers = open.strangers.get(&peer).map_or(0, BTreeMap::len);
        if strangers >= self.bounds.strangers_per_peer {
            open.hang_up_on_oldest(&peer)?;
        } else if open.all >= self.bounds.all {
            let most = open.strangers.iter().max_by_key(|(_, of_peer)| of_peer.len())?.0.clone();
            open.hang_up_on_oldest(&most)?;
        }
        let (number, hang_up) = (open.next, Arc::new(Notify::new()));
        open.next += 1;
        open.all += 1;
        open.strangers.entry(peer.clone()).or_default().insert(number, Arc::clone(&hang_up));
        drop(open);
        let state = Mutex::new(PermitState::Stranger);
        let limiter = Arc::clone(self);
        Some(Arc::new(ConnPermit { limiter, peer, number, hang_up, shown: AtomicBool::new(false), state }))
    }
}

impl OpenConnections {
    fn hang_up_on_oldest(&mut self, peer: &str) -> Option<()> {
        if self.closing >= MAX_CLOSING {
            return None;
        }
        let (_, oldest) = self.strangers.get_mut(peer)?.pop_first()?;
        self.closing += 1;
        self.all -= 1;
        oldest.notify_one();
        Some(())
    }

    /// Removes a stranger; false when it was hung up on before.
    fn forget_stranger(&mut self, peer: &str, number: u64) -> bool {
        let Some(of_peer) = self.strangers.get_mut(peer) else { return false };
        let found = of_peer.remove(&number).is_some();
        if of_peer.is_empty() {
            self.strangers.remove(peer);
        }
        found
    }
}

impl ConnPermit {
    /// Keeps the place for an owner that was proved, if that one has a place left.
    pub fn show(&self, owner: Owner) {
        if self.shown.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut open = self.limiter.open.lock();
        let of_owner = open.owners.get(&owner).copied().unwrap_or(0);
        if of_owner < self.limiter.bounds.per_owner && open.forget_stranger(&self.peer, self.number) {
            open.owners.insert(owner, of_owner + 1);
            *self.state.lock() = PermitState::Of(owner);
        }
    }

    /// Waits until the place is needed for another.
    pub async fn hung_up_on(&self) {
        self.hang_up.notified().await;
    }
}

impl Drop for ConnPermit {
    fn drop(&mut self) {
        let mut open = self.limiter.open.lock();
        match *self.state.lock() {
            PermitState::Of(owner) => {
                open.all -= 1;
                give_back(&mut open.owners, &owner);
            }
            PermitState::Stranger if open.forget_stranger(&self.peer, self.number) => open.all -= 1,
            PermitState::Stranger => {
                open.closing -= 1;
                self.limiter.closed.notify_one();
            }
        }
    }
}

fn give_back<K: Hash + Eq>(taken: &mut HashMap<K, usize>, key: &K) {
    if let Some(n) = taken.get_mut(key) {
        *n -= 1;
        if *n == 0 {
            taken.remove(key);
        }
    }
}

/// Open streams of all persons at most.
pub(super) const MAX_STREAMS: usize = 256;
/// Open streams of one person at most.
pub(super) const MAX_STREAMS_PER_PERSON: usize = 16;

/// Counts streams, which outlive the request that opened them.
#[derive(Default)]
pub struct StreamLimiter(Mutex<HashMap<PersonId, usize>>);

/// Permission for one stream; returned when dropped.
pub struct StreamPermit {
    limiter: Arc<StreamLimiter>,
    person: PersonId,
}

impl StreamLimiter {
    /// `None` when this person, or all together, have as many as may be.
    pub fn take(self: &Arc<Self>, person: PersonId) -> Option<StreamPermit> {
        let mut open = self.0.lock();
        let mine = open.get(&person).copied().unwrap_or(0);
        if mine >= MAX_STREAMS_PER_PERSON || open.values().sum::<usize>() >= MAX_STREAMS {
            return None;
        }
        open.insert(person, mine + 1);
        Some(StreamPermit { limiter: Arc::clone(self), person })
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        give_back(&mut self.limiter.0.lock(), &self.person);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    const ACME: Owner = Owner::Tenant(TenantUid([1; 16]));

    fn limiter() -> Arc<ConnLimiter> {
        ConnLimiter::new(ConnBounds { all: 8, strangers_per_peer: 3, per_owner: 2 })
    }

    fn hung_up(permit: &ConnPermit) -> bool {
        permit.hung_up_on().now_or_never().is_some()
    }

    /// C9: silent connections of one address neither keep out others nor a newcomer from the same address.
    #[test]
    fn strangers_make_way() {
        let limiter = limiter();
        let mut silent: Vec<_> =
            (0..3).map(|_| limiter.admit("tcp 10.0.0.1".into()).expect("a place")).collect();
        let other = limiter.admit("tcp 10.0.0.2".into()).expect("another address has its own share");
        let newcomer = limiter.admit("tcp 10.0.0.1".into()).expect("the oldest makes way");
        assert!(hung_up(&silent[0]) && !hung_up(&silent[1]) && !hung_up(&other));
        drop(silent.remove(0));
        newcomer.show(ACME);
        let more: Vec<_> = (0..20).filter_map(|_| limiter.admit("tcp 10.0.0.1".into())).collect();
        assert!(!hung_up(&newcomer), "whoever showed an owner stays");
        drop((silent, other, newcomer, more));
        let open = limiter.open.lock();
        assert_eq!((open.all, open.closing), (0, 0), "all come back");
        assert!(open.strangers.is_empty() && open.owners.is_empty());
    }

    /// C9: when all places are taken the address with the most strangers gives one; a full house of owners gives none.
    #[test]
    fn a_full_house_is_shared() {
        let limiter = limiter();
        let crowd: Vec<_> = (0..3).map(|_| limiter.admit("a".into()).expect("a place")).collect();
        let pair: Vec<_> = (0..2).map(|_| limiter.admit("b".into()).expect("a place")).collect();
        let alone: Vec<_> =
            ["c", "d", "e"].iter().map(|p| limiter.admit((*p).into()).expect("one")).collect();
        let newcomer = limiter.admit("f".into()).expect("a place");
        assert!(hung_up(&crowd[0]) && !pair.iter().chain(&alone).any(|p| hung_up(p)));
        drop((crowd, pair, alone, newcomer));
        let owned: Vec<_> = (0..8u8)
            .map(|n| {
                let permit = limiter.admit(n.to_string()).expect("a place");
                permit.show(Owner::Person(PersonId([n; 16])));
                permit
            })
            .collect();
        assert!(limiter.admit("z".into()).is_none());
        drop(owned);
        assert!(limiter.admit("z".into()).is_some());
    }

    /// C1, C9: a stolen token or key keeps only its owner's share of connections.
    #[test]
    fn an_owner_has_a_share() {
        let limiter = limiter();
        let all: Vec<_> = (0..3).map(|n| limiter.admit(format!("a{n}")).expect("a place")).collect();
        for p in &all {
            p.show(ACME);
        }
        let others: Vec<_> = (0..5).map(|n| limiter.admit(format!("b{n}")).expect("a place")).collect();
        let newcomers: Vec<_> = (0..6).filter_map(|n| limiter.admit(format!("c{n}"))).collect();
        assert!(!hung_up(&all[0]) && !hung_up(&all[1]));
        assert_eq!(newcomers.len(), 6, "what is beyond the share makes way like a stranger's");
        drop((all, others, newcomers));
        assert_eq!(limiter.open.lock().all, 0);
    }

    /// C9: a newcomer in a crowd waits for those that make way, and gets a place when one of them is closed.
    #[tokio::test]
    async fn a_newcomer_waits_for_a_place() {
        let limiter = ConnLimiter::new(ConnBounds { all: 1_000, strangers_per_peer: 3, per_owner: 1 });
        let mut held: Vec<_> =
            (0..3 + MAX_CLOSING).map(|_| limiter.admit("a".into()).expect("a place")).collect();
        let mut waiting = Box::pin(limiter.admit_soon("a"));
        assert!(waiting.as_mut().now_or_never().is_none());
        held.remove(0);
        assert!(waiting.await.is_some());
    }

    /// C9: hung up on is not closed: the places given away at a time are bounded.
    #[test]
    fn hanging_up_is_bounded() {
        let limiter = ConnLimiter::new(ConnBounds { all: 1_000, strangers_per_peer: 3, per_owner: 1 });
        let held: Vec<_> =
            (0..3 + MAX_CLOSING).map(|_| limiter.admit("a".into()).expect("a place")).collect();
        assert!(limiter.admit("a".into()).is_none());
        drop(held);
        assert!(limiter.admit("a".into()).is_some());
    }

    /// C8: streams count until they close, per person and in all.
    #[test]
    fn streams_are_counted() {
        let limiter = Arc::new(StreamLimiter::default());
        let person = |n: u8| PersonId([n; 16]);
        let mut all: Vec<_> =
            (0..MAX_STREAMS_PER_PERSON).map(|_| limiter.take(person(0)).expect("a place")).collect();
        assert!(limiter.take(person(0)).is_none(), "one person's share");
        for n in (1..).take(MAX_STREAMS / MAX_STREAMS_PER_PERSON - 1) {
            all.extend((0..MAX_STREAMS_PER_PERSON).filter_map(|_| limiter.take(person(n))));
        }
        assert_eq!(all.len(), MAX_STREAMS);
        assert!(limiter.take(person(255)).is_none(), "all together");
        all.pop();
        assert!(limiter.take(person(255)).is_some());
        all.clear();
        assert!(limiter.0.lock().is_empty());
    }
}
