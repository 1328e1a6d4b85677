use crate::{Bundle, BundleError};

const MAIN: &str = "package conductor\n\nimport data.conductor.lib\n\ndefault allow := false\n\nreasons contains \"q\" if false\n";

/// What is said of rules that stand from line 8 of `main.rego` on, beside a file of functions and one of data.
fn said(rules: &str) -> Result<(), String> {
    let lib = "package conductor.lib\n\nf(x, y) if x == y\n\nlimits := {\"etl\": 1}\n\ntable[x] := 1 if some x in [1, 2]\n\nsub.field := 1\n";
    let data = "{\"conductor\": {\"known\": {\"teams\": {\"a\": [\"x\"]}}}}";
    let files =
        [("main.rego", format!("{MAIN}\n{rules}\n")), ("lib.rego", lib.into()), ("data.json", data.into())];
    match Bundle::from_files(files.map(|(n, t)| (n.to_owned(), t))) {
        Ok(_) => Ok(()),
        Err(e @ (BundleError::At { .. } | BundleError::Rego { .. })) => Err(e.to_string()),
        // That is found last, when every name leads somewhere.
        Err(e) if e.to_string().contains("it allows an empty request") => Ok(()),
        Err(e) => panic!("{rules}: {e:?}"),
    }
}

/// A name that leads nowhere is told with its line, whatever guards it.
#[test]
fn names_that_lead_nowhere_are_refused() {
    let mut told = String::new();
    for rules in [
        "allow if {\n\tinput.never\n\tstartwith(input.x, \"a\")\n}",
        "allow if {\n\tinput.never\n\tlib.g(1, 2)\n}",
        "allow if {\n\tinput.never\n\tdata.conductor.lib.f(1)\n}",
        "allow if {\n\tinput.never\n\tcount(1, 2, 3)\n}",
        "allow if {\n\tinput.never\n\tdata.conductor.lib.limit.etl == 1\n}",
        "allow if {\n\tinput.never\n\tlib.sub.fields == 1\n}",
        "allow if data.conductor.known.team.a",
        "allow if data.roles[input.x]",
        "allow if data.conductor.known.teams[data.conductor.nothing]",
        "allow if every x in input.xs { helper(x) }",
        "allow if count([x | some x in input.xs; missing.f(x)]) == 0",
        "allow if input.x with data.conductor.sits as 1",
        "allow if input.x with helper as 1",
        "import data.conductor.library\n\nallow if library",
        "allow := f2(1)\n\nf2(x) := {\"a\": lib.h(x)}",
        "allow if crypto_sha(input.x) == \"\"",
        "allow if not lib.ff(input.x, 1)",
        "allow if input.x else := http_get(1)",
    ] {
        told += &format!("{}\n", said(rules).expect_err(rules));
    }
    insta::assert_snapshot!("nowhere", told);
}

/// What is there is found, by whatever way it is named.
#[test]
fn names_that_lead_somewhere_are_taken() {
    for rules in [
        "allow if lib.f(1, 2)",
        "allow if data.conductor.lib.f(1, input.x)",
        "allow if lib.limits.etl.anything == 1",
        "allow if lib.limits[input.x]",
        "allow if lib.table[1]",
        "allow if lib.table.any == 1",
        "allow if data.conductor.lib[input.x]",
        "allow if data[\"conductor\"][\"lib\"].sub.field == 1",
        "allow if data.conductor.known.teams[input.x][0] == \"x\"",
        "allow if data.conductor.known.teams.a[0] == \"x\"",
        "allow if { lib := input.l; lib.whatever }",
        "allow if g(input.x)\n\ng(lib) if lib.whatever",
        "allow if g([1, {\"a\": input.x}])\n\ng([_, {\"a\": lib}]) if lib.whatever",
        "allow if every lib in input.xs { lib.whatever }",
        "allow if { x := input.x; x.anything.at.all }",
        "allow if input.x with data.conductor.known.teams.b as [1]",
        "allow if lib.f(1, 2) with data.conductor.lib.f as true",
        "allow if count(input.x) == 1 with count as 1",
        "allow if count(input.x) == 1 with count as mock\n\nmock(x) := 1 if x",
        "allow if sprintf(\"%d\", [1]) == \"1\"",
        "allow if object.get(input, \"x\", 1) == 1",
        "allow if { walk(input, [p, v]); p == [v] }",
        "allow if print(input.x, 1, 2, 3)",
        "allow if { split(input.x, \".\", parts); parts == [] }",
        "default g(_) := 1\n\ng(x) := 2 if x == 3\n\nallow if g(input.x) == 1",
        "a.b.c := 1\n\nallow if a.b.c == 1",
        "team contains x if some x in [1]\n\nallow if team[1]",
    ] {
        assert_eq!(said(rules), Ok(()), "{rules}");
    }
}

/// A rule that needs itself, by whatever way, would never be done; OPA refuses it too. So is a chain that is too long for
/// the stack.
#[test]
fn rules_that_need_themselves_are_refused() {
    let mut told = String::new();
    for rules in [
        "allow if g(1)\n\ng(x) if g(x + 1)",
        "allow if g(1)\n\ng(x) if h(x)\n\nh(x) if g(x)",
        "allow if a\n\na if not b\n\nb if a",
        "allow if data.conductor[input.x].deny",
        "allow if count(data) > 1",
        "allow if g(1) with h as g\n\ng(x) if h(x)\n\nh(x) if k(x) with k as h\n\nk(x) if x",
    ] {
        told += &format!("{}\n", said(rules).expect_err(rules));
    }
    let chain: String = (0..5_000).map(|n| format!("r{n} if r{}\n\n", n + 1)).collect();
    told += &format!("{}\n", said(&format!("{chain}r5000 if true")).expect_err("a chain"));
    let nested = format!("allow := {}1{}", "{\"a\": [".repeat(12), "]}".repeat(12));
    told += &format!("{}\n", said(&nested).expect_err("nested too deep"));
    insta::assert_snapshot!("circles", told);
}

/// A path is a rule's or a data file's, and a rule is a function everywhere or nowhere.
#[test]
fn what_stands_in_one_place_is_one_thing() {
    let mut told = String::new();
    for rules in
        ["known := 1", "known.teams.a := 1", "g(x) if x\n\ng if true", "g(x) if x\n\ng(x, y) if x == y"]
    {
        told += &format!("{}\n", said(rules).expect_err(rules));
    }
    insta::assert_snapshot!("places", told);
}

/// Nothing but the root may say what is allowed, and nothing but the root is in a bundle.
#[test]
fn other_packages_are_refused() {
    for package in
        ["other", "conductors", "conductor_x", "data.conductor", "a.conductor", "[\"conductor.x\"]"]
    {
        let text = format!("package {package}\n\nallow if true\n");
        let files = [
            ("a.rego".to_owned(), MAIN.replace("import data.conductor.lib\n", "")),
            ("b.rego".to_owned(), text),
        ];
        let refused = Bundle::from_files(files).unwrap_err().to_string();
        assert!(refused.starts_with("b.rego"), "{package}: {refused}");
    }
}
