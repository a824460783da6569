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
    assert linked
    assert not [name for name in linked if not (ROOT / name).exists()]


def test_the_tree_is_the_house() -> None:
    tree = README.split("## The house\n\n```\n")[1].split("```")[0]
    folder, named = "", set()
    for line in tree.splitlines():
        name = re.match(r"(?:[├└]── )?(\S+/)", line)
        assert name is not None, line
        folder = folder if line[0] in "├└" else name[1]
        named.add(folder + name[1] if line[0] in "├└" else folder)
    assert not [name for name in named if not (ROOT / name).is_dir()]
    rooms = {f"services/{path.name}/" for path in (ROOT / "services").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms <= named


def test_make_targets_that_it_names_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z0-9-]+)", README)) | set(re.findall(r"^make ([a-z0-9-]+)", README, re.MULTILINE))
    assert named <= targets
    assert {"run", "test"} <= named
