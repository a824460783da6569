"""The README says what is so."""

import re
from pathlib import Path

from shared.catalogue import diagram

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").is_file() else ""


def test_the_diagram_is_the_catalogue() -> None:
    shown = re.search(r"<!-- diagram -->\n```mermaid\n(.*?)\n```\n<!-- /diagram -->", README, re.DOTALL)
    assert shown is not None
    assert shown[1] == diagram(), "put the output of shared.catalogue.diagram() between the markers"


def test_files_that_it_names_exist() -> None:
    linked = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    in_tree = re.findall(r"^(?:├──|└──|│   ├──|│   └──) (\S+)", README, re.MULTILINE)
    assert linked
    assert in_tree
    assert not [name for name in linked if not (ROOT / name).exists()]


def test_make_targets_that_it_names_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", README)) | set(re.findall(r"^make ([a-z-]+)", README, re.MULTILINE))
    assert named <= targets
    assert {"run", "test"} <= named
