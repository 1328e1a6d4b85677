//! Stores that are taken away, damaged, held by another or too new: a clear error and a denial, nothing lost.

use conductor_tests::{Node, bin, wait_for};
use std::process::Command;

fn refuses_to_start(node: &Node, what: &str) {
    let out =
        Command::new(bin("conductord")).arg("run").arg("--config").arg(node.path("c.toml")).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && said.contains(what), "expected {what:?}: {said}");
}

/// Issue 2, Store: a second agent, a missing, open or wrong key store, a damaged file and a newer format are each a clear
/// error, and what was stored is still there afterwards.
#[test]
fn a_store_that_cannot_be_used_is_refused_clearly() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    let mut c = node.client(&a.token);
    node.start_run(&mut c, &a, None);
    let size = node.all_signed(a.uid);
    refuses_to_start(&node, "in use by another conductord");
    node.stop_agent();
    let keys = node.path("keys/node.key");
    let kept = std::fs::read(&keys).unwrap();
    std::fs::remove_file(&keys).unwrap();
    refuses_to_start(&node, "is missing");
    std::fs::write(&keys, &kept).unwrap();
    refuses_to_start(&node, "chmod go-rwx");
    Command::new("chmod").args(["600"]).arg(&keys).status().unwrap();
    std::fs::write(&keys, format!("conductor-node-key/v1\n{}\n", "ab".repeat(32))).unwrap();
    refuses_to_start(&node, "of another node");
    std::fs::write(&keys, &kept).unwrap();
    let format = node.path("data/db/FORMAT.conductor");
    std::fs::write(&format, "2\n").unwrap();
    refuses_to_start(&node, "use a newer conductord");
    std::fs::write(&format, "1\n").unwrap();
    let current = node.path("data/db/CURRENT");
    let kept = std::fs::read(&current).unwrap();
    std::fs::remove_file(&current).unwrap();
    refuses_to_start(&node, "CURRENT is gone");
    std::fs::write(&current, "MANIFEST-999999\n").unwrap();
    refuses_to_start(&node, "damaged");
    std::fs::write(&current, &kept).unwrap();
    node.start_agent();
    assert!(node.head(a.uid).0 >= size, "nothing was lost");
    node.stop_agent();
    node.check();
}

/// SPEC invariant 1: files unlinked under the running agent deny; RocksDB itself would write on happily.
#[test]
fn unlinked_files_deny() {
    for victim in ["CURRENT", "log"] {
        let node = Node::start();
        let a = node.tenant("acme");
        let mut c = node.client(&a.token);
        assert_eq!(node.start_run(&mut c, &a, None).status, 200);
        let dir = node.path("data/db");
        for f in std::fs::read_dir(&dir).unwrap() {
            let f = f.unwrap().path();
            let name = f.file_name().unwrap().to_string_lossy().into_owned();
            if name == victim || f.extension().is_some_and(|e| e == victim) {
                std::fs::remove_file(f).unwrap();
            }
        }
        let r = node.start_run(&mut c, &a, None);
        assert_eq!((r.status, r.reasons()), (503, vec!["store_unavailable".to_owned()]), "{victim}");
        let r = node.start_run(&mut c, &a, None);
        assert_eq!(r.status, 503, "{victim}: and so is the next");
        assert!(node.log().contains("removed or replaced"), "{victim}: {}", node.log());
        if victim == "CURRENT" {
            assert_eq!(node.client("").get("/readyz").status, 503);
        }
        assert_eq!(node.client("").get("/healthz").status, 200);
    }
}

/// SPEC invariant 1 and DESIGN, Store failure: a full disk denies, loses nothing, and the agent is back when there is
/// room. A file size limit stands for the disk: a write beyond it fails as on a full one, and needs no privileges.
#[test]
fn a_write_that_fails_denies_and_the_agent_recovers() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    let mut c = node.client(&a.token);
    assert_eq!(node.start_run(&mut c, &a, None).status, 200);
    let pid = node.agent.as_ref().unwrap().id().to_string();
    let limit = |bytes: &str| {
        let ok = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}")]).status().unwrap();
        assert!(ok.success());
    };
    let size = node.all_signed(a.uid);
    // SIGXFSZ would kill a program that does not expect it; the agent must live.
    limit("4096:unlimited");
    let r = wait_for("writing fails", 20, || {
        let r = node.start_run(&mut c, &a, None);
        (r.status != 200).then_some(r)
    });
    assert_eq!(r.reasons(), ["store_unavailable"]);
    limit("unlimited:unlimited");
    let r = wait_for("the agent is back", 30, || {
        let mut c = node.client(&a.token);
        let r = node.start_run(&mut c, &a, None);
        (r.status == 200).then_some(r)
    });
    assert!(r.json()["receipt"]["index"].as_u64().unwrap() >= size);
    node.stop_agent();
    node.check();
}
