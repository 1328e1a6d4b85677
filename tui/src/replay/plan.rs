//! The order in which tasks may run: a task starts when all its parents are done.
//!
//! It never recurses: the depth of a record is untrusted.

use super::wfformat::{ReadError, Workflow};
use conductor_shared::untrusted::escape;

/// Which task waits for which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskGraph {
    /// For each task, how many parents it waits for.
    pub waits: Vec<u32>,
    /// Children of all tasks, one after the other.
    children: Vec<u32>,
    /// Where the children of each task begin in `children`, and one more at the end.
    starts: Vec<usize>,
}

impl TaskGraph {
    /// Makes a plan, or names a cycle.
    pub fn new(w: &Workflow) -> Result<Self, ReadError> {
        let n = w.tasks.len();
        let mut starts = vec![0usize; n + 1];
        for p in w.tasks.iter().flat_map(|t| &t.parents) {
            starts[*p as usize + 1] += 1;
        }
        for i in 0..n {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut children = vec![0u32; starts[n]];
        let mut waits = Vec::with_capacity(n);
        for (place, t) in w.tasks.iter().enumerate() {
            waits.push(u32::try_from(t.parents.len()).unwrap_or(u32::MAX));
            for p in &t.parents {
                let slot = &mut next[*p as usize];
                children[*slot] = u32::try_from(place).unwrap_or(u32::MAX);
                *slot += 1;
            }
        }
        let plan = Self { waits, children, starts };
        match plan.first_in_cycle(w) {
            Some(cycle) => Err(ReadError::Record(cycle)),
            None => Ok(plan),
        }
    }

    /// Tasks that wait for this one.
    pub fn children(&self, task: u32) -> &[u32] {
        let i = task as usize;
        &self.children[self.starts[i]..self.starts[i + 1]]
    }

    /// Tasks that wait for nobody.
    pub fn roots(&self) -> impl Iterator<Item = u32> + '_ {
        self.waits.iter().zip(0u32..).filter(|(w, _)| **w == 0).map(|(_, i)| i)
    }

    /// An order in which every task stands after its parents; shorter than the record when there is a cycle.
    pub fn order(&self) -> Vec<u32> {
        let mut waits = self.waits.clone();
        let mut order: Vec<u32> = self.roots().collect();
        let mut done = 0;
        while let Some(task) = order.get(done).copied() {
            done += 1;
            for c in self.children(task) {
                let w = &mut waits[*c as usize];
                *w -= 1;
                if *w == 0 {
                    order.push(*c);
                }
            }
        }
        order
    }

    fn first_in_cycle(&self, w: &Workflow) -> Option<String> {
        let order = self.order();
        if order.len() == w.tasks.len() {
            return None;
        }
        let mut done = vec![false; w.tasks.len()];
        for t in &order {
            done[*t as usize] = true;
        }
        // From any task that is left, always to a parent that is left: it must come round.
        let mut at = done.iter().position(|d| !d)?;
        let mut seen = vec![false; w.tasks.len()];
        while !seen[at] {
            seen[at] = true;
            at = w.tasks[at].parents.iter().map(|p| *p as usize).find(|p| !done[*p])?;
        }
        let start = at;
        let mut names = vec![];
        loop {
            names.push(escape(&w.tasks[at].id, 40));
            at = w.tasks[at].parents.iter().map(|p| *p as usize).find(|p| !done[*p])?;
            if at == start || names.len() == 5 {
                break;
            }
        }
        let more = if at == start { "" } else { " -> ..." };
        Some(format!(
            "tasks wait for each other in a cycle: task \"{}\"{more} -> \"{}\"",
            names.join("\" -> \""),
            escape(&w.tasks[start].id, 40)
        ))
    }
}
