"""Bodies that are large, slow or cut: memory stays bounded, and what is not whole does not look whole.

Arguments: where the gateway listens, the port of the service, where the API listens.
"""

import http.client
import itertools
import socket
import struct
import sys
import threading

from hyperframe import frame as frames

from h2client import GET, POST, Connection
from node import memory_bytes
from wire import address, wait_for

gateway, port, api = address(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
MIB, GIB = 1 << 20, 1 << 30
# What may be on its way between two sides, in the buffers of both systems and the gateway's own.
BETWEEN = 64 * MIB
failures = []


class Service:
    """One that does with each connection what its path says."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self.sent = self.read = self.asked = 0
        self.reads_on = threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            come = b""
            while b"\r\n\r\n" not in come:
                piece = connection.recv(1 << 16)
                if not piece:
                    return
                come += piece
            path = come.split(b" ")[1].decode()
            if path == "/large":
                self.large(connection)
            elif path == "/upload":
                self.upload(connection, come)
            else:
                self.die(connection, path.removeprefix("/"))
        except OSError:
            # The gateway has given up, as it has to.
            pass
        finally:
            connection.close()

    def large(self, connection):
        self.sent = 0
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % GIB)
        piece = bytes(1 << 16)
        while self.sent < GIB:
            connection.sendall(piece)
            self.sent += len(piece)

    def upload(self, connection, come):
        self.read = len(come)
        self.reads_on.wait(60)
        while not come.endswith(b"0\r\n\r\n"):
            piece = connection.recv(1 << 20)
            if not piece:
                return
            self.read += len(piece)
            come = come[-5:] + piece
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    def die(self, connection, stage):
        self.asked += 1
        how, _, number = stage.partition("/")
        connection.sendall(STAGES[int(number)][1])
        if how == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


LENGTH = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
STAGES = [
    ("before the head", b""),
    ("within the status line", b"HTTP/1.1 20"),
    ("within a header", b"HTTP/1.1 200 OK\r\ncontent-le"),
    ("before the end of the head", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n"),
    ("after 100 (Continue)", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ("after the head", LENGTH),
    ("within the body", LENGTH + b"hello"),
    ("before the last byte", LENGTH + b"hellohell"),
    ("after the head of chunks", CHUNKED),
    ("within the size of a chunk", CHUNKED + b"5\r\nhello\r\n5"),
    ("behind the size of a chunk", CHUNKED + b"5\r\nhello\r\n5\r\n"),
    ("within a chunk", CHUNKED + b"5\r\nhel"),
    ("within the end of a chunk", CHUNKED + b"5\r\nhello\r"),
    ("before the last chunk", CHUNKED + b"5\r\nhello\r\n"),
    ("within the last chunk", CHUNKED + b"5\r\nhello\r\n0\r\n"),
    ("within a trailer", CHUNKED + b"5\r\nhello\r\n0\r\nx-su"),
    ("before the end of the trailers", CHUNKED + b"5\r\nhello\r\n0\r\nx-sum: 1\r\n"),
    ("with another size", CHUNKED + b"4\r\nhello\r\n0\r\n\r\n"),
    ("with two lengths", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello"),
    ("with both framings", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nhello"),
    ("with gzip for a framing", b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ("with a bare NUL", b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 5\r\n\r\nhello"),
    ("with no HTTP", b"hello, who is there?\r\n\r\n"),
    ("at its end", CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"),
]


def over_http1(path, method):
    """A status if the answer is whole, `cut` if it is seen not to be."""
    client = http.client.HTTPConnection(*gateway, timeout=30)
    try:
        client.request(method, path, body=b"abc" if method == "POST" else None)
        answer = client.getresponse()
        answer.read()
        return answer.status
    except (http.client.HTTPException, ConnectionError):
        return "cut"
    finally:
        client.close()


def over_http2(path, method):
    with Connection(gateway) as client:
        client.send(client.headers(1, [(":method", method), *GET[1:3], (":path", path)], "END_STREAM"))
        status = client.end_of(1)
        if not isinstance(status, int):
            return "cut"
        if "END_STREAM" in client.last.flags:
            return status
        end = client.until(
            lambda it: isinstance(it, (frames.RstStreamFrame, frames.GoAwayFrame)) or "END_STREAM" in it.flags
        )
        return status if end and "END_STREAM" in end.flags else "cut"


def grown(before):
    return (memory_bytes(api) - before) / MIB


def check(name, is_so, told):
    if not is_so:
        failures.append(f"{name}: {told}")


def stands_still(count):
    """What has been counted when no more comes: nothing was added for a while."""
    last, still = -1, 0
    while still < 20:
        threading.Event().wait(0.05)
        still, last = (still + 1, last) if count() == last else (0, count())
    return last


def slow_reader(name, begin):
    before = memory_bytes(api)
    client = begin()
    wait_for("it is sent", lambda: service.sent > 0)
    sent = stands_still(lambda: service.sent)
    told = f"{name}: {sent >> 20} MiB of 1 GiB sent, memory {grown(before):+.1f} MiB"
    check(name, sent < BETWEEN and grown(before) < 16, told)
    print(told)
    client.close()


def begin_http1():
    client = socket.create_connection(gateway)
    client.sendall(b"GET /large HTTP/1.1\r\nHost: shop\r\n\r\n")
    return client


def begin_http2():
    client = Connection(gateway, {frames.SettingsFrame.INITIAL_WINDOW_SIZE: 1 << 30})
    client.send(
        client.headers(1, [*GET[:3], (":path", "/large")], "END_STREAM"),
        frames.WindowUpdateFrame(0, window_increment=1 << 30),
    )
    return client


def uploads(name, client, head, piece, end, is_ok):
    """Uploads until nothing more is taken while the service does not read; all of it arrives when it does."""
    before = memory_bytes(api)
    service.reads_on.clear()
    client.setblocking(True)
    client.sendall(head)
    taken, rest = 0, b""
    # Nothing is taken any more.
    client.settimeout(2)
    try:
        while taken < GIB:
            rest = piece
            while rest:
                sent = client.send(rest)
                taken, rest = taken + sent, rest[sent:]
    except TimeoutError:
        pass
    told = f"{name}: {taken >> 20} MiB of 1 GiB taken, memory {grown(before):+.1f} MiB"
    check(name, taken < BETWEEN and grown(before) < 16, told)
    print(told)
    service.reads_on.set()
    client.settimeout(60)
    client.sendall(rest + end)
    check(name, is_ok(client), "it is not answered when the service reads on")
    check(name, service.read >= taken, f"{service.read} of {taken} bytes have come")
    client.close()


def http1_upload():
    uploads(
        "slow service over HTTP/1.1",
        socket.create_connection(gateway),
        b"POST /upload HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"10000\r\n" + bytes(1 << 16) + b"\r\n",
        b"0\r\n\r\n",
        lambda client: client.recv(1 << 10).startswith(b"HTTP/1.1 200"),
    )


def http2_upload():
    """As much as the windows let through: those are the client's bound, and they do not grow while the service does not read."""
    before = memory_bytes(api)
    service.reads_on.clear()
    with Connection(gateway) as client:
        client.send(client.headers(1, [*POST[:3], (":path", "/upload")]))
        windows = {0: 65_535, 1: 65_535}
        client.stream.settimeout(2)
        sent = 0
        piece = bytes(16_384)

        def take(found):
            if isinstance(found, frames.WindowUpdateFrame):
                windows[found.stream_id] += found.window_increment
            if isinstance(found, frames.SettingsFrame) and found.settings:
                windows[1] += found.settings.get(frames.SettingsFrame.INITIAL_WINDOW_SIZE, 65_535) - 65_535
            return isinstance(found, frames.WindowUpdateFrame)

        try:
            while sent < GIB:
                while min(windows.values()) >= len(piece):
                    client.send(frames.DataFrame(1, piece))
                    sent += len(piece)
                    windows = {number: window - len(piece) for number, window in windows.items()}
                if client.until(take) is None:
                    break
        except TimeoutError:
            pass
        told = f"slow service over HTTP/2: {sent >> 20} MiB of 1 GiB taken, memory {grown(before):+.1f} MiB"
        check("slow service over HTTP/2", 0 < sent < BETWEEN and grown(before) < 16, told)
        print(told)
        service.reads_on.set()
        client.stream.settimeout(60)
        client.send(frames.DataFrame(1, b"", flags=["END_STREAM"]))
        check("slow service over HTTP/2", client.end_of(1) == 200, "it is not answered when the service reads on")


service = Service()
for over in (over_http1, over_http2):
    # What is whole is seen to be whole, or nothing that follows shows anything.
    told = over(f"/end/{len(STAGES) - 1}", "GET")
    check(f"whole, {over.__name__}", told == 200, told)
for number, (name, _) in enumerate(STAGES[:-1]):
    for how, method, over in itertools.product(("end", "reset"), ("GET", "POST"), (over_http1, over_http2)):
        asked = service.asked
        told = over(f"/{how}/{number}", method)
        check(f"{how} {name}, {method} {over.__name__}", service.asked > asked, f"the service was not asked: {told}")
        check(f"{how} {name}, {method} {over.__name__}", told in ("cut", 502, 503), f"looks whole: {told}")
slow_reader("slow reader over HTTP/1.1", begin_http1)
slow_reader("slow reader over HTTP/2", begin_http2)
http1_upload()
http2_upload()
print(f"{len(STAGES) * 8 - 8} answers that end early")
if failures:
    sys.exit("\n".join(failures))
