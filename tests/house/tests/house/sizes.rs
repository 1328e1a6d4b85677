//! Large files and functions need a reason.

use conductor_house::sizes::{doc_comments, functions, percentile};
use conductor_house::sources::{Source, sources};

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 60;

#[test]
fn report() {
    let sources = sources();
    let mut files: Vec<usize> = sources.iter().map(|source| source.text.lines().count()).collect();
    let functions: Vec<_> = sources.iter().flat_map(functions).collect();
    let docs: Vec<usize> = sources.iter().flat_map(doc_comments).collect();
    let share = |part: usize, all: usize| 100.0 * part as f64 / all as f64;
    let long: Vec<_> = functions.iter().filter(|f| f.lines > FUNCTION_LINES).collect();
    let wide = functions.iter().filter(|f| f.parameters >= 7).count();
    let short = docs.iter().filter(|words| **words <= 3).count();
    println!(
        "file lines, median / 90 % / longest   {} / {} / {}",
        percentile(&mut files, 50),
        percentile(&mut files, 90),
        percentile(&mut files, 100)
    );
    println!("functions over 60 lines               {:.1} %", share(long.len(), functions.len()));
    println!("functions with 7 or more parameters   {:.2} %", share(wide, functions.len()));
    println!("doc comments of at most 3 words       {:.0} %", share(short, docs.len()));
    for source in sources.iter().filter(|source| source.text.lines().count() > FILE_LINES) {
        println!("{} lines: {}", source.text.lines().count(), source.path);
    }
    for f in long {
        println!("{} lines: {}", f.lines, f.name);
    }
}

#[test]
fn a_long_function_is_found_wherever_it_stands() {
    let body = "();\n".repeat(61);
    for text in [
        format!("fn f() {{\n{body}}}"),
        format!("impl A {{ fn f(&self) {{\n{body}}} }}"),
        format!("trait A {{ fn f(&self) {{\n{body}}} }}"),
        format!("mod m {{ fn g() {{ fn f() {{\n{body}}} }} }}"),
    ] {
        let found = functions(&Source { path: "a.rs".to_owned(), text: text.clone() });
        assert!(found.iter().any(|f| f.lines > FUNCTION_LINES && f.name.ends_with("::f")), "{text}");
    }
}
