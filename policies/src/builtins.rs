//! Functions that rules may call: those of regorus, as it is compiled here. Some get a bound, because they take time or
//! memory by a number in their arguments and regorus looks at the time between calls only.

use crate::scan;
use regorus::Value;
use regorus::unstable::{BUILTINS, Expr, Ref, Source, Span};

/// Elements of a range at most.
const MAX_RANGE: u64 = 100_000;
/// Width and digits of a number in `sprintf`, and the exponent of a number with a unit.
const MAX_DIGITS: u64 = 1_000;

type Check = fn(&[Value]) -> Result<(), String>;

/// With a bound on their arguments.
const BOUNDED: [(&str, Check); 5] = [
    ("numbers.range", range),
    ("numbers.range_step", range),
    ("sprintf", digits),
    ("units.parse", exponent),
    ("units.parse_bytes", exponent),
];

/// How many arguments a function takes.
pub(crate) fn arguments(name: &str) -> Option<usize> {
    BUILTINS.get(name).map(|f| usize::from(f.1))
}

/// What can be said of a function of OPA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builtin {
    /// It is built in.
    Here,
    /// It is built in, and its arguments have a bound.
    Bounded,
    /// Its answers could differ from one time to the next: rules may not name it.
    Refused,
    /// It is not built in.
    Absent,
}

/// What can be said of a function of this name.
pub fn builtin(name: &str) -> Builtin {
    let bounded = BOUNDED.iter().any(|(n, _)| *n == name);
    match (scan::is_forbidden(name), bounded, name == "print" || BUILTINS.contains_key(name)) {
        (true, ..) => Builtin::Refused,
        (_, true, _) => Builtin::Bounded,
        (_, _, true) => Builtin::Here,
        (_, _, false) => Builtin::Absent,
    }
}

/// Names of all functions that are built in, in order.
pub(crate) fn builtins() -> Vec<&'static str> {
    let shown = BUILTINS.keys().copied().filter(|n| !n.starts_with("__"));
    let mut names: Vec<_> = shown.chain(["print"]).collect();
    names.sort_unstable();
    names
}

/// Puts the bounds before the functions.
pub(crate) fn bound(engine: &mut regorus::Engine) -> Result<(), String> {
    for (name, check) in BOUNDED {
        let (call, count) = *BUILTINS.get(name).ok_or_else(|| format!("{name} is not built in"))?;
        let span = nowhere(name)?;
        let nothing = |_| Ref::new(Expr::Null { span: span.clone(), value: Value::Null, eidx: 0 });
        let params: Vec<_> = (0..count).map(nothing).collect();
        let bounded = move |args: Vec<Value>| match check(&args) {
            Ok(()) => call(&span, &params, &args, true),
            Err(e) => Err(span.error(&e)),
        };
        engine.add_extension(name.to_owned(), count, Box::new(bounded)).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Functions want to know where they are called. These say their name; regorus adds the place in the rules.
fn nowhere(name: &str) -> Result<Span, String> {
    let source = Source::from_contents(name.to_owned(), name.to_owned()).map_err(|e| e.to_string())?;
    let end = u32::try_from(name.len()).unwrap_or(u32::MAX);
    Ok(Span { source, line: 1, col: 1, start: 0, end })
}

fn range(args: &[Value]) -> Result<(), String> {
    let [Ok(from), Ok(to)] = [args[0].as_i64(), args[1].as_i64()] else { return Ok(()) };
    let few = from.abs_diff(to) < MAX_RANGE;
    few.then_some(()).ok_or_else(|| format!("a range has at most {MAX_RANGE} numbers"))
}

fn digits(args: &[Value]) -> Result<(), String> {
    let Ok(format) = args[0].as_string() else { return Ok(()) };
    let long = numbers_in(format).any(|n| n > MAX_DIGITS);
    (!long).then_some(()).ok_or_else(|| format!("a width or a precision is at most {MAX_DIGITS}"))
}

fn exponent(args: &[Value]) -> Result<(), String> {
    let Ok(text) = args[0].as_string() else { return Ok(()) };
    let large =
        text.to_ascii_lowercase().split_once('e').is_some_and(|(_, e)| numbers_in(e).any(|n| n > MAX_DIGITS));
    (!large).then_some(()).ok_or_else(|| format!("an exponent is at most {MAX_DIGITS}"))
}

fn numbers_in(text: &str) -> impl Iterator<Item = u64> {
    let digits = text.split(|c: char| !c.is_numeric()).filter(|d| !d.is_empty());
    digits.map(|d| d.parse().unwrap_or(u64::MAX))
}
