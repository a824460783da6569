"""Judges that do as each candidate's question says, behind a real OpenAI-compatible server: `… in case CASE7?`."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.domain import Candidate
from tests.scripted_llm import ChatRequest, Fault
from tests.unit.quality.suspects import CHOICE, found

_CASE = re.compile(r"in case (\w+)\?")
_OPTION = re.compile(r"^\| ([A-J])\. (.+)$", re.MULTILINE)


def in_case(case: str, number: int, **changes: Any) -> Candidate:
    """A found candidate whose judges do as the case says."""
    return found(number, **{"question": f"How many red dots are there in case {case}{number}?"} | changes)


def choice_in_case(case: str, number: int, choices: Sequence[str] = ("ring", "star", "cross", "moon"), answer: str = "C") -> Candidate:
    return found(number, cell=CHOICE, question=f"Which shape is red in case {case}{number}?", choices=tuple(choices), answer=answer)


@dataclass
class ScriptedJudges:
    """A script for `ScriptedLlm`. Cases: `sound` and those in the methods below; labels are those of the candidates."""

    labels: dict[str, str] = field(default_factory=dict)
    """Case with its number to the text of its right answer."""
    fault: Fault | None = None
    """What every request meets instead, where set."""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Schema, model and case of every request."""

    def know(self, *candidates: Candidate) -> None:
        """Learns the labels of candidates."""
        for made in candidates:
            match = _CASE.search(made.question)
            assert match is not None
            self.labels[match[1]] = made.choices["ABCDEFGHIJ".index(made.answer)] if made.choices else made.answer

    def __call__(self, request: ChatRequest) -> str | Fault:
        match = _CASE.search("\n".join(request.texts))
        assert match is not None, request.texts
        case = match[1].rstrip("0123456789")
        self.asked.append((request.schema_name, request.model, match[1]))
        if self.fault is not None:
            return self.fault
        answers: dict[str, Callable[[str, str, ChatRequest], Any]] = {
            "TextOnlyAnswer": self._without_image,
            "CategoryAnswer": self._category,
            "BlindAnswer": self._blindly,
        }
        told = answers[request.schema_name](case, self.labels[match[1]], request)
        return told if isinstance(told, Fault) else json.dumps(told)

    def cases(self, schema: str) -> list[str]:
        """The cases that a schema was asked about."""
        return [case for name, _, case in self.asked if name == schema]

    def _without_image(self, case: str, label: str, request: ChatRequest) -> dict[str, Any] | Fault:
        assert not request.images, "the image is withheld"
        if case == "mute":
            return Fault.refuse()
        if case == "giveaway":
            return {"answer": self._shown(request, label)}
        if case == "letter":
            return {"answer": "A"}
        return {"answer": None}

    def _category(self, case: str, label: str, request: ChatRequest) -> dict[str, Any]:
        assert len(request.images) == 1
        kinds = {"miscast": "diagram", "collage": "mixed"}
        return {"reason": "dots on white", "category": kinds.get(case, "geometric")}

    def _blindly(self, case: str, label: str, request: ChatRequest) -> dict[str, Any] | Fault:
        assert len(request.images) == 1
        is_second = request.model == "judge-b"
        wrong = "moon" if not label.isdecimal() else str(int(label) + 1)
        if case == "refused" and is_second:
            return Fault.refuse()
        if case == "garbage" and is_second:
            return Fault(text="I think there are some dots.")
        answer: str | None = label
        if case == "contradicted" or (case == "disputed" and is_second):
            answer = wrong
        if case == "unsure" and is_second:
            answer = None
        return {"reasoning": "I looked.", "answer": answer and self._shown(request, answer)}

    @staticmethod
    def _shown(request: ChatRequest, text: str) -> str:
        """The letter under which a choice is shown, or the text itself where there are none."""
        options = {option.strip(): letter for letter, option in _OPTION.findall("\n".join(request.texts))}
        return options.get(text, text)
