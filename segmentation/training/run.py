"""One training run, from params and data to its outputs: the work of every train stage."""

import logging
import os
import signal
import time
from contextlib import closing, nullcontext

import torch

from segmentation.common.artifacts import RAW, SPLIT, STATS, Split, Stats
from segmentation.common.cores import usable_cores
from segmentation.common.errors import InputError
from segmentation.common.files import read_json
from segmentation.common.geometry import Geometry
from segmentation.common.seeds import Purpose, torch_seed
from segmentation.common.signals import Interrupted, deferred
from segmentation.inference.predictor import Runner
from segmentation.loading.cache import make_caches
from segmentation.loading.dataset import SegmentationDataset
from segmentation.loading.transforms import choose_normalization
from segmentation.models.build import build_model, load_pretrained
from segmentation.params import ImageSettings, Params
from segmentation.runtime.devices import choose_device, choose_precision, prepare, to_device
from segmentation.runtime.distributed import broadcast, launched_by_torchrun, process_group, rank, world_size
from segmentation.runtime.memory import enough_memory
from segmentation.scoring.scores import SOFT_DICE_BATCH
from segmentation.training.augmentation import Augmentation
from segmentation.training.crops import TrainingCrops
from segmentation.training.fingerprint import fingerprint, require_same
from segmentation.training.loader import Batches, loader_workers
from segmentation.training.loop import Training
from segmentation.training.outputs import Outputs, write_untrained
from segmentation.training.resume import ResumeState
from segmentation.training.tracking import start_line
from segmentation.training.warm_start import load_warm_start

SAVE_INTERVAL = 30  # between two saves, in durations of a save: saving takes at most 3 % of the time


def train_network(name: str, params: Params) -> None:
    """Train the network `name` and write its checkpoint, curves and metrics.

    The weights of the first epoch with the best validation score, by `train.monitor`, are kept. Under
    `torchrun` several processes train together, and rank 0 writes.
    """
    if not getattr(params.networks, name, True):
        write_untrained(name)
        print(f"{name}: not trained, as params.yaml says: networks.{name} is false")
        return
    processes = params.train.processes
    if processes > 1 and not launched_by_torchrun():
        load_warm_start(name, params)  # what it refuses is said once
        _launch(f"stages.train_{name}", processes)
        return
    device, batch_size, size = choose_device(), params.train.batch_size, params.image.size
    prepare(device)
    half, work = batch_size // 2, f"{batch_size} images of {size}x{size} pixels a step"
    smaller = f"train.batch_size = {half}, or " if half >= processes else ""
    with process_group(device), enough_memory(work, f"try {smaller}a lower image.size or model.width"):
        if world_size() != processes:
            started = f"torchrun started {world_size()}"
            raise InputError(f"train.processes = {processes}, but {started}; make them equal")
        _train(name, params, device)


def _launch(module: str, processes: int) -> None:
    """Run `torchrun --standalone --nproc-per-node=PROCESSES -m MODULE` on this machine, and wait for its end.

    Each process reports its own errors, and their exit status becomes that of this one. Raises `InputError`
    where accelerators are used, but fewer than processes: only those with CUDA count.
    """
    gpus = torch.cuda.device_count()
    if choose_device().type != "cpu" and gpus < processes:
        raise InputError(f"train.processes = {processes}, but this machine has {gpus} GPUs (CUDA); lower it")
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


def _train(name: str, params: Params, device: torch.device) -> None:
    settings, first = params.train, rank() == 0
    warm_start = load_warm_start(name, params)
    normalization = choose_normalization(params.image.normalize, read_json(STATS, "compute_stats", Stats))
    runner = Runner(device, choose_precision(settings.precision, device), normalization)
    mine = fingerprint(f"train_{name}", params, runner, warm_start)
    require_same(mine)
    train, val = make_batches(params, device)
    state = ResumeState(name, mine)
    lock = state.locked() if first else nullcontext()
    with closing(train), closing(val), lock, deferred() as stop:
        torch.manual_seed(torch_seed(Purpose.WEIGHTS, settings.seed))
        model = build_model(name, params.model.width, params.model.dropout, params.model.init)
        load_pretrained(name, model)
        if warm_start:
            model.load_state_dict(warm_start.weights)
        model = to_device(model, device)
        training = Training(model, train, val, settings, runner, stop)
        outputs = Outputs(name, params, val.dataset, warm_start) if first else None
        if outputs:
            print(f"{name}: {start_line(training)}", flush=True)
            if warm_start:
                print(f"{name}: starting from the weights in {settings.start_from}", flush=True)
        saved = broadcast(state.load() if first else None)
        if saved:
            training.load_state_dict(saved["training"])
        if saved and outputs:
            print(f"{name}: resuming {training.progress}", flush=True)
            outputs.load_state_dict(saved["outputs"], training)
        _take_epochs(training, outputs, state)
        if outputs:
            outputs.finish(training.history, device)
            state.discard()


def _take_epochs(training: Training, outputs: Outputs | None, state: ResumeState) -> None:
    saved, cost = time.monotonic(), 0.0
    try:
        while training.epoch <= training.epochs:
            training.train_epoch()
            metrics = training.validate()
            if outputs:
                outputs.add(metrics, training)
                started = time.monotonic()
                if training.epoch > training.epochs or started - saved >= SAVE_INTERVAL * cost:
                    save(training, outputs, state)
                    saved = time.monotonic()
                    cost = saved - started
    except Interrupted as stopped:
        save(training, outputs, state)
        where = f" {training.progress}; run the same command again to resume"
        raise Interrupted(stopped.signum, where) from None


def save(training: Training, outputs: Outputs | None, state: ResumeState) -> None:
    """Write outputs and state; in the middle of an epoch, all processes must call it together."""
    content = training.state_dict()
    if outputs:
        outputs.write(training)
        state.save({"training": content, "outputs": outputs.state_dict()})


def make_batches(
    params: Params, device: torch.device
) -> tuple[Batches[TrainingCrops], Batches[SegmentationDataset]]:
    """Return the training images, shuffled and augmented, and the validation images as they are."""
    split, seed = read_json(SPLIT, "split", Split), params.train.seed
    geometry = choose_geometry(params.image, read_json(STATS, "compute_stats", Stats))
    foreground, batch_size = params.data.foreground, params.train.batch_size
    images, val = (SegmentationDataset(RAW, split[part], geometry, foreground) for part in ("train", "val"))
    images.cache, val.cache = make_caches([images.shapes, val.shapes], params.machine.cache_bytes)
    workers = loader_workers(device, batch_size + SOFT_DICE_BATCH, geometry.size)
    if not any(images.read_mask(index).any() for index in range(len(images))):
        raise InputError(f"{RAW}: no training image shows any foreground; check masks and data.foreground")
    train = TrainingCrops(images, Augmentation(params.augment, geometry), seed)
    if min(batch_size, len(train)) < world_size():
        fewer = f"train.batch_size = {batch_size}, and there are {len(train)} training images"
        raise InputError(f"{world_size()} processes need an image each, but {fewer}; lower train.processes")
    whole = geometry.fit == "tiles"  # images of any size: neither in one batch nor through shared memory
    scored = Batches(val, 1) if whole else Batches(val, SOFT_DICE_BATCH, workers=workers)
    return Batches(train, batch_size, shuffle_seed=seed, workers=workers), scored


def choose_geometry(settings: ImageSettings, stats: Stats) -> Geometry:
    """Return how a network sees an image; what an image leaves of a window has the mean colour of `stats`."""
    red, green, blue = (round(255 * mean) for mean in stats["mean"])
    fill = (0, 0, 0) if settings.fit == "stretch" else (red, green, blue)
    return Geometry(settings.size, settings.resize, settings.fit, settings.scale, fill)
