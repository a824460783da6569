"""One endpoint as this process sees it: its client, its key, how much it can take now, and whether it is left alone."""

from pathlib import Path

import httpx2
import openai

from shared.errors import BadConfiguration, Retryable
from shared.llm import models_file
from shared.llm.breaker import Breaker
from shared.llm.concurrency import AdaptiveLimit, Gate
from shared.llm.failures import Failure, Place
from shared.llm.knocking import knock
from shared.llm.timing import Timing
from shared.llm.tuning import Tuning
from shared.telemetry import log

_NO_KEY = "none"


class EndpointLink:
    """Who may send a request to an endpoint, and what becomes known of it by what comes back."""

    def __init__(self, path: Path, name: str, config: models_file.Endpoint, tuning: Tuning, timing: Timing) -> None:
        self.config = config
        self._path = path
        self._name = name
        self._timing = timing
        self._key = models_file.read_api_key(path, name, config)
        self._is_key_refused = False
        self._is_known_to_answer = False
        self._failed_with = ""
        self._unanswered = ""
        self._gate = Gate(AdaptiveLimit(tuning.first_in_flight, config.max_in_flight))
        self._breaker = Breaker(
            num_failures=tuning.num_failures_to_open, cool_down_s=tuning.cool_down_s, max_cool_down_s=tuning.max_cool_down_s
        )
        self._held_off_until = float("-inf")
        timeout = httpx2.Timeout(config.timeout_s, connect=min(config.timeout_s, tuning.connect_timeout_s))
        self._http = httpx2.AsyncClient(
            timeout=timeout,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=config.max_in_flight),
            # A redirect would carry the prompts to whom the operator did not name.
            follow_redirects=False,
        )
        self.client = openai.AsyncOpenAI(
            base_url=config.url, api_key=self._key or _NO_KEY, http_client=self._http, timeout=timeout, max_retries=0
        )
        # The client takes these from the environment, where they speak of another endpoint's account.
        self.client.organization = self.client.project = None

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    @property
    def is_open(self) -> bool:
        """Whether it is left alone for now."""
        return self._breaker.is_open(self._timing.now())

    @property
    def away(self) -> str:
        """Why nothing should be asked of it, in words; empty where nothing is known against it."""
        return self._failed_with if self.is_open else self._unanswered

    async def knock(self) -> None:
        """Finds out whether somebody is there, unless that is known; once it was left alone for long enough."""
        if self._is_known_to_answer or self.is_open:
            return
        if self._is_key_refused:
            self._reload_key()
        fault = await knock(self._http, self.config.url, self._key, is_key_doubted=self._is_key_refused)
        self._is_known_to_answer = not fault
        self._unanswered = f"the endpoint {self._name!r} at {self.config.url} {fault}" if fault else ""

    @property
    def max_in_flight(self) -> int:
        """Requests that it gets at a time for now."""
        return self._gate.limit.value

    def place(self, choice: models_file.ModelChoice) -> Place:
        """How to name it in errors about one of its models."""
        return Place(str(self._path), self._name, self.config.url, choice.name, choice.model, self._key)

    async def enter(self) -> float:
        """Waits until a request may be sent, and returns the time at which it is; ended by `answered`, `failed` or `given_up`.

        Raises:
            Retryable: the endpoint is left alone for now.
        """
        while True:
            while (wait_s := self._held_off_until - self._timing.now()) > 0:
                await self._timing.sleep(wait_s)
            if self.is_open:
                raise self._left_alone()
            await self._gate.enter()
            now = self._timing.now()
            if now < self._held_off_until:
                self._gate.leave()
                continue
            if not self._breaker.admits(now):
                self._gate.leave()
                raise self._left_alone()
            if self._is_key_refused:
                self._reload_key()
            return now

    def answered(self) -> None:
        """The request was answered, be it with a refusal of what was asked."""
        self._gate.limit.succeeded()
        self._is_key_refused = False
        self._is_known_to_answer = True
        self._unanswered = ""
        if self._breaker.succeeded():
            log.info("endpoint answers again", endpoint=self._name)
        self._gate.leave()

    def failed(self, failure: Failure, *, sent_at: float) -> None:
        """The request failed."""
        now = self._timing.now()
        if failure.retry_after_s is not None:
            self._held_off_until = max(self._held_off_until, now + failure.retry_after_s)
        if failure.is_overload and self._gate.limit.overloaded(sent_at=sent_at, now=now):
            log.info("endpoint is overloaded, asking less at a time", endpoint=self._name, max_in_flight=self.max_in_flight)
        self._is_key_refused |= failure.is_key_refused
        if not failure.says_away:
            # It is there, and says what it wants.
            self._breaker.succeeded()
        elif self._breaker.failed(now, is_final=failure.is_key_refused):
            self._is_known_to_answer = False
            self._failed_with = failure.text
            log.warning("endpoint is left alone", endpoint=self._name, for_s=round(self._breaker.wait_s(now), 1), reason=failure.text)
        self._gate.leave()

    def given_up(self) -> None:
        """The request was never sent, or its answer was not waited for."""
        self._breaker.given_up(self._timing.now())
        self._gate.leave()

    def _left_alone(self) -> Retryable:
        wait_s = self._breaker.wait_s(self._timing.now())
        when = f"tried again in {wait_s:.1f} s" if wait_s else "it is just being tried again"
        return Retryable(f"the endpoint {self._name!r} at {self.config.url} kept failing and is left alone; {when}")

    def _reload_key(self) -> None:
        """Takes the key that stands in the file by now: the operator may have replaced it."""
        try:
            self._key = models_file.read_api_key(self._path, self._name, self.config)
        except BadConfiguration as error:
            log.warning("the key file can't be read, keeping the key", endpoint=self._name, reason=str(error))
            return
        self.client.api_key = self._key or _NO_KEY
