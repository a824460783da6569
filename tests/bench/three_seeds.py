"""The main job on three seeds: does the final champion beat the base on the exam, which no decision saw?

Runs `spiral run` with its default settings once for each seed, each in a state directory of its own, and prints the table. Stopped, the
same command continues; finished runs are not repeated.

    python -m tests.bench.three_seeds [--state-dir .spiral/seeds] [--seeds 0 1 2] [options of `spiral run`]
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def turn(seed: int, state_dir: Path, options: list[str]) -> dict[str, Any]:
    """Runs to the end and returns the report."""
    command = [sys.executable, "-m", "services.cli", "run", "--seed", str(seed), "--state-dir", str(state_dir), "--json", *options]
    finished = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    report: dict[str, Any] = json.loads(finished.stdout)
    return report


def row(seed: int, report: dict[str, Any]) -> str:
    """A line of the table."""
    macros = " → ".join(f"{100 * exam['macro']:.1f}" for exam in report["exams"])
    gain, minutes = report["comparison"], report["run"]["total_s"] / 60
    if gain is None:
        return f"| {seed} | {macros} | base | none | {minutes:.1f} |"
    low, high = (100 * gain["interval"][end] for end in ("low", "high"))
    champion = report["champion"]["iteration"]
    return f"| {seed} | {macros} | {champion} | {100 * gain['gain']:+.1f} ({low:+.1f} to {high:+.1f}) | {minutes:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state-dir", type=Path, default=Path(".spiral/seeds"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments, options = parser.parse_known_args()
    print("| seed | exam macro accuracy by iteration, % | champion | champion minus base, points (95 % paired interval) | min |")
    print("| --- | --- | --- | --- | --- |")
    for seed in arguments.seeds:
        print(row(seed, turn(seed, arguments.state_dir / str(seed), options)), flush=True)


if __name__ == "__main__":
    main()
