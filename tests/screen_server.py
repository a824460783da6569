"""A content screen behind HTTP, on a free loopback port, that finds what a rule finds; or is broken in a way of the test's choice."""

import base64
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

Answer = tuple[int, bytes]
Rule = Callable[[bytes, str], list[str]]


class ScreenServer:
    """Answers with the rule's findings; `broken` replaces the answer by a status and a body."""

    def __init__(self, rule: Rule, *, port: int = 0) -> None:
        self.rule = rule
        self.broken: Answer | None = None
        self.hangs = False
        self.num_asked = 0
        self.closing = threading.Event()
        self._port = port

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/screen"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, body: bytes) -> Answer:
        self.num_asked += 1
        if self.hangs:
            self.closing.wait(20)
        if self.broken is not None:
            return self.broken
        told = json.loads(body)
        assert told["schema"] == "spiral.content/1"
        found = self.rule(base64.b64decode(told["image"], validate=True), told["text"])
        return 200, json.dumps({"is_unsafe": bool(found), "reasons": found, "model": "of the operator's own"}).encode()


def _handler(server: ScreenServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            status, body = server.answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            return

    return Handler
