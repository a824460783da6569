"""A real nats-server as a child process, held by its handle: for tests, and for the benchmarks."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

_BINARY = Path(sys.executable).parent / "nats-server"
_READY_TIMEOUT_S = 20.0


class NatsServer:
    """One server with its own JetStream directory on its own loopback port; it may be stopped and started again on both."""

    def __init__(self, directory: Path, *, has_jetstream: bool = True, sync_interval: str = "always", more: str = "") -> None:
        """Writes the configuration; `more` is added to it."""
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        jetstream = f'jetstream {{ store_dir: "{directory}/store", sync_interval: {sync_interval} }}' if has_jetstream else ""
        self._settings = f'listen: "127.0.0.1:{self.port}"\n{jetstream}\n'
        self.configure(more)

    def configure(self, more: str) -> None:
        """Changes what is added to the configuration; a server that runs takes it over."""
        (self._directory / "nats.conf").write_text(f"{self._settings}{more}\n")
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def start(self) -> None:
        """Starts the server and returns once it answers."""
        with (self._directory / "nats.log").open("ab") as log:
            self._process = subprocess.Popen([str(_BINARY), "-c", str(self._directory / "nats.conf")], stdout=log, stderr=log)
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"nats-server did not start:\n{(self._directory / 'nats.log').read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stops the server; its data stay."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=20)
            self._process = None

    def kill(self) -> None:
        """Ends the server as a crash would; its data stay."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=20)
            self._process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return connection.recv(4) == b"INFO"
        except OSError:
            return False


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
