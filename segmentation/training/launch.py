"""Starting several processes of a training stage on this machine, with torch's own launcher."""

import logging
import os
import signal

import torch

from segmentation.common.cores import usable_cores
from segmentation.common.errors import InputError
from segmentation.runtime.devices import choose_device


def launch(module: str, processes: int) -> None:
    """Run `python -m module` in `processes` processes that train together, and wait for them.

    The same as `torchrun --standalone --nproc-per-node=PROCESSES -m MODULE`. Each process reports its own
    errors, and their exit status becomes that of this one. Raises `InputError` if there are GPUs, but fewer
    than processes.
    """
    if choose_device().type not in ("cpu", "cuda"):
        raise InputError(f"train.processes = {processes}: more than one needs CPUs or CUDA GPUs; set it to 1")
    gpus = torch.cuda.device_count()
    if torch.cuda.is_available() and gpus < processes:
        raise InputError(f"train.processes = {processes}, but this machine has {gpus} GPUs; lower it")
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import get_args_parser, run

    # Otherwise torchrun sets it to 1, and says so.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // processes)))
    logging.disable()
    options = ["--standalone", "--local-addr=127.0.0.1", f"--nproc-per-node={processes}"]
    try:
        run(get_args_parser().parse_args([*options, "-m", module]))
    except ChildFailedError as error:
        status = error.get_first_failure()[1].exitcode
        raise SystemExit(status if status >= 0 else 128 - status) from None
    except SignalException as error:
        raise SystemExit(128 + signal.Signals(error.sigval)) from None
