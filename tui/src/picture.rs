//! A picture of the real screen, as SVG: the made-up console of [`crate::sample`] drawn into a buffer.

use crate::sample::{demo, draw_frame};
use crate::style::{Look, ThemeName};
use crate::update::update;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use std::fmt::Write as _;

/// Columns and rows of the picture.
const SIZE: (u16, u16) = (120, 24);
/// Pixels of a cell.
const CELL: (u32, u32) = (9, 19);
/// Ground and letters where a cell has none of its own.
const GROUND: &str = "#16181d";
const LETTERS: &str = "#d7dae0";

/// The list of tenants as SVG. The same every time.
pub fn picture() -> String {
    let look = Look::new(ThemeName::Dark, false, false);
    let mut m = demo(look, ThemeName::Dark);
    m.screens = vec![crate::model::screen::Screen::Tenants];
    update(&mut m, crate::model::message::Msg::Resize(SIZE.0, SIZE.1));
    let Ok(mut t) = Terminal::new(TestBackend::new(SIZE.0, SIZE.1));
    let Ok(()) = draw_frame(&mut t, &m);
    svg(t.backend().buffer())
}

/// An indexed colour of xterm's palette.
fn color(c: Color) -> Option<String> {
    let Color::Indexed(n) = c else { return None };
    let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * u32::from(n) };
    Some(match n {
        0..=15 => return None,
        16..=231 => {
            let n = n - 16;
            format!("#{:02x}{:02x}{:02x}", level(n / 36), level(n / 6 % 6), level(n % 6))
        }
        232.. => {
            let g = 8 + 10 * u32::from(n - 232);
            format!("#{g:02x}{g:02x}{g:02x}")
        }
    })
}

fn svg(b: &Buffer) -> String {
    let (w, h) = (u32::from(b.area.width) * CELL.0 + 16, u32::from(b.area.height) * CELL.1 + 16);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" font-family=\"ui-monospace, 'DejaVu Sans Mono', monospace\" font-size=\"15\">\n<title>The console's list of tenants</title>\n<rect width=\"{w}\" height=\"{h}\" rx=\"6\" fill=\"{GROUND}\"/>\n"
    );
    for y in 0..b.area.height {
        let mut x = 0;
        while x < b.area.width {
            let key = |c: &Cell| (c.fg, c.bg, c.modifier);
            let first = key(&b[(x, y)]);
            let from = x;
            let mut text = String::new();
            while x < b.area.width && key(&b[(x, y)]) == first {
                text.push_str(b[(x, y)].symbol());
                x += 1;
            }
            run(&mut out, (from, y, x - from), first, &text);
        }
    }
    out.push_str("</svg>\n");
    out
}

fn run(out: &mut String, (x, y, len): (u16, u16, u16), (fg, bg, m): (Color, Color, Modifier), text: &str) {
    let (left, top) = (8 + u32::from(x) * CELL.0, 8 + u32::from(y) * CELL.1);
    let width = u32::from(len) * CELL.0;
    let (mut ink, mut ground) = (color(fg).unwrap_or_else(|| LETTERS.into()), color(bg));
    if m.contains(Modifier::REVERSED) {
        (ink, ground) = (ground.unwrap_or_else(|| GROUND.into()), Some(ink));
    }
    if let Some(g) = ground {
        let _ = writeln!(
            out,
            "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{}\" fill=\"{g}\"/>",
            CELL.1
        );
    }
    if text.trim().is_empty() {
        return;
    }
    let bold = if m.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        out,
        "<text x=\"{left}\" y=\"{}\" fill=\"{ink}\"{bold} textLength=\"{width}\" lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\">{text}</text>",
        top + 14
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Docs: the picture in the README is this screen.
    #[test]
    fn the_picture_is_the_screen() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/pictures/tenants.svg");
        let now = picture();
        assert_eq!(now, picture(), "the same every time");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(std::path::Path::new(path).parent().unwrap()).unwrap();
            std::fs::write(path, &now).unwrap();
        }
        assert!(std::fs::read_to_string(path).unwrap() == now, "run with UPDATE_DOCS=1");
    }
}
