//! The loop: messages in, effects out, a frame when something changed and at most 30 a second.

use super::effects::{Back, Runner};
use super::model::{Key, Model};
use super::msg::{Effect, Msg};
use super::terminal::{self, Guard};
use super::update::update;
use crate::client::clock::SystemClock;
use crate::client::endpoint::Endpoint;
use crate::client::error::ClientError;
use crate::client::http::Agent;
use crate::client::keys::{KeyError, KeyFile};
use crate::client::{pins, state};
use crate::view::theme::{Look, ThemeName};
use conductor_shared::clock::Clock as _;
use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::StreamExt as _;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Shortest time between two frames.
const FRAME: Duration = Duration::from_millis(33);
/// How often time is looked at.
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
    /// Colours.
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
    Pins {
        /// Where.
        path: String,
        /// Why.
        why: String,
    },
    /// No agent was named.
    #[error("no agent was named: --agent unix:/run/conductor/agent.sock")]
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
    let agents = config.agents.into_iter().map(Agent::new).collect::<Result<Vec<_>, _>>()?;
    let encrypted = KeyFile::load(&config.key_file)?.is_encrypted();
    let pins_file = pins::path();
    let look = Look::new(config.theme, config.no_color, config.ascii);
    let seed = crate::client::commands::random()?;
    let mut m = Model::new(&names, look, config.theme, config.read_only, seed);
    m.zone = jiff::tz::TimeZone::system();
    if let Some(path) = &pins_file {
        m.pins = pins::load(path).map_err(|e| ConsoleError::Pins {
            path: crate::view::format::safe(&path.to_string_lossy(), 200),
            why: e.to_string(),
        })?;
    }
    let (msgs, inbox) = mpsc::channel(256);
    let (back, backs) = mpsc::channel(8);
    let runner = Runner::new(agents, config.key_file, pins_file.clone(), Arc::new(clock), msgs, back);
    runner.outgoing();
    if encrypted {
        super::ask_password(&mut m);
    } else {
        runner.unlock(None);
    }
    let guard = Guard::new()?;
    let ended = main_loop(&mut m, runner, inbox, backs).await;
    drop(guard);
    if m.pins.changed
        && let Some(path) = &pins_file
    {
        state::replace(path, &m.pins.text())?;
    }
    ended
}

async fn main_loop(
    m: &mut Model,
    mut runner: Runner,
    mut inbox: mpsc::Receiver<Msg>,
    mut backs: mpsc::Receiver<Back>,
) -> Result<(), ConsoleError> {
    let clock = SystemClock;
    let mut screen = Terminal::new(CrosstermBackend::new(std::io::stdout()))?;
    let mut events = EventStream::new();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut frames = tokio::time::interval(FRAME);
    frames.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut term = signal(SignalKind::terminate())?;
    let mut hup = signal(SignalKind::hangup())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut tstp = signal(SignalKind::from_raw(nix::libc::SIGTSTP))?;
    let size = screen.size()?;
    update(m, Msg::Resize(size.width, size.height));
    update(m, Msg::Tick(clock.now()));
    loop {
        let msg = tokio::select! {
            biased;
            _ = term.recv() => return Ok(()),
            _ = hup.recv() => return Ok(()),
            _ = int.recv() => return Ok(()),
            _ = tstp.recv() => { suspend(m)?; None }
            _ = frames.tick(), if m.dirty => {
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
                terminal::draw(&mut screen, m)?;
                None
            }
            e = events.next() => match e {
                None => return Ok(()),
                Some(e) => event(e?),
            },
            b = backs.recv() => match b {
                Some(Back::Msg(msg)) => Some(msg),
                Some(Back::Key(key, info)) => {
                    if m.key == Key::Locked {
                        runner.start(&key);
                    }
                    Some(Msg::Unlocked(Ok(info)))
                }
                None => return Ok(()),
            },
            msg = inbox.recv() => msg,
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

/// Stops every thread of the process, the one that reads the terminal too: the shell has it alone meanwhile.
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
