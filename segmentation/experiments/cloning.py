"""A run in a clone of the project: what a task of a cluster does.

Two jobs in one clone would wait for each other (https://github.com/treeverse/dvc/issues/7419). All clones
share the project's DVC cache, so a task that is started again finds what its predecessor has finished.
"""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import submitit

from segmentation.common.errors import Fault, InputError
from segmentation.common.signals import listen
from segmentation.experiments.plan import PIPELINE, code_hash
from segmentation.experiments.results import RunScores
from segmentation.experiments.running import Experiment, log_of, train
from segmentation.workspace import call

COMMITTED = ("segmentation", "stages", "requirements-core.txt", str(PIPELINE), ".dvc/config")
LOCAL_CONFIG = Path(".dvc/config.local")


class Origin(NamedTuple):
    """What tasks clone: a project's commit; and its DVC cache and default remote."""

    project: Path
    commit: str
    cache: str
    remote: str
    url: str


@dataclass(frozen=True)
class InAClone:
    """A task of a cluster: an experiment, and what it clones."""

    experiment: Experiment
    origin: Origin

    def __call__(self) -> RunScores:
        """Train in a clone of the project, and push the experiment to the project and to its DVC remote."""
        listen()  # a task that is cancelled ends in order: submitit would ignore SIGTERM
        name, (project, commit, cache, remote, url) = self.experiment.name, self.origin
        log = project / log_of(name)
        with tempfile.TemporaryDirectory(prefix=f"{name}-", ignore_cleanup_errors=True) as folder:
            call("git", "clone", "-q", str(project), folder)
            if (project / LOCAL_CONFIG).exists():  # how to log in to the remote
                shutil.copy(project / LOCAL_CONFIG, Path(folder) / LOCAL_CONFIG)
            os.chdir(folder)
            try:
                call("git", "checkout", "-q", commit)
                call("dvc", "remote", "modify", "--local", remote, "url", url)  # in case it was relative
                call("dvc", "cache", "dir", "--local", cache)
                if code_hash() != self.experiment.code:
                    raise Fault(f"{commit[:7]} has other code than this task was made for; run it again")
                scores = train(self.experiment, log, "--pull")
                if scores is None:
                    raise Fault(f"failed; its log: {log}")
                # First to the project, where it is found again if the remote cannot be reached.
                for option in ("--no-cache", "--run-cache"):
                    call("dvc", "exp", "push", option, "--force", "origin", name)
                return scores
            finally:
                os.chdir(project)

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """Return what submitit submits when the time of the task is over: the same, as trainings resume."""
        return submitit.helpers.DelayedSubmission(self)


def clonable() -> Origin:
    """Return what tasks clone here; raises `InputError` if a clone would lack something."""
    if changed := call("git", "status", "--porcelain", "--", *COMMITTED).splitlines():
        raise InputError(f"{changed[0][3:]}: commit it first: tasks clone the last commit")
    remote = call("dvc", "config", "core.remote").strip()
    if not remote:
        raise InputError("no DVC remote, where tasks leave their files; see `dvc remote add --help`")
    url = call("dvc", "config", f"remote.{remote}.url").strip()  # a relative path becomes absolute
    commit, cache = call("git", "rev-parse", "HEAD").strip(), call("dvc", "cache", "dir").strip()
    return Origin(Path.cwd(), commit, cache, remote, url)
