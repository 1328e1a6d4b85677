use super::*;
use crate::Bundle;
use crate::guard::on_own_stack;

fn engine(text: &str) -> Engine {
    let files = [("a.rego".to_owned(), text.to_owned())];
    Engine::prepare(Bundle::from_files(files).unwrap().files()).unwrap()
}

/// Rules that are asked by fields of the input, and deny all else.
fn asking(body: &str) -> Engine {
    engine(&format!("package conductor\n\nreasons contains \"q\" if false\n\n{body}\n"))
}

/// Undefined is denial, and so is everything that is not true.
#[test]
fn only_true_allows() {
    let mut e = asking("allow := input.x if input.x != null");
    assert_eq!(e.allows("{\"x\": true}"), Ok(true));
    for no in ["{}", "{\"x\": null}", "{\"x\": 1}", "{\"x\": \"true\"}", "{\"x\": [true]}", "{\"x\": false}"]
    {
        assert_eq!(e.allows(no), Ok(false), "{no}");
    }
    assert!(e.allows("not json").is_err());
}

/// An engine that uses up its time errs, inside functions too, and can be asked again.
#[test]
fn time_is_bounded() {
    let slow = "count([1 | some i in numbers.range(1, 3000); some j in numbers.range(1, 3000); i == j]) > 0";
    let mut e = asking(&format!(
        "allow if {{\n\tinput.slow\n\t{slow}\n}}\n\nallow if f(input.inside)\n\nallow if input.fast\n\nf(x) if {{\n\tx\n\t{slow}\n}}"
    ));
    for input in ["{\"slow\": true}", "{\"inside\": true}"] {
        assert_eq!(e.allows(input), Err(EngineError::Slow(LIMIT)), "{input}");
    }
    assert_eq!(e.allows("{\"fast\": true}"), Ok(true));
}

/// A panic of regorus is no answer, and the next question has one.
#[test]
fn a_panic_is_no_answer() {
    let mut e = asking("allow if strings.count(input.x, input.y) == 1");
    for _ in 0..3 {
        let broke = e.allows("{\"x\": \"a\", \"y\": \"\"}");
        assert!(matches!(broke, Err(EngineError::Broke(_))), "{broke:?}");
        assert_eq!(e.allows("{\"x\": \"a\", \"y\": \"a\"}"), Ok(true));
    }
}

/// What takes time or memory by a number in its arguments has a bound, and ends.
#[test]
fn functions_are_bounded() {
    let mut e = asking(
        "allow if {\n\tinput.f == 1\n\tcount(numbers.range(1, input.n)) == input.n\n}\n\nallow if {\n\tinput.f == 2\n\tcount(numbers.range_step(0, input.n, 1)) > 0\n}\n\nallow if {\n\tinput.f == 3\n\tcount(sprintf(input.s, [1])) > 0\n}\n\nallow if {\n\tinput.f == 4\n\tunits.parse(input.s) > 0\n}\n\nallow if {\n\tinput.f == 5\n\tunits.parse_bytes(input.s) > 0\n}",
    );
    for (good, bad) in [
        ("{\"f\": 1, \"n\": 1000}", "{\"f\": 1, \"n\": 10000000000}"),
        ("{\"f\": 2, \"n\": 1000}", "{\"f\": 2, \"n\": 10000000000}"),
        ("{\"f\": 3, \"s\": \"%5d\"}", "{\"f\": 3, \"s\": \"%1000000000d\"}"),
        ("{\"f\": 3, \"s\": \"%d\"}", "{\"f\": 3, \"s\": \"%.1000000000f\"}"),
        ("{\"f\": 4, \"s\": \"1e3\"}", "{\"f\": 4, \"s\": \"1e1000000000\"}"),
        ("{\"f\": 5, \"s\": \"1k\"}", "{\"f\": 5, \"s\": \"1E1000000000\"}"),
    ] {
        assert_eq!(e.allows(good), Ok(true), "{good}");
        assert!(matches!(e.allows(bad), Err(EngineError::Failed(_))), "{bad}");
    }
}

/// Rules say as much as fits into a receipt, and not more.
#[test]
fn reasons_are_cut_off() {
    let many = "reasons contains sprintf(\"%d %s\", [n, input.x]) if some n in numbers.range(1, 100)\n\nallow if false";
    let mut e = engine(&format!("package conductor\n\n{many}\n"));
    let said = e.reasons(&format!("{{\"x\": \"{}\"}}", "é".repeat(2 * MAX_REASON))).unwrap();
    assert_eq!(said.len(), MAX_REASONS);
    assert!(said.iter().all(|r| r.chars().count() == MAX_REASON), "{said:?}");
}

/// As deep as rules may be nested, each as deep as regorus lets an expression be, there is room on the stack.
#[test]
fn the_deepest_rules_fit_on_the_stack() {
    let (open, close) = ("[y | y := ".repeat(6) + &"[".repeat(5), "]".repeat(11));
    let mut text = String::from(
        "package conductor\n\nreasons contains \"q\" if false\n\nallow if f0(input.x)\n\nf62(x) if x\n",
    );
    for n in 0..62 {
        text += &format!("\nf{n}(x) if {{\n\tz := {open}f{}(x){close}\n\tcount(z) == 1\n}}\n", n + 1);
    }
    let mut e = engine(&text);
    assert_eq!(on_own_stack(|| e.allows("{\"x\": true}")).unwrap(), Ok(true));
}

/// A busy machine denies nothing: what an evaluation costs is counted, and not how long it waits for others. Behind that
/// there is a far limit.
#[test]
fn others_cost_an_evaluation_nothing() {
    let rules = "package conductor\n\nreasons contains \"q\" if false\n\nallow if count([1 | some i in numbers.range(1, input.n); i > 0]) == input.n\n";
    let files = [("a.rego".to_owned(), rules.to_owned())].into();
    let cost = |e: &mut Engine, n: u32| {
        let begun = limits::used();
        assert_eq!(e.allows(&format!("{{\"n\": {n}}}")), Ok(true), "{n}");
        limits::used().checked_sub(begun).unwrap()
    };
    let mut e = Engine::prepare(&files).unwrap();
    // Long enough to be waited for, and well within its limit.
    let mut n = 16;
    while cost(&mut e, n) < LIMIT / 10 {
        n *= 2;
    }
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut impatient = Engine::with_limits(&files, LIMIT, Duration::ZERO).unwrap();
    let input = format!("{{\"n\": {n}}}");
    let answers = std::thread::scope(|s| {
        for _ in 0..20 * cores {
            s.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let answers = (e.allows(&input), impatient.allows(&input));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        answers
    });
    assert_eq!(answers, (Ok(true), Err(EngineError::Late(Duration::ZERO))));
}
