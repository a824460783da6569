"""The models file: what it says, and how a mistake in it is told."""

from decimal import Decimal
from pathlib import Path

import pytest

from shared.errors import BadConfiguration
from shared.llm.models_file import read_models_file
from shared.llm.roles import Role
from shared.llm.settings import ModelSettings
from tests.scripted_llm import models_toml

EXAMPLE = Path(__file__).parents[3] / "deploy" / "models" / "models.example.toml"
ENDPOINT = '[endpoints.here]\nurl = "http://host:8000/v1/"\n'
MODELS = "".join(f'[models.{name}]\nendpoint = "here"\nmodel = "the-{name}"\n' for name in ("a", "b", "c"))


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "models.toml"
    path.write_text(text, encoding="utf-8")
    return path


def names(path: Path, role: Role) -> list[str]:
    return [choice.model for choice in read_models_file(path).models_for(role)]


def test_the_example_holds_together_and_fills_every_role() -> None:
    config = read_models_file(EXAMPLE)
    assert all(config.models_for(role) for role in Role)
    assert len(config.models_for(Role.VERIFY)) == 2


def test_every_commented_key_of_the_example_is_one(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    for line in ("supports_json_schema = false", 'output_limit_field = "max_tokens"', 'unsupported = ["temperature", "seed"]'):
        assert f"# {line}" in text
        text = text.replace(f"# {line}", line)
    text = text.replace("# usd_per_call", "usd_per_call")
    assert read_models_file(written(tmp_path, text)).models_for(Role.ASK)


def test_default_fills_the_roles_of_chat_models_that_are_not_named(tmp_path: Path) -> None:
    path = written(tmp_path, f'{ENDPOINT}{MODELS}[roles]\ndefault = "a"\nsolve = "b"\nobserve = "c"\n')
    assert names(path, Role.ASK) == names(path, Role.TEXT_ONLY) == ["the-a"]
    assert names(path, Role.SOLVE) == ["the-b"]
    assert names(path, Role.OBSERVE) == ["the-c"]
    assert names(path, Role.VERIFY) == names(path, Role.EMBED) == names(path, Role.EDIT_IMAGE) == []


def test_without_roles_nothing_is_configured(tmp_path: Path) -> None:
    path = written(tmp_path, ENDPOINT + MODELS)
    assert all(names(path, role) == [] for role in Role)


def test_prices_are_exact(tmp_path: Path) -> None:
    prices = "usd_per_million_input_tokens = 0.0375\nusd_per_million_output_tokens = 1\nusd_per_call = 0.000001\n"
    path = written(tmp_path, f'{ENDPOINT}[models.a]\nendpoint = "here"\nmodel = "m"\n{prices}[roles]\nask = "a"\n')
    (choice,) = read_models_file(path).models_for(Role.ASK)
    assert (choice.pico_usd_per_input_token, choice.pico_usd_per_output_token, choice.pico_usd_per_call) == (37_500, 1_000_000, 1_000_000)
    assert Decimal(choice.pico_usd_per_input_token) * 1_000_000 / 10**12 == Decimal("0.0375")


def test_a_key_file_stands_beside_the_models_file(tmp_path: Path) -> None:
    (tmp_path / "here.key").write_text("sk-secret\n")
    path = written(tmp_path, f'{ENDPOINT}api_key_file = "here.key"\n')
    config = read_models_file(path)
    assert config.endpoints["here"].api_key_file == tmp_path / "here.key"
    assert config.endpoints["here"].url == "http://host:8000/v1"
    assert "sk-secret" not in repr(config)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[roles", "is not TOML"),
        (ENDPOINT + "timeout = 3\n", r"\[endpoints\.here\] timeout: there is no such key; there are url, api_key_file, timeout_s"),
        (ENDPOINT + "timeout_s = 0\n", r"\[endpoints\.here\] timeout_s: Input should be greater than 0"),
        ("[endpoints.here]\n", r"\[endpoints\.here\] url: Field required"),
        ('[endpoints.here]\nurl = "host:8000"\n', r"\[endpoints\.here\] url: .*must look like https://host/v1"),
        ('[endpoints.here]\nurl = "http://user:pass@host/v1"\n', "the key belongs into api_key_file"),
        (ENDPOINT + 'api_key = "sk-1"\n', r"\[endpoints\.here\] api_key: there is no such key"),
        ('[endpoints.here]\nurl = "http://host:80000/v1"\n', r"\[endpoints\.here\] url: .*[Pp]ort"),
        ("[endpoint.here]\n", r"\[endpoint\]: there is no such key; there are endpoints, models, roles"),
        (
            ENDPOINT + '[models.a]\nendpoint = "there"\nmodel = "m"\n',
            r"\[models\.a\] endpoint: there is no .endpoints\.there.; there are here",
        ),
        ('[models.a]\nendpoint = "there"\nmodel = "m"\n', r"there is no \[endpoints\.there\]; there are none at all: add it"),
        (ENDPOINT + MODELS + '[roles]\nasc = "a"\n', r"\[roles\] asc: there is no such key; there are default, blueprint"),
        (ENDPOINT + MODELS + '[roles]\nask = "d"\n', r"\[roles\] ask: there is no \[models\.d\]; there are a, b, c"),
        (ENDPOINT + MODELS + '[roles]\ndefault = "d"\n', r"\[roles\] default: there is no \[models\.d\]"),
        (ENDPOINT + MODELS + '[roles]\nverify = ["a", "d"]\n', r"\[roles\] verify: there is no \[models\.d\]"),
        (ENDPOINT + MODELS + '[roles]\ndefault = "a"\n', r"\[roles\] solve: 'the-a' is also the model of ask"),
        (ENDPOINT + MODELS + '[roles]\nask = "a"\nverify = ["b", "a"]\n', r"\[roles\] verify: 'the-a' is also the model of ask"),
        (ENDPOINT + MODELS + '[roles]\nask = "a"\nverify = ["b", "b"]\n', r"\[roles\] verify: 'the-b' stands in it twice"),
        (ENDPOINT + 'api_key_file = "none.key"\n', r"\[endpoints\.here\] api_key_file: .*none\.key can't be read"),
        (ENDPOINT + 'api_key_file = "empty.key"\n', r"empty\.key holds no key"),
        (ENDPOINT + 'api_key_file = "two.key"\n', r"two\.key holds no key"),
    ],
)
def test_a_mistake_is_told_with_file_table_and_key(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "empty.key").write_text("\n")
    (tmp_path / "two.key").write_text("sk-one\nsk-two\n")
    path = written(tmp_path, text)
    with pytest.raises(BadConfiguration, match=told) as caught:
        read_models_file(path)
    assert str(path) in str(caught.value)
    assert "sk-" not in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="name another in SPIRAL_MODELS_FILE"):
        read_models_file(tmp_path / "none.toml")


def test_the_scripted_servers_models_hold_together(tmp_path: Path) -> None:
    config = read_models_file(written(tmp_path, models_toml("http://127.0.0.1:1/v1")))
    assert all(config.models_for(role) for role in Role)


def test_a_room_reads_the_files_name_from_its_environment(tmp_path: Path) -> None:
    assert ModelSettings(store_url="file:///x").models_file is None
    assert ModelSettings(store_url="file:///x", models_file=tmp_path / "m.toml").models_file == tmp_path / "m.toml"
