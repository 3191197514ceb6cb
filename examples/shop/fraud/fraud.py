"""Says how likely an order is fraud, from 0 (harmless) to 100. Python's standard library, nothing else.

A real one would know customers and their habits. This one draws a number from the order's id and total, always the same for the same
order, so that asking twice is asking once. About one order in a hundred gets 90 or more.

It keeps nothing, listens on loopback at PORT, and ends on SIGTERM when it has answered what it was asked.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY_BYTES_MAX = 16 * 1024
# A connection without a request is closed after so long, and so is one whose request does not come to its end.
IDLE_SECONDS = 60
# What is read of a body that is not taken, so that its caller sees why.
LINGER_BYTES_MAX = 4 * 1024 * 1024
LINGER_SECONDS = 1
# How long an answer that has begun may take when the service is to end.
END_SECONDS = 2

FIELDS = {"order": str, "customer": str, "currency": str, "total": int}


class Problem(Exception):
    """Why a request is not answered as it was meant, as a problem document (RFC 9457)."""

    def __init__(self, status: HTTPStatus, code: str, detail: str):
        super().__init__(detail)
        self.status = status
        self.document = {
            "type": f"urn:shop:problem:{code}",
            "title": code.replace("_", " "),
            "status": int(status),
            "detail": detail,
            "code": code,
        }


def score(order: str, total: int) -> int:
    """The score of an order: 90 to 100 for one in a hundred, below 90 for all others."""
    digest = hashlib.sha256(f"{order}/{total}".encode(errors="surrogatepass")).digest()
    drawn = int.from_bytes(digest[:8], "big")
    chance, spread = drawn % 100, drawn // 100
    return 90 + spread % 11 if chance == 0 else spread % 90


def order_of(body: bytes) -> tuple[str, int]:
    """The order's id and total, of a body that has all fields and no others."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "invalid", f"the body is not JSON: {error}") from None
    if not isinstance(document, dict) or document.keys() != FIELDS.keys():
        names = ", ".join(f"`{name}`" for name in FIELDS)
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", f"the body must be an object of exactly {names}")
    for name, kind in FIELDS.items():
        # A boolean is an int in Python, and no amount.
        if type(document[name]) is not kind:
            word = {str: "a text", int: "a whole number of minor units"}[kind]
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", f"`{name}` must be {word}")
    if document["total"] < 0:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", "`total` must not be negative")
    return document["order"], document["total"]


class Handler(BaseHTTPRequestHandler):
    """One connection, which is kept open between requests."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    # Head and body leave together and at once; otherwise each answer would wait for the other side's acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path == "/health":
            self.answer(HTTPStatus.OK, b"ok", "text/plain")
        else:
            self.refuse(self.no_such_address())

    def do_POST(self) -> None:
        with self.server.busy():
            try:
                body = self.body()
                if self.path != "/fraud/score":
                    raise self.no_such_address()
                document = {"score": score(*order_of(body))}
                self.answer(HTTPStatus.OK, json.dumps(document).encode(), "application/json")
            except Problem as problem:
                self.refuse(problem)

    def body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdecimal() or "Transfer-Encoding" in self.headers:
            # Where the next request would begin is not known.
            self.close_connection = True
            raise Problem(HTTPStatus.LENGTH_REQUIRED, "length_required", "say the body's length by `Content-Length`")
        if int(length) > BODY_BYTES_MAX:
            self.close_connection = True
            detail = f"the body has {length} bytes, and at most {BODY_BYTES_MAX} are taken"
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", detail)
        return self.rfile.read(int(length))

    def no_such_address(self) -> Problem:
        detail = f"there is no {self.command} {self.path}: use POST /fraud/score"
        return Problem(HTTPStatus.NOT_FOUND, "not_found", detail)

    def refuse(self, problem: Problem) -> None:
        self.answer(problem.status, json.dumps(problem.document).encode(), "application/problem+json")

    def answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        if self.close_connection:
            self.linger()

    def linger(self) -> None:
        """Reads on for a moment: closing with bytes unread would take the answer away from the caller too."""
        try:
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(LINGER_SECONDS)
            left = LINGER_BYTES_MAX
            while left > 0 and (read := self.rfile.read1(64 * 1024)):
                left -= len(read)
        except OSError:
            pass

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the library itself refuses, such as another method."""
        self.close_connection = True
        status = HTTPStatus(code)
        self.refuse(Problem(status, "refused", message or explain or status.description))

    def log_message(self, *_arguments: object) -> None:
        """Says nothing: the gateway's access log has every request."""


class Server(ThreadingHTTPServer):
    """A thread for each connection. The gateway bounds how many calls there are at a time."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int):
        super().__init__(("127.0.0.1", port), Handler)
        self._count = 0
        self._changed = threading.Condition()

    def handle_error(self, request: object, client_address: object) -> None:
        # That a caller has gone away is not worth a line.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def busy(self) -> "Busy":
        return Busy(self)

    def change(self, by: int) -> None:
        with self._changed:
            self._count += by
            self._changed.notify_all()

    def wait_until_idle(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._count == 0, END_SECONDS)


class Busy:
    """A request that is being answered."""

    def __init__(self, server: Server):
        self._server = server

    def __enter__(self) -> None:
        self._server.change(1)

    def __exit__(self, *_reason: object) -> None:
        self._server.change(-1)


def main() -> None:
    port = os.environ.get("PORT", "")
    if not port.isdecimal():
        sys.exit("error: PORT is not set to a port: Mainstay sets it for the programs that it runs")
    server = Server(int(port))

    def end(*_signal: object) -> None:
        # Not in this thread: it is the one that serves.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    print(f"fraud listens on 127.0.0.1:{server.server_address[1]}", flush=True)
    with server:
        server.serve_forever(poll_interval=0.1)
        server.wait_until_idle()


if __name__ == "__main__":
    main()
