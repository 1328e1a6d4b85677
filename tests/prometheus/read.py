"""Reads a metrics page from standard input by the reference parser and prints its families as one JSON object.

read.py openmetrics | text
"""

import json
import sys

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client import parser as text

read = {"openmetrics": openmetrics, "text": text}[sys.argv[1]].text_string_to_metric_families
families = {}
for family in read(sys.stdin.read()):
    # The older parser takes a family twice: here each has one block, as other readers ask for.
    assert family.name not in families, f"{family.name} comes twice"
    assert family.documentation and family.type != "unknown", family.name
    samples = [[s.name, s.labels, s.value] for s in family.samples]
    families[family.name] = {"type": family.type, "samples": samples}
print(json.dumps(families))
