//! Which module needs which. Edges between a module and those above it in its own branch are not counted: a parent,
//! its children and their tests are one room. All others are edges between siblings somewhere in the tree.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::TokenStream;
use syn::visit::{self, Visit};
use syn::{Attribute, Field, ImplItem, Item, ItemUse, Local, Macro, Visibility};

use crate::modules::{Id, Tree, impl_attributes, imports, is_test, plain};
use crate::tokens::{Token, tokens};

/// `file:line: path`, where code names another module.
pub type Place = String;

/// The siblings below one module, and who of them needs whom, by the places that say so.
#[derive(Default)]
pub struct Level {
    pub edges: BTreeMap<(String, String), Vec<Place>>,
}

/// Levels by the path of their parent; the root's is empty.
pub type Levels = BTreeMap<String, Level>;

/// The graph of a crate, cut into levels of siblings.
pub fn levels(tree: &Tree) -> Levels {
    let mut levels = Levels::new();
    for (id, module) in tree.modules.iter().enumerate() {
        let Some(code) = &module.code else { continue };
        let mut visitor = References { tree, levels: &mut levels, file: id, at: id };
        visitor.visit_file(code);
    }
    levels
}

impl Level {
    /// Sets of siblings that reach each other, largest first.
    pub fn circles(&self) -> Vec<BTreeSet<&str>> {
        let names: BTreeSet<&str> = self.edges.keys().flat_map(|(a, b)| [a.as_str(), b]).collect();
        let reach: BTreeMap<&str, BTreeSet<&str>> =
            names.iter().map(|name| (*name, self.reached(name))).collect();
        let mut circles: BTreeSet<BTreeSet<&str>> = BTreeSet::new();
        for (name, reached) in &reach {
            let circle: BTreeSet<&str> =
                reached.iter().copied().filter(|other| reach[other].contains(name)).collect();
            if !circle.is_empty() {
                circles.insert(circle);
            }
        }
        let mut circles: Vec<_> = circles.into_iter().collect();
        circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
        circles
    }

    fn reached<'a>(&'a self, from: &str) -> BTreeSet<&'a str> {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(name) = open.pop() {
            for (_, to) in self.edges.keys().filter(|(a, _)| a == name) {
                if seen.insert(to.as_str()) {
                    open.push(to);
                }
            }
        }
        seen
    }

    /// The lowest layers in which each sibling stands above all that it needs. Circles must be gone.
    pub fn layers(&self, names: &BTreeSet<String>) -> Vec<Vec<String>> {
        let mut layers: Vec<Vec<String>> = Vec::new();
        let mut placed: BTreeSet<&str> = BTreeSet::new();
        while placed.len() < names.len() {
            let free = |name: &&String| {
                !placed.contains(name.as_str())
                    && self.edges.keys().all(|(a, b)| a != *name || placed.contains(b.as_str()))
            };
            let layer: Vec<&String> = names.iter().filter(free).collect();
            if layer.is_empty() {
                break;
            }
            layers.push(layer.iter().map(|name| (*name).clone()).collect());
            placed.extend(layer.into_iter().map(String::as_str));
        }
        layers
    }
}

struct References<'a> {
    tree: &'a Tree,
    levels: &'a mut Levels,
    /// The module whose file is read, and the one inside it that the code stands in.
    file: Id,
    at: Id,
}

impl References<'_> {
    fn name(&mut self, path: &[String], line: usize) {
        if path.is_empty() {
            return;
        }
        for to in self.tree.resolve(self.at, path) {
            self.edge(self.tree.file_of(to), path, line);
        }
    }

    fn edge(&mut self, to: Id, path: &[String], line: usize) {
        let (from, to) = (&self.tree.modules[self.file], &self.tree.modules[to]);
        let common = from.path.iter().zip(&to.path).take_while(|(a, b)| a == b).count();
        let (Some(a), Some(b)) = (from.path.get(common), to.path.get(common)) else {
            return;
        };
        let level = self.levels.entry(from.path[..common].join("::")).or_default();
        let place = format!("{}:{line}: {}", from.file, path.join("::"));
        level.edges.entry((a.clone(), b.clone())).or_default().push(place);
    }

    /// Paths in the tokens of a macro or an attribute. Single words are left out: they may be anything.
    fn scan(&mut self, stream: TokenStream) {
        let tokens = tokens(stream);
        let mut i = 0;
        while i < tokens.len() {
            let (path, line) = (path_at(&tokens[i..]), tokens[i].line);
            let begins = i == 0 || !matches!(tokens[i - 1].text.as_str(), "." | "::");
            i += (2 * path.len()).max(1);
            if begins && path.len() > 1 {
                self.name(&path, line);
            }
        }
    }
}

/// The path at the start of these tokens: words with two colons between them.
fn path_at(tokens: &[Token]) -> Vec<String> {
    let is_word =
        |token: &Token| !token.is_literal && token.text.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let mut path = Vec::new();
    for pair in tokens.chunks(2) {
        if !is_word(&pair[0]) {
            break;
        }
        path.push(pair[0].text.trim_start_matches("r#").to_owned());
        if pair.get(1).is_none_or(|mark| mark.text != "::") {
            break;
        }
    }
    path
}

impl<'ast> Visit<'ast> for References<'_> {
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

    fn visit_field(&mut self, field: &'ast Field) {
        if !is_test(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_local(&mut self, local: &'ast Local) {
        if !is_test(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_item_use(&mut self, import: &'ast ItemUse) {
        let line = import.use_token.span.start().line;
        for import in imports(import) {
            self.name(&import.path, line);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let words: Vec<String> = path.segments.iter().map(|s| plain(&s.ident)).collect();
            let line = path.segments.first().map_or(0, |s| s.ident.span().start().line);
            self.name(&words, line);
        }
        visit::visit_path(self, path);
    }

    /// `pub(in path)` names those who may see, not those who are needed.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_macro(&mut self, call: &'ast Macro) {
        if let Some(name) = call.path.get_ident().map(plain)
            && let Some(home) = self.tree.macros.get(&name)
        {
            let line = call.bang_token.span.start().line;
            self.edge(self.tree.file_of(*home), &[name], line);
        }
        self.scan(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    /// `#[serde(with = "crate::hex")]` names a module by a text.
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.scan(list.tokens.clone());
            for token in tokens(list.tokens.clone()).iter().filter(|token| token.text.contains("::")) {
                if let Ok(stream) = token.text.trim_matches('"').parse() {
                    self.scan(stream);
                }
            }
        }
    }
}
