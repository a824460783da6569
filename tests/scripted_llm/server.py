"""The scripted server: a thread for each connection, on a free port of the loopback."""

import base64
import contextlib
import hashlib
import json
import math
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.scripted_llm.faults import Fault
from tests.scripted_llm.requests import ChatRequest, EditRequest, EmbeddingRequest, chat_request, edit_request, embedding_request

Said = tuple[dict[str, Any], Fault]
_EMBEDDING_SIZE = 16


def embed(text: str) -> list[float]:
    """A unit vector that follows from a text's words: texts that share words lie close."""
    vector = [0.0] * _EMBEDDING_SIZE
    for word in text.lower().split():
        digest = hashlib.sha256(word.encode()).digest()
        vector[digest[0] % _EMBEDDING_SIZE] += 1.0 if digest[1] % 2 else -1.0
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]


class ScriptedLlm:
    """Answers as the script says, and remembers what it was asked.

    Args:
        answer: gets a chat request and returns the model's text or a fault; called in many threads at once.
        edit: gets an image edit request and returns the new image or a fault; the image as it came where None.
        embedding: gets a text and returns its vector.
        delay_s: how long every answer takes at least.
        api_key: refuses requests without this key, where one is given.
        fault: called for embeddings requests; a fault instead of an answer where it returns one.
    """

    def __init__(
        self,
        answer: Callable[[ChatRequest], str | Fault],
        *,
        edit: Callable[[EditRequest], bytes | Fault] = lambda request: request.image,
        embedding: Callable[[str], list[float]] = embed,
        delay_s: float = 0.0,
        api_key: str = "",
        port: int = 0,
        fault: Callable[[EmbeddingRequest], Fault | None] = lambda request: None,
    ) -> None:
        self.answer = answer
        self.edit = edit
        self.embedding = embedding
        self.fault = fault
        self.delay_s = delay_s
        self.api_key = api_key
        self.requests: list[ChatRequest] = []
        """Chat requests, in the order in which they came."""
        self.embedding_requests: list[EmbeddingRequest] = []
        self.edit_requests: list[EditRequest] = []
        self.bodies: list[bytes] = []
        """Bodies of all requests as they came."""
        self.violations: list[str] = []
        """What no client should send."""
        self.max_in_flight_seen = 0
        self.num_hung_up = 0
        """Clients that went away before their answer was sent."""
        self.closing = threading.Event()
        self._num_in_flight = 0
        self._lock = threading.Lock()
        self._port = port

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", self._port), _handler(self))
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def num_in_flight(self) -> int:
        """Requests that are being answered."""
        return self._num_in_flight

    def said(self, route: str, payload: bytes, headers: dict[str, str]) -> Said:
        """The answer to a request, after its delay."""
        with self._lock:
            self.bodies.append(payload)
            self._num_in_flight += 1
            self.max_in_flight_seen = max(self.max_in_flight_seen, self._num_in_flight)
        try:
            if self.api_key and headers.get("authorization") != f"Bearer {self.api_key}":
                return {}, Fault.failed(401)
            content, fault = self._route(route, payload, headers)
            if self.delay_s or fault.delay_s:
                time.sleep(self.delay_s + fault.delay_s)
            return content, fault
        finally:
            with self._lock:
                self._num_in_flight -= 1

    def _route(self, route: str, payload: bytes, headers: dict[str, str]) -> Said:
        try:
            match route:
                case "/v1/models":
                    return {"object": "list", "data": [{"id": "scripted", "object": "model"}]}, Fault()
                case "/v1/chat/completions":
                    return self._chat(chat_request(payload, headers))
                case "/v1/embeddings":
                    return self._embeddings(embedding_request(payload, headers))
                case "/v1/images/edits":
                    return self._edit(edit_request(payload, headers))
        except (ValueError, KeyError, IndexError) as error:
            self.violations.append(f"{route}: {error!r}")
            return {}, Fault.failed(400)
        return {}, Fault.failed(404)

    def _chat(self, request: ChatRequest) -> Said:
        with self._lock:
            self.requests.append(request)
        answer = self.answer(request)
        fault = Fault(text=answer) if isinstance(answer, str) else answer
        message = {"role": "assistant", "content": fault.text, "refusal": fault.refusal}
        content: dict[str, Any] = {
            "id": "chatcmpl-scripted",
            "object": "chat.completion",
            "created": 0,
            "model": request.model,
            "choices": [{"index": 0, "message": message, "finish_reason": fault.finish_reason, "logprobs": None}],
        }
        num_input_tokens = 4 + sum(len(text) for text in (request.system, *request.texts)) // 4 + 200 * len(request.images)
        num_output_tokens = len(fault.text or fault.refusal or "") // 4 + 1
        return _billed(content, fault, num_input_tokens, num_output_tokens)

    def _embeddings(self, request: EmbeddingRequest) -> Said:
        with self._lock:
            self.embedding_requests.append(request)
        fault = self.fault(request) or Fault()
        rows = [{"object": "embedding", "index": n, "embedding": self.embedding(text)} for n, text in enumerate(request.texts)]
        # The protocol gives each vector its index, and no order.
        content = {"object": "list", "model": request.model, "data": rows[::-1]}
        return _billed(content, fault, sum(len(text) for text in request.texts) // 4 + 1, 0)

    def _edit(self, request: EditRequest) -> Said:
        with self._lock:
            self.edit_requests.append(request)
        answer = self.edit(request)
        if isinstance(answer, Fault):
            return {}, answer
        return {"created": 0, "data": [{"b64_json": base64.b64encode(answer).decode()}]}, Fault()


def _billed(content: dict[str, Any], fault: Fault, num_input_tokens: int, num_output_tokens: int) -> Said:
    if fault.has_usage:
        counted = {"prompt_tokens": num_input_tokens, "completion_tokens": num_output_tokens}
        content["usage"] = fault.usage or {**counted, "total_tokens": num_input_tokens + num_output_tokens}
    return content, fault


def _handler(script: ScriptedLlm) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def log_message(self, *_: Any) -> None:
            return

        def do_GET(self) -> None:
            self._serve(b"")

        def do_POST(self) -> None:
            self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _serve(self, payload: bytes) -> None:
            content, fault = script.said(self.path, payload, {name.lower(): value for name, value in self.headers.items()})
            if fault.hangs:
                script.closing.wait()
            if fault.hangs or fault.drops:
                self.close_connection = True
                return
            body = fault.body if fault.status != 200 or fault.is_garbled else json.dumps(content)
            try:
                self._say(fault, body.encode())
            except (BrokenPipeError, ConnectionResetError):
                script.num_hung_up += 1
                self.close_connection = True

        def _say(self, fault: Fault, payload: bytes) -> None:
            self.send_response(fault.status)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(payload)), **fault.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if fault.cuts_body:
                self.wfile.write(payload[: len(payload) // 2])
                self.close_connection = True
            elif fault.drip_interval_s:
                for number in range(len(payload)):
                    self.wfile.write(payload[number : number + 1])
                    self.wfile.flush()
                    if script.closing.wait(fault.drip_interval_s):
                        self.close_connection = True
                        return
            else:
                self.wfile.write(payload)
            self.wfile.flush()

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: clients that hang up are part of the tests."""
        with contextlib.suppress(OSError):
            request.close()
