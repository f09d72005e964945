"""Checks of the held-out prompts; run with pytest."""
import argparse

import pytest

from tools.dataset.scenes import THINGS
from tools.eval.evaluate import known_things
from tools.eval.prompts import CATEGORIES, held_out_tasks


def test_prompts_keep_to_the_things_asked_for() -> None:
    names = known_things("cat,ladybug,rocket,star")
    tasks = held_out_tasks(3, names)
    shown = {THINGS[item.thing].name for task in tasks for item in task.scene.items}
    assert len(tasks) == 3 * len(CATEGORIES) and shown <= set(names)
    objects = [THINGS[task.scene.items[0].thing].name for task in tasks if task.category == "object"]
    assert len(set(objects)) == 3
    with pytest.raises(ValueError, match="two objects: none"):
        held_out_tasks(1, ("cat", "fish"))
    with pytest.raises(argparse.ArgumentTypeError, match="no unicorns, wyvern"):
        known_things("cat,wyvern,unicorns")
