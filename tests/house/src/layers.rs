//! The layers of each crate's modules, as ARCHITECTURE.md shows them, and the imports that break them.

use std::collections::BTreeMap;

use crate::graph::Level;

/// Layers of a crate's modules, lowest first.
pub type Layers<'a> = [&'a [&'a str]];

/// What stands wrong: an import of the same layer or a higher one, or a module that no layer names.
pub fn arrows_up(layers: &Layers<'_>, modules: &[String], level: &Level) -> Vec<String> {
    let height: BTreeMap<&str, usize> =
        layers.iter().enumerate().flat_map(|(i, layer)| layer.iter().map(move |name| (*name, i))).collect();
    let mut found: Vec<String> = modules
        .iter()
        .filter(|module| !height.contains_key(module.as_str()))
        .map(|module| format!("{module}: no layer names it"))
        .collect();
    found.extend(
        height
            .keys()
            .filter(|name| !modules.iter().any(|module| module == *name))
            .map(|name| format!("{name}: a layer names it, and it is not there")),
    );
    for ((from, to), places) in &level.edges {
        if let (Some(a), Some(b)) = (height.get(from.as_str()), height.get(to.as_str()))
            && a <= b
        {
            found.push(format!("{from} -> {to}: {}", places.join(", ")));
        }
    }
    found
}

/// Layers as text, the highest first.
pub fn drawn<Layer: AsRef<[Name]>, Name: AsRef<str>>(title: &str, layers: &[Layer]) -> String {
    let mut text = format!("{title}\n");
    for layer in layers.iter().rev() {
        let names: Vec<&str> = layer.as_ref().iter().map(AsRef::as_ref).collect();
        text.push_str(&format!("  {}\n", names.join("  ")));
    }
    text
}
