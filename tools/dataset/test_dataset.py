"""Checks of the scene program; run with pytest."""
import numpy as np

from tools.dataset.captions import Captioner
from tools.dataset.scenes import THINGS, Mix, Painter, SceneMaker, allowed
from tools.dataset.things import names_missing_from_cldr

MIX = Mix(kinds=dict.fromkeys(("single", "pair", "relation", "sizes", "count", "several"), 1),
          flip=0.5, jitter=2)


def test_names_come_from_cldr() -> None:
    assert len(THINGS) >= 64
    assert not names_missing_from_cldr(THINGS)


def test_training_never_sees_held_out_combinations() -> None:
    maker = SceneMaker(MIX, 0)
    assert all(allowed(maker.make()) for _ in range(500))


def test_things_stay_inside_the_picture() -> None:
    maker = SceneMaker(MIX, 1)
    for _ in range(500):
        for item in maker.make().items:
            half = item.size // 2
            assert half <= item.x <= 64 - half and half <= item.y <= 64 - half


def test_one_seed_gives_one_picture_and_caption() -> None:
    painter = Painter(32)
    scenes = [SceneMaker(MIX, 2).make() for _ in range(2)]
    first, second = (painter.draw(scene) for scene in scenes)
    assert np.array_equal(first, second)
    assert Captioner(3).caption(scenes[0]) == Captioner(3).caption(scenes[1])


def test_captions_say_what_is_there() -> None:
    maker, captioner = SceneMaker(MIX, 4), Captioner(5, plain=1.0)
    for _ in range(200):
        scene = maker.make()
        caption = captioner.caption(scene)
        names = {(THINGS[i.thing].plural if scene.kind == "count" else THINGS[i.thing].name)
                 for i in scene.items}
        assert all(name in caption for name in names)
