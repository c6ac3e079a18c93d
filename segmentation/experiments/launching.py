"""Runs as tasks of a Slurm cluster, through submitit; each works in a clone of its own.

Two jobs in one clone would wait for each other (https://github.com/iterative/dvc/issues/7419).
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import submitit
from submitit.core.utils import UncompletedJobError
from submitit.helpers import as_completed

from segmentation.common.errors import Fault, InputError
from segmentation.common.files import write_bytes
from segmentation.common.signals import listen
from segmentation.experiments.plan import PIPELINE, code_hash
from segmentation.experiments.running import LOGS, Found, Task, call, log_of, train

JOBS = LOGS / "jobs"  # what submitit keeps: pickled tasks and results, and what they print
CODE = ("segmentation", "stages", "requirements-core.txt", str(PIPELINE), ".dvc/config")  # what clones need
LOCAL_CONFIG = Path(".dvc/config.local")
RESUMED = 100  # how often a task that ran out of time is submitted again
POLL_S = 2


class Origin(NamedTuple):
    """What tasks clone: a project's commit, with its default DVC remote."""

    project: Path
    commit: str
    remote: str
    url: str


@dataclass(frozen=True)
class InAClone:
    """A task, and what it clones."""

    task: Task
    origin: Origin

    def __call__(self) -> Found:
        """Train in a clone of the project, and push the experiment to the project and to its DVC remote."""
        listen()  # a task that is cancelled ends in order: submitit would ignore SIGTERM
        name, (project, commit, remote, url) = self.task.name, self.origin
        log = project / log_of(name)
        with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
            call("git", "clone", "-q", str(project), folder)
            if (project / LOCAL_CONFIG).exists():  # how to log in to the remote
                shutil.copy(project / LOCAL_CONFIG, Path(folder) / LOCAL_CONFIG)
            os.chdir(folder)
            try:
                call("git", "checkout", "-q", commit)
                call("dvc", "remote", "modify", "--local", remote, "url", url)  # in case it was relative
                if code_hash() != self.task.code:
                    raise Fault(f"{project}: its code changed after the start; run the command again")
                found = train(self.task, log, "--pull")
                if found is None:
                    raise Fault(f"failed; its log: {log}")
                call("dvc", "exp", "push", "--force", "origin", name)
                return found
            finally:
                os.chdir(project)

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """Return what submitit submits when the time of the task is over: the same, as trainings resume."""
        return submitit.helpers.DelayedSubmission(self)


class Cluster(NamedTuple):
    """How tasks are started: `slurm`, as one array with options for sbatch; or `local`, as processes here."""

    launcher: Literal["slurm", "local"]
    at_once: int
    minutes: int
    sbatch: Mapping[str, str]

    def launch(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Found | None]]:
        """Submit each task, but those that still run; yield what each leaves as it ends, None if it failed.

        When this process is asked to stop, it cancels them. Raises `InputError` if tasks would not see all
        of this project, `Fault` if they cannot be submitted.
        """
        origin = clonable()
        at_once = self.at_once if self.launcher == "local" else len(tasks)  # Slurm counts for itself
        for start in range(0, len(tasks), at_once or 1):
            jobs = self.submitted(tasks[start : start + at_once], origin)
            try:
                for job in as_completed(list(jobs), poll_frequency=POLL_S):
                    yield jobs[job], result_of(job, jobs[job])
            except BaseException:
                for job in jobs:
                    cancel(job)
                raise

    def submitted(self, tasks: Sequence[Task], origin: Origin) -> dict[submitit.Job[Found], Task]:
        """Return the jobs of tasks: of those that an earlier process has left, or new ones."""
        found = {job: task for task in tasks if (job := self.left(task))}
        new = [task for task in tasks if task not in found.values()]
        jobs: Sequence[submitit.Job[Found]] = []
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # local tasks leave Ctrl-C to this process
        try:
            if new:
                executor = self.executor()
                jobs = executor.submit_array([InAClone(task, origin) for task in new])
        except (OSError, RuntimeError) as error:  # no Slurm here, or it refuses
            raise Fault(f"{self.launcher}: cannot submit: {' '.join(str(error).split())}") from None
        finally:
            signal.signal(signal.SIGINT, handler)
        for job, task in zip(jobs, new, strict=True):
            write_bytes(id_of(task), job.job_id.encode())
            print(f"{task.name}: submitted as {job.job_id} ({task.changed or 'nothing changed'})", flush=True)
        return found | dict(zip(jobs, new, strict=True))

    def executor(self) -> submitit.AutoExecutor:
        """Return what submits tasks."""
        executor = submitit.AutoExecutor(JOBS, cluster=self.launcher, slurm_max_num_timeout=RESUMED)
        executor.update_parameters(
            name="experiments",
            timeout_min=self.minutes,
            slurm_array_parallelism=self.at_once,
            slurm_additional_parameters=self.sbatch,
        )
        return executor

    def left(self, task: Task) -> submitit.Job[Found] | None:
        """Return the job of a task that an earlier process submitted, if it still runs or has a result."""
        if not id_of(task).exists():
            return None
        kind = submitit.SlurmJob if self.launcher == "slurm" else submitit.LocalJob
        job: submitit.Job[Found] = kind(JOBS, id_of(task).read_text())
        return job if job.paths.result_pickle.exists() or not job.done() else None


def cancel(job: submitit.Job[Found]) -> None:
    """Cancel a job, if it still runs."""
    if isinstance(job, submitit.LocalJob) and not job.done():
        os.kill(int(job.job_id), signal.SIGTERM)  # with SIGINT, as in its `cancel`, it prints a traceback
    elif not job.done():
        job.cancel(check=False)


def id_of(task: Task) -> Path:
    """Return where the id of a task's job is kept."""
    return JOBS / f"{task.name}.id"


def result_of(job: submitit.Job[Found], task: Task) -> Found | None:
    """Return what a job that has ended leaves; if it failed, say why in the log of its task."""
    id_of(task).unlink()
    try:
        return job.result()
    except UncompletedJobError as error:
        with log_of(task.name).open("a", encoding="utf-8") as log:
            log.write(f"\n{error}\n")
        return None


def clonable() -> Origin:
    """Return what tasks clone here; raises `InputError` if a clone would lack something."""
    if changed := call("git", "status", "--porcelain", "--", *CODE).splitlines():
        raise InputError(f"{changed[0][3:]}: commit it first: tasks clone the last commit")
    remote = call("dvc", "config", "core.remote").strip()
    if not remote:
        raise InputError("no DVC remote, where tasks leave their files; see `dvc remote add --help`")
    url = call("dvc", "config", f"remote.{remote}.url").strip()  # a relative path becomes absolute
    return Origin(Path.cwd(), call("git", "rev-parse", "HEAD").strip(), remote, url)
