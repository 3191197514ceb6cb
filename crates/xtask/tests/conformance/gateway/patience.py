"""Clients that are slow on purpose: each is got rid of, and those that are as slow as they may be are served.

Arguments: where the gateway listens, with a `patience` of 2s, a `body_rate_min` of 1KiB and an `idle_timeout` of 3s, the port of the
service, where it listens with TLS.
"""

import socket
import sys
import threading

import h2client
from hyperframe import frame as frames
from wire import Origin, address

gateway, secure = address(sys.argv[1]), address(sys.argv[3])
LARGE = 64 << 20
failures = []


def answer(request):
    if request.target.startswith(b"/large"):
        return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % LARGE + bytes(LARGE)
    return b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


origin = Origin(int(sys.argv[2]), answer)


def is_got_rid_of(at, first, more, pause=0.3):
    """Sends the first part, then more now and then. Whether the gateway closes the connection, and what it said."""
    with socket.create_connection(at, timeout=pause) as client:
        client.sendall(first)
        said = b""
        for _ in range(100):
            try:
                client.sendall(more)
                piece = client.recv(1 << 10)
            except TimeoutError:
                continue
            except ConnectionError:
                return True, said
            if not piece:
                return True, said
            said += piece
        return False, said


POSTED = b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 100000\r\n\r\n"
SLOW = {
    "a request line, a byte at a time": (gateway, b"G", b"E"),
    "a head, a byte at a time": (gateway, b"GET / HTTP/1.1\r\nX: ", b"a"),
    "a head, a header at a time": (gateway, b"GET / HTTP/1.1\r\n", b"X: a\r\n"),
    "a head that stops": (gateway, b"GET / HTTP/1.1\r\nX", b""),
    "a body, a byte at a time": (gateway, POSTED, b"a"),
    "a body, some bytes at a time": (gateway, POSTED, b"a" * 100),
    "a body that stops": (gateway, POSTED, b""),
    "chunks of a byte": (gateway, b"POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    "the size of a chunk that stops": (gateway, b"POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n5", b""),
    "a handshake that stops": (secure, b"\x16\x03\x01\x02\x00\x01", b""),
    "a handshake, a byte at a time": (secure, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"a"),
    "the preface of HTTP/2 that stops": (gateway, b"PRI * HTTP/2.0\r\n", b""),
}


def slow(name, at, first, more):
    is_gone, said = is_got_rid_of(at, first, more)
    if not is_gone:
        failures.append(f"{name}: the connection goes on")
    if ("a head" in name or "a request line" in name) and not said.startswith(b"HTTP/1.1 408 "):
        failures.append(f"{name}: it is told {said}")


def takes_nothing():
    """Of an answer that is larger than what systems take for a client."""
    with socket.create_connection(gateway) as client:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: shop\r\n\r\n")
        while not (stream := next((it for it in list(origin.streams) if b"/large" in it.data), None)):
            threading.Event().wait(0.05)
        if not stream.has_ended.wait(40):
            failures.append("an answer that is not taken: its service is not let go")


def takes_nothing_of_a_stream():
    """Of such an answer over HTTP/2, while another stream of its connection goes on."""
    with h2client.Connection(gateway, {frames.SettingsFrame.INITIAL_WINDOW_SIZE: 1}, timeout=40) as client:
        large = [(name, "/large?stream" if name == ":path" else value) for name, value in h2client.GET]
        client.send(client.headers(1, large, "END_STREAM"))
        if not client.until(lambda it: it.stream_id == 1 and isinstance(it, frames.RstStreamFrame)):
            failures.append("a stream whose answer is not taken is not reset")
        stream = next(it for it in list(origin.streams) if b"/large?stream" in it.data)
        if not stream.has_ended.wait(40):
            failures.append("a stream whose answer is not taken: its service is not let go")
        client.send(client.headers(3, h2client.GET, "END_STREAM"))
        if (told := client.end_of(3)) != 200:
            failures.append(f"a stream after one that was given up: {told}")


def sends_too_little_of_a_stream():
    with h2client.Connection(gateway, timeout=0.3) as client:
        client.send(client.headers(1, h2client.POST))
        told = "nothing"
        for _ in range(60):
            client.send(frames.DataFrame(1, b"a"))
            if (told := client.end_of(1)) != "nothing":
                break
        if told != "reset":
            failures.append(f"a stream whose body comes too slowly: {told}")


def is_idle():
    """Over HTTP/2: it is told to begin no more, and is gone then, whether it answers or not."""
    for answers in (True, False):
        with h2client.Connection(gateway, timeout=40) as client:
            client.send(client.headers(1, h2client.GET, "END_STREAM"))
            if (told := client.end_of(1)) != 200:
                failures.append(f"a client that will be idle is answered {told}")
            said = client.until(lambda it: isinstance(it, frames.GoAwayFrame))
            if not said or said.error_code != 0:
                failures.append(f"an idle connection is told {said}")
            while client.until(lambda _: True) if answers else client.frame():
                pass


def is_quiet_both_ways():
    """A call by gRPC is no slow body: either side speaks when it likes."""
    with h2client.Connection(gateway, timeout=20) as client:
        grpc = [*h2client.POST, ("content-type", "application/grpc"), ("te", "trailers")]
        client.send(client.headers(1, grpc))
        threading.Event().wait(6)
        client.send(frames.DataFrame(1, b"a", flags=["END_STREAM"]))
        if (told := client.end_of(1)) != 200:
            failures.append(f"a quiet call by gRPC: {told}")


def is_served_slowly():
    """A body that comes as slowly as it may, for longer than the patience."""
    with socket.create_connection(gateway, timeout=20) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 10000\r\n\r\n")
        for _ in range(10):
            client.sendall(b"a" * 1_000)
            threading.Event().wait(0.5)
        if not client.recv(1 << 10).startswith(b"HTTP/1.1 200"):
            failures.append("a body that is slow and not too slow is refused")


acts = [threading.Thread(target=slow, args=(name, *parts)) for name, parts in SLOW.items()]
others = [takes_nothing, takes_nothing_of_a_stream, sends_too_little_of_a_stream, is_idle, is_quiet_both_ways, is_served_slowly]
acts += [threading.Thread(target=it) for it in others]
for act in acts:
    act.start()
for act in acts:
    act.join()
print(f"{len(acts)} clients")
if failures:
    sys.exit("\n".join(failures))
