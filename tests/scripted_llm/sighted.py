"""A scripted model that really looks: it reads the pictures of `tests/pool_images.py` and answers every agent and judge by what they show.

It errs where it is told to, at a rate that is drawn from what it is asked, so that the same call errs every time. Nothing of a caption, of
observations or of an earlier label goes into an answer: only pixels, the question, and the lines that say what is wanted.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from shared.domain import ImageCategory
from tests.pool_images import COLOURS
from tests.scripted_llm import ChatRequest
from tests.scripted_llm.sight import View, look

_CATEGORY = re.compile(r"^Image category: (\w+)", re.MULTILINE)
_LETTERED = re.compile(r"^(?:\| )?([A-J])\. (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Sighted:
    """Answers chat requests; pass an instance as the script of `ScriptedLlm`.

    Args:
        errors: by schema name, the share of its calls that are answered wrongly.
        edit: the operations that the edit agent asks for, given the view of the image; none where empty.
        wants_edit: what blueprints ask for as an edit.
    """

    errors: Mapping[str, float] = field(default_factory=dict)
    edit: Callable[[View], list[dict[str, Any]]] = lambda view: []
    wants_edit: str = ""
    seed: int = 0

    def __call__(self, request: ChatRequest) -> str:
        answers = {
            "Blueprint": self._blueprint,
            "Selection": self._selection,
            "Look": self._look,
            "EditPlan": self._edit,
            "Observations": self._observations,
            "MultipleChoiceItem": self._choice_item,
            "NumericItem": self._numeric_item,
            "TextItem": self._text_item,
            "Solution": self._solution,
            "TextOnlyAnswer": lambda request, errs: {"answer": "3" if errs else None},
            "CategoryAnswer": self._category,
            "BlindAnswer": self._blind_answer,
        }
        return json.dumps(answers[request.schema_name](request, self._errs(request)))

    def _errs(self, request: ChatRequest) -> bool:
        return _rng(request, self.seed, "errs").random() < self.errors.get(request.schema_name, 0.0)

    def _blueprint(self, request: ChatRequest, errs: bool) -> dict[str, Any]:
        allows = "Edits: none" not in "\n".join(request.texts)
        return {
            "tests": "telling coloured shapes apart and counting them",
            "pool_query": f"{_wanted(request).value.replace('_', ' ')} picture",
            "web_query": f"{_wanted(request).value.replace('_', ' ')} picture" if "there is one" in request.texts[0] else "",
            "edit": self.wants_edit if allows else "",
        }

    def _selection(self, request: ChatRequest, errs: bool) -> dict[str, Any]:
        wanted, views = _wanted(request), [look(image) for image in request.images]
        fitting = [
            {"image": number, "category": view.category.value}
            for number, view in enumerate(views, 1)
            if (view.category is wanted or errs) and view.shapes
        ]
        if errs:
            fitting = [{**one, "category": wanted.value} for one in fitting]
        return {"reason": "they show it", "fitting": fitting}

    def _look(self, request: ChatRequest, errs: bool) -> dict[str, Any]:
        view = look(request.images[0])
        return {"reason": "shapes on a ground", "category": _maybe_other(view.category, errs).value, "is_usable": bool(view.shapes)}

    def _edit(self, request: ChatRequest, errs: bool) -> dict[str, Any]:
        return {"ops": self.edit(look(request.images[0])), "diffusion": ""}

    def _observations(self, request: ChatRequest, errs: bool) -> dict[str, Any]:
        view = look(request.images[0])
        objects = [
            {"name": f"{colour} shape", "count": count + errs, "details": colour, "place": "on the ground"}
            for colour, count in sorted(view.counts.items())
        ]
        return {"objects": objects, "texts": [], "relations": ["they stand side by side"], "unsure": []}

    def _choice_item(self, request: ChatRequest, errs: bool) -> dict[str, Any]:
        view, rng = look(request.images[0]), _rng(request, self.seed, "question")
        found = re.search(r"Wrong choices: exactly (\d)", "\n".join(request.texts))
        num_wrong = int(found[1]) if found else 3
        colour = rng.choice(sorted(view.counts) or ["red"])
        count = view.counts[colour]
        wrong = rng.sample([number for number in range(10) if number != count], num_wrong)
        right = wrong.pop() if errs else count
        wrong = [*wrong, count] if errs else wrong
        return {
            "evidence": f"I count {count} {colour} shapes.",
            "question": f"How many {colour} shapes are there?",
            "correct_choice": str(right),
            "wrong_choices": [str(number) for number in wrong],
        }

    def _numeric_item(self, request: ChatRequest, errs: bool) -> dict[str, Any]:
        view, rng = look(request.images[0]), _rng(request, self.seed, "question")
        colour = rng.choice(sorted(view.counts) or ["red"])
        count = view.counts[colour]
        return {
            "evidence": f"I count {count} {colour} shapes.",
            "question": f"How many {colour} shapes are there?",
            "answer": str(count + (2 if errs else 0)),
            "tolerance": 0,
        }

    def _text_item(self, request: ChatRequest, errs: bool) -> dict[str, Any]:
        view = look(request.images[0])
        side = "leftmost" if view.leftmost else "topmost"
        shape = view.leftmost or view.shapes[0]
        answer = next(name for name in COLOURS if name != shape.colour) if errs else shape.colour
        return {"evidence": f"It is {shape.colour}.", "question": f"What colour is the {side} shape?", "answer": answer}

    def _solution(self, request: ChatRequest, errs: bool) -> dict[str, Any]:
        answer = answer_of("\n".join(request.texts), look(request.images[0])) if request.images else None
        if errs:
            answer = "purple" if not (answer or "").isdigit() and len(answer or "") != 1 else None
        return {"reasoning": "I looked.", "is_answerable": answer is not None, "answer": answer or ""}

    def _category(self, request: ChatRequest, errs: bool) -> dict[str, Any]:
        return {"reason": "its ground says so", "category": _maybe_other(look(request.images[0]).category, errs).value}

    def _blind_answer(self, request: ChatRequest, errs: bool) -> dict[str, Any]:
        answer = answer_of("\n".join(request.texts), look(request.images[0]))
        return {"reasoning": "I looked.", "answer": None if errs else answer}


def answer_of(asked: str, view: View) -> str | None:
    """What an image answers to a question of this file's making; None where it does not."""
    if found := re.search(r"How many (\w+) shapes are there\?", asked):
        value = str(view.counts[found[1]])
    elif "What colour is the leftmost shape?" in asked and view.leftmost:
        value = view.leftmost.colour
    elif "What colour is the topmost shape?" in asked and view.shapes:
        value = view.shapes[0].colour
    else:
        return None
    choices = {text.strip(): letter for letter, text in _LETTERED.findall(asked)}
    return choices.get(value) if choices else value


def _wanted(request: ChatRequest) -> ImageCategory:
    found = _CATEGORY.search("\n".join(request.texts))
    assert found is not None, "the task names a category"
    return ImageCategory(found[1])


def _maybe_other(category: ImageCategory, errs: bool) -> ImageCategory:
    categories = list(ImageCategory)
    return categories[(categories.index(category) + errs) % len(categories)]


def _rng(request: ChatRequest, seed: int, what: str) -> Random:
    digest = hashlib.sha256(b"|".join([*request.images, *(text.encode() for text in request.texts)])).hexdigest()
    return Random(f"{seed}/{what}/{request.model}/{request.schema_name}/{request.seed}/{digest}")
