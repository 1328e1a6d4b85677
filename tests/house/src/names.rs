//! Names of types, outside tests.

use std::collections::BTreeMap;

use syn::visit::{self, Visit};
use syn::{Item, Visibility};

use crate::modules::{Tree, attributes, is_test, plain};

/// Types of a crate by name, with the files that define one of this name. `public`: only those marked `pub`.
pub fn types(tree: &Tree, public: bool) -> BTreeMap<String, Vec<String>> {
    let mut visitor = Types { public, file: String::new(), found: BTreeMap::new() };
    for module in &tree.modules {
        if let Some(code) = &module.code {
            visitor.file.clone_from(&module.file);
            visitor.visit_file(code);
        }
    }
    visitor.found
}

struct Types {
    public: bool,
    file: String,
    found: BTreeMap<String, Vec<String>>,
}

impl<'ast> Visit<'ast> for Types {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_test(attributes(item)) {
            return;
        }
        let defined = match item {
            Item::Struct(item) => Some((&item.ident, &item.vis)),
            Item::Enum(item) => Some((&item.ident, &item.vis)),
            Item::Type(item) => Some((&item.ident, &item.vis)),
            Item::Trait(item) => Some((&item.ident, &item.vis)),
            _ => None,
        };
        if let Some((name, seen)) = defined
            && (!self.public || matches!(seen, Visibility::Public(_)))
        {
            self.found.entry(plain(name)).or_default().push(self.file.clone());
        }
        visit::visit_item(self, item);
    }
}
