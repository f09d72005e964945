"""Endless batches of scenes for training."""
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from tools.dataset.captions import Captioner
from tools.dataset.scenes import Mix, Painter, Scene, SceneMaker

Reader = Callable[[list[str]], Any]  # what a trainer makes of captions


class SceneBatches(IterableDataset):
    """Yields (pictures uint8 [B, side, side, 3], captions, scenes), new ones for every seed."""

    def __init__(self, mix: Mix, side: int, batch: int, seed: int, everything: bool = False):
        self.mix, self.side, self.batch, self.seed = mix, side, batch, seed
        self.everything = everything

    def __iter__(self) -> Iterator[tuple[torch.Tensor, list[str], list[Scene]]]:
        worker = get_worker_info()
        seed = [self.seed, worker.id if worker else 0]
        maker, painter = SceneMaker(self.mix, [*seed, 0], self.everything), Painter(self.side)
        captioner = Captioner([*seed, 1])
        while True:
            scenes = [maker.make() for _ in range(self.batch)]
            pictures = np.stack([painter.draw(scene) for scene in scenes])
            yield torch.from_numpy(pictures), [captioner.caption(s) for s in scenes], scenes


class TrainingBatches(IterableDataset):
    """Yields (pictures, read(captions)) of batches (pictures, captions, scenes); `read` works where
    the pictures are drawn, so that the process that trains does not wait for it."""

    def __init__(self, batches: IterableDataset, read: Reader):
        self.batches, self.read = batches, read

    def __iter__(self) -> Iterator[tuple[torch.Tensor, Any]]:
        for pictures, captions, _ in self.batches:
            yield pictures, self.read(captions)


def training_loader(batches: IterableDataset, workers: int, read: Reader) -> DataLoader:
    """TrainingBatches made by so many processes (0: by this one)."""
    return DataLoader(TrainingBatches(batches, read), batch_size=None, num_workers=workers,
                      pin_memory=torch.cuda.is_available(), prefetch_factor=4 if workers else None)


def scene_loader(stage: dict[str, Any], seed: int, workers: int, read: Reader) -> DataLoader:
    """Batches for one stage of a training config; a scene of 64 pixels takes about 0.2 ms."""
    batches = SceneBatches(Mix(**stage["mix"]), stage["side"], stage["batch"], seed)
    return training_loader(batches, workers, read)


def to_model_range(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 [B, ..., H, W, 3] -> float32 [B, 3, ..., H, W] in [-1, 1]."""
    return pictures.movedim(-1, 1).float() / 127.5 - 1
