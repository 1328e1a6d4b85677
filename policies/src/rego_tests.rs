//! Rego tests, as `opa test` runs them: every rule whose name begins with `test_`, in whatever file.

use crate::engine::{Engine, EngineError, TEST_FAR_LIMIT, TEST_LIMIT};
use crate::error::BundleError;
use crate::guard::on_own_stack;
use regorus::Value;

/// Result of one Rego test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestOutcome {
    /// Path of the file within the bundle.
    pub file: String,
    /// Path of the rule, package included.
    pub name: String,
    /// `Err` says why it failed.
    pub passed: Result<(), String>,
}

/// Runs all tests in these files with the engine that decides.
pub fn run_tests(files: &[(String, String)]) -> Result<Vec<TestOutcome>, BundleError> {
    let files = files.iter().cloned().collect();
    let run = on_own_stack(|| {
        let mut engine = Engine::with_limits(&files, TEST_LIMIT, TEST_FAR_LIMIT)?;
        let tests = engine.tests();
        Ok(tests.into_iter().map(|(file, name)| outcome(&mut engine, file, name)).collect())
    });
    run.map_err(BundleError::Senseless)?
}

fn outcome(engine: &mut Engine, file: String, name: String) -> TestOutcome {
    let passed = match engine.ask("{}", &name) {
        Ok(v) if v == Value::from(true) => Ok(()),
        Ok(Value::Object(_)) => {
            Err("tests with cases of their own (test_x[case]) are not run here: write a rule for each".into())
        }
        Ok(v) => Err(format!("expected true, got {v}")),
        Err(EngineError::Failed(said)) => Err(said),
        Err(e) => Err(e.to_string()),
    };
    TestOutcome { file, name, passed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(files: &[(&str, &str)]) -> Result<Vec<(String, bool)>, BundleError> {
        let files: Vec<_> = files.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
        Ok(run_tests(&files)?.into_iter().map(|t| (t.name, t.passed.is_ok())).collect())
    }

    /// The tests of the built-in rules pass under the engine that is built in, and a broken rule is found.
    #[test]
    fn a_failing_test_is_told() {
        let passed = |limit: u32| -> Vec<bool> {
            let rules = format!("package conductor\n\nok(x) if x < {limit}\n");
            let tests = "package conductor_test\n\nimport data.conductor\n\ntest_small if conductor.ok(1)\n\ntest_large if {\n\tnot conductor.ok(9)\n}\n";
            named(&[("a.rego", &rules), ("a_test.rego", tests)]).unwrap().into_iter().map(|t| t.1).collect()
        };
        assert_eq!(passed(5), [true, true]);
        assert_eq!(passed(20), [true, false]);
        assert_eq!(passed(0), [false, true]);
    }

    /// A test counts in whatever file and form it stands; what is no test, or has cases, is not taken for a passed one.
    #[test]
    fn tests_are_run_wherever_they_stand() {
        let text = "package conductor\n\n  test_indented if true\n\ntest_value := 1 < 2\n\ntest_twice if false\n\ntest_twice if true\n\ntest_cases[x] if some x in [1, 2]\n\ntest_function(x) if x\n\ntest_undefined if false\n\ntodo_test_later if false\n\ndefault test_default := false\n";
        let wanted = [
            ("data.conductor.test_indented", true),
            ("data.conductor.test_value", true),
            ("data.conductor.test_twice", true),
            ("data.conductor.test_cases", false),
            ("data.conductor.test_undefined", false),
            ("data.conductor.test_default", false),
        ];
        let wanted: Vec<_> = wanted.iter().map(|(n, ok)| ((*n).to_owned(), *ok)).collect();
        assert_eq!(named(&[("rules.rego", text)]).unwrap(), wanted);
    }

    /// Tests of a bundle are run on the rules that it has, and cannot add any to them.
    #[test]
    fn tests_add_nothing_to_rules() {
        let rules = ("a.rego", "package conductor\n\nallow if input.x\n");
        let helper = ("a_test.rego", "package conductor\n\nhelps if true\n\ntest_it if helps\n");
        assert_eq!(named(&[rules, helper]).unwrap().len(), 1);
        let cheat = ("a_test.rego", "package conductor\n\nallow if true\n\ntest_it if allow\n");
        let said = named(&[cheat, rules]).unwrap_err().to_string();
        assert!(
            said.starts_with("a_test.rego:3: data.conductor.allow: a file of tests cannot add"),
            "{said}"
        );
    }
}
