"""The fraud service as its callers see it: over one kept connection, with good and bad requests, and to its end."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import unittest

import fraud

ORDER = {"order": "o-1", "customer": "c-1", "currency": "eur", "total": 1999}


class Scores(unittest.TestCase):
    def test_one_order_in_a_hundred_is_suspicious_and_always_the_same_one(self):
        scores = [fraud.score(f"o-{number}", 1000) for number in range(20_000)]
        self.assertEqual(scores, [fraud.score(f"o-{number}", 1000) for number in range(20_000)])
        self.assertTrue(all(0 <= score <= 100 for score in scores))
        suspicious = sum(score >= 90 for score in scores) / len(scores)
        self.assertTrue(0.007 < suspicious < 0.013, suspicious)

    def test_the_total_counts(self):
        totals = {fraud.score("o-1", total) for total in range(100)}
        self.assertGreater(len(totals), 20)


class Requests(unittest.TestCase):
    def setUp(self):
        self.server = fraud.Server(0)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        self.connection = http.client.HTTPConnection("127.0.0.1", self.server.server_address[1], timeout=10)

    def tearDown(self):
        self.connection.close()
        self.server.shutdown()
        self.server.server_close()

    def ask(self, method, path, body=None, headers={}):
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def problem(self, status, code, body, headers={}):
        got, answer, text = self.ask("POST", "/fraud/score", body, headers)
        self.assertEqual((got, answer["Content-Type"]), (status, "application/problem+json"), text)
        document = json.loads(text)
        self.assertEqual((document["status"], document["code"]), (status, code))
        return document["detail"]

    def test_many_requests_go_over_one_connection(self):
        self.assertEqual(self.ask("GET", "/health")[::2], (200, b"ok"))
        socket = self.connection.sock
        for _ in range(3):
            status, _, body = self.ask("POST", "/fraud/score", json.dumps(ORDER))
            self.assertEqual((status, json.loads(body)), (200, {"score": fraud.score("o-1", 1999)}))
        self.assertEqual(self.ask("GET", "/elsewhere")[0], 404)
        self.assertEqual(self.ask("POST", "/elsewhere", "{}")[0], 404)
        self.assertIs(self.connection.sock, socket)

    def test_bad_bodies_are_told_what_is_wrong_and_the_connection_goes_on(self):
        self.assertIn("JSON", self.problem(400, "invalid", "{"))
        self.assertIn("`customer`", self.problem(422, "invalid", json.dumps({"order": "o-1"})))
        self.assertIn("exactly", self.problem(422, "invalid", json.dumps(ORDER | {"more": 1})))
        self.assertIn("exactly", self.problem(422, "invalid", "[]"))
        for total in (True, 1.5, "1", None):
            self.assertIn("`total`", self.problem(422, "invalid", json.dumps(ORDER | {"total": total})))
        self.assertIn("negative", self.problem(422, "invalid", json.dumps(ORDER | {"total": -1})))
        self.assertIn("JSON", self.problem(400, "invalid", "[" * 10_000))
        self.assertEqual(self.ask("POST", "/fraud/score", json.dumps(ORDER | {"order": "\ud800"}))[0], 200)

    def test_what_the_library_refuses_is_a_problem_too(self):
        status, answer, text = self.ask("DELETE", "/fraud/score")
        self.assertEqual((status, answer["Content-Type"]), (501, "application/problem+json"))
        self.assertIn("DELETE", json.loads(text)["detail"])

    def test_a_body_that_is_too_large_or_of_unknown_length_is_not_read(self):
        detail = self.problem(413, "too_large", "x" * (1 << 20))
        self.assertIn(str(fraud.BODY_BYTES_MAX), detail)
        self.problem(411, "length_required", iter([b"{}"]))


class End(unittest.TestCase):
    def test_sigterm_ends_it_although_a_connection_is_open(self):
        program = os.path.join(os.path.dirname(__file__), "fraud.py")
        environment = os.environ | {"PORT": "0"}
        service = subprocess.Popen([sys.executable, program], env=environment, stdout=subprocess.PIPE, text=True)
        self.addCleanup(service.stdout.close)
        self.addCleanup(service.kill)
        port = int(service.stdout.readline().rsplit(":")[-1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self.addCleanup(connection.close)
        connection.request("GET", "/health")
        self.assertEqual(connection.getresponse().read(), b"ok")
        service.send_signal(signal.SIGTERM)
        self.assertEqual(service.wait(30), 0)

    def test_without_a_port_it_says_what_is_missing(self):
        environment = {name: value for name, value in os.environ.items() if name != "PORT"}
        program = os.path.join(os.path.dirname(__file__), "fraud.py")
        ended = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, timeout=30)
        self.assertEqual(ended.returncode, 1)
        self.assertIn("PORT", ended.stderr)


if __name__ == "__main__":
    unittest.main()
