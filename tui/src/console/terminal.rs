//! Raw mode and alternate screen, from [`enter`] to [`leave`]. [`leave`] runs on every exit: normal, error, panic in any
//! task, signal, suspension. Nothing else writes to the terminal.

use crate::model::Model;
use crate::view;
use base64::Engine as _;
use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use std::io::{self, Stdout, Write as _, stdout};
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) type TerminalScreen = Terminal<CrosstermBackend<Stdout>>;

static OURS: AtomicBool = AtomicBool::new(false);

pub(crate) fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    OURS.store(true, Ordering::SeqCst);
    execute!(stdout(), EnterAlternateScreen, EnableMouseCapture, EnableBracketedPaste, cursor::Hide)
}

/// Restores the terminal, once.
pub(crate) fn leave() {
    if OURS.swap(false, Ordering::SeqCst) {
        // Errors are ignored: the terminal may be gone.
        let _ = execute!(
            stdout(),
            EndSynchronizedUpdate,
            DisableBracketedPaste,
            DisableMouseCapture,
            LeaveAlternateScreen,
            cursor::Show
        );
        let _ = disable_raw_mode();
    }
}

/// Restores the terminal when dropped.
pub(crate) struct Guard;

impl Guard {
    /// Takes the terminal; a panic in any task restores it and ends the process.
    pub(crate) fn new() -> io::Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            leave();
            before(info);
            // After a panic the console would show incomplete data: exit instead.
            std::process::exit(101);
        }));
        enter()?;
        Ok(Self)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        leave();
    }
}

/// Stops the process as ctrl-z does; comes back when it is continued.
pub(crate) fn suspend() -> io::Result<()> {
    leave();
    nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP).map_err(io::Error::from)?;
    enter()
}

/// Draws one frame, all at once for terminals that know how.
pub(crate) fn draw(screen: &mut TerminalScreen, model: &Model) -> io::Result<()> {
    execute!(stdout(), BeginSynchronizedUpdate)?;
    let drawn = screen.draw(|f| view::draw(model, f)).map(|_| ());
    execute!(stdout(), EndSynchronizedUpdate)?;
    drawn
}

/// Puts text on the clipboard of the person's own terminal, also over SSH (OSC 52).
pub(crate) fn copy(text: &str) -> io::Result<()> {
    let mut out = stdout();
    write!(out, "\x1b]52;c;{}\x07", base64::engine::general_purpose::STANDARD.encode(text))?;
    out.flush()
}
