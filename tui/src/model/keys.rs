//! The table of keys. The bottom bar, the help and docs/reference/keys.md are generated from it; every key is looked up
//! here.

use crate::model::screen::Screen;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use strum::VariantArray;

/// Where a key is active, in the order of the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub(crate) enum KeyScope {
    Everywhere,
    /// On screens with a list.
    List,
    Overview,
    /// On the list of tenants.
    Tenants,
    Tenant,
    /// On the list of receipts.
    Receipts,
    Receipt,
    /// On the list of approvals.
    Approvals,
    /// On the list of incidents.
    Incidents,
    Timeline,
    /// On the ramps of a tenant.
    Ramps,
    /// On usage and cost.
    UsageCost,
    /// On incidents, their timeline, ramps, freezes, administration, usage and cost.
    Polled,
    /// In the menu of actions.
    Menu,
    Dialog,
    /// Where a line is typed.
    Input,
}

impl KeyScope {
    /// The heading in help and docs.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Everywhere => "Everywhere",
            Self::List => "In lists",
            Self::Overview => "Overview",
            Self::Tenants => "Tenants",
            Self::Tenant => "One tenant",
            Self::Receipts => "Receipts",
            Self::Receipt => "One receipt",
            Self::Approvals => "Approvals",
            Self::Incidents => "Incidents",
            Self::Timeline => "Timeline",
            Self::Ramps => "Ramps",
            Self::UsageCost => "Usage and cost",
            Self::Polled => "Incidents, timeline, ramps, freezes, admin, usage, cost",
            Self::Menu => "Actions, after !",
            Self::Dialog => "In dialogs",
            Self::Input => "While typing",
        }
    }
}

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the table below says it in words that people read
pub(crate) enum Act {
    Up,
    Down,
    PageUp,
    PageDown,
    Top,
    Bottom,
    Enter,
    Back,
    Quit,
    Help,
    Palette,
    Filter,
    Screen(u8),
    NextScreen,
    PreviousScreen,
    Sort,
    Reverse,
    AllNodes,
    Copy,
    Alarms,
    Receipts,
    Follow,
    Acknowledge,
    Close,
    Approve,
    Refuse,
    Suspend,
    Redraw,
    Menu,
    Rollback,
    Kill,
    Drain,
    Freeze,
    SetRamp,
    LiftKill,
    NextField,
    PreviousField,
    NextRange,
    PreviousRange,
    NextMetric,
    Export,
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Binding {
    pub(crate) scope: KeyScope,
    /// Names of keys, separated by spaces.
    pub(crate) keys: &'static str,
    pub(crate) act: Act,
    /// Word in the bottom bar; empty when it is not there.
    pub(crate) bar: &'static str,
    /// Sentence in help and docs.
    pub(crate) help: &'static str,
    /// It leads to a change: absent in read-only mode.
    pub(crate) changes: bool,
}

const fn k(scope: KeyScope, keys: &'static str, act: Act, bar: &'static str, help: &'static str) -> Binding {
    Binding { scope, keys, act, bar, help, changes: false }
}

const fn c(scope: KeyScope, keys: &'static str, act: Act, bar: &'static str, help: &'static str) -> Binding {
    Binding { scope, keys, act, bar, help, changes: true }
}

use KeyScope::{
    Approvals, Dialog, Everywhere, Incidents, Input, List, Menu, Overview, Polled, Ramps, Receipt, Receipts,
    Tenant, Tenants, Timeline, UsageCost,
};

/// The table. The bottom bar keeps its order.
#[rustfmt::skip]
pub(crate) const KEYS: &[Binding] = &[
    c(Everywhere, "!", Act::Menu, "act", "Actions on the selected tenant: roll back, kill, ramps"),
    k(Overview, "enter", Act::Enter, "tenants", "Tenants of the selected node"),
    k(Overview, "l", Act::Receipts, "node log", "Receipts of the node's own log"),
    k(Tenants, "enter", Act::Enter, "open", "Everything about the selected tenant"),
    k(Tenants, "l", Act::Receipts, "receipts", "Receipts of the selected tenant"),
    k(Tenants, "/", Act::Filter, "filter", "Filter: part of a name, @node or @environment, killed, frozen, ramped, quota, incident, pending, newer, forked"),
    k(Tenants, "s", Act::Sort, "sort", "Sort by name, trouble, backlog, denied, runs, ramp in turn"),
    k(Tenants, "S", Act::Reverse, "", "Reverse the order"),
    k(Tenant, "enter l", Act::Receipts, "receipts", "Receipts of this tenant"),
    k(Receipts, "enter", Act::Enter, "proof", "The receipt, with its proof checked here"),
    k(Receipts, "/", Act::Filter, "filter", "Filter: words that a line must have"),
    k(Receipts, "f", Act::Follow, "follow", "Follow the end of the log, or stop"),
    k(Approvals, "enter l", Act::Receipts, "receipts", "Receipts of the log that the marked request waits in"),
    c(Approvals, "A", Act::Approve, "approve", "Approve the marked request: read it, type the tenant's name and your password"),
    c(Approvals, "R", Act::Refuse, "refuse", "Refuse the marked request"),
    k(Incidents, "enter", Act::Enter, "timeline", "What happened around the marked incident"),
    k(Incidents, "l", Act::Receipts, "receipts", "Receipts of the log that it is in"),
    c(Incidents, "c", Act::Acknowledge, "acknowledge", "Acknowledge the marked incident"),
    c(Incidents, "x", Act::Close, "close", "Close the marked incident: it is over"),
    k(Timeline, "l", Act::Receipts, "receipts", "Receipts of this log"),
    k(Ramps, "enter", Act::Enter, "tenant", "Everything about the tenant"),
    k(UsageCost, "] right", Act::NextRange, "period", "Next period: 30 days, this month, 24 hours, 7 days, 90 days"),
    k(UsageCost, "[ left", Act::PreviousRange, "", "Previous period"),
    k(UsageCost, "m", Act::NextMetric, "chart", "What the chart of usage shows: receipts, runs, steps, step time, bytes stored"),
    k(UsageCost, "e", Act::Export, "export", "Write the period to a new CSV file where the console was started"),
    k(UsageCost, "enter", Act::Enter, "tenant", "Everything about the tenant"),
    k(Polled, "/", Act::Filter, "filter", "Filter: words that a row must have"),
    k(List, "j down", Act::Down, "", "Down"),
    k(List, "k up", Act::Up, "", "Up"),
    k(List, "ctrl-d pagedown", Act::PageDown, "", "A page down"),
    k(List, "ctrl-u pageup", Act::PageUp, "", "A page up"),
    k(List, "g home", Act::Top, "", "To the first"),
    k(List, "G end", Act::Bottom, "", "To the last"),
    k(Receipt, "j down", Act::Down, "", "Scroll down"),
    k(Receipt, "k up", Act::Up, "", "Scroll up"),
    k(Everywhere, "y", Act::Copy, "copy id", "Copy the selected id to your clipboard (OSC 52, works over SSH)"),
    k(Everywhere, ":", Act::Palette, "command", "Commands, with completion"),
    k(Everywhere, "?", Act::Help, "help", "This page"),
    k(Everywhere, "a", Act::Alarms, "", "Alarms: read and acknowledge them"),
    k(Everywhere, "1", Act::Screen(0), "", "Overview"),
    k(Everywhere, "2", Act::Screen(1), "", "Tenants"),
    k(Everywhere, "3", Act::Screen(2), "", "Receipts"),
    k(Everywhere, "4", Act::Screen(3), "", "Approvals: what waits for a second person"),
    k(Everywhere, "5", Act::Screen(4), "", "Incidents: what went wrong and is not over"),
    k(Everywhere, "6", Act::Screen(5), "", "Ramps of the selected tenant, with their SLO status"),
    k(Everywhere, "7", Act::Screen(6), "", "Freezes: windows on a calendar, and what is frozen"),
    k(Everywhere, "8", Act::Screen(7), "", "Admin: persons, keys and roles of the selected node; tokens"),
    k(Everywhere, "9", Act::Screen(8), "", "Usage of the selected tenant"),
    k(Everywhere, "0", Act::Screen(9), "", "Cost of the selected tenant"),
    k(Everywhere, "tab", Act::NextScreen, "", "Next screen"),
    k(Everywhere, "backtab", Act::PreviousScreen, "", "Previous screen"),
    k(Everywhere, "esc", Act::Back, "back", "Back; it never does anything else"),
    k(Everywhere, "q", Act::Quit, "quit", "Quit from a main screen; back from one tenant or receipt"),
    k(Everywhere, "ctrl-c", Act::Quit, "", "Quit from anywhere"),
    k(Everywhere, "ctrl-z", Act::Suspend, "", "Suspend; fg brings the console back"),
    k(Everywhere, "ctrl-l", Act::Redraw, "", "Draw the screen again"),
    c(Menu, "r", Act::Rollback, "roll back ramp", "Roll a ramp back to its last lower value"),
    c(Menu, "k", Act::Kill, "kill", "Kill: deny new runs and steps"),
    c(Menu, "d", Act::Drain, "drain", "Drain: deny new runs, let open runs finish"),
    c(Menu, "f", Act::Freeze, "freeze", "Freeze: nothing is loosened until somebody lifts it"),
    c(Menu, "s", Act::SetRamp, "set ramp", "Set a ramp: down at once, up after the riskier dialog"),
    c(Menu, "u", Act::LiftKill, "lift kill", "Lift a kill switch, after the riskier dialog"),
    k(Menu, "esc", Act::Back, "cancel", "Close the menu"),
    k(Dialog, "enter", Act::Enter, "", "Do what the marked button says"),
    k(Dialog, "esc", Act::Back, "", "Cancel; while waiting: stop waiting"),
    c(Dialog, "a", Act::AllNodes, "", "Make it safer on all nodes that hold the tenant, or on this one only"),
    k(Dialog, "down", Act::Down, "", "Next choice"),
    k(Dialog, "up", Act::Up, "", "Previous choice"),
    k(Dialog, "tab", Act::NextField, "", "Next field"),
    k(Dialog, "backtab", Act::PreviousField, "", "Previous field"),
    k(Input, "enter", Act::Enter, "", "Take what was typed"),
    k(Input, "esc", Act::Back, "", "Leave it; a filter is cleared"),
    k(Input, "tab down", Act::NextField, "", "Next field or completion"),
    k(Input, "backtab up", Act::PreviousField, "", "Previous field or completion"),
];

/// The name of a key, as in the table.
pub(crate) fn name(key: KeyEvent) -> String {
    match key.code {
        KeyCode::Char(' ') => "space".into(),
        KeyCode::Char(c) if key.modifiers.contains(KeyModifiers::CONTROL) => {
            format!("ctrl-{}", c.to_ascii_lowercase())
        }
        KeyCode::Char(c) if key.modifiers.contains(KeyModifiers::ALT) => format!("alt-{c}"),
        KeyCode::Char(c) => c.to_string(),
        KeyCode::Enter => "enter".into(),
        KeyCode::Esc => "esc".into(),
        KeyCode::Tab if key.modifiers.contains(KeyModifiers::SHIFT) => "backtab".into(),
        KeyCode::Tab => "tab".into(),
        KeyCode::BackTab => "backtab".into(),
        KeyCode::Left => "left".into(),
        KeyCode::Right => "right".into(),
        KeyCode::Up => "up".into(),
        KeyCode::Down => "down".into(),
        KeyCode::PageUp => "pageup".into(),
        KeyCode::PageDown => "pagedown".into(),
        KeyCode::Home => "home".into(),
        KeyCode::End => "end".into(),
        _ => String::new(),
    }
}

/// What a key does in one of these scopes; the first scope that knows it wins.
pub(crate) fn lookup(key: KeyEvent, scopes: &[KeyScope], read_only: bool) -> Option<Act> {
    let name = name(key);
    scopes.iter().find_map(|scope| {
        KEYS.iter()
            .filter(|b| b.scope == *scope && !(read_only && b.changes))
            .find(|b| b.keys.split(' ').any(|w| w == name))
            .map(|b| b.act)
    })
}

/// The scopes of a screen; the first that knows a key wins.
pub(crate) fn scopes(screen: Screen) -> &'static [KeyScope] {
    match screen {
        Screen::Overview => &[KeyScope::Overview, KeyScope::List, KeyScope::Everywhere],
        Screen::Tenants => &[KeyScope::Tenants, KeyScope::List, KeyScope::Everywhere],
        Screen::Tenant => &[KeyScope::Tenant, KeyScope::Everywhere],
        Screen::Receipts => &[KeyScope::Receipts, KeyScope::List, KeyScope::Everywhere],
        Screen::Receipt => &[KeyScope::Receipt, KeyScope::Everywhere],
        Screen::Approvals => &[KeyScope::Approvals, KeyScope::List, KeyScope::Everywhere],
        Screen::Incidents => &[KeyScope::Incidents, KeyScope::Polled, KeyScope::List, KeyScope::Everywhere],
        Screen::Timeline => &[KeyScope::Timeline, KeyScope::Polled, KeyScope::List, KeyScope::Everywhere],
        Screen::Ramps => &[KeyScope::Ramps, KeyScope::Polled, KeyScope::List, KeyScope::Everywhere],
        Screen::Freezes | Screen::Admin => &[KeyScope::Polled, KeyScope::List, KeyScope::Everywhere],
        Screen::Usage | Screen::Cost => {
            &[KeyScope::UsageCost, KeyScope::Polled, KeyScope::List, KeyScope::Everywhere]
        }
    }
}

/// The bindings of these scopes, in the order of the table.
pub(crate) fn bindings(scopes: &[KeyScope], read_only: bool) -> impl Iterator<Item = &'static Binding> {
    KEYS.iter().filter(move |b| scopes.contains(&b.scope) && !(read_only && b.changes))
}

#[cfg(test)]
pub(crate) fn docs() -> String {
    use std::fmt::Write as _;
    let mut out = String::from(
        "# Keys of the console\n\nMade from the table in tui/src/model/keys.rs; a test keeps it so. Keys marked with `!` in the\nlast column lead to a change and are absent with `--read-only`.\n",
    );
    for scope in KeyScope::VARIANTS.iter().copied() {
        let _ = write!(out, "\n## {}\n\n| key | what it does | |\n|---|---|---|\n", scope.title());
        for b in KEYS.iter().filter(|b| b.scope == scope) {
            let keys: Vec<String> = b.keys.split(' ').map(|k| format!("`{k}`")).collect();
            let _ =
                writeln!(out, "| {} | {} | {} |", keys.join(" "), b.help, if b.changes { "!" } else { "" });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Terminal craft: no key stands twice in one scope, and each says what it does.
    #[test]
    fn the_table_is_sound() {
        for (i, a) in KEYS.iter().enumerate() {
            assert!(!a.help.is_empty() && !a.keys.is_empty());
            for b in &KEYS[i + 1..] {
                let clash = a.keys.split(' ').any(|k| b.keys.split(' ').any(|l| k == l));
                assert!(a.scope != b.scope || !clash, "{a:?} and {b:?}");
            }
        }
    }

    /// SPEC, docs: the reference is this table. `UPDATE_DOCS=1` writes it.
    #[test]
    fn the_reference_is_this_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/keys.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(std::path::Path::new(path).parent().unwrap()).unwrap();
            std::fs::write(path, docs()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), docs(), "run with UPDATE_DOCS=1");
    }

    /// Terminal craft: in read-only mode keys that change something are absent.
    #[test]
    fn read_only_has_no_action_keys() {
        let bang = KeyEvent::new(KeyCode::Char('!'), KeyModifiers::NONE);
        assert_eq!(lookup(bang, &[KeyScope::Everywhere], false), Some(Act::Menu));
        assert_eq!(lookup(bang, &[KeyScope::Everywhere], true), None);
        assert!(bindings(KeyScope::VARIANTS, true).all(|b| !b.changes));
    }
}
