"""Runs as tasks of a Slurm cluster, or as processes here, through submitit."""

import io
import json
import os
import signal
import uuid
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Literal, NamedTuple

import submitit
import torch
from submitit.core.utils import UncompletedJobError
from submitit.helpers import as_completed

from segmentation.common.errors import Fault
from segmentation.common.files import write_bytes
from segmentation.common.signals import Interrupted, deferred
from segmentation.experiments.cloning import InAClone, Origin, clonable
from segmentation.experiments.results import RunScores
from segmentation.experiments.running import LOGS, Experiment, finished, log_of

JOBS = LOGS / "jobs"  # what submitit keeps: pickled tasks and results, and what they print
RESUMED = 100  # how often a task that ran out of time is submitted again
POLL_S = 2

Jobs = dict[submitit.Job[RunScores], Experiment]


class Cluster(NamedTuple):
    """How tasks are started: `slurm`, as one array with options for sbatch; or `local`, as processes here."""

    launcher: Literal["slurm", "local"]
    at_once: int = 8
    minutes: int = 240
    sbatch: Sequence[tuple[str, str | bool]] = ()

    def launch(self, experiments: Sequence[Experiment]) -> Iterator[tuple[Experiment, RunScores | None]]:
        """Submit each experiment, but those that still run; yield what each leaves, None if it failed.

        When this process stops, it cancels them. Raises `InputError` if tasks would not see all of this
        project, `Fault` if they cannot be submitted.
        """
        origin = clonable()
        waiting = []
        for experiment in experiments:
            if not id_of(experiment).exists() and (scores := finished(experiment, "not recorded")):
                yield experiment, scores
            else:
                waiting.append(experiment)
        at_once = self.at_once if self.launcher == "local" else len(waiting)  # Slurm counts for itself
        for start in range(0, len(waiting), at_once or 1):
            jobs: Jobs = {}
            try:
                self.submit(waiting[start : start + at_once], origin, jobs)
                for job in as_completed(list(jobs), poll_frequency=POLL_S):
                    yield jobs[job], result_of(job, jobs[job])
                    id_of(jobs[job]).unlink()
            except BaseException:
                cancel(jobs)
                raise

    def submit(self, experiments: Sequence[Experiment], origin: Origin, jobs: Jobs) -> None:
        """Add the jobs of experiments to `jobs`: those that an earlier process has left, or new ones."""
        for experiment in experiments:
            if job := self.left(experiment):
                jobs[job] = experiment
                print(f"{experiment.name}: job {job.job_id} of an earlier call", flush=True)
        new = [experiment for experiment in experiments if experiment not in jobs.values()]
        if not new:
            return
        tasks = [InAClone(experiment, origin) for experiment in new]
        with deferred() as request:
            submitted = dict(zip(self.array(tasks), new, strict=True))
            jobs |= submitted
            for job, experiment in submitted.items():
                where = {"launcher": self.launcher, "folder": str(job.paths.folder), "id": job.job_id}
                write_bytes(id_of(experiment), json.dumps(where).encode())
        if request.signum:
            raise Interrupted(request.signum)
        for job, experiment in submitted.items():
            changed = experiment.changed or "nothing changed"
            print(f"{experiment.name}: submitted as {job.job_id} ({changed})", flush=True)

    def array(self, tasks: Sequence[InAClone]) -> Sequence[submitit.Job[RunScores]]:
        """Submit tasks; raises `Fault` if that is refused."""
        local = self.launcher == "local"
        # The processes that submitit starts here must survive Ctrl-C: they end their tasks in order.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if local else None
        try:
            with redirect_stderr(io.StringIO()):  # sbatch's words are part of the error
                executor = submitit.AutoExecutor(
                    JOBS / f"{self.launcher}-{uuid.uuid4().hex[:8]}",
                    cluster=self.launcher,
                    slurm_max_num_timeout=RESUMED,
                    local_max_num_timeout=RESUMED,
                )
                executor.update_parameters(
                    name="experiments",
                    timeout_min=self.minutes,
                    slurm_array_parallelism=self.at_once,
                    slurm_additional_parameters={"requeue": True, **dict(self.sbatch)},
                    **({"gpus_per_node": torch.cuda.device_count()} if local else {}),
                )
                return executor.submit_array(tasks)
        except (OSError, RuntimeError) as error:  # no Slurm here, or it refuses
            raise Fault(f"{self.launcher}: cannot submit: {' '.join(str(error).split())}") from None
        finally:
            if handler:
                signal.signal(signal.SIGINT, handler)

    def left(self, experiment: Experiment) -> submitit.Job[RunScores] | None:
        """Return the job that an earlier process submitted, if it still runs or has a result."""
        if not id_of(experiment).exists():
            return None
        where = json.loads(id_of(experiment).read_text())
        if where["launcher"] != self.launcher:
            return None
        kind = submitit.SlurmJob if self.launcher == "slurm" else submitit.LocalJob
        job: submitit.Job[RunScores] = kind(where["folder"], where["id"])
        return job if job.paths.result_pickle.exists() or not job.done() else None


def cancel(jobs: Jobs) -> None:
    """Cancel the jobs that still run; they are not waited for again."""
    with deferred():
        for job, experiment in jobs.items():
            if job.done():
                continue
            if isinstance(job, submitit.LocalJob):
                os.kill(int(job.job_id), signal.SIGTERM)  # with SIGINT, as in `cancel`, it prints a traceback
            else:
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
