"""One budget, one broker, two processes that are killed again and again: it is never overrun, and nothing that was charged is missing."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from shared.bus import Bus
from shared.llm import read_models_file
from shared.llm.chat_body import cost
from shared.llm.roles import Role
from shared.llm.spending import BUCKET, read_spending
from tests.broker import NatsServer
from tests.integration.llm_budget_child import LIMITS, RUN
from tests.scripted_llm import ChatRequest, Fault, ScriptedLlm, models_toml

ROOT = Path(__file__).parents[2]
NUM_ROUNDS = 4
NUM_SEEDS = 120


class Billing:
    """A model that bills up to what was reserved, fails now and then, and counts by itself what it would charge."""

    def __init__(self) -> None:
        self.bills: list[tuple[str, int, int]] = []
        self._lock = threading.Lock()
        self._rng = Random(4)

    def __call__(self, request: ChatRequest) -> str | Fault:
        time.sleep(0.01)
        with self._lock:
            chance = self._rng.random()
            if chance < 0.1:
                return Fault.failed(500)
            if chance < 0.15:
                return Fault.failed(429, retry_after="0.05")
            num_input_tokens, num_output_tokens = self._rng.randint(5, 80), self._rng.randint(1, 60)
            self.bills.append((request.model, num_input_tokens, num_output_tokens))
            if chance < 0.2:
                return Fault.drop()
        if chance < 0.25:
            return Fault.billed("no number", num_input_tokens=num_input_tokens, num_output_tokens=num_output_tokens)
        return Fault.billed('{"number": 4}', num_input_tokens=num_input_tokens, num_output_tokens=num_output_tokens)


@contextmanager
def child(server: NatsServer, directory: Path, first_seed: int, num_calls: int) -> Iterator[subprocess.Popen[str]]:
    """A process that asks; ended by its handle, however the test goes."""
    # An account that the environment names for another endpoint is nothing that this one should hear of.
    accounts = {"OPENAI_ORG_ID": "org-canary", "OPENAI_PROJECT_ID": "org-canary"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.llm_budget_child", server.url, str(directory), str(first_seed), str(num_calls)],
        cwd=ROOT,
        env={**accounts, "PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT}/proto/gen"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def asks_for(process: subprocess.Popen[str], llm: ScriptedLlm, num_more: int) -> None:
    """Returns once the process asks and the server has got some more requests, or the process has ended."""
    assert process.stdout is not None
    process.stdout.readline()
    wanted = len(llm.requests) + num_more
    while len(llm.requests) < wanted and process.poll() is None:
        time.sleep(0.002)


def play(server: NatsServer, directory: Path, llm: ScriptedLlm) -> list[str]:
    """Rounds of two processes each, killed at random moments; then two that may end. Returns what the last ones said."""
    rng = Random(9)
    for number in range(NUM_ROUNDS):
        first_seed = number * 30
        with child(server, directory, first_seed, NUM_SEEDS) as one, child(server, directory, first_seed + 60, NUM_SEEDS) as other:
            asks_for(one, llm, rng.randint(1, 40))
            one.kill()
            asks_for(other, llm, rng.randint(1, 20))
    with child(server, directory, 0, 200) as one, child(server, directory, 150, 200) as other:
        return [process.communicate(timeout=90)[0].splitlines()[-1] for process in (one, other)]


async def test_two_processes_that_are_killed_never_overrun_their_budget(nats_server: NatsServer, bus: Bus, tmp_path: Path) -> None:
    bill = Billing()
    with ScriptedLlm(bill) as llm:
        text = models_toml(llm.url, usd_per_million_input_tokens=2.0, usd_per_million_output_tokens=10.0, max_in_flight=8)
        (tmp_path / "models.toml").write_text(text)
        said = await asyncio.to_thread(play, nats_server, tmp_path, llm)
    (choice,) = read_models_file(tmp_path / "models.toml").models_for(Role.ASK)
    charged = {model: [cost(choice, *tokens) for of, *tokens in bill.bills if of == model] for model in ("scripted", "solver")}
    usd = {model: sum(each.cost_pico_usd for each in costs) / 1e12 for model, costs in charged.items()}
    num_tokens = sum(each.num_tokens for costs in charged.values() for each in costs)

    assert len(bill.bills) <= LIMITS.max_calls
    assert num_tokens <= LIMITS.max_tokens
    assert sum(usd.values()) <= LIMITS.max_cost_usd
    assert len(charged["solver"]) <= 90
    assert usd["scripted"] <= 0.15
    counted = await read_spending(await bus.bucket(BUCKET), RUN)
    assert sum(spend.num_calls for spend in counted) <= LIMITS.max_calls
    assert sum(spend.num_input_tokens + spend.num_output_tokens for spend in counted) <= LIMITS.max_tokens
    assert sum(spend.cost_usd for spend in counted) <= LIMITS.max_cost_usd + 1e-9
    # Nothing that was charged is missing from the ledger.
    assert sum(spend.num_calls for spend in counted) >= len(bill.bills)
    assert sum(spend.cost_usd for spend in counted) >= sum(usd.values()) - 1e-9
    assert not any("org-canary" in request.headers.values() for request in llm.requests)
    # The budget was really at its end: some call found it so.
    assert any(int(line.split()[1]) > 0 for line in said), said
