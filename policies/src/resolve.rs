//! Resolves every name of a bundle before anything is evaluated: calls, imports, rules and data. The interpreter notices an
//! unknown name only when it evaluates it, which a guard may prevent for years. As OPA's compiler does, this refuses
//! unknown functions, wrong numbers of arguments and recursive rules; and also references to data that the bundle does not
//! hold, since a bundle can see no other data.

mod cycles;
mod locals;
mod parts;
mod tree;
mod walk;

use crate::data::Data;
use crate::error::BundleError;
use crate::names::{ROOT, is_test};
use regorus::unstable::{Expr, Module, Ref, Span};
use tree::Tree;

/// Checks that all packages are below the root and that every name resolves. The error names file and line of the first
/// that does not.
pub(crate) fn check(modules: &[Ref<Module>], data: &Data) -> Result<(), BundleError> {
    modules.iter().try_for_each(|m| in_root(m))?;
    names(modules, data)
}

/// The part of [`check`] about names: declares all rules and data first, then resolves what the rules refer to.
pub(crate) fn names(modules: &[Ref<Module>], data: &Data) -> Result<(), BundleError> {
    let mut tree = Tree::default();
    let mut packages = Vec::with_capacity(modules.len());
    for module in modules {
        packages.push(tree.package(&path(&module.package.refr).0));
    }
    // The bundle's rules first: tests must not add to them.
    for tests in [false, true] {
        for (module, at) in modules.iter().zip(&packages) {
            if is_test(file(&module.package.span)) == tests {
                tree.declare(module, *at)?;
            }
        }
    }
    tree.add_data(data)?;
    for (module, at) in modules.iter().zip(&packages) {
        walk::module(&mut tree, module, *at)?;
    }
    cycles::check(&tree)
}

/// Only tests may be outside the root: other packages could define what the root decides.
fn in_root(module: &Module) -> Result<(), BundleError> {
    let (span, package) = (&module.package.span, path(&module.package.refr).0);
    let allowed = package.first().is_some_and(|p| p == ROOT) || is_test(file(span));
    allowed.then_some(()).ok_or_else(|| {
        refused(span, format!("package {}: every package stands under {ROOT}", package.join(".")))
    })
}

/// First names of a module's rules with a value.
pub(crate) fn rules(module: &Module) -> impl Iterator<Item = String> {
    let values = module.policy.iter().filter(|r| !tree::is_function(r));
    values.filter_map(|r| tree::head(r).into_iter().next())
}

/// Path of a module's package, below `data`.
pub(crate) fn package(module: &Module) -> String {
    path(&module.package.refr).0.join(".")
}

/// One step of a reference.
enum Step<'a> {
    Named(String),
    /// A variable or expression, known only at evaluation.
    Open(&'a Ref<Expr>),
}

/// A reference: its first term and the steps from there.
struct Reference<'a> {
    root: &'a Ref<Expr>,
    steps: Vec<Step<'a>>,
}

impl<'a> Reference<'a> {
    fn of(mut expr: &'a Ref<Expr>) -> Self {
        let mut steps = Vec::new();
        loop {
            match expr.as_ref() {
                Expr::RefDot { refr, field, .. } => {
                    steps.push(Step::Named(field.0.text().to_owned()));
                    expr = refr;
                }
                Expr::RefBrack { refr, index, .. } => {
                    steps.push(literal(index).map_or(Step::Open(index), Step::Named));
                    expr = refr;
                }
                _ => break,
            }
        }
        steps.reverse();
        Self { root: expr, steps }
    }

    /// Name of the variable that it begins with, if it begins with one.
    fn name(&self) -> Option<&'a str> {
        match self.root.as_ref() {
            Expr::Var { span, .. } => Some(span.text()),
            _ => None,
        }
    }
}

fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::String { value, .. } | Expr::RawString { value, .. } => {
            value.as_string().ok().map(std::string::ToString::to_string)
        }
        _ => None,
    }
}

/// The leading constant names of a path, including the first, and whether that is the whole path.
fn path(expr: &Ref<Expr>) -> (Vec<String>, bool) {
    let reference = Reference::of(expr);
    let mut names: Vec<String> = reference.name().map(str::to_owned).into_iter().collect();
    for step in &reference.steps {
        match step {
            Step::Named(name) => names.push(name.clone()),
            Step::Open(_) => return (names, false),
        }
    }
    (names, true)
}

fn file(span: &Span) -> &str {
    span.source.get_path()
}

fn refused(span: &Span, what: impl Into<String>) -> BundleError {
    BundleError::At { file: file(span).to_owned(), line: span.line, what: what.into() }
}

#[cfg(test)]
mod tests;
