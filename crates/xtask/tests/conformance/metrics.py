"""Reads `/metrics` with the parser of the Prometheus project's own client library."""

import re
import sys
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

url = f"http://{sys.argv[1]}"
for _ in range(3):
    urllib.request.urlopen(f"{url}/v1/health/live").read()
with urllib.request.urlopen(f"{url}/metrics") as answer:
    kind = answer.headers["Content-Type"]
    text = answer.read().decode()
assert kind.startswith("text/plain; version=0.0.4"), kind

families = list(text_string_to_metric_families(text))
assert families, "there are metrics"
for family in families:
    assert family.documentation, f"{family.name} says what it counts"
    assert family.type != "unknown", f"{family.name} has a type"
    if not family.name.startswith("process_"):
        assert re.fullmatch(r"mainstay_[a-z]+_[a-z0-9_]+", family.name), family.name
