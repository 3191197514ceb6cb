"""Lets schemathesis look for requests that the API over what is committed does not answer as its OpenAPI document says.

The document is taken twice. As it is served, most requests name collections and keys that do not exist. Narrowed to one
collection and few keys, they meet each other: what one stores, the next reads, patches, lists and removes. What the
node has beside it (health, configuration, log levels, shards, backups) is not in the document, and not looked at here.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

address = sys.argv[1]
COMMITTED = 'mainstay_shard_commands_total{outcome="committed"'
base = f"http://{address}"
config = pathlib.Path(__file__).with_name("api.toml")
with urllib.request.urlopen(f"{base}/v1/openapi.json") as answer:
    text = answer.read()


def parameters(document):
    for path in document["paths"].values():
        for operation in path.values():
            yield from operation.get("parameters", [])


def sendable():
    """The document without what no schema can tell: that a session needs a position, whose shards ascend."""
    document = json.loads(text)
    # It waits for what happens, and as a stream does not end.
    del document["paths"]["/v1/collections/{collection}/changes"]
    for parameter in parameters(document):
        pattern = parameter["schema"].get("pattern", "")
        if parameter["name"] == "mainstay-consistency":
            parameter["schema"]["pattern"] = pattern.replace("session|", "")
        if parameter["name"] in ("mainstay-position", "last-event-id"):
            assert "(_" in pattern, pattern
            parameter["schema"]["pattern"] = pattern.split("(_")[0] + ")$"
        if parameter["name"] == "if-match":
            # Of this pattern it also makes values that do not match it, such as `0`.
            parameter["schema"] = choice("*", '"1-1"', '"1-2f"')
    return document


def narrowed():
    """With few names, timeouts in which something can happen, and what most commits need to be done."""
    document = sendable()
    schemas = document["components"]["schemas"]
    schemas["Name"] = choice("kv")
    schemas["Key"] = choice("u", "u/1", "u/2", "u/three", "u/\u00fc")
    # An answer may have others.
    schemas["Item"]["properties"]["key"] = {"type": "string"}
    for answer in ("DefinedCollection", "CollectionUsage"):
        schemas[answer]["properties"]["name"] = {"type": "string"}
    schemas["Commit"]["properties"]["partition"] = choice("u")
    schemas["CheckCondition"]["properties"]["cel"] = choice("exists", "!exists", "exists || value != 1")
    few = {
        "mainstay-timeout": choice("5s"),
        "grpc-timeout": choice("5S"),
        "prefix": choice("", "u", "u/", "v"),
    }
    for parameter in parameters(document):
        parameter["schema"] = few.get(parameter["name"], parameter["schema"])
    for path in document["paths"].values():
        for operation in path.values():
            # Keys that are made up meet those of other requests, which are refused for it.
            rare = ("cursor", "idempotency-key")
            operation["parameters"] = [it for it in operation["parameters"] if it["name"] not in rare]
    return document


def choice(*values):
    return {"type": "string", "enum": list(values)}


def look(document, examples, *excluded):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "openapi.json")
        path.write_text(json.dumps(document))
        command = [str(pathlib.Path(sys.executable).with_name("schemathesis")), "--config-file", str(config), "run"]
        command += ["--url", base, "--no-color", "--checks", "all", "--max-examples", str(examples)]
        command += ["--exclude-checks", ",".join(excluded)]
        # It leaves files behind where it runs.
        run = subprocess.run([*command, path], cwd=folder, capture_output=True, text=True)
    print(run.stdout, run.stderr, sep="\n")
    if run.returncode != 0:
        sys.exit(f"schemathesis ends with {run.returncode}")


# An item that was removed is there again when it is put or patched, which `use_after_free` does not expect.
look(sendable(), 40, "use_after_free")
# What is narrowed away is no mistake of a request.
look(narrowed(), 60, "use_after_free", "negative_data_rejection")

with urllib.request.urlopen(f"{base}/metrics") as answer:
    line = next(it for it in answer.read().decode().splitlines() if it.startswith(COMMITTED))
assert float(line.split()[-1]) >= 100, f"too little has happened for this to show anything: {line}"
