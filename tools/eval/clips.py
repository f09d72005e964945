"""The 100 held-out prompts of clips, and what is measured in a clip: which thing, and its motion.

Training never saw these combinations of thing and motion. The detector finds the thing frame by
frame; the motion follows from the place, size and turn of what differs from the background.
"""
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tools.dataset.motion import (MOTIONS, Clip, ClipCaptioner, ClipMaker, ClipPainter,
                                  motion_held_out)
from tools.dataset.scenes import Mix
from tools.dataset.stream import to_model_range
from tools.eval.detector import Detector, detect

PROMPTS = 100
DIFFERENT = 30  # from the background, of 255
FEWEST_PIXELS = 12  # of a thing
GROWTH = 1.5  # of the side, between the first and last frames
ORBIT_RADIUS, BOUNCE_HEIGHT, STRAIGHT_WAY = 9.0, 10.0, 10.0  # pixels of 64
ORBIT_TURN, SPIN_TURN = 270.0, 180.0  # degrees
ANGLES = 64


@dataclass
class ClipTask:
    prompt: str
    clip: Clip


@dataclass
class Track:
    """Centre, side (the root of the area) and mask of the thing in F frames."""
    x: np.ndarray
    y: np.ndarray
    size: np.ndarray


def clip_tasks(count: int = PROMPTS) -> list[ClipTask]:
    """The same tasks every time; the motions take turns."""
    maker = ClipMaker(Mix(colour=0.0, background=0.0, jitter=0), 77, everything=True)
    captioner, motions, tasks = ClipCaptioner(77, plain=1.0), tuple(MOTIONS), []
    while len(tasks) < count:
        clip = maker.make()
        if clip.motion == motions[len(tasks) % len(motions)] and motion_held_out(clip):
            tasks.append(ClipTask(captioner.caption(clip), clip))
    return tasks


def draw_clips(tasks: list[ClipTask]) -> Tensor:
    """The tasks' real drawings, uint8 [N, F, 64, 64, 3]."""
    painter = ClipPainter(64)
    return torch.from_numpy(np.stack([painter.draw(task.clip) for task in tasks]))


def foreground(frames: np.ndarray) -> np.ndarray:
    """frames uint8 [F, S, S, 3] minus the background, float32: each row's median colour along the
    left and right edges of all frames."""
    edges = frames[:, :, [0, 1, -2, -1]].swapaxes(0, 1).reshape(frames.shape[1], -1, 3)
    return frames.astype(np.float32) - np.median(edges, axis=1)[:, None]


def track(difference: np.ndarray) -> Track | None:
    """The thing of foreground() [F, S, S, 3]; None if a quarter of the frames shows nothing."""
    masks = np.abs(difference).max(-1) > DIFFERENT
    areas = masks.sum((1, 2))
    seen = areas >= FEWEST_PIXELS
    if seen.mean() < 0.75:
        return None
    masks, areas = masks[seen], areas[seen]
    place = np.arange(masks.shape[1]) + 0.5
    return Track((masks.sum(1) * place).sum(1) / areas, (masks.sum(2) * place).sum(1) / areas,
                 np.sqrt(areas))


def reversals(values: np.ndarray, least: float = 4.0) -> int:
    """How often values turn back by at least so much."""
    count, direction, extreme = 0, 0, values[0]
    for value in values[1:]:
        if direction == 0 and abs(value - extreme) >= least:
            direction, extreme = np.sign(value - extreme), value
        elif direction * (value - extreme) > 0:
            extreme = value
        elif direction and direction * (extreme - value) >= least:
            count, direction, extreme = count + 1, -direction, value
    return count


def turn_around(x: np.ndarray, y: np.ndarray) -> float:
    """Degrees that points go around their middle, clockwise; 0 if they come near to it."""
    dx, dy = x - x.mean(), y - y.mean()
    if np.hypot(dx, dy).min() < ORBIT_RADIUS:
        return 0.0
    return float(np.degrees(np.ptp(np.unwrap(np.arctan2(dy, dx)))))


def turned(difference: np.ndarray, x: float, y: float) -> float:
    """Degrees that the pattern of foreground() turns about (x, y): the sum of the turns, of at most
    90 degrees, under which each frame fits the one before it best."""
    side = difference.shape[1]
    angles = 2 * np.pi * np.arange(ANGLES) / ANGLES
    radii = np.arange(3, side // 2 - 4)
    columns = np.clip(np.round(x - 0.5 + radii[:, None] * np.cos(angles)), 0, side - 1).astype(int)
    rows = np.clip(np.round(y - 0.5 + radii[:, None] * np.sin(angles)), 0, side - 1).astype(int)
    polar = difference[:, rows, columns] * np.sqrt(radii)[:, None, None]  # [F, R, ANGLES, 3]
    spectrum = np.fft.rfft(polar, axis=2)
    fit = np.fft.irfft((spectrum[1:] * spectrum[:-1].conj()).sum((1, 3)), ANGLES, axis=1)
    allowed = np.r_[0:ANGLES // 4 + 1, -(ANGLES // 4):0]
    best = allowed[fit[:, allowed].argmax(1)]
    return abs(float(best.sum())) * 360 / ANGLES


def motion_of(frames: np.ndarray) -> str:
    """The motion in frames uint8 [F, 64, 64, 3]: a key of MOTIONS, "still" or "nothing"."""
    difference = foreground(frames)
    path = track(difference)
    if path is None:
        return "nothing"
    first, last = slice(None, 3), slice(-3, None)
    growth = path.size[last].mean() / path.size[first].mean()
    if max(growth, 1 / growth) > GROWTH:
        return "grow" if growth > 1 else "shrink"
    if turn_around(path.x, path.y) > ORBIT_TURN:
        return "orbit"
    wide, high = np.ptp(path.x), np.ptp(path.y)
    if high > BOUNCE_HEIGHT and high > 2 * wide and reversals(path.y) >= 2:
        return "bounce"
    dx = path.x[last].mean() - path.x[first].mean()
    dy = path.y[last].mean() - path.y[first].mean()
    if max(abs(dx), abs(dy)) > STRAIGHT_WAY and max(abs(dx), abs(dy)) > 2 * min(abs(dx), abs(dy)):
        if abs(dx) > abs(dy):
            return "right" if dx > 0 else "left"
        return "down" if dy > 0 else "up"
    spinning = turned(difference, path.x.mean(), path.y.mean()) > SPIN_TURN
    return "spin" if spinning else "still"


def thing_of(detector: Detector, frames: Tensor) -> int | None:
    """The thing that the detector is surest of over frames uint8 [F, 64, 64, 3]."""
    sums: dict[int, float] = defaultdict(float)
    for found in detect(detector, to_model_range(frames)):
        for thing in found:
            sums[thing.thing] += thing.score
    return max(sums, key=sums.get) if sums else None


def score_clips(detector: Detector, tasks: list[ClipTask], clips: Tensor) -> dict:
    """Shares of clips uint8 [N, F, 64, 64, 3] that show the thing, the motion, and both; and of
    each motion, what was seen instead."""
    thing, motion, seen = [], [], defaultdict(lambda: defaultdict(int))
    for task, clip in zip(tasks, clips, strict=True):
        wanted, found = task.clip, motion_of(clip.numpy())
        thing.append(thing_of(detector, clip) == wanted.scene.items[0].thing)
        motion.append(found == wanted.motion)
        seen[wanted.motion][found] += 1
    both = [a and b for a, b in zip(thing, motion)]
    shares = {"thing": thing, "motion": motion, "both": both}
    return {name: round(float(np.mean(hits)), 3) for name, hits in shares.items()} | {
        "motions": {motion: ", ".join(f"{found} {count}" for found, count in counts.items())
                    for motion, counts in seen.items()}}
