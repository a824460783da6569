"""Questions as benchmarks ask them, made from seeds, and the same questions in other words.

Some are templates that fit any picture ("How many red dots are there?"), most name what only one picture shows. Paraphrases are graded by
the share of words that differ; numbers stay, since a question with another number is another question.
"""

from dataclasses import dataclass
from random import Random

from shared.domain import QuestionType
from tests.planted.pictures import WORDS

_COLORS = ["red", "blue", "green", "yellow", "purple", "orange", "black", "white", "grey", "brown"]
_PLACES = [
    "Amber Bay", "Kessel Ridge", "Port Lindow", "Marrow Hill", "Estover", "Vale of Corrin", "Tamsin Cross", "Hollow Quay", "Sennet",
]  # fmt: skip
_THINGS = ["dots", "bars", "trees", "arrows", "boxes", "lines", "windows", "people", "cars", "circles"]
_SIDES = ["left", "right", "top", "bottom"]

_TEMPLATES = (
    ("numeric", "How many {color} {things} are there?"),
    ("text", "What color is the {word}?"),
    ("text", "Which letter is on the {color} card?"),
    ("multiple_choice", "What is shown in the picture?"),
    ("numeric", "According to the chart, how many tonnes of {word} did {place} export to the {other} region in {year}?"),
    ("numeric", "What was the difference between the {word} index and the {other} index of {place} in {year}, in percentage points?"),
    ("text", "Which department signed the {word} agreement of {place} before the {other} committee was founded in {year}?"),
    ("text", "In the floor plan of the {word} museum, which room lies between the {other} gallery and the {third} staircase?"),
    (
        "multiple_choice",
        "Which organelle in the diagram stores the {word} that the {other} membrane releases after the {third} phase?",
    ),
    (
        "numeric",
        "If the {word} engine makes {number} turns per minute, how much {other} does the table give for {third} conditions?",
    ),
    ("text", "What does the handwritten note beside the {word} say about the {other} that arrived from {place} on the {number}th of May?"),
    ("multiple_choice", "Which of the {number} routes from {place} to the {word} station crosses the {other} river twice?"),
    ("text", "Who is credited at the foot of the {word} poster for the {other} photographs taken near {place}?"),
    ("numeric", "How many passengers changed at {place} on the {word} line during the week in which the {other} strike began in {year}?"),
    ("text", "Where on the {side} half of the {word} map is the {other} monument relative to the {third} bridge?"),
    ("numeric", "By what factor did the {word} concentration exceed the {other} threshold at the {number}-metre depth near {place}?"),
)

_SYNONYMS = {
    "according": "judging", "chart": "graph", "diagram": "figure", "difference": "gap", "picture": "image", "shown": "visible",
    "between": "separating", "exceed": "surpass", "factor": "ratio", "arrived": "came", "during": "throughout", "begin": "start",
    "began": "started", "crosses": "passes", "twice": "two times", "near": "close to", "before": "prior to", "beside": "next to",
    "credited": "named", "founded": "set up", "signed": "approved", "many": "numerous", "stores": "keeps", "releases": "emits",
}  # fmt: skip
_SHORT = 12
_FILLERS = ["stated", "given", "particular", "listed", "named", "marked", "present", "actual", "overall", "usual", "noted"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its answer; for multiple choice the answer is a letter."""

    question: str
    question_type: QuestionType
    choices: tuple[str, ...]
    answer: str


def ask(number: int, *, seed: str = "questions") -> Asked:
    """The question with that number; a third of them are short templates."""
    rng = Random(f"{seed}/{number}")
    template = rng.randrange(4) if rng.random() < 0.33 else rng.randrange(4, len(_TEMPLATES))
    kind, text = _TEMPLATES[template]
    word, other, third = rng.sample(WORDS, 3)
    question = text.format(
        word=word, other=other, third=third, place=rng.choice(_PLACES), year=rng.randint(1950, 2024), number=rng.randint(2, 40),
        color=rng.choice(_COLORS), things=rng.choice(_THINGS), side=rng.choice(_SIDES),
    )  # fmt: skip
    question_type = QuestionType(kind)
    if question_type is QuestionType.MULTIPLE_CHOICE:
        return Asked(question, question_type, tuple(rng.sample(WORDS, 4)), rng.choice("ABCD"))
    if question_type is QuestionType.NUMERIC:
        return Asked(question, question_type, (), str(rng.randint(0, 12) if len(question) < 40 else rng.randint(0, 400)))
    return Asked(question, question_type, (), rng.choice([*_COLORS, *WORDS[:20], *_SIDES]))


def paraphrase(question: str, share: float, rng: Random) -> str:
    """The question with that share of its words, at least one, in other words; numbers stay.

    In a short question every word counts ("How many red dots are there?"), so it is only wrapped into idle ones.
    """
    words = question.split()
    if len(words) < _SHORT:
        return rng.choice(["Please look at this picture: {}", "{} Show it in the image, please.", "In this figure: {}"]).format(question)
    places = [at for at, word in enumerate(words) if word.isalpha() or word[:-1].isalpha()]
    for at in rng.sample(places, min(len(places), max(1, round(share * len(words))))):
        bare = words[at].rstrip("?,.")
        words[at] = _SYNONYMS.get(bare.casefold(), rng.choice(_FILLERS)) + words[at][len(bare) :]
    return " ".join(words)


PARAPHRASES = {"1 word": 0.0, "10 %": 0.1, "20 %": 0.2, "40 %": 0.4}
"""Shares of words that differ."""
