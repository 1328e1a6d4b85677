//! Which events of a batch a receiver refuses: found by halving, each one tried by itself before it counts as refused.

use std::ops::Range;
use std::time::Duration;

/// Result of a delivery.
pub(super) enum Delivered {
    Yes,
    /// The receiver will not take these events.
    Refused(Refusal),
    /// Failed for now; with the pause that the receiver asks for.
    Later(String, Option<Duration>),
}

/// What a receiver says of an event that it will not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Its HTTP status.
    pub status: u16,
    pub why: String,
}

/// What is known of a batch while it is delivered. Events go out in their order.
#[derive(Debug)]
pub(super) struct Search {
    /// All events before this one were taken or refused.
    at: usize,
    count: usize,
    /// Events of the next request, unless a range is suspected.
    size: usize,
    most: usize,
    /// A range from `at` to here was refused as a whole.
    suspected: Option<usize>,
    /// Events taken since the last one that was refused.
    since: usize,
    taken: usize,
    /// So many are tried when all are refused alike.
    looks: usize,
    refused: Vec<(usize, Refusal)>,
}

impl Search {
    pub(super) fn new(count: usize, most: usize, looks: usize) -> Self {
        let most = most.max(1);
        Self { at: 0, count, size: most, most, suspected: None, since: 0, taken: 0, looks, refused: vec![] }
    }

    /// The events of the next request.
    pub(super) fn next(&self) -> Option<Range<usize>> {
        if self.at >= self.count || (self.refused.len() >= self.looks && self.answer_to_all().is_some()) {
            return None;
        }
        let length = self.suspected.map_or(self.size, |end| (end - self.at) / 2).max(1);
        Some(self.at..(self.at + length).min(self.count))
    }

    pub(super) fn taken(&mut self, range: &Range<usize>) {
        self.at = range.end;
        self.taken += range.len();
        self.since += range.len();
        self.size = (self.size * 2).min(self.most);
        if self.suspected.is_some_and(|end| end <= self.at) {
            // Its parts were taken: as a whole it was too large.
            self.suspected = None;
        }
    }

    pub(super) fn refused(&mut self, range: &Range<usize>, refusal: Refusal) {
        if range.len() > 1 {
            self.suspected = Some(range.end);
            self.size = range.len() / 2;
            return;
        }
        self.refused.push((range.start, refusal));
        self.at = range.end;
        self.suspected = None;
        // As far as to this one the next may be away. Where many are refused, few are tried together.
        self.size = (self.since * 2).clamp(1, self.most);
        self.since = 0;
    }

    /// Nothing was taken, and all that was refused got this same answer: that says something about the receiver, nothing
    /// about an event.
    pub(super) fn answer_to_all(&self) -> Option<&Refusal> {
        let (_, first) = self.refused.first().filter(|_| self.taken == 0)?;
        self.refused.iter().all(|(_, r)| r.status == first.status).then_some(first)
    }

    /// Number of events that were refused.
    pub(super) fn refusals(&self) -> usize {
        self.refused.len()
    }

    /// Events that were tried, from the first on, and those of them that were refused.
    pub(super) fn tried(self) -> (usize, Vec<(usize, Refusal)>) {
        (self.at, self.refused)
    }

    /// The same, where a refusal says something about the event. While nothing was taken it may not.
    pub(super) fn settled(self) -> (usize, Vec<(usize, Refusal)>) {
        let all = self.at == self.count && self.answer_to_all().is_none();
        if self.taken > 0 || all { self.tried() } else { (0, vec![]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Delivers to a receiver that takes a request when it takes each event of it; gives settled, refused and requests.
    fn deliver(bad: &[bool], most: usize, looks: usize, fits: usize) -> (usize, Vec<usize>, usize) {
        let mut search = Search::new(bad.len(), most, looks);
        let mut requests = 0;
        while let Some(range) = search.next() {
            requests += 1;
            assert!(range.len() <= most.max(1) && !range.is_empty());
            let too_large = range.len() > fits;
            if too_large || bad[range.clone()].contains(&true) {
                let status = if too_large { 413 } else { 422 };
                search.refused(&range, Refusal { status, why: String::new() });
            } else {
                search.taken(&range);
            }
        }
        let (settled, refused) = search.settled();
        (settled, refused.into_iter().map(|(i, _)| i).collect(), requests)
    }

    /// E1: one refused event among 200 costs some requests for each halving, wherever it is; before, it could cost 399.
    #[test]
    fn one_refused_event_is_found_by_halving() {
        for at in 0..200 {
            let mut bad = vec![false; 200];
            bad[at] = true;
            let (settled, refused, requests) = deliver(&bad, 200, 8, 200);
            assert_eq!((settled, refused), (200, vec![at]));
            assert!(requests <= 18, "{requests} requests for the one at {at}");
        }
    }

    /// E1: when all are refused alike nothing is settled, and a short look tells it.
    #[test]
    fn all_refused_alike_settles_nothing() {
        let (settled, refused, requests) = deliver(&[true; 200], 200, 8, 200);
        assert_eq!((settled, refused.len()), (0, 0));
        assert!(requests <= 16, "{requests}");
        let (settled, _, requests) = deliver(&[true; 200], 200, usize::MAX, 200);
        assert_eq!(settled, 0);
        assert!(requests <= 208, "{requests}");
    }

    /// Different answers were given with a look at the event.
    #[test]
    fn all_refused_differently_are_refused_events() {
        let mut search = Search::new(2, 2, 8);
        for status in [400, 400, 422] {
            let range = search.next().unwrap();
            search.refused(&range, Refusal { status, why: String::new() });
        }
        assert_eq!(search.next(), None);
        assert_eq!(search.settled().1.len(), 2);
    }

    proptest! {
        /// Exactly the refused ones are found, whatever their pattern, the size of a request, and what fits into one.
        #[test]
        fn exactly_the_refused_are_found(
            bad in proptest::collection::vec(proptest::bool::weighted(0.2), 1..300),
            most in 1usize..300,
            fits in 1usize..300,
        ) {
            let (settled, refused, requests) = deliver(&bad, most, usize::MAX, fits);
            let expected: Vec<_> = (0..bad.len()).filter(|i| bad[*i]).collect();
            if expected.len() == bad.len() {
                prop_assert_eq!((settled, refused.len()), (0, 0));
            } else {
                prop_assert_eq!(settled, bad.len());
                prop_assert_eq!(refused, expected);
            }
            prop_assert!(requests <= 3 * bad.len() + 20, "{} requests for {}", requests, bad.len());
        }
    }
}
