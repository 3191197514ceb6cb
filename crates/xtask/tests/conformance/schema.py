"""Checks `mainstay config schema` with a foreign validator: it is a schema, it takes our example, and it refuses."""

import json
import subprocess
import sys

import yaml
from jsonschema.validators import validator_for

mainstay, example = sys.argv[1:]
schema = json.loads(subprocess.check_output([mainstay, "config", "schema"]))
kind = validator_for(schema, default=None)
assert kind is not None, f"the schema names its dialect: {schema.get('$schema')}"
kind.check_schema(schema)
validator = kind(schema)

with open(example) as file:
    errors = list(validator.iter_errors(yaml.safe_load(file) or {}))
assert not errors, errors
assert validator.is_valid({}), "an empty file is a valid configuration"
for broken in ({"nonsense": 1}, {"listen": {"api": 7}}, {"listen": {"apo": "127.0.0.1:1"}}, []):
    assert not validator.is_valid(broken), broken
