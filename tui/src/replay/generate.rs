//! Made-up workflows, for demos and tests without recorded data. The same seed always gives the same workflows.

use super::wfformat::{Task, Workflow};

/// `SplitMix64` (Steele, Lea, Flood 2014): small, and good enough for shapes.
#[derive(Debug, Clone)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// A number below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
}

/// The `number`th workflow of a seed: a split, a few parallel stages and a merge.
pub fn workflow(seed: u64, number: u64) -> Workflow {
    let mut r = SplitMix64(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
    let mut tasks: Vec<Task> = vec![];
    let mut add = |r: &mut SplitMix64, kind: &str, parents: Vec<u32>| {
        let id = format!("{kind}_{:04}", tasks.len() + 1);
        let place = u32::try_from(tasks.len()).unwrap_or(0);
        tasks.push(Task {
            id,
            duration_us: 20_000 + r.below(5_000_000),
            bytes_in: r.below(64 << 20),
            bytes_out: r.below(16 << 20),
            parents,
        });
        place
    };
    let split = add(&mut r, "split", vec![]);
    let lanes = 2 + r.below(5);
    let stages = 1 + r.below(3);
    let mut last = vec![];
    for _ in 0..lanes {
        let mut parent = split;
        for _ in 0..stages {
            parent = add(&mut r, "map", vec![parent]);
        }
        last.push(parent);
    }
    add(&mut r, "merge", last);
    Workflow { name: format!("generated-{seed}-{number}"), tasks, notes: vec![] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::plan::TaskGraph;

    /// SPEC, demo: the same seed gives the same workflows, and every one can be run to its end.
    #[test]
    fn seeded_and_sound() {
        assert_eq!(workflow(1, 2), workflow(1, 2));
        assert_ne!(workflow(1, 2), workflow(1, 3));
        for n in 0..200 {
            let w = workflow(7, n);
            assert_eq!(TaskGraph::new(&w).unwrap().order().len(), w.tasks.len());
        }
        let sums: Vec<_> = (0..3).map(|n| workflow(42, n).sums()).collect();
        insta::assert_debug_snapshot!(sums);
    }
}
