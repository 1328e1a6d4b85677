//! conductord, the node agent.

use clap::{Parser, Subcommand};
use conductor_agent::node::config::Config;
use conductor_agent::node::init::{Bootstrap, init};
use conductor_agent::node::{run, tls};
use conductor_agent::platform::clock::RealClock;
use conductor_agent::platform::random::OsRandom;
use conductor_agent::store::SpaceLimits;
use conductor_shared::ids::{Ident, hex};
use conductor_shared::operator::Role;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use strum::VariantArray as _;

/// A request makes many small allocations: mimalloc takes half the time of the C library for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Decides on this node whether a tenant's work may run, and proves every answer.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Cmd,
}

#[derive(Subcommand)]
enum Cmd {
    /// Make a node: its data folder, key store, configuration and first persons.
    Init(Box<Init>),
    /// Run the agent.
    Run {
        /// Configuration.
        #[arg(long)]
        config: PathBuf,
    },
    /// Print the certificate of the https listeners, for clients that are to trust it; make it if there is none.
    Certificate {
        /// Configuration.
        #[arg(long)]
        config: PathBuf,
        /// Write it to a file instead.
        #[arg(long)]
        out: Option<PathBuf>,
        /// Make a new one, for the names that are configured now. Every pin changes; restart the agent.
        #[arg(long)]
        renew: bool,
    },
    /// Recompute every row from the receipts and name each difference. The agent must not be running.
    Check {
        /// Configuration.
        #[arg(long)]
        config: PathBuf,
    },
}

#[derive(clap::Args)]
struct Init {
    /// Configuration to write.
    #[arg(long)]
    config: PathBuf,
    /// Data folder to make.
    #[arg(long)]
    data: PathBuf,
    /// Key store to make: not inside the data folder, and never in the same backup.
    #[arg(long)]
    keys: PathBuf,
    /// Name of the node.
    #[arg(long)]
    name: Ident,
    /// Environment, a word that consoles show.
    #[arg(long, default_value = "production")]
    environment: Ident,
    /// The signer's minisign public key file.
    #[arg(long)]
    signer_key: PathBuf,
    /// The signer's socket.
    #[arg(long)]
    signer_socket: PathBuf,
    /// Where workloads ask: <unix:/path> or https://address:port (http:// with --allow-plain).
    #[arg(long, required = true)]
    listen: Vec<String>,
    /// Where operators connect, in the same forms; `operator.sock` beside the first unix socket of --listen if not given.
    #[arg(long)]
    listen_operators: Vec<String>,
    /// Unix group that may connect to the operators' sockets; else the agent's own.
    #[arg(long)]
    operator_group: Option<String>,
    /// Host name or address that the certificate is for, beside the node's name and the addresses listened on.
    #[arg(long)]
    certificate_name: Vec<String>,
    /// Allow TCP without TLS. For demos.
    #[arg(long)]
    allow_plain: bool,
    /// Folder for the sockets of tenants.
    #[arg(long)]
    tenant_sockets: Option<PathBuf>,
    /// A person: NAME=PUBLIC-KEY-FILE, or NAME:role,role=PUBLIC-KEY-FILE.
    #[arg(long, required = true)]
    operator: Vec<String>,
    /// Where to write the trust file for verifiers.
    #[arg(long)]
    trust_out: Option<PathBuf>,
}

fn main() -> ExitCode {
    // Clearing a 2 MiB huge page delays its first user by milliseconds. If this fails, requests are only slower.
    let _ = nix::sys::prctl::set_thp_disable(true);
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("CONDUCTOR_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .init();
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err((code, e)) => {
            eprintln!("conductord: {e}");
            ExitCode::from(code)
        }
    }
}

/// Exit code and message: 2 for bad input, 1 for other failures.
type Failed = (u8, String);

fn bad(e: impl std::fmt::Display) -> Failed {
    (2, e.to_string())
}

fn run(command: Cmd) -> Result<ExitCode, Failed> {
    // Files that we create are for our own user only.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    match command {
        Cmd::Init(i) => start(&i).map(|()| ExitCode::SUCCESS),
        Cmd::Run { config } => {
            let config = Config::load(&config).map_err(bad)?;
            // Half of the processors are for the writer, the sealer, the committer and the store. But at least two workers
            // where there are two processors: hundreds of connections would wait for one.
            let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            let workers = (cores / 2).max(cores.min(2));
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
            let runtime = runtime.map_err(|e| (1, e.to_string()))?;
            runtime.block_on(run::run(config)).map_err(|e| (1, e.to_string()))?;
            Ok(ExitCode::SUCCESS)
        }
        Cmd::Certificate { config, out, renew } => certificate(&config, out.as_deref(), renew),
        Cmd::Check { config } => {
            let config = Config::load(&config).map_err(bad)?;
            let wrong = run::check(&config).map_err(|e| (1, e.to_string()))?;
            for w in &wrong {
                println!("{w}");
            }
            if wrong.is_empty() {
                println!("rows, counters, rollups, tiles and roots agree with the receipts");
                return Ok(ExitCode::SUCCESS);
            }
            Ok(ExitCode::from(3))
        }
    }
}

/// The certificate on standard output or in a file, for whom it is and its pin on standard error.
fn certificate(config: &Path, out: Option<&Path>, renew: bool) -> Result<ExitCode, Failed> {
    let config = Config::load(config).map_err(bad)?;
    let made = tls::certificate(&config, renew).map_err(|e| (1, e))?;
    match out {
        Some(path) => write(path, &made.pem)?,
        None => print!("{}", made.pem),
    }
    eprintln!("sha256={}", hex(&made.digest));
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, text: &str) -> Result<(), Failed> {
    std::fs::write(path, text).map_err(|e| (1, format!("{}: {e}", path.display())))
}

/// The operators' listeners; by default a socket beside that of the workloads.
fn operators_listeners(i: &Init) -> Result<Vec<String>, Failed> {
    if !i.listen_operators.is_empty() {
        return Ok(i.listen_operators.clone());
    }
    let beside = i.listen.iter().find_map(|l| l.strip_prefix("unix:"));
    let beside = beside.ok_or_else(|| {
        bad("--listen-operators: operators have listeners of their own; name one, for instance \
             unix:/run/conductor/operator.sock")
    })?;
    let socket = Path::new(beside).with_file_name("operator.sock");
    Ok(vec![format!("unix:{}", socket.display())])
}

fn operator(text: &str) -> Result<(Ident, String, Vec<String>), Failed> {
    let (who, file) =
        text.split_once('=').ok_or_else(|| bad(format!("--operator {text}: expected NAME=FILE")))?;
    let (name, roles) = who.split_once(':').unwrap_or((who, "viewer,operator,approver,admin"));
    let name = Ident::new(name).map_err(|e| bad(format!("--operator {text}: {e}")))?;
    let roles: Vec<String> = roles.split(',').map(str::to_owned).collect();
    if let Some(r) = roles.iter().find(|r| r.parse::<Role>().is_err()) {
        let known: Vec<&str> = Role::VARIANTS.iter().map(Into::into).collect();
        return Err(bad(format!("--operator {text}: no role {r:?}; roles are {}", known.join(", "))));
    }
    let key = run::read_public_key(Path::new(file)).map_err(bad)?;
    Ok((name, key, roles))
}

fn start(i: &Init) -> Result<(), Failed> {
    let signer_key = run::read_public_key(&i.signer_key).map_err(bad)?;
    let operators = i.operator.iter().map(|o| operator(o)).collect::<Result<Vec<_>, _>>()?;
    if i.config.exists() {
        return Err(bad(format!("{} exists already; nothing was changed", i.config.display())));
    }
    let mut text = String::new();
    let quote = |s: &str| toml::Value::String(s.to_owned()).to_string();
    let path = |p: &Path| quote(&std::path::absolute(p).unwrap_or_else(|_| p.to_owned()).to_string_lossy());
    let list = |all: &[String]| all.iter().map(|l| quote(l)).collect::<Vec<_>>().join(", ");
    let _ = write!(
        text,
        "name = {}\nenvironment = {}\ndata = {}\nkeys = {}\nlisten = [{}]\nlisten_operators = [{}]\nallow_plain = {}\n",
        quote(i.name.as_str()),
        quote(i.environment.as_str()),
        path(&i.data),
        path(&i.keys),
        list(&i.listen),
        list(&operators_listeners(i)?),
        i.allow_plain
    );
    let optional = [
        ("operator_group", i.operator_group.as_deref().map(quote)),
        ("tenant_sockets", i.tenant_sockets.as_deref().map(path)),
        ("certificate_names", Some(format!("[{}]", list(&i.certificate_name))).filter(|l| l != "[]")),
    ];
    for (field, value) in optional {
        text += &value.map_or_else(String::new, |v| format!("{field} = {v}\n"));
    }
    let _ = write!(text, "\n[signer]\nsocket = {}\n", path(&i.signer_socket));
    Config::parse(&i.config, &text).map_err(bad)?;
    let bootstrap = Bootstrap {
        data: &i.data,
        keys: &i.keys,
        name: i.name.clone(),
        signer_key: signer_key.clone(),
        operators,
        limits: SpaceLimits::default(),
    };
    let has = |role: &str| bootstrap.operators.iter().filter(|o| o.2.iter().any(|r| r == role)).count();
    if has("admin") < 1 || has("approver") < 2 || bootstrap.operators.len() < 2 {
        eprintln!(
            "conductord: what takes two persons cannot be done on this node, now or later: enrolling keys, granting \
             roles, letting a suspended person in again. It takes an admin and two persons with the role approver: \
             name them with --operator now, bootstrap closes for ever"
        );
    }
    let node = init(
        bootstrap,
        &RealClock::default(),
        &(Arc::new(OsRandom::default()) as Arc<dyn conductor_agent::platform::random::Random>),
    )
    .map_err(|e| (1, e.to_string()))?;
    write(&i.config, &text)?;
    if let Some(p) = &i.trust_out {
        write(p, &run::trust_file(node, &signer_key))?;
    }
    println!("{node}");
    Ok(())
}
