"""Clips of one thing that moves, spins or changes its size before a still background.

A clip is a scene of one thing and the name of its motion; draw() makes its 16 frames. Lengths are
in 64ths of the picture's side. Combinations of thing and motion for which held_out() is true never
occur in training.
"""
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from tools.dataset.captions import Captioner
from tools.dataset.scenes import Item, Mix, Painter, Scene, SceneMaker, blend, held_out
from tools.dataset.stream import training_loader
from tools.dataset.things import VARIANTS

FRAMES = 16
# Motion -> the ways to say it: "a ball ...", "a video of a ball ...".
MOTIONS = {
    "left": (("moves to the left", "moving to the left"), ("moves left", "moving left"),
             ("goes to the left", "going to the left"), ("slides left", "sliding left")),
    "right": (("moves to the right", "moving to the right"), ("moves right", "moving right"),
              ("goes to the right", "going to the right"), ("slides right", "sliding right")),
    "up": (("moves up", "moving up"), ("rises", "rising"), ("goes up", "going up"),
           ("moves upwards", "moving upwards")),
    "down": (("moves down", "moving down"), ("sinks", "sinking"), ("goes down", "going down"),
             ("moves downwards", "moving downwards")),
    "bounce": (("bounces", "bouncing"), ("bounces up and down", "bouncing up and down"),
               ("hops", "hopping"), ("jumps up and down", "jumping up and down")),
    "spin": (("spins", "spinning"), ("rotates", "rotating"), ("turns around", "turning around"),
             ("spins around", "spinning around")),
    "grow": (("grows", "growing"), ("gets bigger", "getting bigger"),
             ("becomes bigger", "becoming bigger"), ("gets larger", "getting larger")),
    "shrink": (("shrinks", "shrinking"), ("gets smaller", "getting smaller"),
               ("becomes smaller", "becoming smaller"), ("gets tiny", "getting tiny")),
    "orbit": (("orbits", "orbiting"), ("moves in a circle", "moving in a circle"),
              ("circles", "circling"), ("goes round in a circle", "going round in a circle")),
}
# A small model of clips learns few things well rather than many badly.
CLIP_THINGS = ("apple", "star", "heart", "basketball", "soccer ball", "car", "rocket", "frog", "cat",
               "fish", "ladybug", "banana")
FILMS = ("a video of", "a clip of", "an animation of", "a film of")
MOVING, SPINNING, ORBITING = 32, 44, 28  # sizes of things in these motions
SMALLEST, BIGGEST = 16, 54
STEP = 2  # of straight motions, a frame
HOPS = 2


@dataclass
class Clip:
    scene: Scene  # of one item, whose place is where the motion has its middle
    motion: str


@dataclass
class Pose:
    """Where a thing is in one frame: its centre, size and clockwise turn in degrees."""
    x: float
    y: float
    size: int = MOVING
    turn: float = 0.0


def poses(clip: Clip) -> list[Pose]:
    """The pose of each of the FRAMES frames. Straight motions and hops keep the item's place across
    their direction, the others happen in the middle."""
    item, motion = clip.scene.items[0], clip.motion
    times = range(FRAMES)
    along = [32 + STEP * (t - (FRAMES - 1) / 2) for t in times]
    if motion in ("left", "right"):
        return [Pose(x, item.y) for x in (along if motion == "right" else along[::-1])]
    if motion in ("up", "down"):
        return [Pose(item.x, y) for y in (along if motion == "down" else along[::-1])]
    turns = [2 * math.pi * t / FRAMES for t in times]
    if motion == "bounce":
        height = along[-1] - along[0]
        return [Pose(item.x, along[-1] - height * abs(math.sin(HOPS / 2 * a))) for a in turns]
    if motion == "spin":
        return [Pose(32, 32, SPINNING, math.degrees(a)) for a in turns]
    if motion == "orbit":
        radius = 32 - ORBITING / 2 - 1
        return [Pose(32 + radius * math.sin(a), 32 - radius * math.cos(a), ORBITING)
                for a in turns]
    sizes = [round(SMALLEST + (BIGGEST - SMALLEST) * t / (FRAMES - 1)) for t in times]
    return [Pose(32, 32, size) for size in (sizes if motion == "grow" else sizes[::-1])]


def motion_held_out(clip: Clip) -> bool:
    return held_out("motion", clip.scene.items[0].thing, clip.motion)


class ClipMaker:
    """Draws random clips of CLIP_THINGS from a Mix, of which the kinds and the size words have no
    part; with `everything` also held-out ones."""

    def __init__(self, mix: Mix, seed: int | list[int], everything: bool = False):
        self.scenes = SceneMaker(replace(mix, things=CLIP_THINGS), seed, everything)
        if not mix.motions.keys() <= set(MOTIONS):
            raise ValueError(f"motions {sorted(mix.motions)}: expected some of {sorted(MOTIONS)}")
        self.motions = tuple(motion for motion in MOTIONS
                             for _ in range(mix.motions.get(motion, 1)))

    def make(self) -> Clip:
        scenes = self.scenes
        while True:
            clip = Clip(scenes.make(), scenes.choose(self.motions))
            if scenes.everything or not motion_held_out(clip):
                return clip


class ClipCaptioner(Captioner):
    """Says clips in words: the thing, what it does, and the background where that is told."""

    def caption(self, clip: Clip) -> str:
        plain = self.random.random() < self.plain
        item = clip.scene.items[0]
        phrase, background = self.phrase(item, plain), self.background(clip.scene, plain)
        verb, gerund = MOTIONS[clip.motion][0] if plain else self.choose(MOTIONS[clip.motion])
        if not plain and self.random.random() < 0.4:
            opening = self.choose(FILMS)
            return f"{opening} {phrase} {gerund}{background}"
        return f"{phrase} {verb}{background}"


class ClipPainter:
    """Draws clips as frames [F, side, side, 3] uint8."""

    def __init__(self, side: int):
        self.painter, self.side = Painter(side), side

    def sprite(self, item: Item, size: int) -> np.ndarray:
        """Premultiplied uint8 [size, size, 4] of any size, lengths in 64ths of the side."""
        sprites = self.painter.sprites
        known = size if size in sprites else max(sprites)
        sprite = sprites[known][item.thing, VARIANTS.index(item.colour)]
        sprite = sprite[:, ::-1] if item.flipped else sprite
        pixels = size * self.side // 64
        if sprite.shape[0] == pixels:
            return sprite
        return premultiplied(as_image(sprite).resize((pixels, pixels), Image.Resampling.BICUBIC))

    def turned(self, sprite: np.ndarray, turn: float) -> np.ndarray:
        """The sprite turned clockwise in a square that holds it whole, [side, side, 4]."""
        canvas = np.zeros((self.side, self.side, 4), np.uint8)
        edge = (self.side - sprite.shape[0]) // 2
        canvas[edge:edge + sprite.shape[0], edge:edge + sprite.shape[0]] = sprite
        return premultiplied(as_image(canvas).rotate(-turn, Image.Resampling.BICUBIC))

    def draw(self, clip: Clip, chosen: slice = slice(None)) -> np.ndarray:
        """The chosen frames."""
        item, scale = clip.scene.items[0], self.side / 64
        path = poses(clip)[chosen]
        frames = np.repeat(self.painter.background(clip.scene)[None], len(path), axis=0)
        for canvas, pose in zip(frames, path):
            sprite = self.sprite(item, pose.size)
            sprite = self.turned(sprite, pose.turn) if pose.turn else sprite
            half = sprite.shape[0] / 2
            blend(canvas, sprite, math.floor(pose.x * scale - half + 0.5),
                  math.floor(pose.y * scale - half + 0.5))
        return frames


def as_image(sprite: np.ndarray) -> Image.Image:
    height, width = sprite.shape[:2]
    return Image.frombuffer("RGBa", (width, height), np.ascontiguousarray(sprite), "raw", "RGBa",
                            0, 1)


def premultiplied(image: Image.Image) -> np.ndarray:
    """uint8 [S, S, 4] without colour above its opacity, which interpolation may leave."""
    sprite = np.asarray(image).copy()
    np.minimum(sprite[..., :3], sprite[..., 3:], out=sprite[..., :3])
    return sprite


class ClipBatches(IterableDataset):
    """Yields (frames uint8 [B, F, side, side, 3], captions, clips), new ones for every seed; F is
    FRAMES, or fewer that follow each other, from anywhere in their clips.

    The sprites are read once, before the processes that draw are forked.
    """

    def __init__(self, mix: Mix, side: int, batch: int, seed: int, frames: int = FRAMES):
        if not 0 < frames <= FRAMES:
            raise ValueError(f"clips have {FRAMES} frames, of which {frames} cannot be drawn")
        self.mix, self.batch, self.seed, self.frames = mix, batch, seed, frames
        self.painter = ClipPainter(side)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, list[str], list[Clip]]]:
        worker = get_worker_info()
        seed = [self.seed, worker.id if worker else 0]
        maker, captioner = ClipMaker(self.mix, [*seed, 0]), ClipCaptioner([*seed, 1])
        random = np.random.default_rng([*seed, 2])
        while True:
            clips = [maker.make() for _ in range(self.batch)]
            firsts = random.integers(0, FRAMES - self.frames + 1, self.batch)
            frames = np.stack([self.painter.draw(clip, slice(first, first + self.frames))
                               for clip, first in zip(clips, firsts)])
            yield torch.from_numpy(frames), [captioner.caption(clip) for clip in clips], clips


def clip_loader(stage: dict[str, Any], seed: int, workers: int,
                read: Callable[[list[str]], Any]) -> DataLoader:
    """Batches of `frames` frames for one stage of a training config; a clip takes about 2 ms."""
    batches = ClipBatches(Mix(**stage["mix"]), stage["side"], stage["batch"], seed, stage["frames"])
    return training_loader(batches, workers, read)


def clip_captions(count: int) -> list[str]:
    mix = Mix(colour=0.6, background=0.4)
    maker, captioner = ClipMaker(mix, 0, everything=True), ClipCaptioner(0, plain=0.5)
    return [captioner.caption(maker.make()) for _ in range(count)]
