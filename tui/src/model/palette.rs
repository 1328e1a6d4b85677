//! The table of commands typed after `:`, with completion.

use crate::model::Model;
use crate::model::input::TextInput;
use crate::model::tenants::Sort;
use crate::style::ThemeName;
use strum::VariantArray as _;

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the table below says it in words that people read
pub(crate) enum PaletteCommand {
    Overview,
    Tenants,
    Receipts,
    Approvals,
    Incidents,
    Ramps,
    Usage,
    Cost,
    Range,
    Lock,
    Freezes,
    Admin,
    Tenant,
    NodeLog,
    Theme,
    Sort,
    Filter,
    Alarms,
    Help,
    Quit,
    Rollback,
    Kill,
    Drain,
    Freeze,
    Ramp,
    Unkill,
    #[cfg(debug_assertions)]
    Panic,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) args: &'static str,
    pub(crate) help: &'static str,
    pub(crate) command: PaletteCommand,
    /// It leads to a change: absent in read-only mode.
    pub(crate) changes: bool,
}

const fn e(
    name: &'static str,
    args: &'static str,
    help: &'static str,
    command: PaletteCommand,
    changes: bool,
) -> Entry {
    Entry { name, args, help, command, changes }
}

#[rustfmt::skip]
pub(crate) const COMMANDS: &[Entry] = &[
    e("overview", "", "nodes and what needs attention", PaletteCommand::Overview, false),
    e("tenants", "[filter]", "all tenants", PaletteCommand::Tenants, false),
    e("tenant", "<name>", "one tenant", PaletteCommand::Tenant, false),
    e("receipts", "[name]", "receipts of a tenant", PaletteCommand::Receipts, false),
    e("approvals", "", "what waits for a second person", PaletteCommand::Approvals, false),
    e("incidents", "", "what went wrong and is not over", PaletteCommand::Incidents, false),
    e("ramps", "[name]", "rules of a tenant, with their SLO status", PaletteCommand::Ramps, false),
    e("freezes", "", "windows on a calendar, and what is frozen", PaletteCommand::Freezes, false),
    e("admin", "", "persons, keys, roles and tokens", PaletteCommand::Admin, false),
    e("usage", "[name]", "what a tenant used", PaletteCommand::Usage, false),
    e("cost", "[name]", "what that costs", PaletteCommand::Cost, false),
    e("range", "<period>", "of usage and cost: 30d, 2026-10, a date, begin/end", PaletteCommand::Range, false),
    e("node-log", "", "receipts of the node's own log", PaletteCommand::NodeLog, false),
    e("filter", "<words>", "filter the list", PaletteCommand::Filter, false),
    e("sort", "<what by>", "sort the tenants", PaletteCommand::Sort, false),
    e("theme", "dark|light|plain", "colours", PaletteCommand::Theme, false),
    e("alarms", "", "read and acknowledge alarms", PaletteCommand::Alarms, false),
    e("help", "", "all keys", PaletteCommand::Help, false),
    e("lock", "", "forget the key until its password is typed again", PaletteCommand::Lock, false),
    e("quit", "", "leave", PaletteCommand::Quit, false),
    e("rollback", "[name]", "roll a ramp back", PaletteCommand::Rollback, true),
    e("kill", "[name]", "deny new runs and steps", PaletteCommand::Kill, true),
    e("drain", "[name]", "deny new runs, let open runs finish", PaletteCommand::Drain, true),
    e("freeze", "[name]", "nothing is loosened until somebody lifts it", PaletteCommand::Freeze, true),
    e("ramp", "[name]", "set a ramp", PaletteCommand::Ramp, true),
    e("unkill", "[name]", "lift a kill switch", PaletteCommand::Unkill, true),
    #[cfg(debug_assertions)]
    e("panic", "", "debug builds: fail, to see that the terminal survives", PaletteCommand::Panic, false),
];

/// A command being typed.
#[derive(Debug)]
pub(crate) struct Palette {
    pub(crate) input: TextInput,
    /// Which completion is chosen; none until Tab.
    pub(crate) chosen: Option<usize>,
    /// What is wrong with the line.
    pub(crate) error: Option<String>,
    stem: Option<String>,
}

/// The text before the completion, and the completions.
fn complete(m: &Model, text: &str) -> (String, Vec<(String, String)>) {
    let Some((word, arg)) = text.split_once(' ') else {
        let each = COMMANDS.iter().filter(|c| c.name.starts_with(text) && !(m.read_only && c.changes));
        return (
            String::new(),
            each.map(|c| (c.name.to_owned(), format!("{:<18} {}", c.args, c.help))).collect(),
        );
    };
    let Some(c) = COMMANDS.iter().find(|c| c.name == word) else { return (String::new(), vec![]) };
    let begins = |w: &&'static str| w.starts_with(arg);
    let plain = |w: &'static str| (w.to_owned(), String::new());
    let words = match c.command {
        PaletteCommand::Theme => {
            ThemeName::VARIANTS.iter().map(|t| t.name()).filter(begins).map(plain).collect()
        }
        PaletteCommand::Sort => Sort::VARIANTS.iter().map(|s| s.name()).filter(begins).map(plain).collect(),
        PaletteCommand::Range => {
            let all = crate::model::usage_cost::completions(m.now.wall).into_iter();
            all.filter(|w| w.starts_with(arg)).map(|w| (w, String::new())).collect()
        }
        PaletteCommand::Tenant
        | PaletteCommand::Receipts
        | PaletteCommand::Ramps
        | PaletteCommand::Usage
        | PaletteCommand::Cost
        | PaletteCommand::Rollback
        | PaletteCommand::Kill
        | PaletteCommand::Drain
        | PaletteCommand::Freeze
        | PaletteCommand::Ramp
        | PaletteCommand::Unkill => {
            m.tenants.completions(arg, 8).into_iter().map(|n| (n, "tenant".to_owned())).collect()
        }
        _ => vec![],
    };
    (format!("{word} "), words)
}

impl Palette {
    pub(crate) fn new() -> Self {
        Self { input: TextInput::new(120), chosen: None, error: None, stem: None }
    }

    /// Completions of what was typed before Tab.
    pub(crate) fn completions(&self, m: &Model) -> Vec<(String, String)> {
        complete(m, self.stem.as_deref().unwrap_or(self.input.text())).1
    }

    /// The line was edited.
    pub(crate) fn edited(&mut self) {
        (self.chosen, self.stem, self.error) = (None, None, None);
    }

    /// Takes the next or previous completion.
    pub(crate) fn turn(&mut self, m: &Model, forward: bool) {
        let stem = self.stem.get_or_insert_with(|| self.input.text().to_owned()).clone();
        let (before, words) = complete(m, &stem);
        if words.is_empty() {
            return;
        }
        let n = words.len();
        let at = match (self.chosen, forward) {
            (None, true) => 0,
            (None, false) => n - 1,
            (Some(i), true) => (i + 1) % n,
            (Some(i), false) => (i + n - 1) % n,
        };
        self.chosen = Some(at);
        self.input.set(&format!("{before}{}", words[at].0));
    }

    /// Parses the line: command and argument. A unique prefix of a command is enough.
    pub(crate) fn parse(&self, m: &Model) -> Result<(PaletteCommand, String), String> {
        let text = self.input.text().trim();
        let (word, arg) = text.split_once(' ').unwrap_or((text, ""));
        let open = || COMMANDS.iter().filter(|c| !(m.read_only && c.changes));
        if let Some(c) = open().find(|c| c.name == word) {
            return Ok((c.command, arg.trim().to_owned()));
        }
        let found: Vec<&Entry> = open().filter(|c| c.name.starts_with(word)).collect();
        match found.as_slice() {
            [c] => Ok((c.command, arg.trim().to_owned())),
            [] => Err(format!("no command \"{word}\"; Tab lists them")),
            many => Err(many.iter().map(|c| c.name).collect::<Vec<_>>().join(", ") + "?"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::keys::{Act, KEYS};
    use crate::model::screen::Screen;

    fn help_of_key(act: Act) -> String {
        KEYS.iter().find(|b| b.act == act).unwrap().help.to_lowercase()
    }

    fn words(text: &str) -> impl Iterator<Item = &str> {
        text.split([' ', ',', ':']).filter(|w| !w.is_empty())
    }

    fn entry(command: PaletteCommand) -> &'static Entry {
        COMMANDS.iter().find(|c| c.command == command).unwrap()
    }

    /// One name for one thing: what a key and a command both do has one name and one description in both tables.
    #[test]
    fn keys_and_commands_say_the_same() {
        for (n, screen) in (0..).zip(Screen::MAIN) {
            let help = help_of_key(Act::Screen(n));
            assert!(help.starts_with(screen.name()), "{screen:?}: {help}");
            assert!(COMMANDS.iter().any(|c| c.name == screen.name()), "{screen:?}");
        }
        for (act, command) in [
            (Act::Rollback, PaletteCommand::Rollback),
            (Act::Kill, PaletteCommand::Kill),
            (Act::Drain, PaletteCommand::Drain),
            (Act::Freeze, PaletteCommand::Freeze),
            (Act::SetRamp, PaletteCommand::Ramp),
            (Act::LiftKill, PaletteCommand::Unkill),
            (Act::Alarms, PaletteCommand::Alarms),
        ] {
            let (key, command) = (help_of_key(act), entry(command).help);
            let known: Vec<&str> = words(&key).collect();
            assert!(words(command).all(|w| known.contains(&w)), "{act:?}: \"{key}\" and \"{command}\"");
        }
    }
}
