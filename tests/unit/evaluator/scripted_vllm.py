"""A vLLM server of the test's own, over real HTTP: its routes, a state machine of its weights, and faults on demand.

What it answers follows from the weights that it holds, the prompt and the seed. It checks by itself that nobody is answered by weights of
two checkpoints, that images come as data URLs, and that weights are replaced only while it is paused.
"""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_FORGETTING = ("/reset_prefix_cache", "/reset_mm_cache", "/reset_encoder_cache")


def weights_of(directory: Path) -> str:
    """What stands for a checkpoint's weights: a digest of their bytes."""
    digest = hashlib.sha256()
    for shard in sorted(directory.glob("*.safetensors")):
        digest.update(shard.read_bytes())
    return digest.hexdigest()


@dataclass
class Fault:
    """What happens to a chat request, once: a status instead of an answer, or an answer that is broken, late or cut."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    is_truncated: bool = False
    hangs_up: bool = False
    delay_s: float = 0.0
    finish_reason: str = "stop"


@dataclass
class ScriptedVllm:
    """The server's state. `faults` strike the chat requests whose text holds the key; `failing_routes` answer that status, that often."""

    root: Path
    is_in_dev_mode: bool = True
    takes_weights: bool = True
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    failing_routes: dict[str, list[int]] = field(default_factory=dict)
    url: str = ""
    version: str = "default"
    is_paused: bool = False
    weights: str = ""
    routes: list[str] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    num_answering: int = 0
    max_answering: int = 0
    num_hung_up: int = 0
    answering: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.changed = threading.Condition()
        self.restart()

    def restart(self) -> None:
        """Back to the weights that it was started with."""
        with self.changed:
            self.version, self.is_paused, self.weights = "default", False, weights_of(self.root)

    def control(self, method: str, route: str, query: dict[str, list[str]], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self.changed:
            self.routes.append(route)
            if statuses := self.failing_routes.get(route):
                return statuses.pop(0), {"error": "planted"}
            if route == "/v1/models":
                return 200, {"data": [{"id": "policy", "root": str(self.root), "object": "model"}]}
            if not self.is_in_dev_mode:
                return 404, {"detail": "Not Found"}
            match method, route:
                case "GET", "/weight_info":
                    return 200, {"weight_version": self.version}
                case "GET", "/is_paused":
                    return 200, {"is_paused": self.is_paused}
                case "POST", "/pause":
                    if query.get("mode") != ["wait"]:
                        self.violations.append(f"paused with {query}: requests under way are lost or answered by two checkpoints")
                    self.is_paused = True
                    self.changed.wait_for(lambda: not self.num_answering, 10)
                    return 200, {"status": "paused"}
                case "POST", "/resume":
                    self.is_paused = False
                    self.changed.notify_all()
                    return 200, {"status": "resumed"}
                case "POST", "/update_weight_version":
                    self.version = body["new_version"]
                    return 200, {"success": True}
                case "POST", "/collective_rpc":
                    return self._reload(body)
                case "POST", _ if route in _FORGETTING:
                    return 200, {"success": True}
            return 404, {"detail": "Not Found"}

    def _reload(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        directory = Path(body["kwargs"]["weights_path"])
        if not self.is_paused or self.num_answering:
            self.violations.append("weights were replaced under requests")
        if body["method"] != "reload_weights" or not directory.is_dir():
            return 500, {"error": f"no weights in {directory}"}
        if self.takes_weights:
            self.weights = weights_of(directory)
        return 200, {"results": [None]}

    def answer(self, body: dict[str, Any]) -> tuple[dict[str, Any] | None, Fault]:
        """The answer to a chat request, or None where it can never be given."""
        image, text = body["messages"][-1]["content"]
        with self.changed:
            self.changed.wait_for(lambda: not self.is_paused, 10)
            self.requests.append(body)
            fault = next((faults.pop(0) for key, faults in self.faults.items() if key in text["text"] and faults), Fault())
            self.num_answering += 1
            self.max_answering = max(self.max_answering, self.num_answering)
            weights = self.weights
        self.answering.set()
        try:
            time.sleep(fault.delay_s)
            url = image["image_url"]["url"]
            if not url.startswith("data:image/png;base64,"):
                self.violations.append(f"an image came as {url[:40]}")
            if not base64.b64decode(url.partition(",")[2]).startswith(PNG_MAGIC):
                return None, fault
            prompt = f"{text['text']}/{hashlib.sha256(url.encode()).hexdigest()}"
            choices = [self._choice(weights, prompt, body, number, fault) for number in reversed(range(body.get("n", 1)))]
        finally:
            with self.changed:
                if weights != self.weights:
                    self.violations.append("an answer was given by weights of two checkpoints")
                self.num_answering -= 1
                self.changed.notify_all()
        return {"choices": choices}, fault

    @staticmethod
    def _choice(weights: str, prompt: str, body: dict[str, Any], number: int, fault: Fault) -> dict[str, Any]:
        seed = f"{body['seed'] + number}" if body["temperature"] else "greedy"
        said = hashlib.sha256(f"{weights}/{prompt}/{seed}".encode()).hexdigest()
        logprobs = None
        if body.get("logprobs"):
            likely = [{"token": f"{n}", "logprob": -int(said[2 * n : 2 * n + 2], 16) / 16} for n in range(body["top_logprobs"])]
            logprobs = {"content": [{"token": "0", "logprob": likely[0]["logprob"], "top_logprobs": likely}]}
        message = {"role": "assistant", "content": f" {said[:6]}\n"}
        return {"index": number, "message": message, "finish_reason": fault.finish_reason, "logprobs": logprobs}


def _handler(script: ScriptedVllm) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def log_message(self, *_: Any) -> None:
            return

        def do_GET(self) -> None:
            self._serve({})

        def do_POST(self) -> None:
            payload = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._serve(json.loads(payload) if payload and payload != b"null" else {})

        def _serve(self, body: dict[str, Any]) -> None:
            parts = urlsplit(self.path)
            if parts.path != "/v1/chat/completions":
                return self._say(*script.control(self.command, parts.path, parse_qs(parts.query), body), Fault())
            answer, fault = script.answer(body)
            if fault.hangs_up:
                self.close_connection = True
                return None
            if answer is None:
                return self._say(400, {"error": {"message": "cannot identify image file", "code": 400}}, fault)
            if fault.status != 200:
                return self._say(fault.status, {"error": {"message": f"planted {fault.status}", "code": fault.status}}, fault)
            return self._say(200, answer, fault)

        def _say(self, status: int, content: dict[str, Any], fault: Fault) -> None:
            payload = json.dumps(content).encode()
            if fault.is_truncated:
                payload = payload[: len(payload) // 2]
            try:
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", "Content-Length": str(len(payload)), **fault.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload)
                self.wfile.flush()
            except (BrokenPipeError, ConnectionResetError):
                script.num_hung_up += 1

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: clients that hang up are part of the tests."""


@contextmanager
def scripted_vllm(root: Path, **how: Any) -> Iterator[ScriptedVllm]:
    """A server on a free port of the loopback, started with the checkpoint `root`."""
    script = ScriptedVllm(root, **how)
    with _Server(("127.0.0.1", 0), _handler(script)) as server:
        script.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield script
        finally:
            server.shutdown()
            thread.join()
