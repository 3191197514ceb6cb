"""Whatever reaches a service is read alike by others.

Usual, odd and ambiguous requests go through the gateway to an origin that keeps the bytes it got. Those bytes are then given to
second parsers, with a sentinel behind them: they must read the same requests, no more and no fewer.

Arguments: where the gateway listens, the port of the origin, and other proxies as `name=program`.
"""

import re
import sys
import tempfile
from collections import Counter

from cases import CASES, damaged
from readers import Proxy, h11_reads, python_reads
from wire import Odd, Origin, address, exchange, read_all, statuses

gateway, origin = address(sys.argv[1]), Origin(int(sys.argv[2]))
proxies = dict(argument.split("=", 1) for argument in sys.argv[3:])
failures, streams, passed = [], {}, Counter()


def through(name, data):
    """The statuses of the answers; what reached the origin is kept."""
    answer = exchange(gateway, data)
    try:
        found = origin.take()
        requests = [request for stream in found for request in read_all(stream)]
        streams[name] = found
        told = statuses(answer, [request.method for request in requests])
    except (Odd, AssertionError) as odd:
        failures.append(f"{name}: {odd}")
        return None
    if len(requests) != told.count(200):
        failures.append(f"{name}: the origin read {len(requests)} requests, and {told} was answered")
    return told


for name, (data, expected) in CASES.items():
    told = through(name, data)
    if told is not None and told != expected:
        failures.append(f"{name}: answered with {told} instead of {expected}")
for name, data in damaged():
    told = through(name, data)
    passed[told is not None and told.count(200)] += 1

if passed[0] < 1000 or passed[1] < 100:
    failures.append(f"too few damaged requests are refused, or let through: {passed}")

# What a reader refuses where the gateway does not, and what of it. That is no other reading: it is answered, and nothing is sent on.
REFUSED = {
    ("envoy", "method of its own"): "only methods that it knows",
    ("envoy", "method in small letters"): "only methods that it knows",
    ("envoy", "method of odd letters"): "only methods that it knows",
    ("nginx", "method in small letters"): "only methods of capitals, `-` and `_`",
    ("nginx", "method of odd letters"): "only methods of capitals, `-` and `_`",
    ("nginx", "TRACE"): "no TRACE",
}


# Whatever the framing, Traefik sends `;` in a query on as `&`, so that what is behind it agrees with it on parameters.
ALTERED = {"traefik": lambda target: re.sub(rb"\?.*", lambda query: query[0].replace(b";", b"&"), target)}


def is_refusal(reader, name, seen):
    """Whether nothing of it was read, and that is known."""
    return (reader, name) in REFUSED and seen and all(isinstance(told, bytes) for told in seen)


def compare(reader, reads):
    """Gives a reader each stream; one that is there twice only once."""
    met, differences = set(), 0
    for name, found in streams.items():
        for stream in found:
            expected = [request.seen() for request in read_all(stream)]
            if stream in met:
                continue
            met.add(stream)
            try:
                seen = reads(stream)
            except Exception as error:
                seen = repr(error)
            alter = ALTERED.get(reader, lambda target: target)
            expected = [(method, alter(target), *rest) for method, target, *rest in expected]
            if seen != expected and not is_refusal(reader, name, seen):
                differences += 1
                failures.append(f"{reader} on {name}:\n  {str(stream)[:600]}\n  expected {str(expected)[:300]}\n  read     {str(seen)[:300]}")
    print(f"{reader}: {len(met)} streams, {differences} read otherwise")


compare("h11", h11_reads)
compare("http.server", python_reads)
with tempfile.TemporaryDirectory() as folder:
    for name, program in proxies.items():
        proxy = Proxy(name, program, folder)
        try:
            compare(name, proxy.reads)
        finally:
            proxy.stop()

print(f"{len(CASES)} requests, {sum(passed.values())} damaged ones of which {passed[0]} reached nobody")
if failures:
    sys.exit("\n".join(failures))
