//! The engine that is built in: regorus, prepared once and then asked. Each thread has its own.
//!
//! What is asked all the time, whether it is allowed, is compiled for regorus' virtual machine, which answers about
//! three times as fast as its interpreter. Words for people are interpreted, and so are bundles that the machine cannot
//! hold or of which it does not say the very same as the interpreter (docs/adr/0013).

use crate::error::BundleError;
use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::program::Program;
use regorus::rvm::vm::RegoVM;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// An answer that takes longer is no answer (SPEC, invariant 3).
pub const LIMIT: Duration = Duration::from_millis(50);
/// One Rego test asks many times.
const TEST_LIMIT: Duration = Duration::from_secs(10);
/// Steps of the interpreter between two looks at the time.
const CHECK_EVERY: NonZeroU32 = NonZeroU32::new(64).unwrap();
/// Every package stands under it.
const ROOT: &str = "data.conductor";
/// True, and nothing else, allows.
const ALLOW: &str = "data.conductor.allow";
/// Words for people.
const REASONS: &str = "data.conductor.reasons";
/// Requests on which machine and interpreter are compared before a bundle is compiled.
const SAMPLE: u64 = 400;
/// Reasons that are told at most, and characters of each.
const MAX_REASONS: usize = 64;
const MAX_REASON: usize = 300;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("policy cannot be evaluated: {0}")]
pub struct EngineError(pub String);

/// A prepared engine.
pub struct Engine {
    interpreter: regorus::Engine,
    /// A machine that holds what [`Engine::allows`] asks, once it is compiled.
    machine: Option<Box<RegoVM>>,
}

/// A clone is interpreted until it is compiled for itself.
impl Clone for Engine {
    fn clone(&self) -> Self {
        Self { interpreter: self.interpreter.clone(), machine: None }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

impl Engine {
    /// Compiles the files of a bundle.
    pub fn prepare(files: &BTreeMap<String, String>) -> Result<Self, BundleError> {
        let mut engine = empty(LIMIT);
        for (name, text) in files {
            let wrong = |detail: String| BundleError::Rego { file: name.clone(), detail };
            let package = engine.add_policy(name.clone(), text.clone()).map_err(|e| wrong(said(&e)))?;
            if package != ROOT && !package.starts_with(&format!("{ROOT}.")) {
                let found = package.strip_prefix("data.").unwrap_or(&package);
                return Err(wrong(format!("package {found}: every package stands under conductor")));
            }
        }
        Ok(Self { interpreter: engine, machine: None })
    }

    /// Compiles what [`Engine::allows`] asks, and goes on by that if it says the same as the interpreter of a sample of
    /// requests. Some hundred evaluations of each: not for a thread that others wait for. Ends without effect at the first
    /// difference or error, or when `go_on` says no. Tells whether it is compiled.
    pub fn compile(&mut self, mut go_on: impl FnMut() -> bool) -> bool {
        self.machine = compile(&mut self.interpreter).and_then(machine).map(Box::new);
        let agrees = self.machine.is_some()
            && (0..SAMPLE).all(|n| {
                let input = sample(n);
                let interpreted = self.ask(&input, ALLOW).map(|v| v == regorus::Value::from(true));
                go_on() && interpreted.is_ok() && self.allows(&input) == interpreted
            });
        if !agrees {
            self.machine = None;
        }
        agrees
    }

    /// May it? Everything but `true` is no.
    pub fn allows(&mut self, input: &str) -> Result<bool, EngineError> {
        let Some(vm) = &mut self.machine else {
            return Ok(self.ask(input, ALLOW)? == regorus::Value::from(true));
        };
        let input = regorus::Value::from_json_str(input).map_err(|e| EngineError(said(&e)))?;
        vm.set_input(input);
        let answer = vm.execute().map_err(|e| EngineError(said(&e)))?;
        Ok(answer == regorus::Value::from(true))
    }

    /// Why not, in words, in order. What a rule says is text from outside.
    pub fn reasons(&mut self, input: &str) -> Result<Vec<String>, EngineError> {
        let value = self.ask(input, REASONS)?;
        let set = value.as_set().map(|s| s.iter().cloned().collect()).unwrap_or_default();
        let texts: Vec<regorus::Value> = set;
        let text = |v: &regorus::Value| v.as_string().map_or_else(|_| v.to_string(), ToString::to_string);
        Ok(texts.iter().take(MAX_REASONS).map(|v| text(v).chars().take(MAX_REASON).collect()).collect())
    }

    fn ask(&mut self, input: &str, rule: &str) -> Result<regorus::Value, EngineError> {
        self.interpreter.set_input_json(input).map_err(|e| EngineError(said(&e)))?;
        self.interpreter.eval_rule(rule.to_owned()).map_err(|e| EngineError(said(&e)))
    }

    /// Both questions can be answered, and an empty request is not allowed.
    pub(crate) fn can_be_asked(&mut self) -> Result<(), BundleError> {
        let no = |e: EngineError| {
            let missing = e.0.contains("not a valid rule path");
            let detail =
                if missing { "it must have the rules conductor.allow and conductor.reasons" } else { &e.0 };
            BundleError::Senseless(detail.to_owned())
        };
        self.reasons("{}").map_err(no)?;
        if self.allows("{}").map_err(no)? {
            let detail = "it allows an empty request: rules must deny what they do not know";
            return Err(BundleError::Senseless(detail.into()));
        }
        Ok(())
    }
}

fn empty(limit: Duration) -> regorus::Engine {
    let mut engine = regorus::Engine::new();
    engine.set_rego_v0(false);
    engine.set_strict_builtin_errors(true);
    engine.set_execution_timer_config(timer(limit));
    engine
}

fn timer(limit: Duration) -> regorus::utils::limits::ExecutionTimerConfig {
    regorus::utils::limits::ExecutionTimerConfig { limit, check_interval: CHECK_EVERY }
}

fn compile(engine: &mut regorus::Engine) -> Option<Arc<Program>> {
    let policy = engine.compile_with_entrypoint(&regorus::Rc::from(ALLOW)).ok()?;
    Compiler::compile_from_policy(&policy, &[ALLOW]).ok()
}

/// A request as engines get it, made up from a number: every fact one way or the other, or missing. The same each time.
fn sample(n: u64) -> String {
    // SplitMix64's output function: neighbouring numbers differ in half of their bits.
    let mut bits = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    // Mostly what lets a request through: where everything is wrong each rule denies alike.
    let mut one_in = |of: u64| {
        let v = bits % of;
        bits = (bits / of) ^ bits.rotate_left(29);
        v == 0
    };
    let admit = one_in(2);
    let class = if admit {
        "admit"
    } else if one_in(4) {
        "irreversible"
    } else {
        "loosen"
    };
    // Sometimes what belongs to the other kind of request.
    let operation = if admit ^ one_in(16) { "run.start" } else { "ramp.set" };
    let principal = if admit ^ one_in(16) { "workload" } else { "operator" };
    let mut fact = || !one_in(16);
    let mut parts = vec![
        format!(
            "\"version\":1,\"class\":\"{class}\",\"operation\":\"{operation}\",\"principal\":\"{principal}\""
        ),
        format!("\"tenant\":\"acme\",\"profile\":\"default\",\"scope\":{{\"proven\":{}}}", fact()),
        format!("\"freeze\":{{\"active\":{},\"break_glass\":{}}}", !fact(), !fact()),
    ];
    let work =
        "\"work\":{\"action\":\"run\",\"workflow\":\"etl\",\"env\":\"production\",\"actor\":\"service\"}";
    let of_work = [
        work.to_owned(),
        format!("\"workflow\":{{\"registered\":{},\"prompt_fits\":{}}}", fact(), fact()),
        format!("\"ramp\":{{\"included\":{},\"killed\":{}}}", fact(), !fact()),
        format!(
            "\"within\":{{\"concurrent_runs\":{},\"step_rate\":{},\"receipt_backlog\":{}}}",
            fact(),
            fact(),
            fact()
        ),
    ];
    let of_change = [
        format!("\"role\":{{\"held\":{}}}", fact()),
        format!("\"approvals\":{{\"enough\":{},\"distinct\":{}}}", fact(), fact()),
    ];
    // And sometimes a part is missing, or one too many.
    parts.extend(of_work.into_iter().filter(|_| admit == fact()));
    parts.extend(of_change.into_iter().filter(|_| admit != fact()));
    format!("{{{}}}", parts.join(","))
}

fn machine(program: Arc<Program>) -> Option<RegoVM> {
    let mut vm = RegoVM::new();
    vm.load_program(program);
    vm.set_data(regorus::Value::new_object()).ok()?;
    // As OPA has it: null holds, values of two types have an order, and what a built-in cannot do is undefined.
    vm.set_strict_builtin_errors(false);
    vm.set_execution_timer_config(Some(timer(LIMIT)));
    Some(vm)
}

/// One line of what the engine says.
fn said(e: &impl std::fmt::Display) -> String {
    let text = format!("{e:#}");
    let words: Vec<&str> =
        text.split_whitespace().filter(|w| !w.chars().all(|c| "|^-".contains(c))).collect();
    words.join(" ").chars().take(500).collect()
}

/// How one Rego test went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestOutcome {
    /// File.
    pub file: String,
    /// Package and rule.
    pub name: String,
    /// `Err` says what went wrong instead.
    pub passed: Result<(), String>,
}

/// Runs every rule that begins with `test_` in files that end with `_test.rego`, as `opa test` does.
pub fn run_tests(files: &[(String, String)]) -> Result<Vec<TestOutcome>, BundleError> {
    let mut engine = empty(TEST_LIMIT);
    let mut packages = Vec::new();
    for (name, text) in files {
        let added = engine.add_policy(name.clone(), text.clone());
        let package = added.map_err(|e| BundleError::Rego { file: name.clone(), detail: said(&e) })?;
        packages.push(package);
    }
    let mut out = Vec::new();
    for ((file, text), package) in files.iter().zip(packages).filter(|((f, _), _)| f.ends_with("_test.rego"))
    {
        for rule in test_rules(text) {
            let name = format!("{package}.{rule}");
            let passed = match engine.eval_rule(name.clone()) {
                Ok(v) if v == regorus::Value::from(true) => Ok(()),
                Ok(v) => Err(format!("expected true, got {v}")),
                Err(e) => Err(said(&e)),
            };
            out.push(TestOutcome { file: file.clone(), name, passed });
        }
    }
    Ok(out)
}

/// Names of the rules of a file that begin with `test_`, in order, each once.
fn test_rules(text: &str) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for line in text.lines().filter(|l| l.starts_with("test_")) {
        let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(line.len());
        if !names.contains(&&line[..end]) {
            names.push(&line[..end]);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bundle;

    fn engine(text: &str) -> Engine {
        let files = [("a.rego".to_owned(), text.to_owned())];
        Engine::prepare(Bundle::from_files(files).unwrap().files()).unwrap()
    }

    /// SPEC, X1: undefined is denial, and so is everything that is not true.
    #[test]
    fn only_true_allows() {
        let mut e = engine(
            "package conductor\n\nreasons contains \"q\" if false\n\nallow := input.x if input.x != null\n",
        );
        assert_eq!(e.allows("{\"x\": true}"), Ok(true));
        for no in
            ["{}", "{\"x\": null}", "{\"x\": 1}", "{\"x\": \"true\"}", "{\"x\": [true]}", "{\"x\": false}"]
        {
            assert_eq!(e.allows(no), Ok(false), "{no}");
        }
        assert!(e.allows("not json").is_err());
    }

    /// SPEC, X1: the built-in rules are compiled, and what stands for a request in the comparison is answered both ways.
    #[test]
    fn the_built_in_rules_are_compiled() {
        let mut e = Engine::prepare(Bundle::built_in().files()).unwrap();
        assert!(!e.compile(|| false), "nobody has the time");
        assert!(e.compile(|| true));
        let allowed = (0..SAMPLE).filter(|n| e.allows(&sample(*n)).unwrap()).count();
        assert!((20..380).contains(&allowed), "{allowed} of {SAMPLE} are allowed: they compare nothing");
    }

    /// SPEC, X1: a bundle of which machine and interpreter do not say the same is interpreted: here the machine lets what a
    /// built-in cannot do be undefined, and the interpreter has no answer.
    #[test]
    fn what_is_not_the_same_is_interpreted() {
        let mut e = engine(
            "package conductor\n\nreasons contains \"q\" if false\n\nallow if {\n\tinput.version == 1\n\tnot 1 / (input.version - 1) == 5\n}\n",
        );
        assert!(!e.compile(|| true));
        assert!(e.allows("{\"version\": 1}").is_err(), "no answer is a denial");
    }

    /// SPEC, invariant 3: an engine that takes longer than its time errs, and can be asked again.
    #[test]
    fn time_is_bounded() {
        let mut e = engine(
            "package conductor\n\nreasons contains \"q\" if false\n\nallow if {\n\tinput.slow\n\tcount([1 | some i in numbers.range(1, 3000); some j in numbers.range(1, 3000); i == j]) > 0\n}\n\nallow if input.fast\n",
        );
        let slow = e.allows("{\"slow\": true}");
        assert!(slow.is_err(), "{slow:?}");
        assert_eq!(e.allows("{\"fast\": true}"), Ok(true));
    }

    /// Issue 3, Policy: the tests of the built-in rules pass under the engine that is built in, and a broken rule is
    /// found.
    #[test]
    fn a_failing_test_is_told() {
        let files = |limit: u32| {
            [
                ("a.rego".to_owned(), format!("package conductor\n\nok(x) if x < {limit}\n")),
                ("a_test.rego".to_owned(), "package conductor_test\n\nimport data.conductor\n\ntest_small if conductor.ok(1)\n\ntest_large if {\n\tnot conductor.ok(9)\n}\n".to_owned()),
            ]
        };
        let passed = |limit| -> Vec<bool> {
            run_tests(&files(limit)).unwrap().iter().map(|t| t.passed.is_ok()).collect()
        };
        assert_eq!(passed(5), [true, true]);
        assert_eq!(passed(20), [true, false]);
        assert_eq!(passed(0), [false, true]);
    }
}
