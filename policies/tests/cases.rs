//! Cases of OPA's suite as rules of a site, in which an engine that counts what is undefined allows what OPA denies.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use conductor_policies::{Bundle, Engine};
use conductor_shared::policy::{Freeze, Input, Ramp, Scope, Within, Work, Workflow};
use std::collections::BTreeMap;
use std::path::PathBuf;

fn input(workflow: &str) -> String {
    let input = Input {
        version: 1,
        class: "admit",
        operation: "run.start",
        tenant: "acme",
        profile: "default",
        principal: "workload",
        scope: Scope { proven: true },
        work: Some(Work { action: "run", workflow, env: "production", actor: "service" }),
        workflow: Some(Workflow { registered: true, prompt_fits: true }),
        within: Some(Within { concurrent_runs: true, step_rate: true, receipt_backlog: true }),
        ramp: Some(Ramp { included: true, killed: false }),
        freeze: Freeze { active: false, break_glass: false },
        role: None,
        approvals: None,
    };
    input.json()
}

/// The built-in rules with a group's own, and its cases.
fn group(name: &str) -> (BTreeMap<String, String>, Vec<String>) {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rego-cases")).join(name);
    let mut files = Bundle::built_in().files().clone();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.extension().is_some_and(|e| e == "rego") {
            files.insert(file, std::fs::read_to_string(&path).unwrap());
        }
    }
    let cases = std::fs::read_to_string(folder.join("CASES")).unwrap();
    (files, cases.lines().map(str::to_owned).collect())
}

/// Bodies in braces after `not`, and a variable that only a negated line binds: what this engine reads otherwise, and says so
/// in the guide. It reads them the same way each time.
const READ_OTHERWISE: [&str; 6] = ["0920", "0924", "0925", "0926", "0927", "0928"];

/// Each case is denied, by its own rule and for that alone, the first time and every later one; what the rules do not
/// mention is allowed.
#[test]
fn what_opa_denies_is_denied() {
    for (name, refused) in [
        ("completedoc", None),
        ("fix1863", None),
        ("functionerrors", None),
        // It has a file whose bodies in braces after `not` this engine cannot read: the whole bundle is refused.
        ("negation", Some("k0925_m0.rego")),
        ("nestedreferences", Some("data.three")),
        ("numbersrangestep", None),
    ] {
        let (files, cases) = group(name);
        let bundle = match (Bundle::from_files(files), refused) {
            (Ok(bundle), None) => bundle,
            (Err(e), Some(what)) => {
                assert!(e.to_string().contains(what), "{name}: {e}");
                continue;
            }
            (made, _) => panic!("{name}: {made:?}"),
        };
        let mut engine = Engine::prepare(bundle.files()).unwrap();
        for round in 0..3 {
            assert_eq!(engine.allows(&input("other")), Ok(true), "{name} {round}");
            for case in cases.iter().filter(|c| !READ_OTHERWISE.contains(&c.as_str())) {
                let input = input(&format!("case-{case}"));
                // No answer is a denial as well.
                assert_ne!(engine.allows(&input), Ok(true), "{name} {case} {round}");
                if let Ok(reasons) = engine.reasons(&input) {
                    assert_eq!(reasons, [format!("site: case {case}")], "{name} {case} {round}");
                }
            }
        }
    }
}
