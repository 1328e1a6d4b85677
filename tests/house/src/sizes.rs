//! How large files and functions are, and how much their comments say.

use syn::visit::{self, Visit};
use syn::{Block, ImplItemFn, ItemFn, ItemImpl, ItemMod, ItemTrait, Signature, TraitItemFn, Type};

use crate::sources::Source;

/// A function with a body. Lines are counted from its signature to its last bracket.
#[derive(Debug)]
pub struct Function {
    /// `path::Type::name`, with the inline modules it stands in.
    pub name: String,
    pub lines: usize,
    pub parameters: usize,
}

/// The functions of a source, inner ones too.
pub fn functions(source: &Source) -> Vec<Function> {
    let code = syn::parse_file(&source.text).unwrap_or_else(|error| panic!("{}: {error}", source.path));
    let mut visitor = Functions { place: vec![source.path.clone()], found: Vec::new() };
    visitor.visit_file(&code);
    visitor.found
}

/// Doc comments as they stand, each with its number of words.
pub fn doc_comments(source: &Source) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::new();
    let mut inside = false;
    for line in source.text.lines() {
        let text = line.trim_start();
        let doc = text.strip_prefix("///").or_else(|| text.strip_prefix("//!"));
        if let Some(doc) = doc {
            let words = doc.split_whitespace().count();
            match found.last_mut() {
                Some(last) if inside => *last += words,
                _ => found.push(words),
            }
        }
        inside = doc.is_some();
    }
    found
}

/// The value below which `share` percent of the values stand.
pub fn percentile(values: &mut [usize], share: usize) -> usize {
    values.sort_unstable();
    values.get((values.len() * share / 100).min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}

struct Functions {
    place: Vec<String>,
    found: Vec<Function>,
}

impl Functions {
    fn add(&mut self, signature: &Signature, body: &Block) {
        let name = format!("{}::{}", self.place.join("::"), signature.ident);
        let first = signature.fn_token.span.start().line;
        let last = body.brace_token.span.close().end().line;
        self.found.push(Function { name, lines: last - first + 1, parameters: signature.inputs.len() });
    }

    fn within(&mut self, name: String, visit: impl FnOnce(&mut Self)) {
        self.place.push(name);
        visit(self);
        self.place.pop();
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.add(&item.sig, &item.block);
        self.within(item.sig.ident.to_string(), |this| visit::visit_item_fn(this, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.add(&item.sig, &item.block);
        self.within(item.sig.ident.to_string(), |this| visit::visit_impl_item_fn(this, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(body) = &item.default {
            self.add(&item.sig, body);
        }
        self.within(item.sig.ident.to_string(), |this| visit::visit_trait_item_fn(this, item));
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        self.within(type_name(&item.self_ty), |this| visit::visit_item_impl(this, item));
    }

    fn visit_item_trait(&mut self, item: &'ast ItemTrait) {
        self.within(item.ident.to_string(), |this| visit::visit_item_trait(this, item));
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.within(item.ident.to_string(), |this| visit::visit_item_mod(this, item));
    }
}

/// The last word of a type's path.
pub fn type_name(of: &Type) -> String {
    match of {
        Type::Path(path) => path.path.segments.last().map(|s| s.ident.to_string()).unwrap_or_default(),
        Type::Reference(inner) => type_name(&inner.elem),
        _ => "_".to_owned(),
    }
}
