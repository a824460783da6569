"""Asking models what judging a candidate needs, stage by stage, cheapest first: the first that refuses ends it."""

from collections.abc import Awaitable, Callable, Sequence

from pydantic import BaseModel, ConfigDict

from services.quality.content_screen import ContentScreen
from services.quality.evidence import Terms
from services.quality.judge_prompts import asked, instructions
from services.quality.judgement import (
    Categorised,
    Solution,
    check_agreement,
    check_category,
    check_necessity,
    read_solution,
    text_only_orders,
)
from services.quality.provenance import parse_provenance
from services.quality.refusal import Refusal
from services.quality.review import Judged
from shared.answers import Outcome
from shared.domain import Candidate, ImageCategory, RejectionReason, Spend
from shared.errors import Rejected, Retryable
from shared.in_parallel import in_parallel
from shared.llm.failures import UnknownModel
from shared.llm.port import BudgetSpent, Call, InvalidReply, LanguageModels, M, Part
from shared.llm.roles import Role
from shared.run_spec import QualitySpec, RunSpec
from shared.telemetry import log

_ROLES = (Role.TEXT_ONLY, Role.CATEGORIZE, Role.VERIFY)


class _ReplyModel(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class TextOnlyAnswer(_ReplyModel):
    """What a model makes of a question without its image; null where it needs it."""

    answer: str | None


class CategoryAnswer(_ReplyModel):
    """What kind of image it is, and why."""

    reason: str
    category: ImageCategory


class BlindAnswer(_ReplyModel):
    """What a model makes of image and question; null where they do not settle the answer."""

    reasoning: str
    answer: str | None


class Judges:
    """Judges candidates whose answer no scene proves. Where no models are configured it says so, and nothing is ever judged."""

    def __init__(self, models: LanguageModels | None, screens: Sequence[ContentScreen]) -> None:
        self._models = models
        self._screens = screens

    def terms(self, quality: QualitySpec) -> Terms:
        """On which terms a run's candidates are judged."""
        return Terms(
            solvers=self._models.models(Role.VERIFY) if self._models else (),
            num_solvers=quality.num_blind_solvers,
            lacking=self._lacking(),
            allowed_licences=quality.allowed_licences,
        )

    async def judge(self, candidate: Candidate, spec: RunSpec) -> Judged:
        """What comes of judging a candidate that passed the checks.

        Raises:
            Retryable: an endpoint, the hook, the broker or the store is away, or an endpoint does not know a judge's model.
        """
        if self._models is None:
            return Judged(Refusal(RejectionReason.UNVERIFIABLE, self._lacking()))
        return await _Judging(self._models, self._screens, candidate, spec).outcome()

    def _lacking(self) -> str:
        if self._models is None:
            return "name language models in the file of SPIRAL_MODELS_FILE"
        without = [role.value for role in _ROLES if not self._models.models(role)]
        return f"name a model for {' and '.join(without)} in the file of SPIRAL_MODELS_FILE" if without else ""


class _Judging:
    """One candidate before its judges."""

    def __init__(self, models: LanguageModels, screens: Sequence[ContentScreen], candidate: Candidate, spec: RunSpec) -> None:
        self._models = models
        self._screens = screens
        self._candidate = candidate
        self._spec = spec
        self._spent: list[Spend] = []
        self._solutions: tuple[Solution, ...] = ()

    async def outcome(self) -> Judged:
        stages: tuple[Callable[[], Awaitable[Refusal | None]], ...] = (
            self._is_clean,
            self._needs_its_image,
            self._is_of_category,
            self._is_agreed,
        )
        refusal = None
        try:
            for stage in stages:
                refusal = await stage()
                if refusal is not None:
                    break
        except InvalidReply as error:
            self._spent.append(error.spent)
            refusal = Refusal(RejectionReason.UNVERIFIABLE, str(error))
        except UnknownModel as error:
            # No candidate of the plan could be judged, and each was paid for: the reviews wait until somebody names the right model.
            raise Retryable(str(error)) from error
        except (BudgetSpent, Rejected) as error:
            # What an endpoint will never take may be this very image, so the plan must not wait for somebody to change that.
            log.warning("a candidate can't be judged", candidate_id=self._candidate.candidate_id, reason=str(error))
            refusal = Refusal(RejectionReason.UNVERIFIABLE, str(error))
        return Judged(refusal, self._solutions, tuple(self._spent))

    async def _is_clean(self) -> Refusal | None:
        candidate = self._candidate
        text = "\n".join([candidate.question, *candidate.choices, candidate.answer])
        for screen in self._screens:
            found = await screen.find(candidate.image, text)
            if found is not None:
                return Refusal(RejectionReason.UNSAFE, found)
        return None

    async def _needs_its_image(self) -> Refusal | None:
        candidate, attempts = self._candidate, list[Solution]()
        for order in text_only_orders(candidate):
            choices = [candidate.choices[place] for place in order]
            reply, model = await self._ask(Role.TEXT_ONLY, [Part(text=asked(candidate.question, choices))], TextOnlyAnswer)
            attempts.append(read_solution(candidate, reply.answer, model, order))
            # A second attempt tells luck from knowledge; where the first one failed there is nothing to tell.
            if attempts[-1].outcome is not Outcome.CORRECT:
                break
        return check_necessity(attempts)

    async def _is_of_category(self) -> Refusal | None:
        candidate = self._candidate
        reply, _ = await self._ask(Role.CATEGORIZE, [Part(image=candidate.image), Part(text=asked(candidate.question))], CategoryAnswer)
        return check_category(Categorised(reply.category, reply.reason), candidate.cell)

    async def _is_agreed(self) -> Refusal | None:
        candidate, quality = self._candidate, self._spec.quality
        asker = parse_provenance(candidate.provenance)
        solvers = [model for model in self._models.models(Role.VERIFY) if not asker.is_asker(model)]
        parts = [Part(image=candidate.image), Part(text=asked(candidate.question, candidate.choices))]

        async def solve(model: str) -> Solution:
            reply, _ = await self._ask(Role.VERIFY, parts, BlindAnswer, model=model)
            return read_solution(candidate, reply.answer, model)

        self._solutions = tuple(await in_parallel(solve, solvers, limit=len(solvers)))
        return check_agreement(candidate, self._solutions, quality.num_blind_solvers)

    async def _ask(self, role: Role, parts: Sequence[Part], schema: type[M], model: str | None = None) -> tuple[M, str]:
        call = Call(role, self._spec.run_id, instructions(role), tuple(parts))
        reply = await self._models.ask(call, schema, model=model)
        self._spent.append(reply.spent)
        return reply.value, reply.model
