"""Second parsers: each reads a stream of requests as it would behind the gateway, and says what it has read."""

import contextlib
import http.server
import io
import json
import os
import pathlib
import socket
import subprocess
import time

import h11

from wire import Origin, exchange, read

SENTINEL = b"GET /sentinel HTTP/1.1\r\nhost: sentinel\r\n\r\n"
DONE = b"the sentinel was read"


def h11_reads(stream):
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 17)
    connection.receive_data(stream)
    connection.receive_data(b"")
    seen, body = [], b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            hosts = [value for name, value in event.headers if name == b"host"]
            seen.append((event.method, event.target, hosts[0] if hosts else None))
            body = b""
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            seen[-1] += (body,)
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
        elif event is h11.PAUSED:
            connection.start_next_cycle()
        elif isinstance(event, h11.ConnectionClosed):
            return seen
        else:
            raise AssertionError(f"h11: {event}")


class PythonReads(http.server.BaseHTTPRequestHandler):
    """The head is read by Python's own server, and the body by what it says of its framing."""

    def __init__(self, stream):
        self.rfile, self.wfile = io.BytesIO(stream), io.BytesIO()
        self.client_address, self.seen = ("127.0.0.1", 0), []
        while line := self.rfile.readline(1 << 16):
            self.raw_requestline = line
            if not self.parse_request():
                # What it has to say stands where the next request would.
                self.seen.append(self.wfile.getvalue().split(b"\r\n")[0])
                return
            target = self.raw_requestline.split(b" ")[1] if self.path.startswith("/") else self.path.encode()
            self.seen.append((self.command.encode(), target, self.headers["host"].encode(), self.body()))

    def body(self):
        if self.headers["transfer-encoding"] != "chunked":
            return self.rfile.read(int(self.headers["content-length"] or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size + 2)[:-2]
        while self.rfile.readline() != b"\r\n":
            pass
        return body

    def log_message(self, *arguments):
        pass


def python_reads(stream):
    return PythonReads(stream).seen


def split(stream):
    while stream:
        length = read(stream)[1]
        yield stream[:length]
        stream = stream[length:]


class Proxy:
    """Another proxy as the next hop: what it has read is what it sends on."""

    def __init__(self, name, program, folder):
        self.name, self.folder = name, pathlib.Path(folder, name)
        self.folder.mkdir()
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s"
        self.origin = Origin(
            answer=lambda request: answer % ((len(DONE), DONE) if request.target == b"/sentinel" else (2, b"ok"))
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        arguments = getattr(self, name)(self.folder)
        self.log = open(self.folder / "log", "wb")
        environment = {**os.environ, "HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder)}
        self.child = subprocess.Popen(
            [program, *arguments], stdout=self.log, stderr=self.log, cwd=self.folder, env=environment
        )
        end = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                if DONE in exchange(("127.0.0.1", self.port), SENTINEL, lambda answer: DONE in answer or b" 404 " in answer, 2):
                    break
            if self.child.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{name} does not serve: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def reads(self, stream):
        """What it reads of a stream. A sentinel follows, which is not seen if the end of what came before it is elsewhere."""
        if b"\r\nupgrade: " in stream:
            # What stands behind one that is granted is another protocol: each is read by itself, as the gateway sends it.
            return [seen for request in split(stream) for seen in self.read(request, b"\r\n\r\n")]
        seen = self.read(stream + SENTINEL, DONE)
        return seen[:-1] if seen[-1][1:3] == (b"/sentinel", b"sentinel") else [*seen, b"and no sentinel"]

    def read(self, data, end):
        self.origin.take_requests()
        answer = exchange(("127.0.0.1", self.port), data, lambda answer: end in answer, timeout=5)
        seen = [request.seen() for request in self.origin.take_requests()]
        if end not in answer:
            seen += [line for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.")]
        return seen

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.log.close()

    def nginx(self, folder):
        config = f"""
            daemon off; worker_processes 1; pid {folder}/pid; error_log stderr;
            events {{ worker_connections 256; }}
            http {{
                access_log off; client_header_buffer_size 64k; large_client_header_buffers 8 64k;
                client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
                uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
                server {{
                    listen 127.0.0.1:{self.port}; underscores_in_headers on;
                    location / {{
                        proxy_pass http://127.0.0.1:{self.origin.port}; proxy_http_version 1.1;
                        proxy_set_header Host $http_host; proxy_set_header Connection "";
                    }}
                }}
            }}"""
        (folder / "config").write_text(config)
        return ["-p", str(folder), "-c", str(folder / "config"), "-e", "stderr"]

    def haproxy(self, folder):
        config = f"""
global
    tune.bufsize 131072
    tune.http.maxhdr 256
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen all
    bind 127.0.0.1:{self.port}
    server origin 127.0.0.1:{self.origin.port}
"""
        (folder / "config").write_text(config)
        return ["-db", "-f", str(folder / "config")]

    def envoy(self, folder):
        route = {"match": {"prefix": "/"}, "route": {"cluster": "origin", "timeout": "20s"}}
        manager = {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "all",
            "max_request_headers_kb": 96,
            "common_http_protocol_options": {"max_headers_count": 256},
            "upgrade_configs": [{"upgrade_type": kind} for kind in ("websocket", "x", "TLS/1.0")],
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
            "http_filters": [
                {
                    "name": "router",
                    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
                }
            ],
        }

        def place(port):
            return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

        endpoint = {"endpoint": {"address": place(self.origin.port)}}
        config = {
            "static_resources": {
                "listeners": [
                    {
                        "address": place(self.port),
                        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                    }
                ],
                "clusters": [
                    {
                        "name": "origin",
                        "connect_timeout": "5s",
                        "load_assignment": {"cluster_name": "origin", "endpoints": [{"lb_endpoints": [endpoint]}]},
                    }
                ],
            }
        }
        (folder / "config.json").write_text(json.dumps(config))
        return ["-c", str(folder / "config.json"), "--concurrency", "1", "--use-dynamic-base-id", "-l", "warning"]

    def caddy(self, folder):
        config = f"""
{{
    admin off
    auto_https off
    persist_config off
    servers {{
        max_header_size 131072
    }}
}}
http://:{self.port} {{
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:{self.origin.port}
}}"""
        (folder / "Caddyfile").write_text(config)
        return ["run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]

    def traefik(self, folder):
        config = {
            "http": {
                "routers": {"all": {"rule": "PathPrefix(`/`)", "service": "origin", "entryPoints": ["web"]}},
                "services": {
                    "origin": {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{self.origin.port}"}]}}
                },
            }
        }
        (folder / "routes.yaml").write_text(json.dumps(config))
        return [
            f"--entryPoints.web.address=127.0.0.1:{self.port}",
            f"--providers.file.filename={folder}/routes.yaml",
            "--global.checkNewVersion=false",
            "--global.sendAnonymousUsage=false",
        ]
