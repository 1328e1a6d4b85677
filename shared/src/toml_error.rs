//! Errors in TOML files, told in one line: where, what, and which name was probably meant.

/// The nearest of the names that a parser's message says were expected, when one is near to what it found.
pub fn suggestion(message: &str) -> Option<&str> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let (true, Some(found)) = (message.contains("unknown field"), quoted.next()) else { return None };
    let near = quoted.map(|c| (strsim::levenshtein(found, c), c)).min().filter(|(d, _)| *d <= 3);
    near.map(|(_, meant)| meant)
}

/// A TOML error in one line: line, column, message, and the name that was probably meant.
pub fn in_one_line(text: &str, e: &toml::de::Error) -> String {
    let before = e.span().and_then(|s| text.get(..s.start)).unwrap_or("");
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    let what = e.message().trim_end();
    let meant = suggestion(what).map_or_else(String::new, |m| format!("; did you mean `{m}`?"));
    format!("line {line}, column {column}: {what}{meant}")
}
