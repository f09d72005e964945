"""Trains the detector that measures generated pictures.

    python -m tools.eval.train_detector --minutes 40

It sees every combination of things and colours, held out or not: it is the measuring instrument.
"""
import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from tools.dataset.scenes import Mix
from tools.dataset.stream import SceneBatches, to_model_range
from tools.eval.detector import (Detector, detector_loss, load_detector, make_targets,
                                 save_detector, scene_items)
from tools.train.parallel import has_bf16
from tools.train.trainer import add_device_options

ROOT = Path(__file__).parents[2]
MIX = Mix(kinds={"single": 2, "pair": 2, "relation": 2, "sizes": 1, "count": 2, "several": 2},
          colour=0.75, background=0.4, size_word=0.3, flip=0.3, jitter=2)
MAX_SHIFT = 4


def shift_pictures(pictures: Tensor, shifts: Tensor) -> Tensor:
    """Moves each picture [B, S, S, 3] by shifts [B, 2] (y, x), repeating its border."""
    side = torch.arange(pictures.shape[1])
    rows, columns = ((side - shift[:, None]).clamp(0, len(side) - 1) for shift in shifts.T)
    batch = torch.arange(len(pictures))[:, None, None]
    return pictures[batch, rows[:, :, None], columns[:, None]]


def degrade(pictures: Tensor) -> Tensor:
    """Blurs some pictures and adds noise, so that imperfect drawings count as what they show."""
    def chance() -> Tensor:
        return torch.rand(len(pictures), 1, 1, 1, device=pictures.device)

    soft = F.avg_pool2d(F.pad(pictures, [1] * 4, mode="replicate"), 3, 1)
    share = chance() * (chance() < 0.4)
    return pictures + share * (soft - pictures) + torch.randn_like(pictures) * chance() * 0.1


class DetectorBatches(IterableDataset):
    """Yields (pictures uint8 [B, 64, 64, 3], moved, items as scene_items has them, shifts)."""

    def __init__(self, batches: SceneBatches):
        self.batches = batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for pictures, _, scenes in self.batches:
            shifts = torch.randint(-MAX_SHIFT, MAX_SHIFT + 1, (len(scenes), 2))
            yield shift_pictures(pictures, shifts), scene_items(scenes), shifts


def train(detector: Detector, options: argparse.Namespace) -> None:
    """Cosine schedule over the given time."""
    device, rate = torch.device(options.device), options.rate
    detector.to(device).train()
    optimizer = torch.optim.AdamW(detector.parameters(), lr=rate, weight_decay=1e-2, fused=True)
    start, step, losses = time.monotonic(), 0, []
    batches = SceneBatches(MIX, 64, options.batch, int(start), everything=True)
    for pictures, items, shifts in DataLoader(DetectorBatches(batches), batch_size=None,
                                              num_workers=options.drawers):
        progress = (time.monotonic() - start) / (60 * options.minutes)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate * min((step + 1) / 100, 0.5 + 0.5 * np.cos(np.pi * progress))
        seen = degrade(to_model_range(pictures.to(device)))
        targets = make_targets(items.to(device), shifts.to(device))
        with torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device)):
            # Not compiled: that gives NaN in bfloat16 (PyTorch 2.15).
            loss = detector_loss(detector, seen, *targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        losses.append(loss.detach())
        if step % 100 == 0:
            mean = torch.stack(losses[-100:]).mean().item()
            print(f"samples {step * options.batch} loss {mean:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=2e-3)
    add_device_options(parser)
    parser.add_argument("--init-from", type=Path, help="weights to go on from")
    parser.add_argument("--out", type=Path,
                        default=ROOT / "assets" / "models" / "detector" / "model.safetensors")
    options = parser.parse_args()
    detector = load_detector(options.init_from) if options.init_from else Detector()
    train(detector, options)
    save_detector(detector.cpu(), options.out)


if __name__ == "__main__":
    main()
