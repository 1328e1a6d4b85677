#!/usr/bin/env python3
"""Writes policies/tests/opa-suite.json.gz: the cases of OPA's own test suite that a policy engine can be asked alone.

    scripts/opa-suite.py OPA-SOURCE

OPA-SOURCE is the source of OPA (github.com/open-policy-agent/opa, Apache-2.0), where the cases are in
v1/test/cases/testdata/v1. A case is taken when it asks for one document and says what comes out. Left out are those of
functions that rules may not call here. Needs python3 with PyYAML.
"""
import glob
import gzip
import json
import os
import re
import sys

LEFT_OUT = re.compile(
    r"^(crypto|jwt|net|graphql|jsonschema|planner-ir|providers|rand|rego|rendertemplate|time$|uuid"
    r"|stringinterpolation|globsmatch)")
QUERY = re.compile(r"^(data(?:\.\w+)+) = (\w+)$")
OTHER = ("want_error", "want_error_code", "input_term", "env")


def taken(case):
    asked = QUERY.match(case.get("query", ""))
    want = case.get("want_result") or []
    if not asked or any(k in case for k in OTHER) or "want_result" not in case or len(want) > 1:
        return None
    out = {"note": case["note"], "path": asked[1], "modules": case.get("modules") or [], "data": case.get("data") or {}}
    if "input" in case:
        out["input"] = case["input"]
    if want and asked[2] not in want[0]:
        return None
    if want:
        out["want"] = want[0][asked[2]]
    return out


def main():
    # PyYAML takes time; --help and a wrong call do not need it.
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__.strip())
    import yaml
    cases = []
    for file in sorted(glob.glob(os.path.join(sys.argv[1], "v1/test/cases/testdata/v1/*/*.yaml"))):
        if LEFT_OUT.match(os.path.basename(os.path.dirname(file))):
            continue
        with open(file) as f:
            cases += [c for c in map(taken, yaml.safe_load(f)["cases"]) if c]
    text = json.dumps(cases, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    out = os.path.join(os.path.dirname(__file__), "../policies/tests/opa-suite.json.gz")
    with open(out, "wb") as f:
        f.write(gzip.compress(text, 9, mtime=0))
    print(f"{len(cases)} cases")


main()
