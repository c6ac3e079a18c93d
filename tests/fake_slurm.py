"""Slurm's commands on this machine alone, as far as submitit calls them: `python fake_slurm.py COMMAND ...`.

Each task of an array is a process group. What is known of it is in the folder `FAKE_SLURM`: `ID_TASK.pid`,
`ID_TASK.state`, and `ID_TASK.requeue` once it is to run again.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

COMMANDS = ("srun", "sbatch", "sacct", "scancel", "scontrol")


def install(folder: Path, path: str) -> dict[str, str]:
    """Write the commands into a folder; return the variables by which they are found, before `path`."""
    folder.mkdir(exist_ok=True)
    for command in COMMANDS:
        words = shlex.join([sys.executable, __file__, command])
        (folder / command).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        (folder / command).chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{path}", "FAKE_SLURM": str(folder)}


def file(job: str, what: str) -> Path:
    return Path(os.environ["FAKE_SLURM"], f"{job}.{what}")


def sbatch(script: str) -> None:
    subprocess.Popen(
        [sys.executable, __file__, "controller", script], start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    print("Submitted batch job 7")


def controller(script: str) -> None:
    """Run the tasks of an array, so many at once."""
    array = re.search(r"--array=0-(\d+)%(\d+)", Path(script).read_text())
    last, at_once = map(int, array.groups()) if array else (0, 1)
    tasks = [f"7_{number}" for number in range(last + 1)] if array else ["7"]
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(run, [script] * len(tasks), tasks))


def run(script: str, job: str) -> None:
    names = ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID") if "_" in job else ()
    environment = os.environ | {"SLURM_JOB_ID": "7"} | dict(zip(names, job.split("_"), strict=False))
    state = "REQUEUED"
    while state == "REQUEUED":
        process = subprocess.Popen(["bash", script], env=environment, start_new_session=True)
        file(job, "pid").write_text(str(process.pid))
        file(job, "state").write_text("RUNNING")
        state = "FAILED" if process.wait() else "COMPLETED"
        if file(job, "requeue").exists():
            file(job, "requeue").unlink()
            state = "REQUEUED"
    file(job, "state").write_text(state)


def srun(*words: str) -> None:
    """Become the command, as the only task of a job; its output goes where the options say."""
    output, error, command = words[2], words[4], words[5:]
    numbers = {"%A": "7", "%a": os.environ.get("SLURM_ARRAY_TASK_ID", ""), "%j": "7", "%t": "0"}
    for stream, path in ((1, output), (2, error)):
        for pattern, number in numbers.items():
            path = path.replace(pattern, number)
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    os.execvp(command[0], command)


def sacct(*_: str) -> None:
    print("JobID|State|NodeList")
    for path in Path(os.environ["FAKE_SLURM"]).glob("*.state"):
        print(f"{path.stem}|{path.read_text()}|here")


def scancel(job: str) -> None:
    os.killpg(int(file(job, "pid").read_text()), signal.SIGTERM)


def scontrol(_: str, job: str) -> None:
    file(job, "requeue").touch()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
