"""The 300 held-out prompts and what a picture must show to fulfil them, in GenEval's categories.

Prompts of the categories two objects, count, colour and position use combinations that training
never saw (tools.dataset.scenes.held_out). The scenes behind the prompts, drawn by the scene
program, give the detector's own accuracy: the ceiling of every score.
"""
import dataclasses
from dataclasses import dataclass
from itertools import count

from tools.dataset.captions import Captioner
from tools.dataset.scenes import Mix, Scene, SceneMaker, held_out
from tools.dataset.things import NATURAL
from tools.eval.detector import Found

PER_CATEGORY = 60
TRIES = 10000  # scenes of one category until a first one suits, or none will
CATEGORIES = {"object": "single", "two objects": "pair", "count": "count", "colour": "single",
              "position": "relation"}


@dataclass
class Task:
    category: str
    prompt: str
    scene: Scene


def wanted(category: str, scene: Scene) -> bool:
    """Whether a random scene suits the category and, but for single things, is held out."""
    things = sorted({item.thing for item in scene.items})
    if category == "colour":
        item = scene.items[0]
        return item.colour != NATURAL and held_out("colour", item.thing, item.colour)
    if any(item.colour != NATURAL for item in scene.items):
        return False
    if category == "count":
        return held_out("count", things[0], len(scene.items))
    return category == "object" or held_out("pair", *things)


def held_out_tasks(per_category: int = PER_CATEGORY, things: tuple[str, ...] = ()) -> list[Task]:
    """The same tasks every time, category by category, of these things or of all.

    Raises ValueError where training has seen all that these things can do in a category.
    """
    tasks = []
    captioner = Captioner(99, plain=1.0)
    for number, (category, kind) in enumerate(CATEGORIES.items()):
        mix = Mix(colour=1.0 if category == "colour" else 0.0, background=0.0, size_word=0.0,
                  things=things)
        maker, found = SceneMaker(mix, [99, number]), []
        for tries in count():
            if len(found) == per_category:
                break
            if tries == TRIES and not found:
                raise ValueError(f"{category}: none of these things' combinations is held out")
            scene = maker.make_kind(kind)
            if category == "object":
                known = maker.things
                scene.items[0] = dataclasses.replace(
                    scene.items[0], thing=known[len(found) * len(known) // per_category])
            if wanted(category, scene):
                found.append(Task(category, captioner.caption(scene), scene))
        tasks += found
    return tasks


def fulfilled(task: Task, found: list[Found]) -> bool:
    """Whether what the detector found in the picture satisfies the task."""
    items = task.scene.items
    places = [[f for f in found if f.thing == item.thing] for item in items]
    if task.category == "count":
        return len(places[0]) == len(items)
    if not all(places):
        return False
    if task.category == "colour":
        return places[0][0].colour == items[0].colour
    if task.category == "position":
        first, second = (place[0] for place in places)
        return {"left": first.x < second.x, "right": first.x > second.x,
                "above": first.y < second.y, "below": first.y > second.y}[task.scene.relation]
    return True
