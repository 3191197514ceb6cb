"""A client of HTTP/2 of which every frame is written by hand."""

import socket

import hpack
from hyperframe import frame as frames

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GET = [(":method", "GET"), (":scheme", "http"), (":authority", "shop"), (":path", "/")]
POST = [(":method", "POST"), *GET[1:]]


class Connection:
    """A connection of which every frame is written by hand."""

    def __init__(self, at, settings=None, timeout=10):
        self.stream = socket.create_connection(at, timeout=timeout)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.decoder, self.come, self.is_closed, self.last = hpack.Decoder(), bytearray(), False, None
        self.send(PREFACE, frames.SettingsFrame(0, settings or {}))

    def send(self, *parts):
        data = b"".join(part if isinstance(part, bytes) else part.serialize() for part in parts)
        try:
            self.stream.sendall(data)
        except (ConnectionError, TimeoutError):
            self.is_closed = True

    def block(self, headers):
        """As a literal of every header, so that also those are sent that no encoder takes."""
        out = b""
        for name, value in headers:
            out += b"\0"
            for text in (name, value):
                text = text.encode("latin-1") if isinstance(text, str) else text
                assert len(text) < 127
                out += bytes([len(text)]) + text
        return out

    def headers(self, number, headers, *flags):
        return frames.HeadersFrame(number, self.block(headers), flags=["END_HEADERS", *flags])

    def frame(self):
        """The next frame; none at the end of the connection."""
        while True:
            if len(self.come) >= 9:
                head, length = frames.Frame.parse_frame_header(memoryview(bytes(self.come[:9])))
                if len(self.come) >= 9 + length:
                    head.parse_body(memoryview(bytes(self.come[9 : 9 + length])))
                    del self.come[: 9 + length]
                    if isinstance(head, frames.HeadersFrame):
                        # All of them, as each may change the table.
                        head.decoded = self.decoder.decode(head.data)
                    return head
            try:
                piece = self.stream.recv(1 << 16)
            except ConnectionError:
                piece = b""
            if not piece:
                self.is_closed = True
                return None
            self.come += piece

    def until(self, wanted):
        """The first frame that is wanted; none if the connection ends before."""
        while found := self.frame():
            if isinstance(found, frames.SettingsFrame) and "ACK" not in found.flags:
                self.send(frames.SettingsFrame(0, flags=["ACK"]))
            if isinstance(found, frames.PingFrame) and "ACK" not in found.flags:
                self.send(frames.PingFrame(0, found.opaque_data, flags=["ACK"]))
            if wanted(found):
                return found
        return None

    def end_of(self, number):
        """What becomes of a stream: its status, `reset`, `goaway`, or `closed`."""

        def ends(found):
            of_stream = found.stream_id == number and isinstance(found, (frames.HeadersFrame, frames.RstStreamFrame))
            return of_stream or (isinstance(found, frames.GoAwayFrame) and found.error_code != 0)

        try:
            found = self.last = self.until(ends)
        except TimeoutError:
            return "nothing"
        if isinstance(found, frames.HeadersFrame):
            return int(dict(found.decoded)[":status"])
        kinds = {frames.RstStreamFrame: "reset", frames.GoAwayFrame: "goaway"}
        return kinds[type(found)] if found else "closed"

    def close(self):
        self.stream.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
