//! The embedded engine: regorus' interpreter, prepared once per thread, on a stack of [`crate::STACK`] bytes. Decisions,
//! explanations and Rego tests all use it, so that a bundle has one meaning.

mod limits;

pub use limits::{FAR_LIMIT, LIMIT};
pub(crate) use limits::{TEST_FAR_LIMIT, TEST_LIMIT};

use crate::data::Data;
use crate::error::BundleError;
use crate::guard::caught;
use crate::names::is_rego;
use crate::{builtins, resolve, scan};
use regorus::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// The decision. Only `true` allows.
const ALLOW: &str = "data.conductor.allow";
/// Why a request is denied, as text for people.
const REASONS: &str = "data.conductor.reasons";
/// Prefix of the names of tests.
const TEST: &str = "test_";
/// Maximum number of reasons.
const MAX_REASONS: usize = 64;
/// Maximum length of a reason, characters.
const MAX_REASON: usize = 300;

/// Why there is no answer. Each is a denial.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// A function failed, or the input is not valid JSON.
    #[error("policy cannot be evaluated: {0}")]
    Failed(String),
    /// It exceeded its limit of processor time.
    #[error("policy took longer than {} ms of processor time", .0.as_millis())]
    Slow(Duration),
    /// It exceeded the wall-clock limit without using its processor time.
    #[error("policy was not done after {} s: the machine gives it no processor time", .0.as_secs())]
    Late(Duration),
    /// The engine panicked: a bug in it that these rules trigger.
    #[error(
        "the policy engine broke down ({0}): it has a fault that these rules run into; load a bundle that avoids it"
    )]
    Broke(String),
}

/// An engine with the rules and data of one bundle.
#[derive(Clone)]
pub struct Engine {
    asked: regorus::Engine,
    /// A pristine copy that replaces `asked` after a panic, which may leave it inconsistent.
    fresh: regorus::Engine,
    limit: Duration,
    far: Duration,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

impl Engine {
    /// Parses the files of a bundle, Rego and data, and resolves every name in them.
    pub fn prepare(files: &BTreeMap<String, String>) -> Result<Self, BundleError> {
        Self::with_limits(files, LIMIT, FAR_LIMIT)
    }

    pub(crate) fn with_limits(
        files: &BTreeMap<String, String>,
        limit: Duration,
        far: Duration,
    ) -> Result<Self, BundleError> {
        let broke = |what: String| BundleError::Senseless(EngineError::Broke(what).to_string());
        let engine = caught(|| -> Result<regorus::Engine, BundleError> {
            let mut engine = empty(limit)?;
            for (name, text) in files.iter().filter(|(n, _)| is_rego(n)) {
                if let Some((line, what)) = scan::refused(text) {
                    return Err(BundleError::At { file: name.clone(), line, what });
                }
                let added = engine.add_policy(name.clone(), text.clone());
                added.map_err(|e| BundleError::Rego { file: name.clone(), detail: said(&e) })?;
            }
            let data = Data::of(files)?;
            let modules: Vec<_> = engine.get_modules().clone();
            resolve::check(&modules, &data)?;
            engine.add_data(data.document()).map_err(|e| BundleError::Senseless(said(&e)))?;
            Ok(engine)
        });
        let engine = engine.map_err(broke)??;
        Ok(Self { asked: engine.clone(), fresh: engine, limit, far })
    }

    /// True if the rules allow this input. Undefined and every value other than `true` deny.
    pub fn allows(&mut self, input: &str) -> Result<bool, EngineError> {
        Ok(self.ask(input, ALLOW)? == Value::from(true))
    }

    /// The reasons of a denial, sorted. They are outside text, so they are bounded.
    pub fn reasons(&mut self, input: &str) -> Result<Vec<String>, EngineError> {
        let value = self.ask(input, REASONS)?;
        let set = value.as_set().map(|s| s.iter().cloned().collect()).unwrap_or_default();
        let texts: Vec<Value> = set;
        let text = |v: &Value| v.as_string().map_or_else(|_| v.to_string(), ToString::to_string);
        Ok(texts.iter().take(MAX_REASONS).map(|v| text(v).chars().take(MAX_REASON).collect()).collect())
    }

    /// The value of one rule, by its path from `data`.
    pub(crate) fn ask(&mut self, input: &str, rule: &str) -> Result<Value, EngineError> {
        let (engine, far) = (&mut self.asked, self.far);
        let asked = caught(|| {
            limits::within(far, || {
                engine.set_input_json(input)?;
                engine.eval_rule(rule.to_owned())
            })
        });
        match asked {
            Ok((Ok(value), _)) => Ok(value),
            Ok((Err(e), late)) => Err(self.failure(&e, late)),
            Err(panic) => {
                self.asked = self.fresh.clone();
                Err(EngineError::Broke(panic))
            }
        }
    }

    /// File and path of each test rule.
    pub(crate) fn tests(&mut self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for module in self.fresh.get_modules() {
            for rule in resolve::rules(module).filter(|r| r.starts_with(TEST)) {
                let package = resolve::package(module);
                let test = (module.package.span.source.get_path().clone(), format!("data.{package}.{rule}"));
                if !found.contains(&test) {
                    found.push(test);
                }
            }
        }
        found
    }

    /// Maps an error of regorus, which reports the failure of a function as text.
    fn failure(&self, e: &impl std::fmt::Display, late: bool) -> EngineError {
        let said = said(e);
        match (said.contains("execution exceeded time limit"), late) {
            (false, _) => EngineError::Failed(said),
            (true, false) => EngineError::Slow(self.limit),
            (true, true) => EngineError::Late(self.far),
        }
    }

    /// Checks that both rules can be evaluated, and that an empty request is denied.
    pub(crate) fn can_be_asked(&mut self) -> Result<(), BundleError> {
        let no = |e: EngineError| {
            let said = e.to_string();
            let missing = said.contains("not a valid rule path");
            let detail =
                if missing { "it must have the rules conductor.allow and conductor.reasons" } else { &said };
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

/// The settings of all engines.
fn empty(limit: Duration) -> Result<regorus::Engine, BundleError> {
    let mut engine = regorus::Engine::new();
    engine.set_rego_v0(false);
    // A failing function is an error, and so a denial. Otherwise a deny rule that calls it would be silently undefined.
    engine.set_strict_builtin_errors(true);
    engine.set_execution_timer_config(limits::timer(limit));
    builtins::bound(&mut engine).map_err(BundleError::Senseless)?;
    Ok(engine)
}

/// An error message of the engine, as one line.
pub(crate) fn said(e: &impl std::fmt::Display) -> String {
    let text = format!("{e:#}");
    let words: Vec<&str> =
        text.split_whitespace().filter(|w| !w.chars().all(|c| "|^-".contains(c))).collect();
    words.join(" ").chars().take(500).collect()
}

#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;
