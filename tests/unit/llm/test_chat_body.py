"""Chat requests: what is sent, what their digest follows from, and the most that they can cost."""

import base64
from dataclasses import replace

import pytest
from pydantic import BaseModel

from shared.errors import Rejected
from shared.llm.budget import Amount
from shared.llm.chat_body import chat_body, complaint, cost, worst_case
from shared.llm.models_file import Endpoint, ModelChoice
from shared.llm.port import Call, Part
from shared.llm.roles import Role
from shared.llm.structure import Invalid

PNG, JPEG, WEBP = b"\x89PNG\r\n\x1a\n1", b"\xff\xd8\xff2", b"RIFF3"
ENDPOINT = Endpoint(url="http://host/v1")
CHOICE = ModelChoice(
    name="table",
    endpoint_name="test",
    model="sent-name",
    max_output_tokens=100,
    input_tokens_per_image=1500,
    pico_usd_per_input_token=3,
    pico_usd_per_output_token=5,
    pico_usd_per_call=7,
    unsupported=frozenset(),
)
CALL = Call(Role.ASK, "r1", "Be exact.", (Part(text="How many?"), Part(image=PNG)), temperature=0.5, seed=3)


class Count(BaseModel):
    number: int


class Sum(BaseModel):
    number: int


def digest(call: Call = CALL, kind: type[BaseModel] = Count, choice: ModelChoice = CHOICE, endpoint: Endpoint = ENDPOINT) -> str:
    return chat_body(call, kind, choice, endpoint).digest


def test_a_request_says_everything_that_the_call_says() -> None:
    body = chat_body(CALL, Count, CHOICE, ENDPOINT)
    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert body.messages == [
        {"role": "system", "content": "Be exact."},
        {"role": "user", "content": [{"type": "text", "text": "How many?"}, {"type": "image_url", "image_url": {"url": url}}]},
    ]
    assert body.fields["response_format"]["json_schema"]["name"] == "Count"
    assert body.fields["response_format"]["json_schema"]["strict"] is True
    rest = {key: value for key, value in body.fields.items() if key != "response_format"}
    assert rest == {"model": "sent-name", "temperature": 0.5, "seed": 3, "max_completion_tokens": 100}


def test_what_an_endpoint_or_model_does_not_know_is_said_otherwise_or_not() -> None:
    endpoint = Endpoint(url="http://host/v1", supports_json_schema=False, output_limit_field="max_tokens")
    body = chat_body(replace(CALL, max_output_tokens=9), Count, replace(CHOICE, unsupported=frozenset({"seed", "temperature"})), endpoint)
    assert body.fields == {"model": "sent-name", "response_format": {"type": "json_object"}, "max_tokens": 9}
    assert body.messages[0]["content"].startswith("Be exact.\n\nReply with one JSON object")
    assert '"number"' in body.messages[0]["content"]


def test_a_single_text_goes_as_plain_text_and_without_a_system_prompt_there_is_none() -> None:
    body = chat_body(Call(Role.ASK, "r1", "", (Part(text="Hello?"),)), Count, CHOICE, ENDPOINT)
    assert body.messages == [{"role": "user", "content": "Hello?"}]


@pytest.mark.parametrize(("image", "name"), [(PNG, "png"), (JPEG, "jpeg"), (WEBP, "webp")])
def test_images_go_under_their_own_type(image: bytes, name: str) -> None:
    body = chat_body(replace(CALL, parts=(Part(image=image),)), Count, CHOICE, ENDPOINT)
    assert body.messages[1]["content"][0]["image_url"]["url"].startswith(f"data:image/{name};base64,")


def test_another_image_is_refused() -> None:
    with pytest.raises(Rejected, match="must be PNG, JPEG or WEBP"):
        chat_body(replace(CALL, parts=(Part(image=b"GIF89a"),)), Count, CHOICE, ENDPOINT)


def test_a_part_is_one_thing() -> None:
    with pytest.raises(ValueError, match="exactly one"):
        Part()
    with pytest.raises(ValueError, match="exactly one"):
        Part(text="a", image=PNG)


def test_the_digest_follows_from_what_the_reply_follows_from_and_nothing_else() -> None:
    others = [
        digest(replace(CALL, system="Be brief.")),
        digest(replace(CALL, parts=(Part(text="How many!"), Part(image=PNG)))),
        digest(replace(CALL, parts=(Part(image=PNG), Part(text="How many?")))),
        digest(replace(CALL, parts=(Part(text="How many?"), Part(image=JPEG)))),
        digest(replace(CALL, temperature=0.0)),
        digest(replace(CALL, seed=4)),
        digest(replace(CALL, max_output_tokens=99)),
        digest(kind=Sum),
        digest(choice=replace(CHOICE, model="other")),
        digest(endpoint=Endpoint(url="http://host/v1", supports_json_schema=False)),
    ]
    assert len({digest(), *others}) == len(others) + 1
    assert digest(replace(CALL, role=Role.SOLVE, run_id="r2")) == digest()
    assert digest(choice=replace(CHOICE, pico_usd_per_call=0, endpoint_name="elsewhere")) == digest()
    assert digest(replace(CALL, max_output_tokens=100)) == digest(), "the model's own limit, said twice"


def test_the_worst_case_counts_every_byte_as_a_token_the_images_the_schema_and_the_longest_reply() -> None:
    body = chat_body(replace(CALL, system="äöü"), Count, CHOICE, ENDPOINT)
    worst = worst_case(body, body.messages, CHOICE)
    assert worst.num_input_tokens == len("äöü".encode()) + len("How many?") + 1500 + body.schema_bytes + 2 * 16 + 64
    assert worst.num_output_tokens == 100
    assert worst == cost(CHOICE, worst.num_input_tokens, 100)
    longer = [*body.messages, *complaint(Invalid("schema", "number: missing", "{}"), Count)]
    assert worst_case(body, longer, CHOICE).num_input_tokens > worst.num_input_tokens + len("number: missing")


def test_a_price_has_three_parts() -> None:
    assert cost(CHOICE, 10, 20) == Amount(1, 10, 20, 7 + 30 + 100)


def test_a_complaint_tells_the_error_and_shows_the_reply_within_bounds() -> None:
    said, asked = complaint(Invalid("truncated", "the reply was cut", "x" * 10_000), Count)
    assert said == {"role": "assistant", "content": "x" * 2000}
    assert "the reply was cut" in asked["content"]
    assert "shorter" in asked["content"]
    assert complaint(Invalid("empty", "the reply was empty", ""), Count)[0]["content"] == "(nothing)"
