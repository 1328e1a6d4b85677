//! Traverses the rules of a module, resolves the names in them, and records the dependencies of each rule.

use super::parts::{of_expression, of_head};
use super::tree::{At, DATA, Kind, Tree, head};
use super::{Reference, Step, locals, path, refused};
use crate::builtins;
use crate::error::BundleError;
use regorus::unstable::{Expr, Import, Literal, LiteralStmt, Module, Query, Ref, Rule, Span, WithModifier};
use std::collections::{BTreeMap, BTreeSet};

/// Names of the language itself; no reference to data begins with them.
const LANGUAGE: [&str; 2] = ["rego", "future"];

/// What a name resolves to.
enum Found {
    Place(At),
    /// A field of a value that is only known at evaluation.
    Value,
}

struct Walk<'a> {
    tree: &'a mut Tree,
    package: At,
    /// Rules of this package by their first name.
    own: BTreeSet<String>,
    imports: BTreeMap<String, Vec<String>>,
    locals: BTreeSet<String>,
    /// The rule whose body is being traversed.
    rule: At,
}

/// Resolves every name of a module.
pub(super) fn module(tree: &mut Tree, module: &Module, at: At) -> Result<(), BundleError> {
    let own = tree.own(at);
    let (imports, locals) = (BTreeMap::new(), BTreeSet::new());
    let mut w = Walk { tree, package: at, own, imports, locals, rule: at };
    for import in &module.imports {
        w.import(import)?;
    }
    for rule in &module.policy {
        w.locals = locals::of(rule);
        w.rule = head(rule).iter().fold(at, |at, name| w.tree.below(at, name).unwrap_or(at));
        w.rule(rule)?;
    }
    Ok(())
}

impl Walk<'_> {
    fn import(&mut self, import: &Import) -> Result<(), BundleError> {
        let (names, _) = path(&import.refr);
        let Some(first) = names.first() else { return Ok(()) };
        if LANGUAGE.contains(&first.as_str()) {
            return Ok(());
        }
        if first == "data" {
            self.find(DATA, &names[1..], import.refr.span())?;
        }
        let alias = import.r#as.as_ref().map(|s| s.text().to_owned()).or_else(|| names.last().cloned());
        self.imports.insert(alias.unwrap_or_default(), names);
        Ok(())
    }

    fn rule(&mut self, rule: &Rule) -> Result<(), BundleError> {
        match rule {
            Rule::Spec { head, bodies, .. } => {
                for e in of_head(head) {
                    self.expression(e)?;
                }
                for body in bodies {
                    self.query(&body.query)?;
                    if let Some(a) = &body.assign {
                        self.expression(&a.value)?;
                    }
                }
                Ok(())
            }
            Rule::Default { value, .. } => self.expression(value),
        }
    }

    fn query(&mut self, query: &Query) -> Result<(), BundleError> {
        for LiteralStmt { literal, with_mods, .. } in &query.stmts {
            match literal {
                Literal::SomeVars { .. } => {}
                Literal::SomeIn { key, value, collection, .. } => {
                    for e in key.iter().chain([value, collection]) {
                        self.expression(e)?;
                    }
                }
                Literal::Every { domain, query, .. } => {
                    self.expression(domain)?;
                    self.query(query)?;
                }
                Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => self.expression(expr)?,
            }
            for with in with_mods {
                self.with(with)?;
            }
        }
        Ok(())
    }

    /// The target of a `with` exists, or is a field that data could have.
    fn with(&mut self, with: &WithModifier) -> Result<(), BundleError> {
        let names = path(&with.refr).0;
        let first = names.first().map_or("", String::as_str);
        let known = first == "input" || self.imports.contains_key(first) || self.begin(first).is_some();
        if !self.names_function(&with.refr) && !self.in_data(&names) {
            if !known {
                let what = format!("`{}`: there is nothing of that name to replace", names.join("."));
                return Err(refused(with.refr.span(), what));
            }
            self.reference(&with.refr)?;
        }
        if let Some(function) = self.function(&path(&with.r#as).0) {
            self.needs(function);
        }
        if self.names_function(&with.r#as) { Ok(()) } else { self.expression(&with.r#as) }
    }

    fn expression(&mut self, expr: &Ref<Expr>) -> Result<(), BundleError> {
        match expr.as_ref() {
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => self.reference(expr),
            Expr::Call { fcn, params, span, .. } => {
                self.call(fcn, params.len(), span)?;
                params.iter().try_for_each(|p| self.expression(p))
            }
            _ => {
                let (parts, inner) = of_expression(expr);
                parts.into_iter().try_for_each(|p| self.expression(p))?;
                inner.map_or(Ok(()), |q| self.query(q))
            }
        }
    }

    fn reference(&mut self, expr: &Ref<Expr>) -> Result<(), BundleError> {
        let reference = Reference::of(expr);
        for step in &reference.steps {
            if let Step::Open(index) = step {
                self.expression(index)?;
            }
        }
        let Some(name) = reference.name() else { return self.expression(reference.root) };
        let Some((from, mut names)) = self.begin(name) else { return Ok(()) };
        let fixed = reference.steps.iter().map_while(|s| match s {
            Step::Named(n) => Some(n.clone()),
            Step::Open(_) => None,
        });
        names.extend(fixed);
        if let Found::Place(at) = self.find(from, &names, expr.span())? {
            self.needs(at);
        }
        Ok(())
    }

    /// Where a reference to data that begins with this name starts in the tree, and the names it begins with there.
    fn begin(&self, name: &str) -> Option<(At, Vec<String>)> {
        if name == "data" {
            return Some((DATA, vec![]));
        }
        if self.locals.contains(name) {
            return None;
        }
        if let Some(path) = self.imports.get(name) {
            return (path[0] == "data").then(|| (DATA, path[1..].to_vec()));
        }
        // Otherwise it is `input`, or a variable; regorus itself refuses unbound ones.
        self.own.contains(name).then(|| (self.package, vec![name.to_owned()]))
    }

    /// A field of an object that data files have, whether they have the field or not.
    fn in_data(&self, names: &[String]) -> bool {
        let Some(("data", names)) = names.split_first().map(|(f, rest)| (f.as_str(), rest)) else {
            return false;
        };
        let mut at = DATA;
        for name in names {
            let Some(next) = self.tree.below(at, name) else { break };
            at = next;
        }
        matches!(self.tree.nodes[at].kind, Kind::Object | Kind::Leaf)
    }

    fn find(&self, from: At, names: &[String], span: &Span) -> Result<Found, BundleError> {
        let mut at = from;
        for name in names {
            let node = &self.tree.nodes[at];
            at = match (self.tree.below(at, name), &node.kind) {
                (Some(below), _) => below,
                (None, Kind::Rule(_)) => return Ok(Found::Place(at)),
                (None, _) if node.open => return Ok(Found::Place(at)),
                (None, Kind::Leaf) => return Ok(Found::Value),
                (None, _) => {
                    let what = format!(
                        "`{}.{name}`: there is no rule and no data of that name{}",
                        self.tree.path_of(at),
                        meant(name, node.below.keys().map(String::as_str))
                    );
                    return Err(refused(span, what));
                }
            };
        }
        Ok(Found::Place(at))
    }

    /// A function that is named without being called.
    fn names_function(&self, expr: &Ref<Expr>) -> bool {
        let (names, whole) = path(expr);
        whole && (self.function(&names).is_some() || builtins::arguments(&names.join(".")).is_some())
    }

    fn function(&self, names: &[String]) -> Option<At> {
        let (first, rest) = names.split_first()?;
        let (from, mut full) = self.begin(first)?;
        full.extend(rest.iter().cloned());
        let at = full.iter().try_fold(from, |at, name| self.tree.below(at, name))?;
        matches!(self.tree.nodes[at].kind, Kind::Function(..)).then_some(at)
    }

    fn call(&mut self, fcn: &Ref<Expr>, given: usize, span: &Span) -> Result<(), BundleError> {
        let names = path(fcn).0;
        let called = names.join(".");
        let takes = if let Some(at) = self.function(&names) {
            self.needs(at);
            match self.tree.nodes[at].kind {
                Kind::Function(_, n) => n,
                _ => given,
            }
        } else if called == "print" {
            given
        } else if let Some(n) = builtins::arguments(&called) {
            n
        } else {
            let known = builtins::builtins();
            let like = meant(&called, known.into_iter().chain(self.own.iter().map(String::as_str)));
            return Err(refused(
                span,
                format!(
                    "`{called}`: there is no such function here{like} (docs/reference/builtins.md lists them)"
                ),
            ));
        };
        // One argument more than declared captures the result.
        let fits = given == takes || given == takes + 1;
        fits.then_some(())
            .ok_or_else(|| refused(span, format!("`{called}` takes {takes} arguments, and is given {given}")))
    }

    fn needs(&mut self, at: At) {
        self.tree.nodes[self.rule].needs.push(at);
    }
}

/// The most similar existing name, for the error text.
fn meant<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known.map(|k| (strsim::damerau_levenshtein(name, k), k)).filter(|(d, _)| *d <= 2).min();
    near.map_or_else(String::new, |(_, k)| format!("; did you mean `{k}`?"))
}
