"""What `spiral run` says of language models before it starts."""

from pathlib import Path

import pytest

from services.cli.models_check import check_models, models_lines
from shared.errors import BadConfiguration
from tests.scripted_llm import models_toml


def test_roles_and_what_counts_as_free_are_told(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    path.write_text(
        models_toml("http://host/v1", embed=None, edit_image=None, usd_per_million_input_tokens=0, usd_per_million_output_tokens=0)
    )
    check = check_models(path)
    assert check is not None
    assert (check.roles["ask"], check.roles["verify"], check.roles["embed"]) == (("scripted",), ("judge-a", "judge-b"), ())
    told = "\n".join(models_lines(check))
    assert "scripted (blueprint, select, edit, observe, ask, text_only, categorize); solver (solve); judge-a (verify)" in told
    assert "no model for embed, edit_image" in told
    assert "no price is named for judge-a, judge-b, scripted, solver" in told


def test_models_with_a_price_are_not_called_free(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    path.write_text(models_toml("http://host/v1", usd_per_million_input_tokens=0, usd_per_call=0.01))
    check = check_models(path)
    assert check is not None and check.unpriced == ()


def test_a_mistake_in_the_file_is_told_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    path.write_text('[roles]\nsolv = "a"\n')
    with pytest.raises(BadConfiguration, match=r"\[roles\] solv: there is no such key; there are default, .*solve"):
        check_models(path)


def test_without_a_file_it_says_who_stays_out() -> None:
    assert check_models(None) is None
    assert "SPIRAL_MODELS_FILE names no file" in models_lines(None)[0]
