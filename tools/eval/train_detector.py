"""Trains the detector that measures generated pictures.

    python -m tools.eval.train_detector --minutes 40

It sees every combination of things and colours, held out or not: it is the measuring instrument.
"""
import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tools.dataset.scenes import Mix
from tools.dataset.stream import SceneBatches, to_model_range
from tools.eval.detector import (Detector, detector_loss, load_detector, make_targets,
                                 save_detector)
from tools.train.parallel import has_bf16

ROOT = Path(__file__).parents[2]
MIX = Mix(kinds={"single": 2, "pair": 2, "relation": 2, "sizes": 1, "count": 2, "several": 2},
          colour=0.75, background=0.4, size_word=0.3, flip=0.3, jitter=2)
MAX_SHIFT = 4


def shift_pictures(pictures: Tensor, shifts: np.ndarray) -> Tensor:
    """Moves each picture [B, 3, S, S] by shifts [B, 2] (y, x), repeating its border."""
    side = pictures.shape[-1]
    padded = F.pad(pictures, [MAX_SHIFT] * 4, mode="replicate")
    moved = [picture[:, MAX_SHIFT - dy:MAX_SHIFT - dy + side, MAX_SHIFT - dx:MAX_SHIFT - dx + side]
             for picture, (dy, dx) in zip(padded, shifts)]
    return torch.stack(moved)


def degrade(pictures: Tensor) -> Tensor:
    """Blurs some pictures and adds noise, so that imperfect drawings count as what they show."""
    soft = F.avg_pool2d(F.pad(pictures, [1] * 4, mode="replicate"), 3, 1)
    share = torch.rand(len(pictures), 1, 1, 1) * (torch.rand(len(pictures), 1, 1, 1) < 0.4)
    noise = torch.randn_like(pictures) * torch.rand(len(pictures), 1, 1, 1) * 0.1
    return pictures + share * (soft - pictures) + noise


def train(detector: Detector, minutes: float, batch: int, rate: float, path: Path) -> None:
    """Cosine schedule over the given time; saves at the end."""
    detector.train()
    optimizer = torch.optim.AdamW(detector.parameters(), lr=rate, weight_decay=1e-2, fused=True)
    random = np.random.default_rng(0)
    loss_function = detector_loss  # compiled, it gives NaN in bfloat16 (PyTorch 2.15)
    start, step, losses = time.monotonic(), 0, []
    for pictures, _, scenes in SceneBatches(MIX, 64, batch, int(start), everything=True):
        progress = (time.monotonic() - start) / (60 * minutes)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate * min((step + 1) / 100, 0.5 + 0.5 * np.cos(np.pi * progress))
        shifts = random.integers(-MAX_SHIFT, MAX_SHIFT + 1, (batch, 2))
        moved = degrade(shift_pictures(to_model_range(pictures), shifts))
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16(torch.device("cpu"))):
            loss = loss_function(detector, moved, *make_targets(scenes, shifts))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        if step == 1:
            start = time.monotonic()  # the first step compiles
        losses.append(loss.item())
        if step % 100 == 0:
            print(f"samples {step * batch} loss {np.mean(losses[-100:]):.4f}", flush=True)
    save_detector(detector, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--init-from", type=Path, help="weights to go on from")
    parser.add_argument("--out", type=Path,
                        default=ROOT / "assets" / "models" / "detector" / "model.safetensors")
    options = parser.parse_args()
    detector = load_detector(options.init_from) if options.init_from else Detector()
    train(detector, options.minutes, options.batch, options.rate, options.out)


if __name__ == "__main__":
    main()
