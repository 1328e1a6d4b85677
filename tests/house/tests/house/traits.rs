//! A trait whose only implementor stands in another module may be there only to turn an import around.

use conductor_house::traits::implemented_once_elsewhere;

use crate::trees;

#[test]
fn traits() {
    for (root, tree) in trees() {
        for (name, implementor) in implemented_once_elsewhere(&tree) {
            println!("{root}: {name} for {implementor}");
        }
    }
}
