//! Runs the agent: opens the store, starts the writer, the signing thread, the listeners and the sinks, and stops them in
//! an order that loses no accepted request.

use crate::checkpoint::witness::Witness;
use crate::health::{Health, Sources};
use crate::http::{
    Api, ApiState, App, BodyBudget, ConnBounds, ConnLimiter, Listener, ListenerKind, OPERATOR_BYTES, Rates,
    Share, WORKLOAD_BYTES, bind_unix, serve,
};
use crate::intake::queue::Queues;
use crate::node::config::{Config, Listen};
use crate::node::init::node_id;
use crate::node::tenant_sockets::TenantSockets;
use crate::partition::SNAPSHOT_EVERY;
use crate::partition::published::Registry;
use crate::platform::clock::RealClock;
use crate::platform::open_files::{self, OpenFiles};
use crate::platform::random::{OsRandom, Random, bytes};
use crate::policy::{Opa, Policy};
use crate::scope::Sessions;
use crate::signer::client::SignerClient;
use crate::sinks::{Sink, SinkCtx};
use crate::writer::{Parts, Writer};
use conductor_shared::clock::Clock;
use conductor_shared::ids::NodeId;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

/// Why the agent cannot start, as text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

impl StartError {
    fn of(e: impl std::fmt::Display) -> Self {
        Self(e.to_string())
    }
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(config: Config) -> Result<(), StartError> {
    // A write beyond the file size limit must fail with an error, like one to a full disk, and not kill the process.
    let too_large = tokio::signal::unix::SignalKind::from_raw(nix::sys::signal::Signal::SIGXFSZ as i32);
    let _caught = tokio::signal::unix::signal(too_large).map_err(StartError::of)?;
    // Installed first: a signal that comes right after the ready notification must not be lost.
    let signals = StopSignals::listen().map_err(StartError::of)?;
    let files = open_files::raise().map_err(StartError)?;
    let core = Core::start(&config).await?;
    let (stop, stopping) = watch::channel(false);
    let api = core.api(&config, &stopping);
    let operators = OperatorRuntime::start().map_err(StartError::of)?;
    let serving = start_serving(&config, &api, files, &operators, &stopping)?;
    tracing::info!("node {} is ready", core.node);
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let watching = tokio::spawn(Arc::clone(&core.health).run());
    let watchdog = tokio::spawn(feed_watchdog(Arc::clone(&core.health)));
    signals.wait().await;
    tracing::info!("stopping");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    watchdog.abort();
    watching.abort();
    // First stop connections and requests, then decide and commit what is queued, then end the threads.
    let _ = stop.send(true);
    for s in serving {
        let _ = tokio::time::timeout(Duration::from_secs(6), s).await;
    }
    core.queues.close();
    let _ = tokio::task::spawn_blocking(move || core.writer.join()).await;
    drop(api);
    let _ = tokio::task::spawn_blocking(move || core.signing.join()).await;
    Ok(())
}

/// Threads that serve operators and nobody else, so that no flood of workloads' requests stands before a tightening.
struct OperatorRuntime(Option<tokio::runtime::Runtime>);

/// Two, so that a long answer to one operator holds up no other.
const OPERATOR_THREADS: usize = 2;

impl OperatorRuntime {
    fn start() -> std::io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(OPERATOR_THREADS).thread_name("operators").enable_all();
        builder.build().map(|runtime| Self(Some(runtime)))
    }

    fn enter(&self) -> Option<tokio::runtime::EnterGuard<'_>> {
        self.0.as_ref().map(tokio::runtime::Runtime::enter)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
        match &self.0 {
            Some(runtime) => runtime.spawn(task),
            None => tokio::spawn(task),
        }
    }
}

impl Drop for OperatorRuntime {
    fn drop(&mut self) {
        // A runtime cannot be waited for within another one.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The running writer and signing threads, and what they share with the rest.
struct Core {
    node: NodeId,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    board: Arc<Registry>,
    queues: Arc<Queues>,
    policy: Arc<Policy>,
    health: Arc<Health>,
    sinks: Vec<Arc<Sink>>,
    writer: JoinHandle<()>,
    signing: JoinHandle<()>,
}

impl Core {
    async fn start(config: &Config) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(RealClock::default());
        let random: Arc<dyn Random> = Arc::new(OsRandom::default());
        let node = node_id(&config.data, &config.keys, config.space).map_err(StartError::of)?;
        let board = Arc::new(Registry::new(node, bytes(&*random)));
        let queues = Arc::new(Queues::default());
        let opa = config.policy.opa.clone().map(|c| Opa::new(c, tokio::runtime::Handle::current()));
        let policy = Policy::start(opa, Arc::clone(&clock), &queues);
        let sinks: Vec<_> = config.sinks.iter().cloned().map(|c| Arc::new(Sink::new(c))).collect();
        let health = Health::new(Sources {
            board: Arc::clone(&board),
            queues: Arc::clone(&queues),
            policy: Arc::clone(&policy),
            sinks: sinks.clone(),
            clock: Arc::clone(&clock),
        });
        let (jobs_in, jobs) = crossbeam_channel::bounded(2);
        let parts = Parts {
            data: config.data.clone(),
            keys: config.keys.clone(),
            node_id: node,
            limits: config.space,
            lease: Duration::from_secs(config.lease_seconds),
            tighten: config.tighten.limit(),
            snapshot_every: SNAPSHOT_EVERY,
            slo: crate::rollout::controller::Pace {
                every: Duration::from_millis(config.slo.evaluate_ms),
                bake: Duration::from_secs(config.slo.bake_seconds),
            },
            clock_tolerance: Duration::from_millis(config.clock.tolerance_ms),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            queues: Arc::clone(&queues),
            board: Arc::clone(&board),
            policy: Arc::clone(&policy),
            health: Arc::clone(&health),
            checkpoints: Some(jobs_in),
            runtime: Some(tokio::runtime::Handle::current()),
        };
        let writer = tokio::task::spawn_blocking(|| Writer::open(parts)).await.map_err(StartError::of)?;
        let writer = writer.map_err(StartError::of)?;
        let pinned = board.node().and_then(|n| n.view.load().control.signer_key.clone());
        let pinned =
            pinned.ok_or_else(|| StartError("no signer's key is pinned; run `conductord init`".into()))?;
        let writer = std::thread::spawn(move || writer.run());
        let client = SignerClient::new(&config.signer.socket, pinned, config.signer.uid);
        let signing = {
            let (queues, board) = (Arc::clone(&queues), Arc::clone(&board));
            let witness = Witness::open(&config.data);
            std::thread::spawn(move || crate::checkpoint::sign::run(client, &jobs, &queues, &board, witness))
        };
        Ok(Self { node, clock, random, board, queues, policy, health, sinks, writer, signing })
    }

    fn api(&self, config: &Config, stopping: &watch::Receiver<bool>) -> ApiState {
        Arc::new(Api {
            board: Arc::clone(&self.board),
            queues: Arc::clone(&self.queues),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
            policy: Arc::clone(&self.policy),
            health: Arc::clone(&self.health),
            sessions: Sessions::new(&*self.random),
            streams: Arc::default(),
            node_id: self.node,
            name: config.name.clone(),
            environment: config.environment.clone(),
            stopping: stopping.clone(),
            rates: Rates::default(),
            recounts: Arc::new(tokio::sync::Semaphore::new(1)),
            rollups: Arc::default(),
            sinks: self.sinks.clone(),
        })
    }
}

/// Strangers of one address or local user at an operators' listener: see [`ConnBounds`].
const OPERATOR_STRANGERS: usize = 32;
/// Connections that one person keeps.
const OPERATOR_OWN: usize = 32;
/// Strangers of one address or local user at workloads' listeners, and connections that one tenant keeps: this part of all.
const WORKLOAD_PART: usize = 4;

fn operators_share(files: OpenFiles) -> Share {
    let all = files.operators;
    let bounds = ConnBounds {
        all,
        strangers_per_peer: OPERATOR_STRANGERS.min(all / 2),
        per_owner: OPERATOR_OWN.min(all / 2),
    };
    Share { connections: ConnLimiter::new(bounds), bodies: BodyBudget::new(OPERATOR_BYTES) }
}

fn workloads_share(files: OpenFiles) -> Share {
    let (all, part) = (files.workloads, files.workloads / WORKLOAD_PART);
    let bounds = ConnBounds { all, strangers_per_peer: part, per_owner: part };
    Share { connections: ConnLimiter::new(bounds), bodies: BodyBudget::new(WORKLOAD_BYTES) }
}

/// Starts listeners, tenants' sockets and sinks, each in a task of its own.
fn start_serving(
    config: &Config,
    api: &ApiState,
    files: OpenFiles,
    operators: &OperatorRuntime,
    stopping: &watch::Receiver<bool>,
) -> Result<Vec<tokio::task::JoinHandle<()>>, StartError> {
    let app = App::new(Arc::clone(api));
    let mut serving = Vec::new();
    let share = operators_share(files);
    let gid = config.operators_gid().map_err(StartError)?;
    for l in config.operators_listeners().map_err(StartError)? {
        // Bound where it is served: a socket belongs to the event queue of its runtime.
        let bound = {
            let _entered = operators.enter();
            bind(config, l, ListenerKind::Operators, gid)?
        };
        let task = serve(bound, ListenerKind::Operators, app.clone(), share.clone(), stopping.clone());
        serving.push(operators.spawn(task));
    }
    let share = workloads_share(files);
    for l in config.listeners().map_err(StartError)? {
        let bound = bind(config, l, ListenerKind::Workloads, None)?;
        let task = serve(bound, ListenerKind::Workloads, app.clone(), share.clone(), stopping.clone());
        serving.push(tokio::spawn(task));
    }
    if let Some(folder) = &config.tenant_sockets {
        let most = files.tenant_sockets;
        let sockets = TenantSockets::new(folder.clone(), app, share, most, stopping.clone());
        serving.push(tokio::spawn(sockets.run(Arc::clone(&api.board))));
    }
    serving.extend(start_sinks(api, stopping));
    Ok(serving)
}

/// Each sink has its own task, so that a slow receiver delays no other.
fn start_sinks(api: &Api, stopping: &watch::Receiver<bool>) -> Vec<tokio::task::JoinHandle<()>> {
    let start = |sink: &Arc<Sink>| {
        let ctx = SinkCtx {
            board: Arc::clone(&api.board),
            queues: Arc::clone(&api.queues),
            random: Arc::clone(&api.random),
            clock: Arc::clone(&api.clock),
            stopping: stopping.clone(),
        };
        tokio::spawn(crate::sinks::run(Arc::clone(sink), ctx))
    };
    api.sinks.iter().map(start).collect()
}

/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 1_024;

fn listen_on(a: std::net::SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if a.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(a)?;
    socket.listen(BACKLOG)
}

/// Binds in the runtime that is entered.
fn bind(config: &Config, l: Listen, kind: ListenerKind, gid: Option<u32>) -> Result<Listener, StartError> {
    let failed = |at: &dyn std::fmt::Display, e: std::io::Error| StartError(format!("{at}: {e}"));
    let tcp = |a: std::net::SocketAddr| listen_on(a).map_err(|e| failed(&a, e));
    Ok(match l {
        Listen::Unix(path) => {
            Listener::Unix(bind_unix(&path, 0o660, gid).map_err(|e| failed(&path.display(), e))?)
        }
        Listen::Plain(a) => {
            tracing::warn!("listening on {a} without encryption");
            Listener::Plain(tcp(a)?)
        }
        Listen::Tls(a) => {
            let (acceptor, digest) = crate::node::tls::server(config).map_err(StartError)?;
            let pin = conductor_shared::ids::hex(&digest);
            let who = if kind == ListenerKind::Operators { "consoles reach" } else { "workloads reach" };
            tracing::info!("{who} this node by https://{a}#sha256={pin}");
            Listener::Tls(tcp(a)?, acceptor, digest)
        }
    })
}

/// Reports to the service manager as long as the writer does its work. A mere timer would prove nothing.
async fn feed_watchdog(health: Arc<Health>) {
    let Some(every) = sd_notify::watchdog_enabled() else { return };
    loop {
        tokio::time::sleep(every / 3).await;
        if health.alive() {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}

struct StopSignals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
    hup: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// A hangup ends nothing: a closed terminal or `systemctl reload` must not leave a node without its agent.
    async fn wait(mut self) {
        loop {
            tokio::select! {
                _ = self.term.recv() => return,
                _ = self.int.recv() => return,
                _ = self.hup.recv() => tracing::info!("SIGHUP: ignored; the configuration is read at start alone"),
            }
        }
    }
}

/// All differences between rows and receipts, as text.
pub fn check(config: &Config) -> Result<Vec<String>, StartError> {
    crate::node::check::check(&config.data, &config.keys, config.space).map_err(StartError::of)
}

/// The trust file for those who verify this node's logs.
pub fn trust_file(node: NodeId, signer_key: &str) -> String {
    format!(
        "# Whoever verifies receipts of this node keeps this file from now on.\n[[key]]\npublic_key = \"{}\"\npurpose = \"checkpoint\"\norigin = \"conductor-log/{node}/\"\n",
        signer_key.trim()
    )
}

/// Reads a minisign `.pub` file, or the bare base64.
pub fn read_public_key(path: &Path) -> Result<String, StartError> {
    let text = std::fs::read_to_string(path).map_err(|e| StartError(format!("{}: {e}", path.display())))?;
    let key = text.lines().find(|l| !l.starts_with("untrusted comment:") && !l.trim().is_empty());
    key.map(|k| k.trim().to_owned())
        .ok_or_else(|| StartError(format!("{}: no public key in it", path.display())))
}
