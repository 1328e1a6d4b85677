//! The event loop: takes messages, runs effects, draws at most 30 frames a second and only after changes.

mod fetch;
mod runner;
mod send;
mod terminal;

use crate::client::clock::SystemClock;
use crate::client::commands;
use crate::client::endpoint::Endpoint;
use crate::client::error::ClientError;
use crate::client::event::AgentEvent;
use crate::client::http::AgentClient;
use crate::client::keys::{KeyError, KeyFile};
use crate::client::pins;
use crate::model::message::{Effect, Msg, Reply};
use crate::model::{KeyState, Model};
use crate::style::{Look, ThemeName};
use crate::text::wrap::safe;
use crate::update::{ask_password, update};
use conductor_shared::clock::Clock as _;
use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::StreamExt as _;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use runner::{Back, Channels, Runner};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use terminal::{Guard, TerminalScreen};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Shortest time between two frames.
const FRAME: Duration = Duration::from_millis(33);
/// Interval between two ticks.
const TICK: Duration = Duration::from_millis(200);

/// What the console is started with.
#[derive(Debug, Clone)]
pub struct ConsoleConfig {
    /// Agents, in the order they stand on the screen; at least one.
    pub agents: Vec<Endpoint>,
    /// The operator's minisign secret key file.
    pub key_file: PathBuf,
    /// Only look: keys that change something are absent.
    pub read_only: bool,
    pub theme: ThemeName,
    /// No colours at all, as `NO_COLOR` asks for.
    pub no_color: bool,
    /// Marks and frames of ASCII only.
    pub ascii: bool,
}

/// Why the console could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// An agent's endpoint or the key cannot be used.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The terminal does not work.
    #[error(
        "the terminal does not work: {0}; is this a terminal? (conductor --help lists the plain commands)"
    )]
    Terminal(#[from] std::io::Error),
    /// The file of pins cannot be read. It is not overwritten.
    #[error(
        "{path} cannot be read: {why}; it remembers what was seen of each log, so look into it before you move it away"
    )]
    Pins { path: String, why: String },
    /// No agent was named.
    #[error("no agent was named: --agent unix:/run/conductor/operator.sock")]
    NoAgent,
}

/// True when the locale is not UTF-8, so that only ASCII is sure to be shown.
pub fn locale_is_ascii() -> bool {
    let first =
        ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|n| std::env::var(n).ok().filter(|v| !v.is_empty()));
    let name = first.unwrap_or_default().to_lowercase();
    !(name.contains("utf-8") || name.contains("utf8"))
}

/// Runs the console until the person leaves.
pub async fn run(config: ConsoleConfig) -> Result<(), ConsoleError> {
    if config.agents.is_empty() {
        return Err(ConsoleError::NoAgent);
    }
    let clock = SystemClock;
    let names: Vec<String> = config.agents.iter().map(ToString::to_string).collect();
    let agents = config.agents.into_iter().map(AgentClient::new).collect::<Result<Vec<_>, _>>()?;
    let encrypted = KeyFile::load(&config.key_file)?.is_encrypted();
    let pins_file = pins::path();
    let look = Look::new(config.theme, config.no_color, config.ascii);
    let seed = commands::random()?;
    let mut m = Model::new(&names, look, config.theme, config.read_only, seed);
    m.zone = jiff::tz::TimeZone::system();
    if let Some(path) = &pins_file {
        m.pins = pins::load(path).map_err(|e| ConsoleError::Pins {
            path: safe(&path.to_string_lossy(), 200),
            why: e.to_string(),
        })?;
    }
    let (out, inbox) = channels();
    let mut runner = Runner::new(agents, config.key_file, pins_file.clone(), Arc::new(clock), out);
    runner.outgoing();
    if encrypted {
        ask_password(&mut m);
    } else {
        runner.unlock(None);
    }
    let guard = Guard::new()?;
    let ended = main_loop(&mut m, &mut runner, inbox).await;
    drop(guard);
    runner.close().await;
    if m.pins.changed
        && let Some(path) = &pins_file
    {
        pins::save(path, m.pins.clone())?;
    }
    ended
}

/// What the loop receives.
struct Inbox {
    events: mpsc::Receiver<(usize, AgentEvent)>,
    replies: mpsc::Receiver<Reply>,
    backs: mpsc::Receiver<Back>,
}

fn channels() -> (Channels, Inbox) {
    let (events, events_in) = mpsc::channel(256);
    let (replies, replies_in) = mpsc::channel(256);
    let (back, backs) = mpsc::channel(8);
    (Channels { events, replies, back }, Inbox { events: events_in, replies: replies_in, backs })
}

/// Signals that end the console, or stop it for a while.
struct Signals {
    term: Signal,
    hup: Signal,
    int: Signal,
    tstp: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            hup: signal(SignalKind::hangup())?,
            int: signal(SignalKind::interrupt())?,
            tstp: signal(SignalKind::from_raw(nix::libc::SIGTSTP))?,
        })
    }

    async fn end(term: &mut Signal, hup: &mut Signal, int: &mut Signal) {
        tokio::select! {
            _ = term.recv() => {}
            _ = hup.recv() => {}
            _ = int.recv() => {}
        }
    }
}

async fn main_loop(m: &mut Model, runner: &mut Runner, mut inbox: Inbox) -> Result<(), ConsoleError> {
    let clock = SystemClock;
    let mut screen = Terminal::new(CrosstermBackend::new(std::io::stdout()))?;
    let mut keys = EventStream::new();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut frames = tokio::time::interval(FRAME);
    frames.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let Signals { mut term, mut hup, mut int, mut tstp } = Signals::new()?;
    let size = screen.size()?;
    update(m, Msg::Resize(size.width, size.height));
    update(m, Msg::Tick(clock.now()));
    loop {
        let msg = tokio::select! {
            biased;
            () = Signals::end(&mut term, &mut hup, &mut int) => return Ok(()),
            _ = tstp.recv() => { suspend(m)?; None }
            _ = frames.tick(), if m.dirty => { frame(m, &mut screen)?; None }
            e = keys.next() => match e {
                None => return Ok(()),
                Some(e) => event(e?),
            },
            b = inbox.backs.recv() => match b {
                Some(Back::Reply(reply)) => Some(Msg::Reply(reply)),
                Some(Back::Key(key, info)) => {
                    if m.key == KeyState::Locked {
                        runner.start(&key);
                    }
                    Some(Msg::Reply(Reply::Unlocked(Ok(info))))
                }
                None => return Ok(()),
            },
            reply = inbox.replies.recv() => reply.map(Msg::Reply),
            e = inbox.events.recv() => e.map(|(agent, e)| Msg::Agent(agent, e)),
            _ = ticks.tick() => Some(Msg::Tick(clock.now())),
        };
        let Some(msg) = msg else { continue };
        for effect in update(m, msg) {
            match effect {
                Effect::Quit => return Ok(()),
                Effect::Suspend => suspend(m)?,
                Effect::Lock => runner.lock(),
                Effect::Copy(text) => terminal::copy(&text)?,
                other => runner.run(other),
            }
        }
    }
}

fn frame(m: &mut Model, screen: &mut TerminalScreen) -> Result<(), ConsoleError> {
    // The size as it is now, not as the last event said: what is drawn must fit.
    let size = screen.size()?;
    if (size.width, size.height) != m.size {
        update(m, Msg::Resize(size.width, size.height));
    }
    m.dirty = false;
    if std::mem::take(&mut m.clear) {
        // `Terminal::clear` would ask the terminal where its cursor is, and the event stream would eat
        // the answer; a resize to the same size clears as well and asks nothing.
        screen.resize(ratatui::layout::Rect::new(0, 0, size.width, size.height))?;
    }
    terminal::draw(screen, m)?;
    Ok(())
}

/// Stops all threads of the process, so that nothing reads the terminal while the shell has it.
fn suspend(m: &mut Model) -> Result<(), ConsoleError> {
    terminal::suspend()?;
    let (w, h) = crossterm::terminal::size()?;
    update(m, Msg::Resize(w, h));
    update(m, Msg::Resumed);
    Ok(())
}

fn event(e: Event) -> Option<Msg> {
    match e {
        Event::Key(k) if k.kind != KeyEventKind::Release => Some(Msg::Key(k)),
        Event::Mouse(e) => Some(Msg::Mouse(e)),
        Event::Paste(t) => Some(Msg::Paste(t)),
        Event::Resize(w, h) => Some(Msg::Resize(w, h)),
        _ => None,
    }
}
