#!/usr/bin/env python3
"""Exact sums of WfFormat 1.5 records, computed independently of the reader in tui/src/replay.

usage: wf_sums.py FILE...            one line a file: name tasks duration_us bytes_in bytes_out
       wf_sums.py --tasks FILE...    one line a task: duration_us bytes_in bytes_out

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


def main(args):
    by_task = args[:1] == ["--tasks"]
    for path in args[1:] if by_task else args:
        with open(path, encoding="utf-8") as f:
            workflow = json.load(f, parse_float=Decimal)["workflow"]
        tasks = workflow["specification"]["tasks"]
        size = {f["id"]: int(f["sizeInBytes"]) for f in workflow["specification"].get("files", [])}
        run = {t["id"]: t["runtimeInSeconds"] for t in workflow["execution"]["tasks"]}
        each = [(micros(run[t["id"]]), *(sum(size[f] for f in t.get(k, [])) for k in ("inputFiles", "outputFiles")))
                for t in tasks]
        if by_task:
            for one in each:
                print(*one)
        else:
            print(os.path.basename(path), len(tasks), *map(sum, zip(*each)))


if __name__ == "__main__":
    main(sys.argv[1:])
