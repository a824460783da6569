"""The training process: `python -m services.trainer.training_process JOB.json`. Reports in lines of JSON on its standard output.

Exit codes: 0 finished, 65 the job is at fault (and a report says why), 75 stopped or busy: start it again. Dies with its parent.
"""

import ctypes
import fcntl
import os
import signal
import sys
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path

from services.trainer.examples import load_samples
from services.trainer.job import Failed, Finished, Job, Report, StageSummary, read_job
from services.trainer.model_card import render_model_card
from services.trainer.replay import Stage, draw_replay, plan_stages
from services.trainer.sealed import read_seal
from services.trainer.stopping import Interrupted, StopRequest
from shared.domain import Recipe
from shared.errors import Rejected

EXIT_REJECTED = 65
EXIT_AGAIN = 75
_PR_SET_PDEATHSIG = 1


def main(job_file: str) -> int:
    """Runs a job to its end, or as far as it gets."""
    _die_with_parent()
    try:
        job = read_job(Path(job_file))
    except Rejected as error:
        print(Failed(reason=str(error)).model_dump_json(), flush=True)  # noqa: T201 - the report channel
        return EXIT_REJECTED
    if job.hardware.num_processes > 1 and "LOCAL_RANK" not in os.environ:
        _become_launcher(job, job_file)
    _configure(job)
    is_main = os.environ.get("RANK", "0") == "0"
    report = _reporter(sys.stdout, is_main=is_main)
    if is_main and not _lock(job.directory):
        sys.stderr.write(f"another process trains in {job.directory}\n")
        return EXIT_AGAIN
    return _train(job, report, is_main=is_main)


def _train(job: Job, report: Callable[[Report], None], *, is_main: bool) -> int:
    stop = StopRequest()
    stop.install()
    try:
        new = load_samples(job.dataset_files)
        earlier = load_samples(job.replay_files) if job.replay_share > 0 else []
        replayed = draw_replay(new, earlier, replay_share=job.replay_share, seed=job.seed, held_back=job.held_back)
        stages = plan_stages(job.training.recipe, new, replayed)
        checkpoint, summaries = job.base_directory, []
        for number, stage in enumerate(stages):
            checkpoint, summary = _run_stage(job, stage, number, checkpoint, report, stop)
            summaries.append(summary)
        if is_main:
            card = render_model_card(job, summaries, num_new=len(new), num_replayed=len(replayed))
            report(Finished(export=_export(job, checkpoint, card), stages=tuple(summaries)))
    except Interrupted as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_AGAIN
    except Rejected as error:
        report(Failed(reason=str(error)))
        return EXIT_REJECTED
    return 0


def _run_stage(
    job: Job, stage: Stage, number: int, start: Path, report: Callable[[Report], None], stop: StopRequest
) -> tuple[Path, StageSummary]:
    # torch and what is built on it: only now, with threads and folders set and the samples known to be good.
    import torch

    from services.trainer.grpo import train_reinforced
    from services.trainer.sft import train_supervised
    from services.trainer.stage import Work

    if job.hardware.num_threads:
        torch.set_num_threads(job.hardware.num_threads)
    directory = job.directory / f"stage-{number}-{stage.recipe}"
    work = Work(job=job, stage=stage, start=start, directory=directory, report=report, stop=stop)
    if not read_seal(work.result):
        {Recipe.TEACH: train_supervised, Recipe.REINFORCE: train_reinforced}[stage.recipe](work)
    seal = read_seal(work.result)
    assert seal is not None and seal.summary is not None
    return work.result, seal.summary


def _export(job: Job, checkpoint: Path, model_card: str) -> Path:
    from services.trainer.export import export_checkpoint

    export = job.directory / "export"
    export_checkpoint(checkpoint, job.base_directory, export, model_card=model_card)
    return export


def _die_with_parent() -> None:
    """Asks the kernel for SIGKILL at the parent's death: an orphaned training would go on for hours."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _become_launcher(job: Job, job_file: str) -> None:
    """Turns this process into `accelerate launch`, which starts this module once for each rank."""
    config = ["--config_file", str(job.hardware.accelerate_config)] if job.hardware.accelerate_config else []
    where = ["--cpu"] if job.hardware.device == "cpu" else []
    launch = ["-m", "accelerate.commands.launch", *config, *where, "--num_processes", str(job.hardware.num_processes)]
    os.execv(sys.executable, [sys.executable, *launch, "-m", "services.trainer.training_process", job_file])


def _configure(job: Job) -> None:
    """Settles what the libraries read when they are imported."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HOME"] = str(job.directory / "huggingface")
    if job.hardware.num_threads:
        os.environ["OMP_NUM_THREADS"] = str(job.hardware.num_threads)


def _reporter(stdout: object, *, is_main: bool) -> Callable[[Report], None]:
    """Keeps standard output for reports alone: whatever a library prints goes to the log with standard error."""
    assert isinstance(stdout, TextIOWrapper)
    stdout.flush()
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def report(message: Report) -> None:
        if is_main:
            channel.write(message.model_dump_json() + "\n")

    return report


def _lock(directory: Path) -> bool:
    """Holds the directory until this process ends, however it ends."""
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
