//! Colours and marks by meaning. Colour never carries information alone: each tone also has a word, a mark or a weight,
//! so that the plain theme (`NO_COLOR`) and the ASCII marks lose nothing.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;
use strum::{EnumString, IntoStaticStr, VariantArray};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Text,
    Dim,
    Title,
    /// Where the eye should go.
    Accent,
    /// As it should be.
    Good,
    Warn,
    Bad,
    Allow,
    Deny,
    Selected,
    Stale,
    Key,
    /// A line being typed.
    Field,
}

/// A theme's public name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum ThemeName {
    Dark,
    Light,
    Plain,
}

impl ThemeName {
    /// The word in arguments and in the palette.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    theme: ThemeName,
    no_color: bool,
    /// Marks of ASCII only.
    pub(crate) ascii: bool,
}

impl Look {
    /// Without colours when the person set `NO_COLOR`, whatever the theme.
    pub(crate) fn new(theme: ThemeName, no_color: bool, ascii: bool) -> Self {
        Self { theme, no_color, ascii }
    }

    pub(crate) fn with(self, theme: ThemeName) -> Self {
        Self { theme, ..self }
    }

    pub(crate) fn plain(self) -> bool {
        self.no_color || self.theme == ThemeName::Plain
    }

    /// The style of a tone.
    pub(crate) fn style(self, tone: Tone) -> Style {
        let s = Style::new();
        if self.plain() {
            return match tone {
                Tone::Text | Tone::Good | Tone::Allow => s,
                Tone::Dim | Tone::Stale => s.add_modifier(Modifier::DIM),
                Tone::Title | Tone::Accent | Tone::Key | Tone::Warn | Tone::Deny => {
                    s.add_modifier(Modifier::BOLD)
                }
                Tone::Bad => s.add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
                Tone::Selected => s.add_modifier(Modifier::REVERSED),
                Tone::Field => s.add_modifier(Modifier::UNDERLINED),
            };
        }
        let pick =
            |dark: u8, light: u8| Color::Indexed(if self.theme == ThemeName::Light { light } else { dark });
        match tone {
            Tone::Text => s,
            Tone::Dim => s.fg(pick(245, 243)),
            Tone::Title => s.add_modifier(Modifier::BOLD),
            Tone::Accent => s.fg(pick(75, 25)).add_modifier(Modifier::BOLD),
            Tone::Good => s.fg(pick(79, 29)),
            Tone::Warn => s.fg(pick(221, 130)),
            Tone::Bad => s.fg(pick(210, 160)).add_modifier(Modifier::BOLD),
            Tone::Allow => s.fg(pick(73, 31)),
            Tone::Deny => s.fg(pick(215, 166)),
            Tone::Selected => s.bg(pick(238, 254)).add_modifier(Modifier::BOLD),
            Tone::Stale => s.fg(pick(242, 247)),
            Tone::Key => s.fg(pick(75, 25)),
            Tone::Field => s.add_modifier(Modifier::UNDERLINED),
        }
    }

    /// The badge of an environment: its word, and a ground of its own.
    pub(crate) fn environment(self, word: &str) -> (String, Style) {
        if self.plain() {
            let weight =
                if word == "production" { Modifier::REVERSED | Modifier::BOLD } else { Modifier::BOLD };
            return (format!("[{word}]"), Style::new().add_modifier(weight));
        }
        let (fg, bg) = match word {
            "production" => (231, 161),
            "staging" => (16, 179),
            "rehearsal" => (231, 62),
            "development" => (231, 66),
            _ => (231, 240),
        };
        (
            format!(" {word} "),
            Style::new().fg(Color::Indexed(fg)).bg(Color::Indexed(bg)).add_modifier(Modifier::BOLD),
        )
    }

    fn pick(self, fine: &'static str, ascii: &'static str) -> &'static str {
        if self.ascii { ascii } else { fine }
    }

    /// As it should be; live.
    pub(crate) fn ok(self) -> &'static str {
        self.pick("●", "*")
    }
    pub(crate) fn warn(self) -> &'static str {
        self.pick("▲", "!")
    }
    pub(crate) fn bad(self) -> &'static str {
        self.pick("✖", "X")
    }
    pub(crate) fn note(self) -> &'static str {
        self.pick("·", "-")
    }
    /// Lost or not here yet.
    pub(crate) fn lost(self) -> &'static str {
        self.pick("○", "o")
    }
    pub(crate) fn pointer(self) -> &'static str {
        self.pick("▌", ">")
    }
    pub(crate) fn more(self) -> &'static str {
        self.pick("…", "~")
    }
    /// The mark between an old and a new value.
    pub(crate) fn arrow(self) -> &'static str {
        self.pick("→", "->")
    }
    /// A column of height 0 to 8.
    pub(crate) fn level(self, n: usize) -> char {
        let levels = if self.ascii { " .,:-=+*#" } else { " ▁▂▃▄▅▆▇█" };
        levels.chars().nth(n.min(8)).unwrap_or(' ')
    }
    /// A gauge's full and empty cell.
    pub(crate) fn gauge(self) -> (char, char) {
        if self.ascii { ('#', '.') } else { ('━', '─') }
    }
    pub(crate) fn border(self) -> border::Set<'static> {
        if self.ascii {
            border::Set {
                top_left: "+",
                top_right: "+",
                bottom_left: "+",
                bottom_right: "+",
                vertical_left: "|",
                vertical_right: "|",
                horizontal_top: "-",
                horizontal_bottom: "-",
            }
        } else {
            border::ROUNDED
        }
    }
}

/// The theme's public names cannot change unseen.
#[cfg(test)]
mod tests {
    use super::*;

    /// Terminal craft: themes are public names.
    #[test]
    fn names() {
        let names: Vec<_> = ThemeName::VARIANTS.iter().map(|t| t.name()).collect();
        assert_eq!(names, ["dark", "light", "plain"]);
        assert!(ThemeName::VARIANTS.iter().all(|t| t.name().parse() == Ok(*t)));
    }

    /// Terminal craft: with `NO_COLOR` no style has a colour, in any theme.
    #[test]
    fn no_color_has_no_colour() {
        for theme in ThemeName::VARIANTS.iter().copied() {
            let look = Look::new(theme, true, false);
            for tone in
                [Tone::Good, Tone::Warn, Tone::Bad, Tone::Allow, Tone::Deny, Tone::Selected, Tone::Stale]
            {
                let s = look.style(tone);
                assert_eq!((s.fg, s.bg), (None, None), "{tone:?}");
            }
            assert_eq!(look.environment("production").1.bg, None);
        }
    }
}
