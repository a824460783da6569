"""`make bench`: every benchmark of this folder, one after the other. Name some to run only those: `make bench ARGS="runtime evaluator"`."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> None:
    """Exits with the number of benchmarks that failed."""
    names = sys.argv[1:] or sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))
    failed = 0
    for name in names:
        print(f"\n== {name}", flush=True)
        failed += subprocess.run([sys.executable, "-m", f"tests.bench.bench_{name}"], cwd=FOLDER.parents[1], check=False).returncode != 0
    sys.exit(failed)


if __name__ == "__main__":
    main()
