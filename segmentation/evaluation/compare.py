"""Both networks and the trivial baselines on the test pictures: counts, scores, intervals."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segmentation.inference.dataset_pass import Normalization, Runner, Scored, predict, score
from segmentation.loading.dataset import Batches, SegmentationDataset
from segmentation.models.checkpoints import Network
from segmentation.runtime.devices import choose_device, choose_precision, loader_workers, on_device
from segmentation.scoring import scores
from segmentation.scoring.scores import REPORT_BATCH, Values

CHUNK = 1_000_000  # numbers drawn at once by the bootstrap, to bound its memory
CONFIDENCE = 0.95


def compare(
    networks: Mapping[str, Network], test: SegmentationDataset, train: SegmentationDataset, resamples: int
) -> tuple[dict[str, Any], dict[str, Scored]]:
    """Return the content of metrics/test.json, and what is known of each picture, for both networks.

    The `test` pictures score; the mean mask is that of the `train` pictures.
    """
    scored = {name: score_network(network, test) for name, network in networks.items()}
    constants = {
        "all_foreground": np.ones((test.size, test.size), np.uint8),
        "mean_mask": mean_mask(train),
    }
    baselines = {name: score_constant(mask, test) for name, mask in constants.items()}
    metrics = report(scored, resamples) | {
        "difference": difference(scored["resnet"], scored["unet"], resamples),
        "baselines": report(baselines, resamples),
    }
    return metrics, scored


def score_network(network: Network, pictures: SegmentationDataset) -> Scored:
    """Score a network on pictures at its own size, at the threshold in its checkpoint."""
    runner = runner_for(network)
    model = on_device(network.model, runner.device)
    batches = Batches(pictures, REPORT_BATCH, workers=loader_workers(runner.device))
    return score(model, batches.epoch(0), runner, network.meta.threshold)


def predict_mask(network: Network, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the mask `(H, W)`, 0 or 1, that a scored network predicts for a picture `(H, W, 3)`, uint8."""
    pictures = torch.from_numpy(image).permute(2, 0, 1)[None]
    return predict(network.model, pictures, runner_for(network), network.meta.threshold)[0, 0].numpy()


def runner_for(network: Network) -> Runner:
    """How a network is scored: normalised as in training, and in the number format of its training.

    A network trained in bfloat16 falls back to float32 where the device has no bfloat16.
    """
    meta, device = network.meta, choose_device()
    precision = "float32" if meta.precision == "float32" else choose_precision("auto", device)
    return Runner(device, precision, Normalization(meta.mean, meta.std))


def mean_mask(pictures: SegmentationDataset) -> NDArray[np.uint8]:
    """The mask `(size, size)` of the pixels that are foreground in at least half of the pictures."""
    total = np.zeros((pictures.size, pictures.size), np.int64)
    for position in range(len(pictures)):
        total += pictures.read_mask(position)
    return (2 * total >= len(pictures)).astype(np.uint8)


def score_constant(mask: NDArray[np.uint8], pictures: SegmentationDataset) -> Scored:
    """Score the answer that predicts the same `mask`, `(size, size)`, for every picture."""
    predicted = torch.from_numpy(mask)[None]
    truths = [torch.from_numpy(pictures.read_mask(position))[None] for position in range(len(pictures))]
    counts = [scores.confusion_counts(predicted.bool(), truth.bool()) for truth in truths]
    soft = [scores.soft_sums(predicted.double(), truth.double()) for truth in truths]
    return Scored(torch.cat(counts).numpy(), torch.cat(soft).numpy(), loss=0.0)


def intervals(values: Values, resamples: int, seed: int = 0) -> list[tuple[float, float]]:
    """95 % percentile bootstrap intervals of the column means of `(N, K)` values, over the N pictures.

    All columns are resampled together, so a column of differences gets a paired interval.
    Efron and Tibshirani 1993, chapter 13.
    """
    rng, count = np.random.default_rng(seed), len(values)
    chunk = max(1, CHUNK // count)
    means = [
        values[rng.integers(count, size=(min(chunk, resamples - start), count))].mean(axis=1)
        for start in range(0, resamples, chunk)
    ]
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(np.concatenate(means), [tail, 100 - tail], axis=0)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def report(scored: Mapping[str, Scored], resamples: int) -> dict[str, dict[str, Any]]:
    """The scores of each answer in `scored`, with bootstrap intervals of the mean Dice.

    `dice` and `iou` are means over pictures; `…_dataset`, `precision` and `recall` are taken from counts
    pooled over all pictures; `empty` counts the pictures without any foreground.
    """
    per_picture = np.stack([scores.dice(each.counts) for each in scored.values()], axis=1)
    ranges = intervals(per_picture, resamples)
    return {
        name: {"dice": float(scores.dice(each.counts).mean()), "dice_low": low, "dice_high": high}
        | _scores(each)
        for (name, each), (low, high) in zip(scored.items(), ranges, strict=True)
    }


def difference(scored: Scored, baseline: Scored, resamples: int) -> dict[str, float]:
    """How much better the Dice per picture of `scored` is than that of `baseline`, paired by picture."""
    paired = scores.dice(scored.counts) - scores.dice(baseline.counts)
    ((low, high),) = intervals(paired[:, None], resamples)
    return {"dice": float(paired.mean()), "low": low, "high": high}


def _scores(scored: Scored) -> dict[str, Any]:
    counts, pooled = scored.counts, scored.counts.sum(axis=0)
    return {
        "iou": float(scores.iou(counts).mean()),
        "dice_dataset": float(scores.dice(pooled)),
        "iou_dataset": float(scores.iou(pooled)),
        "dice_report": scores.report_dice(scored.soft),
        "precision": float(scores.precision(pooled)),
        "recall": float(scores.recall(pooled)),
        "images": len(counts),
        "empty": int((counts[:, 0] + counts[:, 2] == 0).sum()),
    }
