"""curl and WebSocket clients: what they see through the gateway is what they see of the service itself.

Arguments: where the gateway listens, the port of the service, where it listens with TLS, the authority that signed its certificate,
the port of the service for WebSockets.
"""

import asyncio
import hashlib
import http
import ssl
import subprocess
import sys
import tempfile
import threading

import kosoku
import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from wire import Origin

gateway, port, secure, authority, ws_port = sys.argv[1:]
failures, going = [], threading.Semaphore(0)
EVENTS = [b"data: %d\n\n" % number for number in range(5)]


def answer(request):
    if request.target == b"/events":
        return events()
    if request.target == b"/next":
        going.release()
    body = b"%s %s %d %s" % (request.method, request.target, len(request.body), hashlib.sha256(request.body).hexdigest().encode())
    if request.target == b"/large":
        body = bytes(20 << 20)
    return b"HTTP/1.1 200 OK\r\nx-of: origin\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def events():
    """Each is sent when the client has seen the one before it."""
    yield b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    for event in EVENTS:
        yield b"%x\r\n%s\r\n" % (len(event), event)
        if not going.acquire(timeout=20):
            # Nobody has seen it: the answer is cut.
            raise OSError("the event did not arrive")
    yield b"0\r\n\r\n"


origin = Origin(int(port), answer)
WAYS = {
    "HTTP/1.1": ([f"http://{gateway}"], "1.1"),
    "HTTP/2": (["--http2-prior-knowledge", f"http://{gateway}"], "2"),
    "HTTP/1.1 by TLS": (["--http1.1", "--cacert", authority, f"https://localhost:{secure.split(':')[1]}"], "1.1"),
    "HTTP/2 by TLS": (["--cacert", authority, f"https://localhost:{secure.split(':')[1]}"], "2"),
}


def curl(way, path, *arguments):
    *options, base = way
    command = ["curl", "--silent", "--show-error", "--max-time", "60", "--noproxy", "*", *options, *arguments, base + path]
    return subprocess.run(command, capture_output=True)


def requests(folder):
    upload = f"{folder}/upload"
    with open(upload, "wb") as file:
        file.write(bytes(range(256)) * 8_192)
    yield "/get?a=b", []
    yield "/head", ["--head", "--output", "/dev/null"]
    yield "/post", ["--data", "hello"]
    yield "/upload", ["--upload-file", upload]
    yield "/chunked", ["--upload-file", upload, "--header", "Transfer-Encoding: chunked"]
    yield "/expect", ["--upload-file", upload, "--header", "Expect: 100-continue"]
    yield "/delete", ["--request", "DELETE"]
    yield "/large", []
    yield "/form", ["--form", f"file=@{upload}", "--form", "a=b", "--header", "Content-Type: multipart/form-data; boundary=x"]


def watched(way):
    """The events, the next of which is asked for when one was seen."""
    *options, base = way
    command = ["curl", "--silent", "--no-buffer", "--max-time", "60", "--noproxy", "*", *options, base + "/events"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        seen = []
        for line in child.stdout:
            if line != b"\n":
                seen.append(line)
                going.release()
        return seen, child.wait()


def by_curl():
    with tempfile.TemporaryDirectory() as folder:
        for path, arguments in requests(folder):
            direct = curl([f"http://127.0.0.1:{port}"], path, *arguments)
            assert direct.returncode == 0, (path, direct)
            for name, (way, version) in WAYS.items():
                told = curl(way, path, *arguments, "--write-out", "%{stderr}%{http_version} %{http_code}")
                # Two bodies of several parts have boundaries that are not the same.
                is_same = told.stdout == direct.stdout or path == "/form"
                if told.returncode != 0 or not is_same or not told.stderr.endswith(f"{version} 200".encode()):
                    seen = f"{told.returncode} {told.stdout[:200]} {told.stderr[-300:]}"
                    failures.append(f"curl {path} by {name}: {seen}, directly {direct.stdout[:200]}")
            if path == "/expect":
                for name in ("HTTP/1.1", "HTTP/1.1 by TLS"):
                    told = curl(WAYS[name][0], path, *arguments, "--verbose", "--expect100-timeout", "30")
                    if b"HTTP/1.1 100 Continue" not in told.stderr:
                        failures.append(f"curl {path} by {name}: no 100 (Continue) in {told.stderr[-800:]}")
    for name, (way, _) in WAYS.items():
        told = watched(way)
        if told != ([event.strip() + b"\n" for event in EVENTS], 0):
            failures.append(f"server-sent events by {name}: {told}")


async def echo(connection):
    try:
        async for message in connection:
            if message == "close 4000":
                return await connection.close(4000, "as asked")
            if message == "ping":
                await (await connection.ping(b"are you there"))
            await connection.send(message)
    except websockets.ConnectionClosed:
        # The cases close it in all ways.
        pass


def gate(connection, request):
    if request.path.endswith("/forbidden"):
        return connection.respond(http.HTTPStatus.FORBIDDEN, "no\n")
    return None


async def dialogue(uri, **options):
    """What a client hears of what it says."""
    heard = []
    async with connect(uri, subprotocols=["b.shop", "a.shop"], max_size=None, **options) as connection:
        heard.append((connection.subprotocol, connection.response.headers.get("Sec-WebSocket-Extensions")))
        for message in ("hello", b"\0\xff", "ü" * 100_000, b"a" * (8 << 20), "", "ping"):
            await connection.send(message)
            heard.append(await asyncio.wait_for(connection.recv(), 30) == message)
        await connection.send(piece for piece in ("in", " pieces"))
        heard.append(await asyncio.wait_for(connection.recv(), 30))
        await asyncio.wait_for(await connection.ping(), 30)
        for number in range(2_000):
            await connection.send(f"{number}")
        heard.append([await asyncio.wait_for(connection.recv(), 30) for _ in range(2_000)] == [f"{it}" for it in range(2_000)])
        await connection.send("close 4000")
        try:
            await asyncio.wait_for(connection.recv(), 30)
        except websockets.ConnectionClosed as closed:
            heard.append((closed.rcvd.code, closed.rcvd.reason))
    try:
        await connect(uri + "forbidden", **options)
    except websockets.InvalidStatus as refused:
        heard.append((refused.response.status_code, bytes(refused.response.body)))
    return heard


async def conformance(uri):
    """How the service does in the cases of Autobahn."""
    try:
        # Those that only measure how long large messages take, and most of those with compression, are left out.
        results = await kosoku.run_fuzzingclient(uri, None, ["9.*", "12.[2-9]*", "12.1.1[0-9]", "13.*"], concurrency=4)
    except kosoku.FailureError as failure:
        results = failure.results
    return {result.case_id: (result.behavior.value, result.behavior_close.value, result.remote_close_code) for result in results}


async def by_websockets():
    trusting = ssl.create_default_context(cafile=authority)
    async with serve(echo, "127.0.0.1", int(ws_port), max_size=None, process_request=gate, subprotocols=["a.shop"]):
        direct = await dialogue(f"ws://127.0.0.1:{ws_port}/")
        for uri, options in (
            (f"ws://{gateway}/ws/", {}),
            (f"wss://localhost:{secure.split(':')[1]}/ws/", {"ssl": trusting}),
        ):
            told = await dialogue(uri, **options)
            if told != direct:
                failures.append(f"{uri}: {told}, directly {direct}")
        expected = await conformance(f"ws://127.0.0.1:{ws_port}")
        told = await conformance(f"ws://{gateway}/ws/")
        assert len(expected) > 200, "cases are run"
        for case in expected.keys() | told.keys():
            if expected.get(case) != told.get(case):
                failures.append(f"Autobahn {case}: {told.get(case)}, directly {expected.get(case)}")
        print(f"{len(expected)} cases of Autobahn")


by_curl()
asyncio.run(by_websockets())
if failures:
    sys.exit("\n".join(failures))
