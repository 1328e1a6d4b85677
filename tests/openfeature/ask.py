"""Asks for flags through the OpenFeature SDK and prints what it got, one JSON line each.

ask.py BASE_URL TOKEN_FILE, and on standard input one JSON object a line: {"flag": ..., "key": ...}
"""

import json
import sys

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

base_url, token_file = sys.argv[1:]
with open(token_file, encoding="utf-8") as f:
    token = f.read().strip()
api.set_provider(
    OFREPProvider(base_url, headers_factory=lambda: {"Authorization": f"Bearer {token}"})
)
client = api.get_client()
for line in sys.stdin:
    ask = json.loads(line)
    # The default is the other answer: one that falls back to it is seen.
    got = client.get_boolean_details(ask["flag"], ask["default"], EvaluationContext(ask.get("key")))
    print(
        json.dumps(
            {
                "value": got.value,
                "reason": got.reason,
                "variant": got.variant,
                "error": got.error_code.value if got.error_code else None,
                "metadata": got.flag_metadata,
            }
        ),
        flush=True,
    )
