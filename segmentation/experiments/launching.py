"""Runs as tasks of a Slurm cluster, through submitit."""

import io
import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import UncompletedJobError
from submitit.helpers import as_completed

from segmentation.common.errors import Fault
from segmentation.common.files import write_bytes
from segmentation.common.signals import Interrupted, deferred
from segmentation.experiments.cloning import InAClone, clonable
from segmentation.experiments.results import RunScores
from segmentation.experiments.running import LOGS, Experiment, finished, log_of

JOBS = LOGS / "jobs"  # what submitit keeps: pickled tasks and results, and what they print
RESUMED = 100  # how often a task that ran out of time is submitted again
POLL_S = 2

Jobs = dict[submitit.Job[RunScores], Experiment]


def launch(
    experiments: Sequence[Experiment],
    at_once: int = 8,
    minutes: int = 240,
    sbatch: Sequence[tuple[str, str | bool]] = (),
) -> Iterator[tuple[Experiment, RunScores | None]]:
    """Submit an array of all experiments but those that still run; yield what each leaves, None if it failed.

    A task has so many `minutes`; `sbatch` are further options. When this process stops, it cancels the tasks.
    Raises `InputError` if they would not see all of this project, `Fault` if they cannot be submitted.
    """
    origin = clonable()
    jobs: Jobs = {}
    tasks = []
    try:
        for experiment in experiments:
            if job := left(experiment):
                jobs[job] = experiment
                print(f"{experiment.name}: job {job.job_id} of an earlier call", flush=True)
            elif not id_of(experiment).exists() and (scores := finished(experiment, "not recorded")):
                yield experiment, scores
            else:
                tasks.append(InAClone(experiment, origin))
        if tasks:
            options = {"requeue": True, **dict(sbatch)}
            submit(tasks, jobs, time=minutes, array_parallelism=at_once, additional_parameters=options)
        for ended in as_completed(list(jobs), poll_frequency=POLL_S):
            yield jobs[ended], result_of(ended, jobs[ended])
            id_of(jobs[ended]).unlink()
    except BaseException:
        cancel(jobs)
        raise


def submit(tasks: Sequence[InAClone], jobs: Jobs, **parameters: Any) -> None:
    """Submit tasks, by submitit's `parameters`, and add them to `jobs`; raises `Fault` if that is refused."""
    with deferred() as request:
        try:
            with redirect_stderr(io.StringIO()):  # sbatch's words are part of the error
                executor = submitit.SlurmExecutor(JOBS / uuid.uuid4().hex[:8], max_num_timeout=RESUMED)
                executor.update_parameters(job_name="experiments", **parameters)
                submitted: list[submitit.Job[RunScores]] = executor.submit_array(tasks)
        except (OSError, RuntimeError) as error:  # no Slurm here, or it refuses
            raise Fault(f"slurm: cannot submit: {' '.join(str(error).split())}") from None
        new = dict(zip(submitted, [task.experiment for task in tasks], strict=True))
        jobs |= new  # before anything fails: they must be cancelled
        for job, experiment in new.items():
            where = {"folder": str(job.paths.folder), "id": job.job_id}
            write_bytes(id_of(experiment), json.dumps(where).encode())
    if request.signum:
        raise Interrupted(request.signum)
    for job in submitted:
        changed = jobs[job].changed or "nothing changed"
        print(f"{jobs[job].name}: submitted as {job.job_id} ({changed})", flush=True)


def left(experiment: Experiment) -> submitit.SlurmJob[RunScores] | None:
    """Return the job that an earlier process submitted, if it still runs or has a result."""
    if not id_of(experiment).exists():
        return None
    where = json.loads(id_of(experiment).read_text())
    job = submitit.SlurmJob[RunScores](where["folder"], where["id"])
    return job if job.paths.result_pickle.exists() or not job.done() else None


def cancel(jobs: Jobs) -> None:
    """Cancel the jobs that still run; they are not waited for again."""
    with deferred():
        for job, experiment in jobs.items():
            if not job.done():
                job.cancel(check=False)
                id_of(experiment).unlink(missing_ok=True)


def id_of(experiment: Experiment) -> Path:
    """Return where it is kept which job an experiment is."""
    return JOBS / f"{experiment.name}.json"


def result_of(job: submitit.Job[RunScores], experiment: Experiment) -> RunScores | None:
    """Return what a job that has ended leaves; if it failed, say why in the log of its experiment."""
    try:
        return job.result()
    except UncompletedJobError as error:
        with log_of(experiment.name).open("a", encoding="utf-8") as log:
            log.write(f"\n{error}\n")
        return None
