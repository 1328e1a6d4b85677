//! `conductor-signer`: the process that holds the secret key. Exit codes: 0 done, 1 it failed, 2 bad input, 3 the
//! memory may not be used (a new start will not help: see docs/guide/signer.md).

use clap::{Args, Parser, Subcommand};
use conductor_agent::platform::files::{self, FileError, Private};
use conductor_agent::signer::client::{self, SignerError};
use conductor_agent::signer::engine::Engine;
use conductor_agent::signer::harden;
use conductor_agent::signer::keys::{self, KeyError, KeyFile, PUBLIC, Public, SECRET};
use conductor_agent::signer::protocol::{MAX_PASSWORD, Password, State};
use conductor_agent::signer::server::{ListenError, Options, Server, listen};
use conductor_agent::signer::state::{SignerState, StateError};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::geteuid;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use zeroize::Zeroizing;

/// Holds the node's minisign secret key and signs checkpoints of logs that only grew.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a key and its memory
    Init(Init),
    /// Serve
    Run(Run),
    /// Give a locked signer its password
    Unlock {
        /// The signer's socket
        #[arg(long)]
        socket: PathBuf,
        /// User that the signer runs as; the password is sent to nobody else [default: your own]
        #[arg(long)]
        signer_uid: Option<u32>,
        /// File whose first line is the password; asked for at the terminal otherwise
        #[arg(long)]
        password_file: Option<PathBuf>,
    },
    /// Tell how the signer is; exit code 0 when it signs, 1 when not
    Status {
        /// The signer's socket
        #[arg(long)]
        socket: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct Init {
    /// Directory to make, or an empty one of mode 0700
    #[arg(long)]
    dir: PathBuf,
    /// File whose first line is the password; asked for twice at the terminal otherwise
    #[arg(long, conflicts_with = "unencrypted")]
    password_file: Option<PathBuf>,
    /// No password: for demos; whoever reads the file has the key
    #[arg(long)]
    unencrypted: bool,
    /// Take this minisign secret key instead of making one; it must never have signed a checkpoint
    #[arg(long)]
    key: Option<PathBuf>,
}

#[derive(Args)]
struct Run {
    /// The signer's directory
    #[arg(long)]
    dir: PathBuf,
    /// Where to listen
    #[arg(long)]
    socket: PathBuf,
    /// The agent's user, the only one that may have checkpoints signed [default: your own]
    #[arg(long)]
    agent_uid: Option<u32>,
    /// Group that may connect, by number; the socket's mode is then 0660, otherwise 0600
    #[arg(long)]
    group: Option<u32>,
    /// File whose first line is the password
    #[arg(long, conflicts_with = "credential")]
    password_file: Option<PathBuf>,
    /// Name of the systemd credential that holds the password
    #[arg(long)]
    credential: Option<String>,
}

/// Why a command failed.
enum End {
    Failed(String),
    BadInput(String),
    Memory(String),
}

impl From<KeyError> for End {
    fn from(e: KeyError) -> Self {
        match e {
            KeyError::Minisign(_) | KeyError::Signing(_) => Self::Failed(e.to_string()),
            _ => Self::BadInput(e.to_string()),
        }
    }
}
impl From<FileError> for End {
    fn from(e: FileError) -> Self {
        Self::BadInput(e.to_string())
    }
}
impl From<StateError> for End {
    fn from(e: StateError) -> Self {
        match e {
            StateError::File(_) | StateError::Unwritable(_) => Self::Failed(e.to_string()),
            _ => Self::Memory(e.to_string()),
        }
    }
}
impl From<ListenError> for End {
    fn from(e: ListenError) -> Self {
        Self::Failed(e.to_string())
    }
}
impl From<SignerError> for End {
    fn from(e: SignerError) -> Self {
        Self::Failed(e.to_string())
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let warnings = harden::process();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    for w in warnings {
        tracing::warn!("{w}");
    }
    let done = match cli.command {
        Command::Init(args) => init(&args),
        Command::Run(args) => run(&args),
        Command::Unlock { socket, signer_uid, password_file } => {
            unlock(&socket, signer_uid, password_file.as_deref())
        }
        Command::Status { socket, json } => status(&socket, json),
    };
    let (code, text) = match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(End::Failed(text)) => (1, text),
        Err(End::BadInput(text)) => (2, text),
        Err(End::Memory(text)) => (3, text),
    };
    let _ = writeln!(std::io::stderr(), "conductor-signer: {text}");
    ExitCode::from(code)
}

fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn ask(prompt: &str) -> Result<Zeroizing<String>, End> {
    let text = rpassword::prompt_password(prompt).map(Zeroizing::new);
    text.map_err(|e| End::BadInput(format!("no password can be asked for here ({e}): use --password-file")))
}

/// A new password, asked for twice.
fn new_password() -> Result<Password, End> {
    let first = ask("Password for the new key: ")?;
    if first.is_empty() || first.len() > MAX_PASSWORD {
        return Err(End::BadInput("the password must have 1 to 1024 bytes".into()));
    }
    if *first != *ask("The same again: ")? {
        return Err(End::BadInput("the two passwords are not the same; nothing was made".into()));
    }
    Ok(Password::new(first))
}

fn init(args: &Init) -> Result<(), End> {
    for name in [SECRET, PUBLIC, "signer.memory", "signer.anchor", "signer.refuses"] {
        let path = args.dir.join(name);
        if path.symlink_metadata().is_ok() {
            let text =
                format!("{}: there is one already; choose another --dir, nothing was made", path.display());
            return Err(End::BadInput(text));
        }
    }
    let given = args.password_file.as_deref().map(|f| keys::read_password(f, Private::Owner)).transpose()?;
    let (key, text) = if let Some(path) = &args.key {
        let file = KeyFile::read(path)?;
        let password = match given {
            None if file.encrypted() => Some(Password::new(ask("Password of the key: ")?)),
            given => given,
        };
        (file.open(password.as_ref())?, Zeroizing::new(file.text().to_owned()))
    } else if args.unencrypted {
        keys::generate(None)?
    } else {
        let password = given.map_or_else(new_password, Ok)?;
        keys::generate(Some(&password))?
    };
    if !args.dir.exists() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&args.dir);
        made.map_err(|e| End::BadInput(format!("{}: cannot be made: {e}", args.dir.display())))?;
    }
    files::check_dir(&args.dir)?;
    SignerState::create(&args.dir, key.public.digest())?;
    files::create(&args.dir.join(PUBLIC), keys::public_file(&key.public).as_bytes(), 0o600)?;
    // The key is written last: if it exists, everything else does.
    files::create(&args.dir.join(SECRET), text.as_bytes(), 0o600)?;
    say(&format!("key id: {}\npublic key: {}", key.public.key_id, key.public.base64));
    Ok(())
}

fn run(args: &Run) -> Result<(), End> {
    // Blocked before any thread starts, so that only this one receives them.
    let mut stop = SigSet::empty();
    for s in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        stop.add(s);
    }
    stop.thread_block().map_err(|e| End::Failed(format!("signals cannot be blocked: {e}")))?;

    let password = startup_password(args)?;
    files::check_dir(&args.dir)?;
    let _alone = alone(&args.dir)?;
    let file = KeyFile::read(&args.dir.join(SECRET))?;
    let public = Public::read(&args.dir)?;
    let key =
        if password.is_some() || !file.encrypted() { Some(file.open(password.as_ref())?) } else { None };
    drop((file, password));
    if key.as_ref().is_some_and(|k| k.public != public) {
        return Err(KeyError::NotAPair(args.dir.join(SECRET)).into());
    }
    let (memory, torn) = SignerState::open(&args.dir, public.digest())?;
    if torn > 0 {
        tracing::warn!(
            "cut {torn} bytes from the memory: a write that was never synced, so nothing of it was released"
        );
    }
    let own = geteuid().as_raw();
    let command = client::unlock_command(&args.socket, Some(own));
    let mut engine = Engine::new(&args.dir, public, memory, command)?;
    if let Some(key) = key {
        engine.unlock(key).map_err(|r| End::BadInput(r.detail))?;
    }
    if let Err(w) = harden::lock_memory() {
        tracing::warn!("{w}");
    }
    let status = engine.status();
    let options = Options {
        dir: args.dir.clone(),
        socket: args.socket.clone(),
        agent_uid: args.agent_uid.unwrap_or(own),
        socket_gid: args.group,
    };
    let listener = listen(&args.socket, args.group)?;
    let server = Server::new(engine, options);
    server.start(listener).map_err(|e| End::Failed(format!("no thread: {e}")))?;
    match status.state {
        State::Ready => tracing::info!(key = status.key_id, origins = status.origins, "ready"),
        State::Locked => tracing::warn!(key = status.key_id, "locked; run: {}", status.unlock_command),
        State::Refuses => tracing::error!(key = status.key_id, "{}", status.detail),
    }
    notify(&[sd_notify::NotifyState::Ready, sd_notify::NotifyState::Status(&server.state_line())]);
    let signal = wait_for_end(&stop)?;
    tracing::info!("{signal}: stopping");
    notify(&[sd_notify::NotifyState::Stopping]);
    server.stop();
    Ok(())
}

/// A hangup ends nothing: a closed terminal or a reload must not leave a node without its signer.
fn wait_for_end(signals: &SigSet) -> Result<Signal, End> {
    loop {
        match signals.wait().map_err(|e| End::Failed(format!("signals cannot be waited for: {e}")))? {
            Signal::SIGHUP => tracing::info!("SIGHUP: ignored"),
            signal => return Ok(signal),
        }
    }
}

fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(states) {
        tracing::warn!("the service manager was not told: {e}");
    }
}

/// Two signers on one memory would each miss what the other signed.
fn alone(dir: &Path) -> Result<Flock<std::fs::File>, End> {
    let path = dir.join("signer.lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(files::io_error(&path, "open"))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, e)| {
        End::Failed(format!("{}: another signer runs on this directory ({})", path.display(), e.desc()))
    })
}

fn startup_password(args: &Run) -> Result<Option<Password>, End> {
    if let Some(path) = &args.password_file {
        return Ok(Some(keys::read_password(path, Private::Owner)?));
    }
    let Some(name) = &args.credential else { return Ok(None) };
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(End::BadInput("--credential: expected the name of a credential, not a path".into()));
    }
    let dir = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
        let text = "--credential: $CREDENTIALS_DIRECTORY is not set; run it by systemd with LoadCredential=, or use \
                    --password-file";
        End::BadInput(text.into())
    })?;
    Ok(Some(keys::read_password(&Path::new(&dir).join(name), Private::NotOthers)?))
}

fn unlock(socket: &Path, uid: Option<u32>, password_file: Option<&Path>) -> Result<(), End> {
    let password = match password_file {
        Some(path) => keys::read_password(path, Private::Owner)?,
        None => Password::new(ask("Password of the signer's key: ")?),
    };
    client::unlock(socket, uid.unwrap_or_else(|| geteuid().as_raw()), password)?;
    say("unlocked");
    Ok(())
}

fn status(socket: &Path, json: bool) -> Result<(), End> {
    let s = client::plain_status(socket)?;
    if json {
        let text = serde_json::to_string_pretty(&s).map_err(|e| End::Failed(e.to_string()))?;
        say(&text);
    } else {
        let escape = |t: &str| conductor_shared::untrusted::escape(t, 500);
        let state = match s.state {
            State::Ready => "ready",
            State::Locked => "locked",
            State::Refuses => "refuses",
        };
        say(&format!("state:      {state}"));
        for (name, value) in [("detail", &s.detail), ("unlock", &s.unlock_command)] {
            if !value.is_empty() {
                say(&format!("{name:<11} {}", escape(value)));
            }
        }
        say(&format!("key id:     {}\npublic key: {}", escape(&s.key_id), escape(&s.public_key)));
        say(&format!("memory:     {} ({} logs, {} entries)", escape(&s.memory_id), s.origins, s.entries));
        say(&format!("signed:     {} since start; wrong passwords: {}", s.signed, s.wrong_passwords));
        say(&format!("version:    {} (protocol {})", escape(&s.version), s.protocol));
    }
    if s.state == State::Ready { Ok(()) } else { Err(End::Failed("the signer does not sign now".into())) }
}
