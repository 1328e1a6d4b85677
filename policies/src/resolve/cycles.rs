//! Refuses recursive rules and chains of rules that are too deep: both would exhaust the interpreter's stack.

use super::refused;
use super::tree::{At, Kind, Node, Tree};
use crate::error::BundleError;
use regorus::unstable::Span;

/// Rules that may be evaluated inside each other. With what may be nested in one rule, which regorus bounds, this many
/// fit on the stack of a thread that evaluates.
pub(super) const MAX_DEPTH: usize = 64;

#[derive(Clone, Copy, PartialEq)]
enum Seen {
    Not,
    Above,
    Done(usize),
}

/// Refuses the first recursive rule, and the first chain of rules that is too deep.
pub(super) fn check(tree: &Tree) -> Result<(), BundleError> {
    // Evaluating a place evaluates what it refers to and everything below it.
    let takes = |n: &Node| n.needs.iter().chain(n.below.values()).copied().collect();
    let takes: Vec<Vec<At>> = tree.nodes.iter().map(takes).collect();
    let mut seen = vec![Seen::Not; tree.nodes.len()];
    for start in 0..tree.nodes.len() {
        // An explicit stack, since a chain may be as long as a bundle.
        let mut path: Vec<(At, usize)> = vec![(start, 0)];
        if seen[start] != Seen::Not {
            continue;
        }
        seen[start] = Seen::Above;
        while let Some((at, next)) = path.last_mut() {
            let (at, from) = (*at, *next);
            *next += 1;
            let Some(to) = takes[at].get(from).copied() else {
                seen[at] = Seen::Done(depth(tree, (&takes[at], &seen), at)?);
                path.pop();
                continue;
            };
            match seen[to] {
                Seen::Done(_) => {}
                Seen::Above => return Err(circle(tree, &path, to)),
                Seen::Not => {
                    seen[to] = Seen::Above;
                    path.push((to, 0));
                }
            }
        }
    }
    Ok(())
}

fn depth(tree: &Tree, (takes, seen): (&[At], &[Seen]), at: At) -> Result<usize, BundleError> {
    let of = |to: &At| match seen[*to] {
        Seen::Done(d) => d,
        _ => 0,
    };
    let deepest = takes.iter().map(of).max().unwrap_or(0);
    match rule(tree, at) {
        Some(span) if deepest + 1 > MAX_DEPTH => Err(refused(
            span,
            format!("{}: more than {MAX_DEPTH} rules need each other in a row from here", tree.path_of(at)),
        )),
        found => Ok(deepest + usize::from(found.is_some())),
    }
}

fn circle(tree: &Tree, path: &[(At, usize)], to: At) -> BundleError {
    let from = path.iter().position(|(at, _)| *at == to).unwrap_or(0);
    let rules: Vec<(At, &Span)> =
        path[from..].iter().filter_map(|(at, _)| Some((*at, rule(tree, *at)?))).collect();
    let names: Vec<String> = rules.iter().map(|(at, _)| tree.path_of(*at)).collect();
    match rules.first() {
        Some((_, span)) => refused(span, format!("{}: it needs itself to be evaluated", names.join(" -> "))),
        None => BundleError::Senseless(format!("{} needs itself to be evaluated", tree.path_of(to))),
    }
}

fn rule(tree: &Tree, at: At) -> Option<&Span> {
    match &tree.nodes[at].kind {
        Kind::Rule(span) | Kind::Function(span, _) => Some(span),
        _ => None,
    }
}
