//! Traits with a single implementor that stands in another file: each may be there only to turn an import around.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{Item, ItemImpl, ItemTrait};

use crate::modules::{Id, Tree, plain};
use crate::sizes::type_name;

/// Such traits of a crate: `module::Trait`, and who implements it.
pub fn implemented_once_elsewhere(tree: &Tree) -> Vec<(String, String)> {
    let mut found = Traits { tree, at: 0, defined: BTreeSet::new(), implementors: BTreeMap::new() };
    for (id, module) in tree.modules.iter().enumerate() {
        if let Some(code) = &module.code {
            found.at = id;
            found.visit_file(code);
        }
    }
    let full = |id: Id, name: &str| {
        let path = &tree.modules[id].path;
        if path.is_empty() { name.to_owned() } else { format!("{}::{name}", path.join("::")) }
    };
    let single = found.implementors.iter().filter_map(|(key, implementors)| {
        let [(home, name)] = implementors.as_slice() else {
            return None;
        };
        let defined = found.defined.contains(key) && tree.file_of(*home) != tree.file_of(key.0);
        defined.then(|| (full(key.0, &key.1), full(*home, name)))
    });
    single.collect()
}

struct Traits<'a> {
    tree: &'a Tree,
    at: Id,
    defined: BTreeSet<(Id, String)>,
    implementors: BTreeMap<(Id, String), Vec<(Id, String)>>,
}

impl<'ast> Visit<'ast> for Traits<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let Some(inside) = self.tree.inside(self.at, item) else { return };
        let outer = std::mem::replace(&mut self.at, inside);
        visit::visit_item(self, item);
        self.at = outer;
    }

    fn visit_item_trait(&mut self, item: &'ast ItemTrait) {
        self.defined.insert((self.at, plain(&item.ident)));
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let Some((path, _)) = &item.trait_ else {
            return;
        };
        let words: Vec<String> = path.segments.iter().map(|s| plain(&s.ident)).collect();
        let Some(name) = words.last().cloned() else {
            return;
        };
        for home in self.tree.resolve(self.at, &words) {
            let implementor = (self.at, type_name(&item.self_ty));
            self.implementors.entry((home, name.clone())).or_default().push(implementor);
        }
    }
}
