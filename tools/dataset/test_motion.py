"""Checks of the clips; run with pytest."""
import numpy as np
import pytest

from tools.dataset.motion import (CLIP_THINGS, FRAMES, MOTIONS, Clip, ClipBatches,
                                  ClipCaptioner, ClipMaker, ClipPainter, motion_held_out, poses)
from tools.dataset.scenes import THINGS, Item, Mix, Scene

MIX = Mix(colour=0.5, background=0.3, flip=0.3, jitter=1)


@pytest.fixture(name="painter", scope="module")
def make_painter() -> ClipPainter:
    return ClipPainter(64)


def test_training_never_sees_held_out_combinations() -> None:
    maker = ClipMaker(MIX, 0)
    clips = [maker.make() for _ in range(400)]
    assert {clip.motion for clip in clips} == set(MOTIONS)
    assert not any(motion_held_out(clip) for clip in clips)
    everything = ClipMaker(MIX, 0, everything=True)
    assert any(motion_held_out(everything.make()) for _ in range(400))


def test_things_stay_inside_the_picture() -> None:
    maker = ClipMaker(MIX, 1)
    for _ in range(300):
        for pose in poses(maker.make()):
            half = pose.size / 2
            assert half <= pose.x <= 64 - half and half <= pose.y <= 64 - half


def test_captions_name_thing_and_motion() -> None:
    maker, captioner = ClipMaker(MIX, 2), ClipCaptioner(3, plain=0.3)
    for _ in range(300):
        clip = maker.make()
        caption, thing = captioner.caption(clip), THINGS[clip.scene.items[0].thing]
        assert any(name in caption for name in (thing.name, *thing.synonyms))
        ways = [way for pair in MOTIONS[clip.motion] for way in pair]
        assert any(way in caption for way in ways)


def test_ways_to_say_motions_differ() -> None:
    ways = [way for pairs in MOTIONS.values() for pair in pairs for way in pair]
    assert len(ways) == len(set(ways))


def test_turned_sprite_is_the_turned_picture(painter: ClipPainter) -> None:
    """A quarter turn clockwise moves pixels and changes none."""
    sprite = painter.sprite(Item(3), 44)
    whole = painter.turned(sprite, 0.0)
    assert np.array_equal(whole[10:54, 10:54], sprite)
    assert np.array_equal(painter.turned(sprite, 90.0), np.rot90(whole, -1))


def test_any_size_has_a_sprite(painter: ClipPainter) -> None:
    for size in range(16, 55):
        sprite = painter.sprite(Item(5, "blue"), size)
        assert sprite.shape == (size, size, 4) and sprite[..., 3].max() > 200
        assert (sprite[..., :3] <= sprite[..., 3:]).all()


def test_clips_move(painter: ClipPainter) -> None:
    frames = painter.draw(Clip(Scene("single", [Item(0)]), "right"))
    assert frames.shape == (FRAMES, 64, 64, 3)
    moved = np.roll(frames[0], 2 * (FRAMES - 1), axis=1)
    assert np.array_equal(moved[:, 30:], frames[-1][:, 30:])


def test_batches_of_single_frames_are_parts_of_clips() -> None:
    frames, captions, clips = next(iter(ClipBatches(MIX, 64, 4, seed=5, frames=1)))
    assert frames.shape == (4, 1, 64, 64, 3) and len(captions) == 4
    painter = ClipPainter(64)
    for frame, clip in zip(frames.numpy(), clips):
        assert any(np.array_equal(frame[0], whole) for whole in painter.draw(clip))
    with pytest.raises(ValueError, match="17"):
        ClipBatches(MIX, 64, 4, seed=5, frames=17)


def test_frames_of_a_batch_follow_each_other() -> None:
    frames, _, clips = next(iter(ClipBatches(MIX, 64, 3, seed=6, frames=5)))
    painter = ClipPainter(64)
    for part, clip in zip(frames.numpy(), clips):
        whole = painter.draw(clip)
        assert any(np.array_equal(part, whole[first:first + 5]) for first in range(FRAMES - 4))


def test_clips_show_the_things_of_clips_only() -> None:
    maker = ClipMaker(MIX, 3)
    seen = {THINGS[maker.make().scene.items[0].thing].name for _ in range(600)}
    assert seen == set(CLIP_THINGS)


def test_motions_occur_as_often_as_told() -> None:
    maker = ClipMaker(Mix(motions={"spin": 7, "left": 0}), 5, everything=True)
    made = [maker.make().motion for _ in range(1500)]  # 7 of 14 parts spin, 1 of 14 orbit
    assert 700 < made.count("spin") < 800 and made.count("left") == 0
    assert 70 < made.count("orbit") < 145
    with pytest.raises(ValueError, match="motions .'turn'.: expected"):
        ClipMaker(Mix(motions={"turn": 2}), 5)
