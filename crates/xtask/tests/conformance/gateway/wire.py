"""Requests as bytes: read by one strict reader, and answered by an origin that keeps every byte it was sent."""

import socket
import threading
import time
from dataclasses import dataclass, field

TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
HEX = frozenset(b"0123456789abcdefABCDEF")


class Odd(Exception):
    """What came has no single reading."""


@dataclass
class Request:
    method: bytes
    target: bytes
    headers: list
    body: bytes = b""
    trailers: list = field(default_factory=list)

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name]

    def one(self, name):
        """The value of a header that is there once at most."""
        values = self.all(name)
        if len(values) > 1:
            raise Odd(f"{name} is there {len(values)} times")
        return values[0] if values else None

    def seen(self):
        """What two readers have to agree on."""
        return (self.method, self.target, self.one(b"host"), self.body)


def lines(data, start):
    """The lines of a head or of trailers, without the empty one, and where they end; none while that has not come."""
    if data[start : start + 2] == b"\r\n":
        return [], start + 2
    end = data.find(b"\r\n\r\n", start) + 4
    if end < 4:
        return None
    text = data[start:end]
    if text.count(b"\r") != text.count(b"\r\n") or text.count(b"\n") != text.count(b"\r\n"):
        raise Odd(f"a bare CR or LF in {text[:200]!r}")
    return [line for line in text.split(b"\r\n") if line], end


def fields(found):
    for line in found:
        name, colon, value = line.partition(b":")
        if not colon or not name or not TOKEN.issuperset(name):
            raise Odd(f"no header: {line[:200]!r}")
        if any((byte < 0x20 and byte != 9) or byte == 0x7F for byte in value):
            raise Odd(f"a control byte in {line[:200]!r}")
        yield name, value.strip(b" \t")


def read(data):
    """The first request of what came, and how long it is; none while it is not complete."""
    found = lines(data, 0)
    if found is None:
        return None
    rest, at = found
    first = rest.pop(0) if rest else b""
    parts = first.split(b" ")
    if len(parts) != 3 or parts[2] not in (b"HTTP/1.1", b"HTTP/1.0") or not TOKEN.issuperset(parts[0]):
        raise Odd(f"no request line: {first[:200]!r}")
    if not parts[1] or any(byte <= 0x20 or byte >= 0x7F for byte in parts[1]):
        raise Odd(f"a target with odd bytes: {first[:200]!r}")
    request = Request(parts[0], parts[1], list(fields(rest)))
    coding, length = request.one(b"transfer-encoding"), request.one(b"content-length")
    if coding is not None:
        if coding != b"chunked" or length is not None or parts[2] == b"HTTP/1.0":
            raise Odd(f"two framings, or one that is not known: {request.headers}")
        return chunks(data, at, request)
    if length is None:
        return request, at
    if not length.isdigit():
        raise Odd(f"no length: {length!r}")
    end = at + int(length)
    request.body = data[at:end]
    return (request, end) if len(data) >= end else None


def chunks(data, at, request):
    body = []
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        if end == at or not HEX.issuperset(data[at:end]):
            raise Odd(f"no size of a chunk: {data[at:end][:40]!r}")
        size, at = int(data[at:end], 16), end + 2
        if size == 0:
            break
        if len(data) < at + size + 2:
            return None
        if data[at + size : at + size + 2] != b"\r\n":
            raise Odd("a chunk is longer than it says")
        body.append(data[at : at + size])
        at += size + 2
    found = lines(data, at)
    if found is None:
        return None
    request.trailers = list(fields(found[0]))
    request.body = b"".join(body)
    return request, found[1]


def read_all(data):
    """All requests of what came on a connection. Odd if something is left over."""
    requests = []
    while data:
        found = read(data)
        if found is None:
            raise Odd(f"something is left over: {data[:200]!r}")
        requests.append(found[0])
        data = data[found[1] :]
    return requests


class Stream:
    """What came on one connection."""

    def __init__(self):
        self.data = bytearray()
        # Whether the other side has ended it.
        self.has_ended = threading.Event()


class Origin:
    """A service that keeps what it is sent, in the order of its connections, and answers each request it can read.

    What answers returns the bytes of an answer, pieces of them, or none if there is to be no answer.
    """

    def __init__(self, port=0, answer=None):
        self.listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.answer = answer or (lambda request: b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        self.lock = threading.Lock()
        self.streams, self.requests, self.open = [], [], set()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = Stream()
            with self.lock:
                self.streams.append(stream)
                self.open.add(connection)
            threading.Thread(target=self.serve, args=(connection, stream), daemon=True).start()

    def serve(self, connection, stream):
        at = 0
        try:
            while piece := connection.recv(1 << 16):
                stream.data += piece
                while found := read(bytes(stream.data[at:])):
                    request, length = found
                    at += length
                    with self.lock:
                        self.requests.append(request)
                    answer = self.answer(request)
                    if answer is None:
                        continue
                    if isinstance(answer, bytes):
                        head, end, body = answer.partition(b"\r\n\r\n")
                        answer = (head + end, b"" if request.method == b"HEAD" else body)
                    for piece in answer:
                        connection.sendall(piece)
        except (OSError, Odd):
            # What is odd is seen again by who takes the stream.
            pass
        finally:
            stream.has_ended.set()
            with self.lock:
                self.open.discard(connection)
            connection.close()

    def take(self):
        """The bytes of whole requests that came since the last time, of each connection; all are closed. Odd if others came."""
        with self.lock:
            streams, self.streams, self.requests = self.streams, [], []
        taken = []
        for stream in streams:
            whole, rest = 0, bytes(stream.data)
            while found := read(rest[whole:]):
                whole += found[1]
            if whole < len(rest):
                # A request that was given up, by an end that nobody takes for another.
                assert stream.has_ended.wait(10), f"a connection goes on behind a part of a request: {rest[whole:][:300]!r}"
            if whole:
                taken.append(rest[:whole])
        with self.lock:
            for connection in self.open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    # It was closed from the other side.
                    pass
        return taken

    def take_requests(self):
        with self.lock:
            taken, self.requests = self.requests, []
        return taken


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def exchange(at, data, is_over=None, timeout=10):
    """Sends bytes, and returns what comes back until the end of the connection, or until that is enough."""
    with socket.create_connection(at, timeout=timeout) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer = bytearray()
        try:
            stream.sendall(data)
            if is_over is None:
                stream.shutdown(socket.SHUT_WR)
            while piece := stream.recv(1 << 16):
                answer += piece
                if is_over and is_over(answer):
                    break
        except ConnectionError:
            # A refusal may close the connection before all is sent.
            pass
        return bytes(answer)


def statuses(answer, methods=()):
    """The status of each answer in a row; informational ones are left out."""
    found, methods = [], list(methods)
    while answer:
        head, _, rest = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1."):
            raise Odd(f"no answer: {answer[:300]!r}")
        status = int(head[9:12])
        if status // 100 == 1 and status != 101:
            answer = rest
            continue
        found.append(status)
        is_head = bool(methods) and methods.pop(0) == b"HEAD"
        length = next(
            (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        answer = rest if is_head else rest[length:]
    return found


def wait_for(what, condition, seconds=20):
    """Looks until something holds; fails if it does not within a time that only a broken run takes."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.01)
