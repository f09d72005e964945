"""Endless batches of composed music, as pictures, for training."""
from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from tools.dataset import roll
from tools.dataset.music import BARS, Composer, Piece, caption, in_c
from tools.dataset.stream import Reader, training_loader

WINDOWS = 2  # shown of every piece


class MusicBatches(IterableDataset):
    """Yields (pictures uint8 [B, 64, 64, 3], captions, pieces), new ones for every seed: windows of
    four bars that begin at any bar of their pieces, in C major or a minor whatever the key is that
    their captions name."""

    def __init__(self, batch: int, seed: int):
        if batch % WINDOWS:
            raise ValueError(f"a batch of music is a multiple of {WINDOWS}, not {batch}")
        self.batch, self.seed = batch, seed

    def __iter__(self) -> Iterator[tuple[torch.Tensor, list[str], list[Piece]]]:
        worker = get_worker_info()
        seed = f"{self.seed} {worker.id if worker else 0}"
        composer, random = Composer(seed), Random(f"{seed} captions")
        firsts = range(BARS - roll.WINDOW_BARS + 1)
        while True:
            pieces = [composer.compose() for _ in range(self.batch // WINDOWS)]
            pictures = np.stack([roll.draw(in_c(piece).notes, first) for piece in pieces
                                 for first in random.sample(firsts, WINDOWS)])
            shown = [piece for piece in pieces for _ in range(WINDOWS)]
            yield torch.from_numpy(pictures), [caption(p, random) for p in shown], shown


def music_loader(stage: dict[str, Any], seed: int, workers: int, read: Reader) -> DataLoader:
    """Batches for one stage of a training config; a picture takes about a millisecond."""
    if stage["side"] != roll.SIDE:
        raise ValueError(f"pictures of music have {roll.SIDE} pixels a side, not {stage['side']}")
    return training_loader(MusicBatches(stage["batch"], seed), workers, read)
