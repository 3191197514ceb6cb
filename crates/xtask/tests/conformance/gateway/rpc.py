"""gRPC through the gateway, by the library that its users have: what a client sees is what it sees of the service itself.

Arguments: where the gateway listens, the port of the service, where it listens with TLS, the authority that signed its certificate.
"""

import contextlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc

gateway, port, secure, authority = sys.argv[1:]
WAIT = 30
cancelled = threading.Event()


def seen(context):
    """What came of the client's metadata, but for what a hop adds."""
    return sorted((key, value) for key, value in context.invocation_metadata() if key.startswith("x-"))


def unary(request, context):
    context.send_initial_metadata([("x-initial", "1"), ("x-initial-bin", b"\0\xff")])
    context.set_trailing_metadata([("x-trailing", "2"), ("x-trailing-bin", b"\xff\0")])
    remaining = context.time_remaining()
    told = repr([it for it in seen(context) if not it[0].startswith("x-forwarded")])
    return request + told.encode() + (b" in time" if remaining is not None and remaining < WAIT + 1 else b" whenever")


def fails(request, context):
    context.set_trailing_metadata([("grpc-status-details-bin", b"\x08\x09\x12\x01a"), ("x-trailing", "2")])
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"no: ü % {request.decode()}\n")


def counts(request, context):
    yield from (b"%d" % number for number in range(int(request)))


def fails_midway(request, context):
    yield b"1"
    yield b"2"
    context.abort(grpc.StatusCode.DATA_LOSS, "midway")


def sums(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def echoes(requests, context):
    yield from requests


def never(request, context):
    context.add_callback(cancelled.set)
    yield b"begun"
    cancelled.wait(WAIT)


def sleeps(request, context):
    cancelled.wait(WAIT)
    return b""


KINDS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Fails": grpc.unary_unary_rpc_method_handler(fails),
    "Sleeps": grpc.unary_unary_rpc_method_handler(sleeps),
    "Counts": grpc.unary_stream_rpc_method_handler(counts),
    "FailsMidway": grpc.unary_stream_rpc_method_handler(fails_midway),
    "Never": grpc.unary_stream_rpc_method_handler(never),
    "Sums": grpc.stream_unary_rpc_method_handler(sums),
    "Echoes": grpc.stream_stream_rpc_method_handler(echoes),
}
LARGE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
server = grpc.server(ThreadPoolExecutor(64), options=LARGE)
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop.Shop", KINDS)])
assert server.add_insecure_port(f"127.0.0.1:{port}") == int(port)
server.start()


def outcome(call):
    """A status as a client sees it."""
    try:
        result = call()
    except grpc.RpcError as error:
        trailing = [(key, value) for key, value in error.trailing_metadata() or [] if key.startswith(("x-", "grpc-"))]
        return error.code().name, error.details(), sorted(trailing)
    return result


def several(channel):
    """Many calls at once on one connection."""
    call = channel.unary_unary("/shop.Shop/Unary")
    futures = [call.future(b"%d" % number, timeout=WAIT) for number in range(200)]
    return [future.result() for future in futures]


def metadata(channel):
    answer, call = channel.unary_unary("/shop.Shop/Unary").with_call(
        b"a", timeout=WAIT, metadata=[("x-a", "b"), ("x-a", "c"), ("x-a-bin", b"\0\xff\x80")]
    )
    kept = [sorted(it for it in found if it[0].startswith("x-")) for found in (call.initial_metadata(), call.trailing_metadata())]
    return answer, kept, call.code().name


def dialogue(channel):
    """Each message is sent when the answer to the one before it has come: nothing is held back."""
    come = threading.Semaphore(1)

    def say():
        for number in range(50):
            assert come.acquire(timeout=WAIT)
            yield b"%d" % number

    heard = []
    for answer in channel.stream_stream("/shop.Shop/Echoes")(say(), timeout=WAIT):
        heard.append(answer)
        come.release()
    return heard


def cancels(channel):
    cancelled.clear()
    call = channel.unary_stream("/shop.Shop/Never")(b"", timeout=WAIT)
    assert next(call) == b"begun"
    call.cancel()
    return outcome(lambda: next(call))[0], cancelled.wait(WAIT)


def late(channel):
    cancelled.clear()
    told = outcome(lambda: channel.unary_unary("/shop.Shop/Sleeps")(b"", timeout=0.3))
    cancelled.set()
    return told[0]


CASES = {
    "unary": lambda channel: channel.unary_unary("/shop.Shop/Unary")(b"a", timeout=WAIT),
    "unary without a deadline": lambda channel: channel.unary_unary("/shop.Shop/Unary")(b"a"),
    "unary of nothing": lambda channel: channel.unary_unary("/shop.Shop/Unary")(b"", timeout=WAIT),
    "unary of 3 MiB": lambda channel: channel.unary_unary("/shop.Shop/Unary")(b"a" * (3 << 20), timeout=WAIT),
    "unary, many at once": several,
    "metadata": metadata,
    "a status with details": lambda channel: outcome(lambda: channel.unary_unary("/shop.Shop/Fails")(b"a", timeout=WAIT)),
    "a method that is not there": lambda channel: outcome(lambda: channel.unary_unary("/shop.Shop/None")(b"a", timeout=WAIT)),
    "server streaming": lambda channel: list(channel.unary_stream("/shop.Shop/Counts")(b"1000", timeout=WAIT)),
    "server streaming of nothing": lambda channel: list(channel.unary_stream("/shop.Shop/Counts")(b"0", timeout=WAIT)),
    "a status midway": lambda channel: outcome(lambda: list(channel.unary_stream("/shop.Shop/FailsMidway")(b"", timeout=WAIT))),
    "client streaming": lambda channel: channel.stream_unary("/shop.Shop/Sums")((b"a" * 9_999 for _ in range(500)), timeout=WAIT),
    "client streaming of nothing": lambda channel: channel.stream_unary("/shop.Shop/Sums")(iter(()), timeout=WAIT),
    "both": lambda channel: list(channel.stream_stream("/shop.Shop/Echoes")((b"%d" % it for it in range(1000)), timeout=WAIT)),
    "a dialogue": dialogue,
    "cancelled by the client": cancels,
    "later than its deadline": late,
}


@contextlib.contextmanager
def channels():
    with open(authority, "rb") as file:
        trusting = grpc.ssl_channel_credentials(file.read())
    name = [("grpc.ssl_target_name_override", "localhost"), *LARGE]
    with (
        grpc.insecure_channel(f"127.0.0.1:{port}", LARGE) as direct,
        grpc.insecure_channel(gateway, LARGE) as through,
        grpc.secure_channel(secure, trusting, name) as through_tls,
    ):
        yield direct, {"through the gateway": through, "through the gateway by TLS": through_tls}


failures = []
with channels() as (direct, others):
    for name, case in CASES.items():
        expected = case(direct)
        for way, channel in others.items():
            try:
                told = case(channel)
            except Exception as error:
                told = repr(error)
            if told != expected:
                told, expected_text = str(told)[:800], str(expected)[:800]
                failures.append(f"{name} {way}:\n  {told}\n  and directly\n  {expected_text}")
    for way, channel in others.items():
        for method, expected, details in [
            ("/gone.Gone/Unary", "UNAVAILABLE", "cannot be reached"),
            ("/limited.Limited/Unary", "RESOURCE_EXHAUSTED", "is used up"),
        ]:
            call = channel.unary_unary(method)
            outcome(lambda: call(b"", timeout=WAIT))
            told = outcome(lambda: call(b"", timeout=WAIT))
            if told[0] != expected or details not in told[1]:
                failures.append(f"what the gateway itself says of {method} {way}: {told}")

# Its sides end each other's calls; a client that has gone is no reason to wait.
server.stop(None).wait(WAIT)
print(f"{len(CASES)} cases, each directly and {len(others)} ways through the gateway")
if failures:
    sys.exit("\n".join(failures))
