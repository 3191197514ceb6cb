"""Drives the API with Python's own HTTP client: kept-alive connections, problems, and what a browser must not do."""

import http.client
import json
import sys

address = sys.argv[1]
connection = http.client.HTTPConnection(address, timeout=10)


def ask(method, path, body=None, **headers):
    """One exchange on the shared connection; the answer's body is read, so that the next one can follow."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    return answer, answer.read()


def expect_problem(status, method, path, body=None, **headers):
    answer, body = ask(method, path, body, **headers)
    seen = f"{method} {path} {headers}: {answer.status} {body[:300]!r}"
    assert answer.status == status, f"expected {status}, {seen}"
    assert answer.headers.get_content_type() == "application/problem+json", seen
    problem = json.loads(body)
    assert problem["status"] == status, seen
    assert problem["type"] == f"urn:mainstay:problem:{problem['code']}", seen
    assert problem["retry"] in ("never", "safe", "with_idempotency_key", "after"), seen
    assert problem["title"] and problem["detail"], seen
    assert answer.headers["Mainstay-Request-Id"], seen
    return answer


for path in ("/v1/health/live", "/v1/health/ready"):
    first, body = ask("GET", path)
    second, again = ask("GET", path)
    assert first.status == second.status == 200, (path, first.status, second.status)
    assert body == again, path
    ids = [answer.headers["Mainstay-Request-Id"] for answer in (first, second)]
    assert all(ids) and ids[0] != ids[1], (path, ids)
    socket = connection.sock
    head, nothing = ask("HEAD", path)
    assert head.status == 200 and nothing == b"", path
    assert connection.sock is socket, "the connection is kept"

expect_problem(404, "GET", "/v1/nowhere")
assert "GET" in expect_problem(405, "DELETE", "/v1/health/live").headers["Allow"]

# What a page in a browser could be made to send.
for foreign in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Sec_Fetch_Site": "cross-site"}):
    answer, _ = ask("GET", "/v1/health/live", **foreign)
    assert 400 <= answer.status < 500, (foreign, answer.status)
