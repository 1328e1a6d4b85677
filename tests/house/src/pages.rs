//! Pages of docs that name tests and constants: what their tables say, and what the sources have.

use std::collections::BTreeSet;

use crate::sources::Source;
use crate::tokens::{Token, tokens};

/// Heads of the last column of tables that name tests.
const HEADS: [&str; 2] = ["shown by", "tried by"];

/// A row of a table that names tests.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    pub line: usize,
    pub cells: Vec<String>,
}

impl Row {
    /// The tests that its last cell names: all code there.
    pub fn tests(&self) -> Vec<String> {
        self.cells.last().map(|cell| code(cell)).unwrap_or_default()
    }
}

/// Rows of those tables of a page whose last column names tests.
pub fn rows(page: &str) -> Vec<Row> {
    let (mut found, mut inside) = (Vec::new(), false);
    for (number, text) in page.lines().enumerate() {
        let Some(cells) = cells(text) else {
            inside = false;
            continue;
        };
        if !inside {
            inside = cells.last().is_some_and(|head| HEADS.contains(&head.as_str()));
        } else if !cells.iter().all(|cell| cell.chars().all(|c| matches!(c, '-' | ':'))) {
            found.push(Row { line: number + 1, cells });
        }
    }
    found
}

fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(|cell| cell.trim().to_owned()).collect())
}

/// What stands between backticks.
pub fn code(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn word(tokens: &[Token], i: usize) -> &str {
    tokens.get(i).filter(|token| !token.is_literal).map_or("", |token| token.text.as_str())
}

fn read(source: &Source) -> Vec<Token> {
    let stream = source.text.parse().unwrap_or_else(|error| panic!("{}: {error}", source.path));
    tokens(stream)
}

/// The path of a source as that of a module. A file of tests counts as the module that it tests.
fn stem(source: &Source) -> String {
    let path = source.path.trim_end_matches(".rs").trim_end_matches("/tests").trim_end_matches("_tests");
    path.replace('/', "::")
}

/// The tests of a source as `path::name`, inside macros too.
pub fn tests(source: &Source) -> Vec<String> {
    let tokens = read(source);
    let mut found = Vec::new();
    let mut marked = false;
    for i in 0..tokens.len() {
        let attribute = word(&tokens, i) == "#" && word(&tokens, i + 1) == "[";
        let named = ["test", "tokio"].contains(&word(&tokens, i + 2));
        let whole = word(&tokens, i + 3) == "]" || word(&tokens, i + 4) == "test";
        if attribute && named && whole {
            marked = true;
        } else if marked && word(&tokens, i) == "fn" {
            found.push(format!("{}::{}", stem(source), word(&tokens, i + 1)));
            marked = false;
        }
    }
    found
}

/// The constants of a source as `path::NAME`, those of tests too.
pub fn constants(source: &Source) -> BTreeSet<String> {
    let tokens = read(source);
    let is_const = |i: &usize| word(&tokens, *i) == "const" && word(&tokens, *i + 2) == ":";
    let full = |i| format!("{}::{}", stem(source), word(&tokens, i + 1));
    (0..tokens.len()).filter(is_const).map(full).collect()
}

/// The constants that a name on a page, `NAME` or `module::NAME`, can mean.
pub fn meant<'a>(name: &'a str, full: &'a BTreeSet<String>) -> impl Iterator<Item = &'a String> {
    full.iter().filter(move |f| f.strip_suffix(name).is_some_and(|before| before.ends_with("::")))
}

/// Whether a name on a page, `module::test`, is one of these full names. At least one module is named.
pub fn is_named(name: &str, full: &[String]) -> bool {
    name.contains("::")
        && full.iter().any(|f| f.strip_suffix(name).is_some_and(|before| before.ends_with("::")))
}
