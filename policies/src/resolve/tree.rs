//! The tree of everything below `data`: packages, rules, and the contents of data files.

use super::{file, path, refused};
use crate::data::Data;
use crate::error::BundleError;
use crate::names::is_test;
use regorus::unstable::{Module, Ref, Rule, RuleHead, Span};
use std::collections::{BTreeMap, BTreeSet};

/// Index of a place in the tree.
pub(super) type At = usize;
/// The root of the tree, `data`.
pub(super) const DATA: At = 0;

/// What a place is. Any place may have others below it.
#[derive(Clone)]
pub(super) enum Kind {
    /// A package, or a part of one's name.
    Package,
    /// A rule with a value. What is in the value is known when it is evaluated.
    Rule(Span),
    /// A function, and how many arguments it takes.
    Function(Span, usize),
    /// An object of a data file. All its fields are in the tree.
    Object,
    /// Any other value of a data file.
    Leaf,
}

pub(super) struct Node {
    pub(super) name: String,
    pub(super) above: At,
    pub(super) below: BTreeMap<String, At>,
    pub(super) kind: Kind,
    /// Rules whose path has a variable here, so that any name may exist below.
    pub(super) open: bool,
    /// Places that its evaluation depends on.
    pub(super) needs: Vec<At>,
}

pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    /// First names of the rules of each package.
    own: BTreeMap<At, BTreeSet<String>>,
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: vec![Node::new("data", DATA, Kind::Package)], own: BTreeMap::new() }
    }
}

impl Node {
    fn new(name: &str, above: At, kind: Kind) -> Self {
        let name = name.to_owned();
        Self { name, above, below: BTreeMap::new(), kind, open: false, needs: vec![] }
    }
}

impl Tree {
    pub(super) fn below(&self, at: At, name: &str) -> Option<At> {
        self.nodes[at].below.get(name).copied()
    }

    fn grow(&mut self, at: At, name: &str, kind: Kind) -> At {
        if let Some(there) = self.below(at, name) {
            return there;
        }
        let new = self.nodes.len();
        self.nodes.push(Node::new(name, at, kind));
        self.nodes[at].below.insert(name.to_owned(), new);
        new
    }

    pub(super) fn package(&mut self, names: &[String]) -> At {
        names.iter().fold(DATA, |at, name| self.grow(at, name, Kind::Package))
    }

    /// First names of the rules declared directly in a package.
    pub(super) fn own(&self, package: At) -> BTreeSet<String> {
        self.own.get(&package).cloned().unwrap_or_default()
    }

    /// As rules name it.
    pub(super) fn path_of(&self, mut at: At) -> String {
        let mut names = vec![];
        while at != DATA {
            names.push(self.nodes[at].name.as_str());
            at = self.nodes[at].above;
        }
        names.push("data");
        names.reverse();
        names.join(".")
    }

    /// Adds the rules of a module.
    pub(super) fn declare(&mut self, module: &Module, package: At) -> Result<(), BundleError> {
        for rule in &module.policy {
            let (kind, open) = kind(rule);
            let names = head(rule);
            self.own.entry(package).or_default().extend(names.first().cloned());
            let span = rule.span();
            let at = names.iter().fold(package, |at, name| self.grow(at, name, Kind::Package));
            self.may_declare(at, span, &kind)?;
            self.nodes[at].open |= open;
            // A default says least about a rule, so it never replaces another definition.
            if !matches!(rule.as_ref(), Rule::Default { .. }) || matches!(self.nodes[at].kind, Kind::Package)
            {
                self.nodes[at].kind = kind;
            }
        }
        Ok(())
    }

    fn may_declare(&self, at: At, span: &Span, kind: &Kind) -> Result<(), BundleError> {
        let of_bundle = |at: At| match &self.nodes[at].kind {
            Kind::Rule(first) | Kind::Function(first, _) => !is_test(file(first)),
            _ => false,
        };
        let mut up = at;
        while is_test(file(span)) && up != DATA {
            if of_bundle(up) {
                let what = "a file of tests cannot add to a rule of the bundle, which goes without it";
                return Err(refused(span, format!("{}: {what}", self.path_of(up))));
            }
            up = self.nodes[up].above;
        }
        match (&self.nodes[at].kind, kind) {
            (Kind::Function(_, a), Kind::Function(_, b)) if a != b => {
                Err(refused(span, format!("{}: it takes {a} arguments elsewhere", self.path_of(at))))
            }
            (Kind::Function(..), Kind::Rule(_)) | (Kind::Rule(_), Kind::Function(..)) => Err(refused(
                span,
                format!("{}: it is a function in one place and none in another", self.path_of(at)),
            )),
            _ => Ok(()),
        }
    }

    /// Adds the contents of data files. A path is a rule's or a data file's, never both.
    pub(super) fn add_data(&mut self, data: &Data) -> Result<(), BundleError> {
        let mut todo = vec![(DATA, data.document())];
        while let Some((at, value)) = todo.pop() {
            let Ok(fields) = value.as_object() else { continue };
            for (key, value) in fields.iter() {
                let Ok(name) = key.as_string() else { continue };
                let object = value.as_object().is_ok();
                let kind = if object { Kind::Object } else { Kind::Leaf };
                let new = self.below(at, name).is_none();
                let there = self.grow(at, name, kind);
                self.may_hold(there, new || object)?;
                todo.push((there, value.clone()));
            }
        }
        Ok(())
    }

    fn may_hold(&self, at: At, fits: bool) -> Result<(), BundleError> {
        match &self.nodes[at].kind {
            Kind::Rule(span) | Kind::Function(span, _) => {
                Err(refused(span, format!("{}: a data file has a value there too", self.path_of(at))))
            }
            Kind::Package if !fits => Err(BundleError::Senseless(format!(
                "{}: data has a value where a package is",
                self.path_of(at)
            ))),
            _ => Ok(()),
        }
    }
}

/// The leading constant names of a rule's head.
pub(super) fn head(rule: &Ref<Rule>) -> Vec<String> {
    let (Rule::Spec {
        head: RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } | RuleHead::Func { refr, .. },
        ..
    }
    | Rule::Default { refr, .. }) = rule.as_ref();
    path(refr).0
}

fn kind(rule: &Ref<Rule>) -> (Kind, bool) {
    let span = rule.span().clone();
    match rule.as_ref() {
        Rule::Spec { head: RuleHead::Func { args, .. }, .. } => (Kind::Function(span, args.len()), false),
        Rule::Default { args, .. } if !args.is_empty() => (Kind::Function(span, args.len()), false),
        Rule::Spec { head: RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. }, .. }
        | Rule::Default { refr, .. } => (Kind::Rule(span), !path(refr).1),
    }
}

pub(super) fn is_function(rule: &Ref<Rule>) -> bool {
    matches!(kind(rule).0, Kind::Function(..))
}
