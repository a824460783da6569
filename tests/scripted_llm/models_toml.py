"""Models files for tests."""

from collections.abc import Sequence
from pathlib import Path


def models_toml(
    url: str,
    *,
    model: str = "scripted",
    solver: str = "solver",
    judges: Sequence[str] = ("judge-a", "judge-b"),
    embed: str | None = "embedder",
    edit_image: str | None = "editor",
    timeout_s: float = 5.0,
    max_in_flight: int = 64,
    supports_json_schema: bool = True,
    api_key_file: Path | None = None,
    usd_per_million_input_tokens: float = 1.0,
    usd_per_million_output_tokens: float = 2.0,
    usd_per_call: float = 0.0,
    max_output_tokens: int = 1024,
    endpoint_lines: Sequence[str] = (),
    model_lines: Sequence[str] = (),
) -> str:
    """A models file with one endpoint for all roles: `model` fills those that are not named here."""
    names = [model, solver, *judges, *(name for name in (embed, edit_image) if name)]
    lines = [
        "[endpoints.test]",
        f'url = "{url}"',
        f"timeout_s = {timeout_s}",
        f"max_in_flight = {max_in_flight}",
        f"supports_json_schema = {str(supports_json_schema).lower()}",
        *([f'api_key_file = "{api_key_file}"'] if api_key_file else []),
        *endpoint_lines,
    ]
    for name in dict.fromkeys(names):
        lines += [
            f'[models."{name}"]',
            'endpoint = "test"',
            f'model = "{name}"',
            f"usd_per_million_input_tokens = {usd_per_million_input_tokens}",
            f"usd_per_million_output_tokens = {usd_per_million_output_tokens}",
            f"usd_per_call = {usd_per_call}",
            f"max_output_tokens = {max_output_tokens}",
            *model_lines,
        ]
    lines += [
        "[roles]",
        f'default = "{model}"',
        f'solve = "{solver}"',
        f"verify = [{', '.join(f'{judge!r}' for judge in judges)}]",
        *([f'embed = "{embed}"'] if embed else []),
        *([f'edit_image = "{edit_image}"'] if edit_image else []),
    ]
    return "\n".join(lines) + "\n"
