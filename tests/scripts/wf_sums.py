#!/usr/bin/env python3
"""Exact sums of WfFormat 1.5 records, computed independently of the reader in tui/src/replay.

usage: wf_sums.py FILE...    one line a file: name tasks duration_us bytes_in bytes_out

Durations are read as decimals, never as floats, and become whole microseconds, rounded half to even, task by task.
tests/fixtures/wfformat/*.sums hold this script's output; the tests of the reader compare with them.
"""
import json
import os
import sys
from decimal import ROUND_HALF_EVEN, Decimal, getcontext

getcontext().prec = 60


def micros(seconds):
    return int((Decimal(seconds) * 1_000_000).to_integral_value(rounding=ROUND_HALF_EVEN))


def main(paths):
    for path in paths:
        with open(path, encoding="utf-8") as f:
            workflow = json.load(f, parse_float=Decimal)["workflow"]
        tasks = workflow["specification"]["tasks"]
        size = {f["id"]: int(f["sizeInBytes"]) for f in workflow["specification"].get("files", [])}
        run = {t["id"]: t["runtimeInSeconds"] for t in workflow["execution"]["tasks"]}
        duration = sum(micros(run[t["id"]]) for t in tasks)
        inputs = sum(size[f] for t in tasks for f in t.get("inputFiles", []))
        outputs = sum(size[f] for t in tasks for f in t.get("outputFiles", []))
        print(os.path.basename(path), len(tasks), duration, inputs, outputs)


if __name__ == "__main__":
    main(sys.argv[1:])
