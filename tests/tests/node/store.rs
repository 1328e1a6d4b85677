//! Stores that are taken away, damaged, held by another or too new: a clear error and a denial, nothing lost.

use conductor_agent::store::FORMAT;
use conductor_shared::command::{Operation, ops};
use conductor_shared::ids::RunId;
use conductor_shared::quota::QuotaKind;
use conductor_tests::{Node, Tenant, bin, wait_for};
use std::process::Command;

fn refuses_to_start(node: &Node, what: &str) {
    let out =
        Command::new(bin("conductord")).arg("run").arg("--config").arg(node.path("c.toml")).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && said.contains(what), "expected {what:?}: {said}");
}

/// Store: a second agent, a missing, open or wrong key store, a damaged file and a newer format are each a clear error,
/// and what was stored is still there afterwards.
#[test]
fn a_store_that_cannot_be_used_is_refused_clearly() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    let mut c = node.client(&a.token);
    c.start_run(&a, None);
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
    std::fs::write(&format, format!("{}\n", FORMAT + 1)).unwrap();
    refuses_to_start(&node, "use a newer conductord");
    for old in 1..FORMAT {
        std::fs::write(&format, format!("{old}\n")).unwrap();
        refuses_to_start(&node, "which no release wrote");
    }
    std::fs::write(&format, format!("{FORMAT}\n")).unwrap();
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

/// Invariant 1: files unlinked under the running agent deny; RocksDB itself would write on happily.
#[test]
fn unlinked_files_deny() {
    for victim in ["CURRENT", "log"] {
        let node = Node::start();
        let a = node.tenant("acme");
        let mut c = node.client(&a.token);
        assert_eq!(c.start_run(&a, None).status, 200);
        let dir = node.path("data/db");
        for f in std::fs::read_dir(&dir).unwrap() {
            let f = f.unwrap().path();
            let name = f.file_name().unwrap().to_string_lossy().into_owned();
            if name == victim || f.extension().is_some_and(|e| e == victim) {
                std::fs::remove_file(f).unwrap();
            }
        }
        let r = c.start_run(&a, None);
        assert_eq!((r.status, r.reasons()), (503, vec!["store_unavailable".to_owned()]), "{victim}");
        let r = c.start_run(&a, None);
        assert_eq!(r.status, 503, "{victim}: and so is the next");
        assert!(node.log().contains("removed or replaced"), "{victim}: {}", node.log());
        if victim == "CURRENT" {
            assert_eq!(node.client("").get("/readyz").status, 503);
        }
        assert_eq!(node.client("").get("/healthz").status, 200);
    }
}

/// Invariant 1 and Store failure: a full disk denies, loses nothing, and the agent is back when there is room. A file
/// size limit stands for the disk: a write beyond it fails as on a full one, and needs no privileges.
#[test]
fn a_write_that_fails_denies_and_the_agent_recovers() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    let mut c = node.client(&a.token);
    assert_eq!(c.start_run(&a, None).status, 200);
    let pid = node.agent.as_ref().unwrap().id().to_string();
    let limit = |bytes: &str| {
        let ok = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}")]).status().unwrap();
        assert!(ok.success());
    };
    let size = node.all_signed(a.uid);
    // SIGXFSZ would kill a program that does not expect it; the agent must live.
    limit("4096:unlimited");
    let r = wait_for("writing fails", 20, || {
        let r = c.start_run(&a, None);
        (r.status != 200).then_some(r)
    });
    assert_eq!(r.reasons(), ["store_unavailable"]);
    limit("unlimited:unlimited");
    let r = wait_for("the agent is back", 30, || {
        let mut c = node.client(&a.token);
        let r = c.start_run(&a, None);
        (r.status == 200).then_some(r)
    });
    assert!(r.decided().receipt.index >= size);
    node.stop_agent();
    node.check();
}

/// A file system of its own, in memory and small, for as long as this lives. Needs no privileges: it is mounted in a
/// namespace of its own.
struct SmallDisk {
    holder: std::process::Child,
    at: std::path::PathBuf,
}

impl SmallDisk {
    fn mount(at: std::path::PathBuf, bytes: u64) -> Self {
        std::fs::create_dir(&at).unwrap();
        let holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
            .arg(format!("mount -t tmpfs -o size={bytes},mode=0700 tmpfs \"$0\" && touch \"$0/mounted\" && exec sleep 600"))
            .arg(&at)
            .spawn()
            .expect("util-linux is there");
        let this = Self { holder, at };
        wait_for("the small disk", 20, || this.path("mounted").exists().then_some(()));
        this
    }

    /// A file on it, as seen from here.
    fn path(&self, name: &str) -> std::path::PathBuf {
        let inside = self.at.join(name);
        let inside = inside.strip_prefix("/").unwrap();
        std::path::Path::new(&format!("/proc/{}/root", self.holder.id())).join(inside)
    }

    /// What runs a program where the disk can be seen.
    fn entering(&self) -> Vec<String> {
        let pid = self.holder.id().to_string();
        ["nsenter", "--preserve-credentials", "--user", "--mount", "--target", &pid]
            .map(str::to_owned)
            .to_vec()
    }

    /// Leaves this many bytes free.
    fn fill_up_to(&self, free: u64) {
        use std::io::Write as _;
        let stat = nix::sys::statvfs::statvfs(&self.path("")).unwrap();
        let now = stat.blocks_available() * stat.fragment_size();
        let mut f = std::fs::File::options().create(true).append(true).open(self.path("filler")).unwrap();
        // A disk that is full takes less than it was given.
        let _ = f.write_all(&vec![1; usize::try_from(now.saturating_sub(free)).unwrap()]);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

const MIB: u64 = 1 << 20;

/// A node whose data is on a small disk.
fn on_a_small_disk() -> (Node, Tenant, SmallDisk) {
    let mut node = Node::start();
    let a = node.tenant("acme");
    node.stop_agent();
    let disk = SmallDisk::mount(node.path("small"), 160 * MIB);
    let copied = Command::new("cp").arg("-a").arg(node.path("data")).arg(disk.path("")).status().unwrap();
    assert!(copied.success());
    let line = |folder: &str| format!("data = \"{}\"", node.path(folder).display());
    let config = std::fs::read_to_string(node.path("c.toml")).unwrap();
    assert!(config.contains(&line("data")), "{config}");
    let config = config.replace(&line("data"), &line("small/data"));
    let limits = format!(
        "\n[space]\nreserve_bytes = {}\nlow_bytes = {}\ncritical_bytes = {}\n",
        16 * MIB,
        12 * MIB,
        8 * MIB
    );
    std::fs::write(node.path("c.toml"), config + &limits).unwrap();
    node.under = disk.entering();
    node.start_agent();
    assert!(disk.path(RESERVE).exists());
    (node, a, disk)
}

/// For settles: given up first.
const RESERVE: &str = "data/db/RESERVE.settles";
/// Open while the disk fills up: each has room for a hundred approvals.
const FILLING: usize = 150;

/// Store failure: a start on a full disk lives on the reserve, and sets it aside again when there is room.
#[test]
fn a_start_on_a_full_disk() {
    let (mut node, a, disk) = on_a_small_disk();
    let run = node.client(&a.token).start_run(&a, None).decided().run_id;
    node.kill_agent();
    disk.fill_up_to(0);
    node.start_agent();
    assert!(node.log().contains("gave up the room for settles to open"), "{}", node.log());
    assert_eq!(node.client(&a.token).finish_run(&a, run).status, 200);
    node.stop_agent();
    std::fs::remove_file(disk.path("filler")).unwrap();
    node.start_agent();
    assert!(disk.path(RESERVE).exists(), "set aside again");
    node.stop_agent();
    node.check();
}

/// Invariants 1 and 3, Store failure: on a disk that fills up admissions stop first; on one that is full the reserve
/// still takes settles and tightenings; nothing that was acknowledged is lost, and with room the agent is back by
/// itself.
#[test]
fn a_disk_that_fills_up() {
    let (mut node, a, disk) = on_a_small_disk();
    let mut c = node.client(&a.token);
    let started = [0; 3].map(|_| c.start_run(&a, None).decided().run_id);
    node.command(a.uid, ops::QuotaSet { kind: QuotaKind::ConcurrentRuns, limit: 1_000 });
    let filling = [0; FILLING].map(|_| c.start_run(&a, None).decided().run_id);
    disk.fill_up_to(4 * MIB);
    let r = wait_for("admissions stop", 20, || Some(c.start_run(&a, None)).filter(|r| r.status != 200));
    assert_eq!(r.reasons(), ["store_unavailable"], "{r}");
    assert_eq!(c.finish_run(&a, started[0]).status, 200, "a settle goes on");

    disk.fill_up_to(0);
    let acknowledged = until_the_reserve_is_gone(&node, &a, &filling, &disk);
    let done = wait_for("a settle on the reserve", 30, || {
        Some(node.client(&a.token).finish_run(&a, started[1])).filter(|r| r.status == 200)
    });
    node.command(a.uid, ops::KillSet { selector: "*/*".parse().unwrap(), drain: false });
    assert_eq!(node.client(&a.token).start_run(&a, None).status, 403);

    std::fs::remove_file(disk.path("filler")).unwrap();
    let clear = Operation::KillClear(ops::KillClear { selector: "*/*".parse().unwrap() });
    wait_for("there is room again", 30, || {
        let r = node.send(&node.compose(a.uid, clear.clone()));
        (r.came_to() == ["effective"]).then_some(())
    });
    wait_for("admissions go on", 30, || {
        (node.client(&a.token).start_run(&a, None).status == 200).then_some(())
    });
    assert_eq!(node.client(&a.token).finish_run(&a, started[2]).status, 200);
    let size = node.all_signed(a.uid);
    assert!(done.decided().receipt.index < size);
    assert!(
        size > acknowledged,
        "{acknowledged} approvals were acknowledged, and the log has {size} receipts"
    );
    node.stop_agent();
    node.check();
}

/// Writes until the reserve is given up: the log that is open has room of its own set aside, and is written full first.
/// How much was acknowledged of it.
fn until_the_reserve_is_gone(node: &Node, a: &Tenant, runs: &[RunId], disk: &SmallDisk) -> u64 {
    // As long as a text may be: lengths are counted in characters, and each of these has four bytes.
    let long = "\u{1f600}".repeat(500);
    let mut c = node.client(&a.token);
    let mut acknowledged = 0;
    for run in runs {
        for n in 0..100 {
            let name = format!("{n} {long}");
            let approval =
                serde_json::json!({"tenant_id": a.name, "name": name, "approver": long, "approved": true});
            let r = c.post(&format!("/v1/runs/{run}/approvals"), &approval);
            acknowledged += u64::from(r.status == 200);
        }
        if !disk.path(RESERVE).exists() {
            return acknowledged;
        }
    }
    panic!("{acknowledged} approvals, and the room for settles is still there");
}
