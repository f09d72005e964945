"""Checks the measure of motion on real drawings, also blurred and noisy, and on what is none."""
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tools.dataset.motion import MOTIONS, motion_held_out
from tools.eval.clips import ClipTask, clip_tasks, draw_clips, motion_of, reversals
from tools.eval.evaluate_clips import read_clips


@pytest.fixture(name="drawn", scope="module")
def draw_tasks() -> tuple[list[ClipTask], np.ndarray]:
    tasks = clip_tasks(27)
    return tasks, draw_clips(tasks).numpy()


def test_tasks_are_held_out_and_take_turns() -> None:
    tasks = clip_tasks(27)
    assert all(motion_held_out(task.clip) for task in tasks)
    assert [task.clip.motion for task in tasks[:9]] == list(MOTIONS)
    assert [task.prompt for task in tasks] == [task.prompt for task in clip_tasks(27)]


def test_motion_of_drawings(drawn: tuple[list[ClipTask], np.ndarray]) -> None:
    tasks, clips = drawn
    random = np.random.default_rng(0)
    for task, clip in zip(tasks, clips):
        noisy = (clip + random.normal(0, 6, clip.shape)).clip(0, 255).astype(np.uint8)
        assert motion_of(clip) == motion_of(noisy) == task.clip.motion, task.prompt


def test_backwards_is_the_opposite(drawn: tuple[list[ClipTask], np.ndarray]) -> None:
    opposite = {"left": "right", "right": "left", "up": "down", "down": "up", "grow": "shrink",
                "shrink": "grow"}
    for task, clip in zip(*drawn):
        wanted = opposite.get(task.clip.motion, task.clip.motion)
        assert motion_of(clip[::-1]) == wanted, task.prompt


def test_stills_and_empty_clips(drawn: tuple[list[ClipTask], np.ndarray]) -> None:
    _, clips = drawn
    assert motion_of(np.repeat(clips[0][:1], 16, axis=0)) == "still"
    assert motion_of(np.full((16, 64, 64, 3), 200, np.uint8)) == "nothing"


def test_reversals() -> None:
    assert reversals(np.array([0, 5, 10, 5, 0, 6, 12.0])) == 2
    assert reversals(np.array([0, 2, 1, 3, 2, 8.0])) == 0


def test_reads_frames_of_other_programs(tmp_path: Path,
                                        drawn: tuple[list[ClipTask], np.ndarray]) -> None:
    for number, clip in enumerate(drawn[1][:2]):
        (tmp_path / f"{number:03}").mkdir()
        for index, frame in enumerate(clip):
            Image.fromarray(frame).save(tmp_path / f"{number:03}" / f"frame-{index:04}.png")
    assert np.array_equal(read_clips(tmp_path, 2).numpy(), drawn[1][:2])
    with pytest.raises(SystemExit, match="002: 0 frames"):
        read_clips(tmp_path, 3)
