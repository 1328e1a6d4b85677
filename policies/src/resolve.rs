//! Every name of a bundle is resolved before anything is evaluated: calls, imports, rules and data. The interpreter finds
//! a name that is nowhere only when it comes by it, behind whatever guards it. OPA's compiler refuses unknown functions,
//! wrong numbers of arguments and rules that need themselves; here references to data are resolved too, since all data
//! that a bundle can see is in it.

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

/// Packages stand where they may, and every name leads somewhere; or says of the first that does not where it stands.
pub(crate) fn check(modules: &[Ref<Module>], data: &Data) -> Result<(), BundleError> {
    modules.iter().try_for_each(|m| in_root(m))?;
    names(modules, data)
}

/// Resolves every name.
pub(crate) fn names(modules: &[Ref<Module>], data: &Data) -> Result<(), BundleError> {
    let mut tree = Tree::default();
    let mut packages = Vec::with_capacity(modules.len());
    for module in modules {
        packages.push(tree.package(&path(&module.package.refr).0));
    }
    // Rules of the bundle before those of its tests, which may not add to them.
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

/// What does not stand under the root could be anybody's; only tests may stand elsewhere.
fn in_root(module: &Module) -> Result<(), BundleError> {
    let (span, package) = (&module.package.span, path(&module.package.refr).0);
    let allowed = package.first().is_some_and(|p| p == ROOT) || is_test(file(span));
    allowed.then_some(()).ok_or_else(|| {
        refused(span, format!("package {}: every package stands under {ROOT}", package.join(".")))
    })
}

/// First names of the rules of a module that have values.
pub(crate) fn rules(module: &Module) -> impl Iterator<Item = String> {
    let values = module.policy.iter().filter(|r| !tree::is_function(r));
    values.filter_map(|r| tree::head(r).into_iter().next())
}

/// The package of a module.
pub(crate) fn package(module: &Module) -> String {
    path(&module.package.refr).0.join(".")
}

/// One step of a reference.
enum Step<'a> {
    Named(String),
    /// Known only when it is evaluated.
    Open(&'a Ref<Expr>),
}

/// A reference: what it begins with, and the steps from there.
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

    /// The variable that it begins with.
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

/// The names that a path is made of, the first included, and whether all of it was.
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
