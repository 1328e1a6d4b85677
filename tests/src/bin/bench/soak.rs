//! Full load over a hundred tenants for a quarter of an hour: the agent's memory a minute, and what it is made of.

use crate::http_bench::{lift, metric};
use crate::load::{flood, load_each, runs, steps};
use crate::{Report, median, p99};
use conductor_tests::{Node, Tenant};
use std::time::Duration;

/// Minutes. Fewer or more with `SOAK_MINUTES`.
const MINUTES: u64 = 15;
const MINUTE: Duration = Duration::from_secs(60);
const TENANTS: usize = 100;
/// Connections that ask for what quotas refuse.
const FLOODING: usize = 4;
const MB: f64 = 1e6;

/// One minute.
struct Minute {
    /// Answers a second.
    rate: f64,
    p99_ms: f64,
    /// Bytes, of the process and of parts of the store.
    resident: f64,
    memtables: f64,
    blocks: f64,
    open_files: f64,
    open_runs: u64,
    backlog: u64,
    waiting: u64,
}

impl Minute {
    fn told(&self, number: usize) -> String {
        let rest = self.resident - self.memtables - self.blocks - self.open_files;
        format!(
            "minute {number}: {:.0} MB resident = memtables {:.0} + blocks {:.0} + open files {:.1} + the rest {:.0}; \
             {:.0} answers/s, p99 {:.1} ms; open runs {}, unsigned receipts {}, waiting requests {}",
            self.resident / MB,
            self.memtables / MB,
            self.blocks / MB,
            self.open_files / MB,
            rest / MB,
            self.rate,
            self.p99_ms,
            self.open_runs,
            self.backlog,
            self.waiting
        )
    }
}

/// Each tenant has runs one after the other and one run of many steps; one more tenant is refused all the time.
pub(crate) fn soak(report: &mut Report) {
    let minutes = std::env::var("SOAK_MINUTES").ok().and_then(|m| m.parse().ok()).unwrap_or(MINUTES);
    let node = Node::start();
    let tenants: Vec<Tenant> = (0..TENANTS).map(|i| node.tenant(&format!("t{i}"))).collect();
    for t in &tenants {
        lift(&node, t);
    }
    let hostile = node.tenant("hostile");
    let mut all = vec![];
    for number in 1..=minutes {
        let minute = minute(&node, &tenants, &hostile);
        report.note(&minute.told(usize::try_from(number).expect("few")));
        all.push(minute);
    }
    let third = |n: usize| {
        let part = all.len().div_ceil(3);
        let resident = all.iter().skip(n * part).take(part).map(|m| m.resident);
        median(resident.collect())
    };
    let (middle, last) = (third(1) / MB, third(2) / MB);
    report.line("soak-memory", (last, "MB"), ("middle-third", middle), last / middle, "<=1.1");
    let (first, last) = (&all[0], &all[all.len() - 1]);
    report.line(
        "soak-rate",
        (last.rate, "/s"),
        ("first-minute", first.rate),
        last.rate / first.rate,
        ">=0.8",
    );
}

fn minute(node: &Node, tenants: &[Tenant], hostile: &Tenant) -> Minute {
    let socket = node.socket();
    let each = tenants.iter().flat_map(|t| [steps(&socket, t), runs(&socket, t)]);
    let refused = (0..FLOODING).map(|_| flood(&socket, hostile));
    let mut times = load_each(each.chain(refused).collect(), MINUTE);
    times.truncate(2 * tenants.len());
    let times: Vec<f64> = times.into_iter().flatten().collect();
    let page = String::from_utf8(node.client("").get("/metrics").body).expect("text");
    let of = |name: &str| metric(&page, &format!("conductor_{name}")).expect("the metric");
    let part = |name: &str| of(&format!("store_memory_bytes{{part=\"{name}\"}}")) as f64;
    Minute {
        rate: times.len() as f64 / MINUTE.as_secs_f64(),
        p99_ms: p99(times),
        resident: of("resident_memory_bytes") as f64,
        memtables: part("memtables"),
        blocks: part("blocks"),
        open_files: part("open_files"),
        open_runs: of("open_runs"),
        backlog: of("receipt_backlog"),
        waiting: of("queue_waiting"),
    }
}
