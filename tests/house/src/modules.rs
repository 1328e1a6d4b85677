//! The modules of a crate, and which file a path names. Code under `#[cfg(test)]` is left out.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, ItemUse, UseTree};

/// Index of a module in its tree.
pub type Id = usize;

/// One module. An inline module has its parent's file.
#[derive(Default)]
pub struct Module {
    /// Names from the root of the crate, which has none.
    pub path: Vec<String>,
    pub file: String,
    pub parent: Option<Id>,
    pub children: BTreeMap<String, Id>,
    /// Code of the file; none for an inline module.
    pub code: Option<syn::File>,
    /// What it defines itself, as far as no macro makes it.
    pub items: BTreeSet<String>,
    uses: BTreeMap<String, Vec<Vec<String>>>,
    globs: Vec<Vec<String>>,
}

/// All modules of a crate; the root is the first.
pub struct Tree {
    pub modules: Vec<Module>,
    /// `macro_rules!` by name: they are called by name alone from anywhere below.
    pub macros: BTreeMap<String, Id>,
}

impl Tree {
    /// Reads the crate whose root is `file`. `read` gives the text of a file, or nothing if there is none.
    pub fn read(file: &str, read: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut tree = Self { modules: Vec::new(), macros: BTreeMap::new() };
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let root = Module { file: file.to_owned(), ..Module::default() };
        tree.load(root, folder, read);
        tree
    }

    /// The module that the code of an item of module `at` stands in: another one inside of an inline module. `None`: the
    /// item is only there for tests.
    pub fn inside(&self, at: Id, item: &Item) -> Option<Id> {
        if is_test(attributes(item)) {
            return None;
        }
        let Item::Mod(inner) = item else { return Some(at) };
        Some(self.modules[at].children.get(&plain(&inner.ident)).copied().unwrap_or(at))
    }

    fn load(&mut self, module: Module, folder: &str, read: &dyn Fn(&str) -> Option<String>) -> Id {
        let text = read(&module.file).unwrap_or_else(|| panic!("{}: no such file", module.file));
        let code = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", module.file));
        let id = self.modules.len();
        self.modules.push(module);
        self.collect(id, &code.items, folder, read);
        self.modules[id].code = Some(code);
        id
    }

    /// Names, imports and child modules of the module `id`; its children's files are in `folder`.
    fn collect(&mut self, id: Id, items: &[Item], folder: &str, read: &dyn Fn(&str) -> Option<String>) {
        for item in items.iter().filter(|item| !is_test(attributes(item))) {
            match item {
                Item::Mod(child) => {
                    let name = plain(&child.ident);
                    let mut path = self.modules[id].path.clone();
                    path.push(name.clone());
                    let module = Module { path, parent: Some(id), ..Module::default() };
                    let child = match &child.content {
                        Some((_, items)) => {
                            let file = self.modules[id].file.clone();
                            self.modules.push(Module { file, ..module });
                            let child = self.modules.len() - 1;
                            self.collect(child, items, &join(folder, &name), read);
                            child
                        }
                        None => self.load_child(module, &child.attrs, folder, read),
                    };
                    self.modules[id].children.insert(name, child);
                }
                Item::Macro(made) => {
                    if let Some(name) = &made.ident {
                        self.macros.insert(plain(name), id);
                    }
                }
                _ => {
                    let mut names = Names { module: &mut self.modules[id], depth: 0 };
                    names.visit_item(item);
                }
            }
        }
    }

    fn load_child(
        &mut self,
        mut module: Module,
        attributes: &[Attribute],
        folder: &str,
        read: &dyn Fn(&str) -> Option<String>,
    ) -> Id {
        let name = module.path.last().cloned().unwrap_or_default();
        let (file, below) = if let Some(path) = path_attribute(attributes) {
            let file = join(folder, &path);
            let below = file.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
            (file, below)
        } else {
            let below = join(folder, &name);
            let beside = format!("{below}.rs");
            (if read(&beside).is_some() { beside } else { format!("{below}/mod.rs") }, below)
        };
        module.file = file;
        self.load(module, &below, read)
    }

    /// The modules that define what a path in the module `from` names. None if the name is from another crate.
    pub fn resolve(&self, from: Id, path: &[String]) -> BTreeSet<Id> {
        self.resolve_unseen(from, path, &mut BTreeSet::new())
    }

    fn resolve_unseen(&self, from: Id, path: &[String], seen: &mut BTreeSet<(Id, String)>) -> BTreeSet<Id> {
        let (mut at, mut rest, mut absolute) = (from, path, false);
        while let Some((first, tail)) = rest.split_first() {
            at = match first.as_str() {
                "crate" => 0,
                "self" => at,
                "super" => self.modules[at].parent.unwrap_or(at),
                _ => break,
            };
            (rest, absolute) = (tail, true);
        }
        match (absolute, rest.is_empty()) {
            (true, true) => BTreeSet::from([at]),
            (true, false) => self.walk(at, rest, seen),
            (false, _) => self.find(at, rest, seen),
        }
    }

    /// What nothing is known of is made by a macro of the module itself.
    fn walk(&self, at: Id, path: &[String], seen: &mut BTreeSet<(Id, String)>) -> BTreeSet<Id> {
        let found = if path.is_empty() { BTreeSet::new() } else { self.find(at, path, seen) };
        if found.is_empty() { BTreeSet::from([at]) } else { found }
    }

    fn find(&self, at: Id, path: &[String], seen: &mut BTreeSet<(Id, String)>) -> BTreeSet<Id> {
        let (Some((name, tail)), module) = (path.split_first(), &self.modules[at]) else {
            return BTreeSet::new();
        };
        if !seen.insert((at, name.clone())) {
            return BTreeSet::new();
        }
        if let Some(child) = module.children.get(name)
            && (!tail.is_empty() || !module.items.contains(name))
        {
            return self.walk(*child, tail, seen);
        }
        if module.items.contains(name) {
            return BTreeSet::from([at]);
        }
        if let Some(home) = self.macros.get(name)
            && at == 0
        {
            return BTreeSet::from([*home]);
        }
        let mut found = BTreeSet::new();
        for import in module.uses.get(name).into_iter().flatten() {
            let full: Vec<String> = import.iter().chain(tail).cloned().collect();
            found.extend(self.resolve_unseen(at, &full, seen));
        }
        if found.is_empty() {
            for glob in &module.globs {
                for home in self.resolve_unseen(at, glob, seen) {
                    found.extend(self.find(home, path, seen));
                }
            }
        }
        found
    }

    /// The module whose file holds this one.
    pub fn file_of(&self, mut id: Id) -> Id {
        while let (None, Some(parent)) = (&self.modules[id].code, self.modules[id].parent) {
            id = parent;
        }
        id
    }
}

/// Collects what a module defines and imports. Imports inside functions count for the whole module.
struct Names<'a> {
    module: &'a mut Module,
    depth: u32,
}

impl<'ast> Visit<'ast> for Names<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_test(attributes(item)) {
            return;
        }
        if let (0, Some(name)) = (self.depth, name(item)) {
            self.module.items.insert(name);
        }
        self.depth += 1;
        visit::visit_item(self, item);
        self.depth -= 1;
    }

    fn visit_item_use(&mut self, import: &'ast ItemUse) {
        for Import { path, name } in imports(import) {
            match name {
                Some(name) => self.module.uses.entry(name).or_default().push(path),
                None => self.module.globs.push(path),
            }
        }
    }
}

/// One name that a `use` brings in, or everything of a path.
pub struct Import {
    pub path: Vec<String>,
    pub name: Option<String>,
}

/// The imports of a `use`, one by one.
pub fn imports(import: &ItemUse) -> Vec<Import> {
    let mut found = Vec::new();
    if import.leading_colon.is_none() {
        flatten(&import.tree, &mut Vec::new(), &mut found);
    }
    found
}

fn flatten(tree: &UseTree, before: &mut Vec<String>, found: &mut Vec<Import>) {
    let full = |name: &str| {
        let mut path = before.clone();
        if name != "self" {
            path.push(name.to_owned());
        }
        path
    };
    match tree {
        UseTree::Path(part) => {
            before.push(plain(&part.ident));
            flatten(&part.tree, before, found);
            before.pop();
        }
        UseTree::Name(last) => {
            let path = full(&plain(&last.ident));
            found.push(Import { name: path.last().cloned(), path });
        }
        UseTree::Rename(last) => {
            found.push(Import { path: full(&plain(&last.ident)), name: Some(plain(&last.rename)) });
        }
        UseTree::Glob(_) => found.push(Import { path: before.clone(), name: None }),
        UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, before, found);
            }
        }
    }
}

fn name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(plain(ident))
}

/// The attributes of an item.
pub fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The attributes of an item of an `impl`.
pub fn impl_attributes(item: &ImplItem) -> &[Attribute] {
    match item {
        ImplItem::Const(item) => &item.attrs,
        ImplItem::Fn(item) => &item.attrs,
        ImplItem::Macro(item) => &item.attrs,
        ImplItem::Type(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether the attributes say that the code is built for tests only.
pub fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = attribute.meta.path().get_ident().map(plain).unwrap_or_default();
        if text != "cfg" {
            return text == "test";
        }
        let syn::Meta::List(list) = &attribute.meta else {
            return false;
        };
        let words = crate::tokens::tokens(list.tokens.clone());
        let test = words.iter().any(|word| word.text == "test");
        test && words.iter().all(|word| !matches!(word.text.as_str(), "any" | "not"))
    })
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("path")).find_map(|attribute| {
        let syn::Meta::NameValue(value) = &attribute.meta else {
            return None;
        };
        match &value.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        }
    })
}

/// The identifier without `r#`.
pub fn plain(ident: &syn::Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map(str::to_owned).unwrap_or(text)
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
