"""Regenerates proto/gen from proto/spiral (`make proto`); `--check` fails when the committed code has drifted."""

import filecmp
import shutil
import sys
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

PROTO = Path(__file__).parent
SOURCES = sorted((PROTO / "spiral" / "v1").glob("*.proto"))


def generate(out: Path) -> None:
    """Writes message code with type stubs for every file, and gRPC code for those with a service."""
    well_known = str(resources.files("grpc_tools") / "_proto")
    # The plugins lie beside this interpreter, whose folder need not be on the PATH.
    plugins = [f"--plugin={name}={Path(sys.executable).parent / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    base = ["protoc", f"-I{PROTO}", f"-I{well_known}", *plugins]
    messages = [str(source) for source in SOURCES]
    services = [str(source) for source in SOURCES if "\nservice " in source.read_text()]
    commands = (
        [*base, f"--python_out={out}", f"--mypy_out=quiet:{out}", *messages],
        [*base, f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}", *services],
    )
    for command in commands:
        if protoc.main(command) != 0:
            raise SystemExit(f"protoc failed: {' '.join(command)}")
    for package in ("spiral", "spiral/v1"):
        (out / package / "__init__.py").write_text("")
        (out / package / "py.typed").write_text("")


def drift(committed: Path, fresh: Path) -> list[str]:
    """Names of files that differ, are missing or are left over."""
    names = {
        path.relative_to(root).as_posix()
        for root in (committed, fresh)
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return sorted(
        name
        for name in names
        if not (committed / name).is_file()
        or not (fresh / name).is_file()
        or not filecmp.cmp(committed / name, fresh / name, shallow=False)
    )


def main() -> None:
    """Regenerates, or checks."""
    target = PROTO / "gen"
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        generate(fresh)
        if "--check" in sys.argv[1:]:
            stale = drift(target, fresh)
            if stale:
                raise SystemExit(f"proto/gen has drifted, run `make proto`: {', '.join(stale)}")
            return
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(fresh, target)


if __name__ == "__main__":
    main()
