//! What is said of a mistake in a TOML file: where, what, and what was probably meant.

/// The nearest of the names that a parser's message says were expected, when one is near to what it found.
pub fn suggestion(message: &str) -> Option<&str> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let (true, Some(found)) = (message.contains("unknown field"), quoted.next()) else { return None };
    let near = quoted.map(|c| (distance(found, c), c)).min().filter(|(d, _)| *d <= 3);
    near.map(|(_, meant)| meant)
}

/// A mistake in one line, for where no more is shown: line, column, what, and what was probably meant.
pub fn in_one_line(text: &str, e: &toml::de::Error) -> String {
    let before = e.span().and_then(|s| text.get(..s.start)).unwrap_or("");
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    let what = e.message().trim_end();
    let meant = suggestion(what).map_or_else(String::new, |m| format!("; did you mean `{m}`?"));
    format!("line {line}, column {column}: {what}{meant}")
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(corner + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
