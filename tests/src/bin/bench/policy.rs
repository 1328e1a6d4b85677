//! Policy: a remembered verdict, an evaluation, a real OPA server, and what policy costs an admission.

use crate::core_bench::admissions;
use crate::{Report, median};
use conductor_agent::intake::queue::Queues;
use conductor_agent::platform::clock::RealClock;
use conductor_agent::policy::{Lookup, Policy, Query, Wanted};
use conductor_policies::{Bundle, Engine};
use conductor_shared::clock::Clock;
use conductor_shared::fail_closed::Class;
use conductor_shared::ids::TenantUid;
use conductor_shared::policy::{Freeze, Input, Ramp, Scope, Within, Work, Workflow};
use conductor_tests::Client;
use serde_json::json;
use std::hint::black_box;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

const ROUNDS: usize = 7;
const LOOKS: u32 = 100_000;
const EVALUATIONS: u32 = 2_000;
/// Connections that ask OPA at a time; each waits for its answer.
const ASKING: usize = 4;
const ROUND: Duration = Duration::from_secs(1);

fn input(workflow: &str) -> Input<'_> {
    Input {
        version: 1,
        class: "admit",
        operation: "run.start",
        tenant: "acme",
        profile: "default",
        principal: "workload",
        scope: Scope { proven: true },
        work: Some(Work { action: "run", workflow, env: "production", actor: "service" }),
        workflow: Some(Workflow { registered: true, prompt_fits: true }),
        within: Some(Within { concurrent_runs: true, step_rate: true, receipt_backlog: true }),
        ramp: Some(Ramp { included: true, killed: false }),
        freeze: Freeze { active: false, break_glass: false },
        role: None,
        approvals: None,
    }
}

struct Opa {
    child: Child,
    folder: tempfile::TempDir,
}

impl Drop for Opa {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Opa {
    /// The stock server, with the built-in rules.
    fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/opa.sh");
        let found = Command::new("bash").arg(script).output().expect("bash");
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        let program = String::from_utf8(found.stdout).expect("a path");
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("opa.sock");
        let child = Command::new(program.trim())
            .args(["run", "--server", "--disable-telemetry", "--log-level", "error", "--addr"])
            .arg(format!("unix://{}", socket.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let opa = Self { child: child.expect("OPA starts"), folder };
        conductor_tests::wait_for("OPA listens", 30, || {
            std::os::unix::net::UnixStream::connect(&socket).ok()
        });
        let mut c = opa.client();
        for (name, text) in Bundle::built_in().files() {
            let put = c.send("PUT", &format!("/v1/policies/{name}"), text.as_bytes(), &[]);
            assert_eq!(put.expect("an answer").status, 200, "{name}");
        }
        opa
    }

    fn client(&self) -> Client {
        Client::new(&self.folder.path().join("opa.sock"), "")
    }

    /// Decisions a second, several connections at a time.
    fn rate(&self, document: &serde_json::Value) -> f64 {
        let begun = Instant::now();
        let asking: Vec<_> = (0..ASKING)
            .map(|_| {
                let (mut c, body) = (self.client(), json!({ "input": document }));
                std::thread::spawn(move || {
                    let mut n = 0u32;
                    while begun.elapsed() < ROUND {
                        assert_eq!(c.post("/v1/data/conductor/allow", &body).json()["result"], true);
                        n += 1;
                    }
                    n
                })
            })
            .collect();
        let n: u32 = asking.into_iter().map(|t| t.join().expect("it goes on")).sum();
        f64::from(n) / begun.elapsed().as_secs_f64()
    }
}

/// Evaluations a second of all processors, one prepared engine a thread, as the agent's workers have them.
fn embedded_rate(document: &str) -> f64 {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let ready = Arc::new(Barrier::new(threads + 1));
    let evaluating: Vec<_> = (0..threads)
        .map(|_| {
            let (document, ready) = (document.to_owned(), Arc::clone(&ready));
            std::thread::spawn(move || {
                let mut engine = prepared();
                ready.wait();
                let (begun, mut n) = (Instant::now(), 0u32);
                while begun.elapsed() < ROUND {
                    assert_eq!(engine.allows(black_box(&document)), Ok(true));
                    n += 1;
                }
                f64::from(n) / begun.elapsed().as_secs_f64()
            })
        })
        .collect();
    ready.wait();
    evaluating.into_iter().map(|t| t.join().expect("it goes on")).sum()
}

fn prepared() -> Engine {
    Engine::prepare(Bundle::built_in().files()).expect("the built-in rules")
}

pub(crate) fn policy(report: &mut Report) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let clock: Arc<dyn Clock> = Arc::new(RealClock::default());
    let policy = Policy::start(None, Arc::clone(&clock), &Arc::new(Queues::default()));
    let tenant = TenantUid([1; 16]);
    let names: Vec<String> = (0..20).map(|n| format!("workflow-{n}")).collect();
    for name in &names {
        runtime.block_on(policy.prepare(Class::Admit, Query::of(tenant, &input(name))));
    }
    let opa = Opa::start();
    let mut engine = prepared();
    let document = input("workflow-0").json();
    let parsed: serde_json::Value = serde_json::from_str(&document).expect("a document");
    let (mut hit, mut evaluated, mut embedded, mut asked) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for n in 0..LOOKS {
            let name = &names[n as usize % names.len()];
            let look = policy.lookup(tenant, &input(black_box(name)), clock.now(), Wanted::default());
            assert!(matches!(look, Lookup::Allow | Lookup::Aging));
        }
        hit.push(begun.elapsed().as_secs_f64() * 1e9 / f64::from(LOOKS));
        let begun = Instant::now();
        for _ in 0..EVALUATIONS {
            assert_eq!(engine.allows(black_box(&document)), Ok(true));
        }
        evaluated.push(begun.elapsed().as_secs_f64() * 1e9 / f64::from(EVALUATIONS));
        embedded.push(embedded_rate(&document));
        asked.push(opa.rate(&parsed));
    }
    let (h, e, m, o) = (median(hit), median(evaluated), median(embedded), median(asked));
    report.line("policy-memo-hit", (h, "ns"), ("regorus-evaluation", e), h / e, "<=0.1");
    report.note("with the input's digest, the clock and the lock; 20 inputs in turn, the built-in rules");
    report.line("policy-embedded", (m, "/s"), ("opa-http", o), m / o, ">=3");
    report.note(&format!(
        "all processors on both sides: ours one prepared engine a thread, {:.0}/s on one alone; a stock OPA server, asked over {ASKING} unix connections by clients that share its processors",
        1e9 / e
    ));
    drop(opa);
    let each = admissions() * 1e9;
    report.line("policy-on-admission", (each, "ns"), ("policy-off", each - h), (each - h) / each, ">=0.8");
    report.note("time of the writer for an admission; off: the same less the look-up measured above, since the agent has no switch that turns policy off");
}
