"""HTTP/2 as no library sends it: frames and headers that are forbidden, too many or never end, and what becomes of them.

Whatever a client sends, a service gets whole requests with one reading or none, the memory of the node stays bounded, and other
connections are served meanwhile.

Arguments: where the gateway listens, the port of the origin, where the API listens.
"""

import struct
import sys
import threading
from itertools import chain, repeat

from hyperframe import frame as frames

from h2client import GET, POST, Connection
from node import memory_bytes
from wire import Odd, Origin, address, read_all, wait_for

gateway, api = address(sys.argv[1]), sys.argv[3]
MIB = 1 << 20
BIG = 64 * MIB


def answer(request):
    if request.target in (b"/hold", b"/never"):
        return None
    if request.target == b"/big":
        return chain([b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % BIG], repeat(bytes(1 << 16), BIG >> 16))
    return b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


origin = Origin(int(sys.argv[2]), answer)
failures = []


def check(name, is_so, told=""):
    if not is_so:
        failures.append(f"{name}: {told}")


def is_served():
    """A usual request, on a connection of its own."""
    with Connection(gateway) as connection:
        connection.send(connection.headers(1, GET, "END_STREAM"))
        return connection.end_of(1) == 200


# Requests that are malformed (RFC 9113, sections 8.1.1 to 8.3.1 and 8.5), or no business of a service. Each ends with 4xx, a reset, or
# the connection, and reaches nobody.
REFUSED = {
    "no host": [*GET[:2], GET[3]],
    "connection": GET + [("connection", "keep-alive")],
    "connection: close": GET + [("connection", "close")],
    "keep-alive": GET + [("keep-alive", "timeout=5")],
    "proxy-connection": GET + [("proxy-connection", "keep-alive")],
    "transfer-encoding": POST + [("transfer-encoding", "chunked")],
    "upgrade": GET + [("upgrade", "websocket")],
    "te: gzip": GET + [("te", "gzip")],
    "te: trailers, gzip": GET + [("te", "trailers, gzip")],
    "name in capitals": GET + [("X-A", "b")],
    "name with a space": GET + [("x a", "b")],
    "name with a colon": GET + [("x:a", "b")],
    "name of nothing": GET + [("", "b")],
    "name with a line end": GET + [("x-a\r\nx-b", "b")],
    "value with a line end": GET + [("x-a", "b\r\nx-c: d")],
    "value with LF": GET + [("x-a", "b\nx-c: d")],
    "value with CR": GET + [("x-a", "b\rc")],
    "value with NUL": GET + [("x-a", "b\0c")],
    "method of nothing": [(":method", ""), *GET[1:]],
    "method with a space": [(":method", "GET /a HTTP/1.1\r\nx: y"), *GET[1:]],
    "method twice": [(":method", "POST"), *GET],
    "path twice": GET + [(":path", "/b")],
    "scheme twice": GET + [(":scheme", "https")],
    "authority twice": GET + [(":authority", "evil")],
    "no method": GET[1:],
    "no scheme": [GET[0], *GET[2:]],
    "no path": GET[:3],
    "path of nothing": [*GET[:3], (":path", "")],
    "path without a slash": [*GET[:3], (":path", "a/b")],
    "path with a space": [*GET[:3], (":path", "/a HTTP/1.1")],
    "path with a line end": [*GET[:3], (":path", "/a\r\nx-b: c")],
    "path that is a URL": [*GET[:3], (":path", "http://evil/a")],
    "path that is *": [*GET[:3], (":path", "*")],
    "path above the root": [*GET[:3], (":path", "/../a")],
    "path with NUL": [*GET[:3], (":path", "/%00")],
    "scheme of odd bytes": [GET[0], (":scheme", "ht tp"), *GET[2:]],
    "scheme with a host": [GET[0], (":scheme", "http://evil/?"), *GET[2:]],
    "authority with a user": [*GET[:2], (":authority", "shop@evil"), GET[3]],
    "authority with a path": [*GET[:2], (":authority", "shop/evil"), GET[3]],
    "authority with a space": [*GET[:2], (":authority", "shop evil"), GET[3]],
    "authority with a line end": [*GET[:2], (":authority", "shop\r\nx: y"), GET[3]],
    "authority and another host": GET + [("host", "evil")],
    "host twice": [*GET[:2], GET[3], ("host", "shop"), ("host", "evil")],
    "host with a path": [*GET[:2], GET[3], ("host", "shop/evil")],
    "unknown pseudo-header": GET + [(":frob", "a")],
    "pseudo-header of an answer": GET + [(":status", "200")],
    "pseudo-header behind others": [*GET[:3], ("x-a", "b"), GET[3]],
    "CONNECT": [(":method", "CONNECT"), (":authority", "shop:443")],
    "CONNECT with a protocol": [(":method", "CONNECT"), *GET[1:], (":protocol", "websocket")],
    "two lengths": POST + [("content-length", "0"), ("content-length", "5")],
    "length that is none": POST + [("content-length", "+0")],
    "length of nothing": POST + [("content-length", "")],
    "length, and no body": POST + [("content-length", "5")],
    "underscore for a hyphen": POST + [("content_length", "0")],
    "underscore in whom it is for": GET + [("x_forwarded_for", "1.2.3.4")],
    "name that begins like a pseudo-header": GET + [(":", "a")],
}

for name, headers in REFUSED.items():
    with Connection(gateway) as connection:
        connection.send(connection.headers(1, headers, "END_STREAM"))
        end = connection.end_of(1)
    try:
        reached = [request.seen() for stream in origin.take() for request in read_all(stream)]
    except (Odd, AssertionError) as odd:
        reached = odd
    is_refused = end in ("reset", "goaway", "closed") or (isinstance(end, int) and 400 <= end < 500) or end == 501
    check(name, is_refused and not reached, f"ends with {end}, and the origin was sent {reached}")

# Requests that are right, and those of which the parser drops what is wrong before anybody reads it; and the host that is named.
TAKEN = {
    "usual": (GET, b"shop"),
    "te: trailers": (GET + [("te", "trailers")], b"shop"),
    "authority and the same host": (GET + [("host", "shop")], b"shop"),
    "host alone": ([*GET[:2], GET[3], ("host", "shop")], b"shop"),
    "cookies in pieces": (GET + [("cookie", "a=b"), ("cookie", "c=d")], b"shop"),
    "path with a fragment": ([*GET[:3], (":path", "/#b")], b"shop"),
    "priority": (GET + [("priority", "u=1")], b"shop"),
}
for name, (headers, host) in TAKEN.items():
    with Connection(gateway) as connection:
        connection.send(connection.headers(1, headers, "END_STREAM"))
        end = connection.end_of(1)
    requests = [request for stream in origin.take() for request in read_all(stream)]
    hosts = [request.one(b"host") for request in requests]
    check(name, end == 200 and hosts == [host], f"ends with {end} for {hosts}")
    if "cookie" in name:
        check(name, requests and requests[0].all(b"cookie") == [b"a=b; c=d"], f"{requests} (RFC 9113, section 8.2.3)")


def upload(*parts):
    """A request with a body of these frames, and its end."""
    with Connection(gateway) as connection:
        connection.send(*(part(connection) if callable(part) else part for part in parts))
        return connection.end_of(1)


def body(data, *flags):
    return frames.DataFrame(1, data, flags=flags)


def posted(headers=POST):
    return lambda connection: connection.headers(1, headers)


def trailed(headers):
    return lambda connection: connection.headers(1, headers, "END_STREAM")


FIVE = POST + [("content-length", "5")]
for name, parts in {
    "more than its length": (posted(FIVE), body(b"helloGET", "END_STREAM")),
    "more than its length, in a second piece": (posted(FIVE), body(b"hello"), body(b"GET", "END_STREAM")),
    "less than its length": (posted(FIVE), body(b"hell", "END_STREAM")),
    "less than its length, before trailers": (posted(FIVE), body(b"hell"), trailed([("x-a", "b")])),
    "less than a length that is long": (posted(POST + [("content-length", "99999")]), body(b"hell", "END_STREAM")),
    "trailers that do not end": (posted(), body(b"hello"), lambda it: it.headers(1, [("x-a", "b")]), body(b"", "END_STREAM")),
    "a connection in trailers": (posted(), body(b"hello"), trailed([("connection", "close")])),
    "capitals in trailers": (posted(), body(b"hello"), trailed([("X-A", "b")])),
    "a length in trailers": (posted(), body(b"hello"), trailed([("content-length", "5")])),
    "an encoding in trailers": (posted(), body(b"hello"), trailed([("transfer-encoding", "chunked")])),
    "a host in trailers": (posted(), body(b"hello"), trailed([("host", "evil")])),
    "rights in trailers": (posted(), body(b"hello"), trailed([("authorization", "evil")])),
    "whom it is for in trailers": (posted(), body(b"hello"), trailed([("x-forwarded-for", "1.2.3.4")])),
}.items():
    end = upload(*parts)
    try:
        requests = [request for stream in origin.take() for request in read_all(stream)]
    except (Odd, AssertionError) as odd:
        check(name, False, odd)
        continue
    told = [(request.seen(), request.trailers) for request in requests]
    check(name, not requests and end != 200, f"ends with {end}, and the origin was sent {told}")

end = upload(posted(), body(b"hel"), body(b"lo"), trailed([("x-sum", "5")]))
requests = [request for stream in origin.take() for request in read_all(stream)]
told = [(request.body, request.trailers) for request in requests]
check("trailers", end == 200 and told == [(b"hello", [(b"x-sum", b"5")])], f"ends with {end}: {told}")


# What breaks a connection: each of these is its end (RFC 9113, sections 4 to 6), and other connections are served.
def raw(kind, flags, number, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", number) + payload


def window(number, by):
    return raw(8, 0, number, struct.pack(">I", by))


HEAD = Connection.block(None, GET)
FATAL = {
    "no preface": b"GET / HTTP/2.0\r\n\r\n",
    "DATA of no stream": raw(0, 0, 0, b"a"),
    "DATA of an idle stream": raw(0, 0, 5, b"a"),
    "HEADERS of no stream": raw(1, 5, 0, HEAD),
    "HEADERS of an even stream": raw(1, 5, 2, HEAD),
    "HEADERS of an earlier stream": raw(1, 5, 5, HEAD) + raw(1, 5, 3, HEAD),
    "HEADERS with too much padding": raw(1, 0x0D, 1, b"\xff" + HEAD),
    "DATA with too much padding": raw(1, 4, 1, HEAD) + raw(0, 8, 1, b"\xffa"),
    "CONTINUATION of nothing": raw(9, 4, 1, HEAD),
    "CONTINUATION of another stream": raw(1, 1, 1, HEAD[:5]) + raw(9, 4, 3, HEAD[5:]),
    "another frame within a head": raw(1, 1, 1, HEAD[:5]) + raw(6, 0, 0, bytes(8)),
    "PUSH_PROMISE of a client": raw(5, 4, 1, struct.pack(">I", 2) + HEAD),
    "PING of seven bytes": raw(6, 0, 0, bytes(7)),
    "PING of a stream": raw(6, 0, 1, bytes(8)),
    "SETTINGS of a stream": raw(4, 0, 1, b""),
    "SETTINGS of seven bytes": raw(4, 0, 0, bytes(7)),
    "SETTINGS acknowledged with some": raw(4, 1, 0, bytes(6)),
    "SETTINGS: push neither on nor off": raw(4, 0, 0, struct.pack(">HI", 2, 2)),
    "SETTINGS: a window above 2^31": raw(4, 0, 0, struct.pack(">HI", 4, 1 << 31)),
    "SETTINGS: frames that are too small": raw(4, 0, 0, struct.pack(">HI", 5, 1)),
    "WINDOW_UPDATE by nothing": window(0, 0),
    "WINDOW_UPDATE above 2^31": window(0, 0x7FFFFFFF),
    "WINDOW_UPDATE of an idle stream": window(7, 1),
    "WINDOW_UPDATE of three bytes": raw(8, 0, 0, bytes(3)),
    "RST_STREAM of an idle stream": raw(3, 0, 9, bytes(4)),
    "RST_STREAM of no stream": raw(3, 0, 0, bytes(4)),
    "RST_STREAM of three bytes": raw(3, 0, 1, bytes(3)),
    "GOAWAY of a stream": raw(7, 0, 1, bytes(8)),
    "a frame above the maximum": raw(0, 0, 1, bytes(1 << 20)),
    "HPACK: an index that is not there": raw(1, 5, 1, b"\xff\x80\x01"),
    "HPACK: an index of 0": raw(1, 5, 1, b"\x80"),
    "HPACK: a text that is cut": raw(1, 5, 1, HEAD + b"\0\x05a"),
    "HPACK: a number without end": raw(1, 5, 1, b"\xff" + b"\xff" * 20),
    "HPACK: Huffman that is none": raw(1, 5, 1, b"\0\x84\xff\xff\xff\xff\x00"),
    "HPACK: a table that is too large": raw(1, 5, 1, b"\x3f\xe1\xff\x03" + HEAD),
}
for name, data in FATAL.items():
    with Connection(gateway, timeout=20) as connection:
        connection.send(data)
        try:
            # Windows of streams break these alone.
            found = connection.until(lambda it: isinstance(it, frames.GoAwayFrame) and it.error_code != 0)
        except TimeoutError:
            check(name, False, "the connection goes on")
        else:
            check(name, found is not None or connection.is_closed, "it goes on")
check("after all that", is_served(), "nothing is answered any more")
reached = [request for stream in origin.take() for request in read_all(stream)]


# What is too much.
def while_others_are_served(name, act):
    """Does something while usual requests come on connections of their own; all of those are to be answered."""
    stop, counts = threading.Event(), [0, 0]

    def others():
        while not stop.is_set():
            counts[0 if is_served() else 1] += 1

    thread = threading.Thread(target=others)
    thread.start()
    before = memory_bytes(api)
    try:
        act()
    finally:
        wait_for(f"{name}: others are served", lambda: counts[0] > 3)
        stop.set()
        thread.join()
    grown = memory_bytes(api) - before
    check(name, counts[1] == 0, f"{counts} others were served, and not")
    check(name, grown < 48 * MIB, f"memory has grown by {grown >> 20} MiB")
    print(f"{name}: {counts[0]} others served, memory {grown / MIB:+.1f} MiB")


def flood(connection, parts, most):
    """Sends until the gateway has had enough; how often that was."""
    for number in range(most):
        connection.send(parts(number))
        if connection.is_closed:
            return number
    return most


def rapid_reset():
    """CVE-2023-44487."""
    before = held()
    with Connection(gateway) as connection:
        hold = [*GET[:3], (":path", "/hold")]
        sent = flood(
            connection,
            lambda it: connection.headers(2 * it + 1, hold, "END_STREAM").serialize()
            + frames.RstStreamFrame(2 * it + 1, 8).serialize(),
            10_000,
        )
        end = connection.until(lambda it: isinstance(it, frames.GoAwayFrame) and it.error_code != 0)
        check("rapid reset", end is not None or connection.is_closed, f"the connection goes on after {sent}")
    reached = held() - before
    check("rapid reset", reached <= 1_000, f"{reached} of {sent} reached the origin")
    print(f"rapid reset: {sent} sent, {reached} reached the origin")


def continuations():
    """CVE-2024-27316."""
    with Connection(gateway) as connection:
        connection.send(raw(1, 1, 1, HEAD))
        more = raw(9, 0, 1, connection.block([("x-a", "b" * 100)]) * 100)
        sent = flood(connection, lambda _: more, 3_000)
        check("continuations", sent < 1_000, f"{sent} frames of 10 KiB were taken")


def empty_continuations():
    with Connection(gateway) as connection:
        connection.send(raw(1, 1, 1, HEAD))
        sent = flood(connection, lambda _: raw(9, 0, 1, b"") * 100, 3_000)
        check("empty continuations", sent < 3_000, f"{sent} times 100 frames were taken")


def hpack_bomb():
    """One header is put into the table, and named again by a byte each."""
    with Connection(gateway) as connection:
        first = b"\x40\x01x\x7f\xc1\x1d" + b"b" * 3_904
        connection.send(raw(1, 1, 1, HEAD + first))
        connection.send(*(raw(9, 0, 1, b"\xbe" * 16_000) for _ in range(20)), raw(9, 4, 1, b""))
        end = connection.end_of(1)
        check("HPACK bomb", end in ("reset", "goaway", "closed", 431), f"ends with {end}")


def many_headers():
    """As many as the gateway takes of no other client: it is said what it takes, 64 KiB."""
    with Connection(gateway) as connection:
        block = HEAD + connection.block([("x-a", "b" * 100)]) * 1_000
        connection.send(raw(1, 1, 1, block[:10_000]))
        pieces = [block[at : at + 10_000] for at in range(10_000, len(block), 10_000)]
        connection.send(*(raw(9, 4 * (it is pieces[-1]), 1, it) for it in pieces))
        end = connection.end_of(1)
        check("many headers", end in ("reset", "goaway", "closed", 431), f"ends with {end}")


def unread(kind):
    """What asks for answers, which nobody reads."""

    def act():
        with Connection(gateway, timeout=3) as connection:
            flood(connection, lambda _: kind * 1_000, 1_000)

    return act


def empty_data():
    with Connection(gateway, timeout=3) as connection:
        connection.send(connection.headers(1, [*POST[:3], (":path", "/hold")]))
        flood(connection, lambda _: raw(0, 0, 1, b"") * 1_000, 1_000)


def resets_of_answered():
    """Streams that are reset when they were answered already are no attack."""
    with Connection(gateway) as connection:
        for number in range(1, 1_201, 2):
            connection.send(connection.headers(number, GET, "END_STREAM"))
            if connection.end_of(number) != 200:
                return check("resets of what was answered", False, f"stream {number} is not answered")
            connection.send(frames.RstStreamFrame(number, 8))


def held():
    """How many requests that are not answered have come."""
    with origin.lock:
        return sum(request.target == b"/hold" for request in origin.requests)


def streams():
    """More than may be open at once."""
    before = held()
    with Connection(gateway) as connection:
        hold = [*GET[:3], (":path", "/hold")]
        connection.send(*(connection.headers(2 * it + 1, hold, "END_STREAM") for it in range(400)))
        refused = connection.until(
            lambda it: isinstance(it, (frames.GoAwayFrame, frames.RstStreamFrame)) and it.error_code != 0
        )
        check("streams", refused is not None, "none of 400 is refused")
        wait_for("streams reach the origin", lambda: held() - before >= 100)
        check("streams", held() - before <= 256, f"{held() - before} reached the origin")


def windows():
    """Clients that let nothing of a large answer through, or a byte at a time."""
    slow = []
    for size in (0, 1):
        for _ in range(10):
            connection = Connection(gateway, {frames.SettingsFrame.INITIAL_WINDOW_SIZE: size})
            big = [*GET[:3], (":path", "/big")]
            connection.send(*(connection.headers(2 * it + 1, big, "END_STREAM") for it in range(2)))
            slow.append(connection)
    for connection in slow:
        check("windows", connection.end_of(1) == 200, "the head of the answer does not come")
    for connection in slow:
        connection.close()


def reset_reaches_the_origin():
    with Connection(gateway) as connection:
        connection.send(connection.headers(1, [*GET[:3], (":path", "/never")], "END_STREAM"))
        wait_for("the origin is asked", lambda: any(b"/never" in it.data for it in list(origin.streams)))
        stream = next(it for it in list(origin.streams) if b"/never" in it.data)
        check("reset", not stream.has_ended.is_set(), "the origin's connection has ended before")
        connection.send(frames.RstStreamFrame(1, 8))
        check("reset", stream.has_ended.wait(10), "the origin is not told that the client has given up")
        connection.send(connection.headers(3, GET, "END_STREAM"))
        check("reset", connection.end_of(3) == 200, "the connection does not go on")


for act in (
    rapid_reset,
    continuations,
    empty_continuations,
    hpack_bomb,
    many_headers,
    empty_data,
    resets_of_answered,
    streams,
    windows,
    reset_reaches_the_origin,
):
    while_others_are_served(act.__name__.replace("_", " "), act)
while_others_are_served("unread SETTINGS", unread(raw(4, 0, 0, b"")))
while_others_are_served("unread PING", unread(raw(6, 0, 0, bytes(8))))
while_others_are_served("PRIORITY", unread(raw(2, 0, 1, bytes(4) + b"\x10")))
while_others_are_served("unknown frames", unread(raw(0x42, 0, 0, bytes(8))))
print(f"{len(REFUSED)} heads and {len(FATAL)} connections refused")
if failures:
    sys.exit("\n".join(failures))
