//! Each crate's modules stand in layers, and import only what stands below.

use std::collections::BTreeSet;

use conductor_house::graph::levels;

use crate::trees;

/// The lowest layers that today's imports allow: what a table of layers may be made from.
#[test]
fn layers() {
    for (root, tree) in trees() {
        let names: BTreeSet<String> = tree.modules[0].children.keys().cloned().collect();
        if let Some(level) = levels(&tree).get("") {
            println!("\n{root}");
            for layer in level.layers(&names).iter().rev() {
                println!("  {}", layer.join("  "));
            }
        }
    }
}
