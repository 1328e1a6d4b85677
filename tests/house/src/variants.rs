//! Where the variants of an enum of `conductor-shared` are made. To match one, to compare with it, and to ask a set for
//! it makes none.

use std::collections::BTreeMap;

use proc_macro2::TokenStream;
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, ExprBinary, ExprMethodCall, ExprPath, ImplItem, Item, Macro, Pat, Token};

use crate::graph::Place;
use crate::modules::{Id, Tree, impl_attributes, is_test, plain};
use crate::tokens::tokens;

/// Methods that ask something about their argument or about the variant itself.
const ASKS: [&str; 2] = ["has", "contains"];
const DESCRIBES: [&str; 5] = ["code", "status", "description", "remedy", "state"];

/// The places in a crate, outside tests, that make a variant of the enum `name`, which stands in the module `home` of
/// `conductor-shared`; by variant.
pub fn made(tree: &Tree, home: &str, name: &str) -> BTreeMap<String, Vec<Place>> {
    let mut found = Made { tree, home, name, file: 0, at: 0, places: BTreeMap::new() };
    for (id, module) in tree.modules.iter().enumerate() {
        if let Some(code) = &module.code {
            (found.file, found.at) = (id, id);
            found.visit_file(code);
        }
    }
    found.places
}

struct Made<'a> {
    tree: &'a Tree,
    home: &'a str,
    name: &'a str,
    file: Id,
    at: Id,
    places: BTreeMap<String, Vec<Place>>,
}

impl Made<'_> {
    /// A path of an expression, if it names a variant.
    fn path(&mut self, path: &[String], line: usize) {
        let [before @ .., variant] = path else { return };
        if before.last().is_none_or(|last| last != self.name) {
            return;
        }
        // A name that is nowhere in its own crate is another crate's.
        let homes = self.tree.resolve(self.at, before);
        let ours = |id: &Id| self.tree.modules[*id].path == [self.home];
        if homes.is_empty() || homes.iter().any(ours) {
            let place = format!("{}:{line}", self.tree.modules[self.file].file);
            self.places.entry(variant.clone()).or_default().push(place);
        }
    }

    /// Macros that are not made of expressions: each path counts.
    fn scan(&mut self, stream: TokenStream) {
        let tokens = tokens(stream);
        for three in tokens.windows(3) {
            if let [name, colons, variant] = three
                && name.text == self.name
                && colons.text == "::"
            {
                self.path(&[name.text.clone(), variant.text.clone()], variant.line);
            }
        }
    }

    fn unless_path(&mut self, expr: &Expr) {
        let inner = match expr {
            Expr::Reference(r) => &r.expr,
            expr => expr,
        };
        if !matches!(inner, Expr::Path(_)) {
            self.visit_expr(expr);
        }
    }
}

impl<'ast> Visit<'ast> for Made<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let Some(inside) = self.tree.inside(self.at, item) else { return };
        let outer = std::mem::replace(&mut self.at, inside);
        visit::visit_item(self, item);
        self.at = outer;
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if !is_test(impl_attributes(item)) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_pat(&mut self, _: &'ast Pat) {}

    fn visit_expr_binary(&mut self, binary: &'ast ExprBinary) {
        if matches!(binary.op, BinOp::Eq(_) | BinOp::Ne(_)) {
            self.unless_path(&binary.left);
            self.unless_path(&binary.right);
        } else {
            visit::visit_expr_binary(self, binary);
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        let method = plain(&call.method);
        if DESCRIBES.contains(&method.as_str()) {
            self.unless_path(&call.receiver);
        } else {
            self.visit_expr(&call.receiver);
        }
        for argument in &call.args {
            if ASKS.contains(&method.as_str()) {
                self.unless_path(argument);
            } else {
                self.visit_expr(argument);
            }
        }
    }

    fn visit_expr_path(&mut self, expr: &'ast ExprPath) {
        let words: Vec<String> = expr.path.segments.iter().map(|s| plain(&s.ident)).collect();
        let line = expr.path.segments.first().map_or(0, |s| s.ident.span().start().line);
        self.path(&words, line);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        if call.path.is_ident("matches") {
            let value = |input: syn::parse::ParseStream<'_>| {
                let value: Expr = input.parse()?;
                input.parse::<TokenStream>()?;
                Ok(value)
            };
            if let Ok(value) = value.parse2(call.tokens.clone()) {
                self.visit_expr(&value);
            }
            return;
        }
        match Punctuated::<Expr, Token![,]>::parse_terminated.parse2(call.tokens.clone()) {
            Ok(arguments) => arguments.iter().for_each(|argument| self.visit_expr(argument)),
            Err(_) => self.scan(call.tokens.clone()),
        }
    }
}
