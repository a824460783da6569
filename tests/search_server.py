"""A real HTTP server on loopback that speaks the image searches of Serper and SearXNG, serves the images, and fails when told to."""

import json
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

API_KEY = "a-key-of-the-test"
_PATIENCE_S = 30.0
_DRIP_S = 0.02


@dataclass(frozen=True)
class ServedImage:
    """An image with what a search says of it. Its URL is `/images/<name>` on the server."""

    name: str
    payload: bytes
    title: str = ""
    page_url: str = "https://www.example.com/page"
    licence: str = ""
    width_px: int = 0
    height_px: int = 0
    content_type: str = "image/png"


@dataclass(frozen=True)
class Answer:
    """What the server says on one path, or once instead of a search's answer."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    claimed_bytes: int | None = None
    """The Content-Length, where it is a lie."""
    is_chunked: bool = False
    is_dripping: bool = False
    """Byte by byte, a fiftieth of a second each."""
    is_hanging: bool = False
    """Nothing comes, and the connection stays open."""
    is_dropped: bool = False
    """The connection is closed instead of an answer."""


@dataclass(frozen=True)
class Seen:
    """A request that came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def question(self) -> dict[str, Any]:
        return json.loads(self.body) if self.body else dict(self.query)


def matching(query: str, images: Sequence[ServedImage]) -> list[ServedImage]:
    """Images whose title shares a word with the query, in their order."""
    words = set(re.findall(r"\w+", query.casefold()))
    return [image for image in images if words & set(re.findall(r"\w+", image.title.casefold()))]


@dataclass
class SearchServer:
    """The server; a context manager."""

    images: Sequence[ServedImage] = ()
    host: str = "127.0.0.1"
    api_key: str = API_KEY
    page_size: int = 10
    find: Callable[[str, Sequence[ServedImage]], Sequence[ServedImage]] = matching
    requests: list[Seen] = field(default_factory=list)
    num_connections: int = 0
    """Connections that were accepted, whatever was said on them."""

    def __enter__(self) -> "SearchServer":
        self.closing = threading.Event()
        self._paths: dict[str, Answer] = {}
        self._faults: list[Answer] = []
        self._server = _Server((self.host, 0), _Handler)
        self._server.owner = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Base address of both searches."""
        return f"http://{self.host}:{self.port}"

    def image_url(self, name: str) -> str:
        return f"{self.url}/images/{name}"

    def serve(self, path: str, answer: Answer) -> str:
        """From now on says this on a path; returns its URL."""
        self._paths[path] = answer
        return self.url + path

    def fail_searches(self, *answers: Answer) -> None:
        """Says these to the next searches, one each, instead of what was found."""
        self._faults.extend(answers)

    @property
    def searches(self) -> list[Seen]:
        return [seen for seen in self.requests if not seen.path.startswith("/images/")]

    def answer(self, seen: Seen) -> Answer:
        if seen.path in self._paths:
            return self._paths[seen.path]
        named = {f"/images/{image.name}": image for image in self.images}
        if seen.path in named:
            image = named[seen.path]
            return Answer(body=image.payload, headers=(("Content-Type", image.content_type),))
        is_serper = seen.method == "POST" and seen.path == "/images"
        if not is_serper and not (seen.method == "GET" and seen.path == "/search"):
            return Answer(404, b"nothing here")
        if self._faults:
            return self._faults.pop(0)
        return self._as_serper(seen) if is_serper else self._as_searxng(seen)

    def _as_serper(self, seen: Seen) -> Answer:
        if seen.headers.get("x-api-key") != self.api_key:
            return _json({"message": "Unauthorized.", "statusCode": 403}, 403)
        asked = json.loads(seen.body)
        found = self._page(asked["q"], int(asked.get("page", 1)), int(asked.get("num", self.page_size)))
        images = [
            {
                "title": image.title,
                "imageUrl": self.image_url(image.name),
                "imageWidth": image.width_px,
                "imageHeight": image.height_px,
                "thumbnailUrl": self.image_url(image.name),
                "source": "Example",
                "domain": urlsplit(image.page_url).hostname,
                "link": image.page_url,
                "position": position,
            }
            for position, image in enumerate(found, 1)
        ]
        return _json({"searchParameters": {**asked, "type": "images"}, "images": images, "credits": 1})

    def _as_searxng(self, seen: Seen) -> Answer:
        if seen.query.get("format") != "json":
            return Answer(200, b"<!doctype html><title>SearXNG</title>")
        found = self._page(seen.query["q"], int(seen.query.get("pageno", "1")), self.page_size)
        results = [
            {
                "url": image.page_url,
                "title": image.title,
                "content": "",
                "img_src": self.image_url(image.name),
                "thumbnail_src": self.image_url(image.name),
                "resolution": f"{image.width_px} x {image.height_px}" if image.width_px else None,
                "engine": "engine of the test",
                "template": "images.html",
                "category": "images",
                **({"license": image.licence} if image.licence else {}),
            }
            for image in found
        ]
        return _json({"query": seen.query["q"], "number_of_results": 0, "results": results, "unresponsive_engines": []})

    def _page(self, query: str, page: int, size: int) -> Sequence[ServedImage]:
        return list(self.find(query, self.images))[(page - 1) * size : page * size]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    owner: SearchServer

    def get_request(self) -> Any:
        accepted = super().get_request()
        self.owner.num_connections += 1
        return accepted

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away early is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        seen = Seen(
            self.command,
            parts.path,
            {name: values[-1] for name, values in parse_qs(parts.query).items()},
            {name.lower(): value for name, value in self.headers.items()},
            body,
        )
        self.server.owner.requests.append(seen)
        self._say(self.server.owner.answer(seen))

    def _say(self, answer: Answer) -> None:
        closing = self.server.owner.closing
        if answer.is_hanging:
            closing.wait(_PATIENCE_S)
        if answer.is_hanging or answer.is_dropped:
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.is_chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(answer.body) if answer.claimed_bytes is None else answer.claimed_bytes))
        self.end_headers()
        if answer.is_chunked:
            for start in range(0, len(answer.body), 65536):
                part = answer.body[start : start + 65536]
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
        elif answer.is_dripping:
            for byte in answer.body:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                if closing.wait(_DRIP_S):
                    break
        else:
            self.wfile.write(answer.body)
        if answer.claimed_bytes is not None:
            self.close_connection = True


def _json(value: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode(), (("Content-Type", "application/json"),))
