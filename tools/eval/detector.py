"""A small detector of things and their colours in 64x64 pictures, for measuring only.

Centre heatmaps in the manner of CenterNet (Zhou et al. 2019): one map per thing on a 16x16 grid,
and a colour per cell. Trained on the scenes of tools/dataset, without any part of CLIP or HDiT.
"""
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tools.dataset.scenes import COLOUR_NAMES, THINGS, Scene
from tools.dataset.things import NATURAL

GRID, STRIDE = 16, 4
IGNORE = -1
MOST_ITEMS = 4  # of a scene
SCALE = ".scale"  # name of the numbers beside a kernel in 8 bits


class Block(nn.Module):
    """Two 3x3 convolutions with a residual connection."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Detector(nn.Module):
    def __init__(self, fine: int = 48, coarse: int = 128, depth: int = 3):
        super().__init__()
        self.config = {"fine": fine, "coarse": coarse, "depth": depth}
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1), nn.SiLU(),
                                  nn.Conv2d(32, fine, 3, 2, 1), Block(fine))
        self.down = nn.Conv2d(fine, coarse, 3, 2, 1)
        self.trunk = nn.Sequential(*(Block(coarse) for _ in range(depth)))
        self.up = nn.Conv2d(coarse, 4 * fine, 1)
        self.neck = nn.Sequential(Block(fine), nn.BatchNorm2d(fine), nn.SiLU())
        self.heat = nn.Conv2d(fine, len(THINGS), 1)
        self.colour = nn.Conv2d(fine, len(COLOUR_NAMES), 1)
        nn.init.constant_(self.heat.bias, -4.0)

    def features(self, pictures: Tensor) -> Tensor:
        """pictures [B, 3, 64, 64] in [-1, 1] -> features [B, coarse] for the Frechet distance."""
        return self.trunk(self.down(self.stem(pictures))).mean((2, 3))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """pictures [B, 3, 64, 64] -> logits of things [B, T, 16, 16] and colours [B, C, 16, 16]."""
        fine = self.stem(pictures)
        coarse = self.trunk(self.down(fine))
        x = self.neck(fine + F.pixel_shuffle(self.up(coarse), 2))
        return self.heat(x), self.colour(x)


@dataclass
class Found:
    thing: int
    colour: str
    x: float  # centre in pixels
    y: float
    score: float


def colour_label(thing: int, colour: str) -> int:
    """Index of the colour that is seen, IGNORE for a natural thing of no one colour."""
    seen = THINGS[thing].colour if colour == NATURAL else colour
    return COLOUR_NAMES.index(seen) if seen in COLOUR_NAMES else IGNORE


def scene_items(scenes: list[Scene]) -> Tensor:
    """[B, MOST_ITEMS, 5] float: thing, colour label, y, x and size; thing IGNORE where none is."""
    items = torch.full((len(scenes), MOST_ITEMS, 5), float(IGNORE))
    for row, scene in zip(items, scenes):
        row[:len(scene.items)] = torch.tensor([
            (item.thing, colour_label(item.thing, item.colour), item.y, item.x, item.size)
            for item in scene.items])
    return items


def make_targets(items: Tensor, shifts: Tensor) -> tuple[Tensor, Tensor]:
    """Heatmaps [B, T, 16, 16] and colour labels [B, 16, 16] of items as scene_items gives them,
    moved by shifts [B, 2] (y, x) in pixels."""
    thing, colour = items[..., 0].long(), items[..., 1].long()
    place = items[..., 2:4] + shifts[:, None]
    cells = torch.arange(GRID, device=items.device) * STRIDE + STRIDE / 2
    offset = (cells - place[..., None]).square()  # [B, MOST_ITEMS, 2, 16]
    spread = 2 * (items[..., 4] / 10).square()
    peaks = torch.exp(-(offset[..., 0, :, None] + offset[..., 1, None, :]) / spread[..., None, None])
    row, column = (place.long() // STRIDE).clamp(0, GRID - 1).unbind(-1)
    batch, number = torch.nonzero(thing != IGNORE, as_tuple=True)
    row, column = row[batch, number], column[batch, number]
    peaks[batch, number, row, column] = 1
    peaks = torch.where((thing != IGNORE)[..., None, None], peaks, 0)
    heat = peaks.new_zeros(len(items), len(THINGS), GRID, GRID)
    heat.scatter_reduce_(1, thing.clamp(0)[..., None, None].expand_as(peaks), peaks, "amax")
    colours = colour.new_full((len(items), GRID, GRID), IGNORE)
    colours[batch, row, column] = colour[batch, number]
    return heat, colours


def heat_loss(logits: Tensor, target: Tensor) -> Tensor:
    """CenterNet's focal loss: cells near a centre count less as negatives."""
    probability, centre = logits.sigmoid(), target == 1
    positive = (1 - probability) ** 2 * F.logsigmoid(logits)
    negative = (1 - target) ** 4 * probability**2 * F.logsigmoid(-logits)
    return -torch.where(centre, positive, negative).sum() / centre.sum()


def detector_loss(detector: Detector, pictures: Tensor, heat: Tensor, colours: Tensor) -> Tensor:
    heat_logits, colour_logits = (logits.float() for logits in detector(pictures))
    colour = F.cross_entropy(colour_logits, colours, ignore_index=IGNORE)
    return heat_loss(heat_logits, heat) + colour


@torch.no_grad()
def detect(detector: Detector, pictures: Tensor, threshold: float = 0.3) -> list[list[Found]]:
    """Things found in pictures [B, 3, 64, 64]; of several within 10 pixels the surest is kept."""
    detector.eval()
    heat, colours = detector(pictures)
    heat = heat.sigmoid()
    peaks = heat * (heat == F.max_pool2d(heat, 3, 1, 1)) * (heat > threshold)
    results: list[list[Found]] = [[] for _ in pictures]
    for b, thing, row, column in sorted(peaks.nonzero().tolist(),
                                        key=lambda index: -peaks[tuple(index)].item()):
        x, y = ((v + 0.5) * STRIDE for v in (column, row))
        if all((x - f.x) ** 2 + (y - f.y) ** 2 >= 100 for f in results[b]):
            colour = COLOUR_NAMES[int(colours[b, :, row, column].argmax())]
            results[b].append(Found(thing, colour, x, y, peaks[b, thing, row, column].item()))
    return results


def load_detector(path: Path) -> Detector:
    with safe_open(path, "pt") as file:
        detector = Detector(**json.loads(file.metadata()["config"]))
        tensors = {key: file.get_tensor(key) for key in file.keys()}
    scales = {key: tensors.pop(key) for key in list(tensors) if key.endswith(SCALE)}
    for key, scale in scales.items():
        kernel = key.removesuffix(SCALE)
        tensors[kernel] = tensors[kernel].float() * scale[:, None, None, None]
    detector.load_state_dict(tensors)
    return detector.eval()


def save_detector(detector: Detector, path: Path) -> None:
    """Kernels of the trunk and before it, most of all, in 8 bits with a scale an output, those of batch
    normalisation as they are, the rest in bfloat16; config in the metadata."""
    buffers = {name for name, _ in detector.named_buffers()}
    tensors = {}
    for name, tensor in detector.state_dict().items():
        if name.startswith(("trunk", "down")) and tensor.ndim == 4:
            scale = tensor.abs().amax((1, 2, 3)).clamp(min=1e-12) / 127
            tensors[name] = (tensor / scale[:, None, None, None]).round().to(torch.int8)
            tensors[name + SCALE] = scale
        else:
            tensors[name] = tensor if name in buffers else tensor.bfloat16()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"config": json.dumps(detector.config)})
