"""Random scenes of one to four things: what is where, in which colour, before which background.

A scene is plain data. captions.py says it in words, draw() makes its picture, and the detector of
tools/eval reads its boxes. Lengths are in 64ths of the picture's side, so one scene can be drawn
at any side. Combinations for which held_out() is true never occur in training.
"""
import zlib
from dataclasses import dataclass, field

import numpy as np

from tools.dataset.things import COLOURS, NATURAL, VARIANTS, Thing, load_sprites, load_things

THINGS: list[Thing] = load_things()
COLOUR_NAMES = tuple(COLOURS)
BACKGROUND_COLOURS = {
    "red": (235, 80, 75), "orange": (250, 170, 80), "yellow": (253, 230, 110),
    "green": (125, 205, 125), "blue": (115, 165, 245), "purple": (180, 130, 225),
    "pink": (252, 180, 210), "brown": (165, 120, 90), "black": (25, 25, 28),
    "white": (255, 255, 255), "gray": (150, 150, 155),
}
LEFT_RIGHT, TOP_BOTTOM = ((16, 32), (48, 32)), ((32, 16), (32, 48))
TRIANGLE = ((32, 16), (16, 48), (48, 48))
SQUARE = ((16, 16), (48, 16), (16, 48), (48, 48))
COUNT_LAYOUTS = {2: LEFT_RIGHT, 3: TRIANGLE, 4: SQUARE}
SIZE_DEFAULT, SIZE_SMALL, SIZE_BIG, SIZE_SHARED = 44, 24, 56, 28
HELD_OUT_SHARE = 10  # one combination in so many is kept from training


@dataclass
class Item:
    thing: int
    colour: str = NATURAL  # a key of COLOURS or NATURAL
    size: int = SIZE_DEFAULT
    x: int = 32
    y: int = 32
    flipped: bool = False


@dataclass
class Scene:
    """kind is single, pair, relation, sizes, count or several."""
    kind: str
    items: list[Item]
    top: str = ""  # colour words of the background that the caption tells, "" if it tells none
    bottom: str = ""  # the same as top unless the background is a gradient
    top_rgb: tuple[int, int, int] = (255, 255, 255)
    bottom_rgb: tuple[int, int, int] = (255, 255, 255)
    relation: str = ""  # left, right, above or below: of the first item, seen from the second


@dataclass
class Mix:
    """How often each kind of scene and each variation occurs in one stage of training."""
    kinds: dict[str, float] = field(default_factory=lambda: {"single": 1.0})
    colour: float = 0.5  # probability that a thing has a colour word
    background: float = 0.3  # that the caption names the background
    size_word: float = 0.1  # that a single thing is small or big
    flip: float = 0.0
    jitter: int = 1  # places move by up to this many steps of 4
    things: tuple[str, ...] = ()  # names of those that occur; all of them if empty
    # how often a clip's motion occurs against others, once where it is not told
    motions: dict[str, int] = field(default_factory=dict)


def held_out(*parts: object) -> bool:
    """Whether a combination, such as ("colour", thing, "blue"), is kept from training."""
    return zlib.crc32(repr(parts).encode()) % HELD_OUT_SHARE == 0


def allowed(scene: Scene) -> bool:
    """Whether training may see the scene: none of its combinations is held out."""
    things = sorted({item.thing for item in scene.items})
    coloured = any(held_out("colour", item.thing, item.colour) for item in scene.items
                   if item.colour != NATURAL)
    counted = scene.kind == "count" and held_out("count", things[0], len(scene.items))
    paired = any(held_out("pair", a, b) for a in things for b in things if a < b)
    return not (coloured or counted or paired)


class SceneMaker:
    """Draws random scenes from a Mix; with `everything` also held-out ones."""

    def __init__(self, mix: Mix, seed: int | list[int], everything: bool = False):
        self.mix, self.everything = mix, everything
        self.random = np.random.default_rng(seed)
        self.things = [index for index, thing in enumerate(THINGS)
                       if not mix.things or thing.name in mix.things]
        self.kinds = list(mix.kinds)
        weights = np.array([mix.kinds[kind] for kind in self.kinds], float)
        self.cumulative = np.cumsum(weights / weights.sum())

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def choose(self, options):
        return options[int(self.random.integers(len(options)))]

    def make(self) -> Scene:
        """A scene that training may see, or any if the maker makes everything."""
        while True:
            index = int(np.searchsorted(self.cumulative, self.random.random()))
            scene = self.make_kind(self.kinds[min(index, len(self.kinds) - 1)])
            if self.everything or allowed(scene):
                return scene

    def make_kind(self, kind: str) -> Scene:
        """A scene of one kind, held out or not."""
        build = {"single": self.single, "pair": self.pair, "relation": self.relation,
                 "sizes": self.sizes, "count": self.count, "several": self.several}
        scene = build[kind]()
        for item in scene.items:
            item.flipped = self.chance(self.mix.flip)
        self.paint_background(scene)
        return scene

    def item(self, thing: int | None = None) -> Item:
        chosen = self.choose(self.things) if thing is None else thing
        colour = self.choose(COLOUR_NAMES) if self.chance(self.mix.colour) else NATURAL
        return Item(chosen, colour)

    def items(self, count: int) -> list[Item]:
        """Items of `count` different things."""
        picks = self.random.choice(len(self.things), count, replace=False)
        return [self.item(self.things[int(pick)]) for pick in picks]

    def place(self, items: list[Item], layout: tuple[tuple[int, int], ...]) -> None:
        """Puts items on a layout that is moved as a whole, keeping all inside the picture."""
        for item, (item.x, item.y) in zip(items, layout):
            item.size = SIZE_SHARED
        self.jitter(items)

    def jitter(self, items: list[Item]) -> None:
        limit = 4 * self.mix.jitter
        for axis in ("x", "y"):
            low = max(-limit, max(item.size // 2 - getattr(item, axis) for item in items))
            high = min(limit, min(64 - item.size // 2 - getattr(item, axis) for item in items))
            low, high = -(-low // 4), high // 4
            step = 4 * int(self.random.integers(low, high + 1)) if high > low else 0
            for item in items:
                setattr(item, axis, getattr(item, axis) + step)

    def single(self) -> Scene:
        item = self.item()
        if self.chance(self.mix.size_word):
            item.size = self.choose((SIZE_SMALL, SIZE_BIG))
        self.jitter([item])
        return Scene("single", [item])

    def pair(self) -> Scene:
        items = self.items(2)
        self.place(items, LEFT_RIGHT)
        return Scene("pair", items)

    def relation(self) -> Scene:
        items, relation = self.items(2), self.choose(("left", "right", "above", "below"))
        layout = LEFT_RIGHT if relation in ("left", "right") else TOP_BOTTOM
        self.place(items, layout if relation in ("left", "above") else layout[::-1])
        return Scene("relation", items, relation=relation)

    def sizes(self) -> Scene:
        """A big thing and a small one side by side."""
        items = self.items(2)
        big_first = self.chance(0.5)
        self.place(items, ((19, 32), (51, 32)) if big_first else ((13, 32), (45, 32)))
        items[0].size, items[1].size = (36, 20) if big_first else (20, 36)
        return Scene("sizes", items)

    def count(self) -> Scene:
        number, first = self.choose((2, 3, 4)), self.item()
        items = [Item(first.thing, first.colour) for _ in range(number)]
        self.place(items, COUNT_LAYOUTS[number])
        return Scene("count", items)

    def several(self) -> Scene:
        number = self.choose((3, 4))
        items = self.items(number)
        self.place(items, COUNT_LAYOUTS[number])
        return Scene("several", items)

    def paint_background(self, scene: Scene) -> None:
        taken = {item.colour for item in scene.items}
        free = [name for name in BACKGROUND_COLOURS if name not in taken]
        if self.chance(self.mix.background):
            scene.top = scene.bottom = self.choose(free)
            if self.chance(0.25):
                scene.bottom = self.choose(free)
            scene.top_rgb = BACKGROUND_COLOURS[scene.top]
            scene.bottom_rgb = BACKGROUND_COLOURS[scene.bottom]
        elif "white" in taken or self.chance(0.4):
            light = BACKGROUND_COLOURS[self.choose(("yellow", "green", "blue", "purple", "pink"))]
            share = 0.8 if "white" in taken else 0.5
            scene.bottom_rgb = tuple(round(255 + (c - 255) * share) for c in light)
            scene.top_rgb = scene.bottom_rgb if self.chance(0.5) else scene.top_rgb
            if "white" in taken:
                scene.top_rgb = scene.bottom_rgb


def blend(canvas: np.ndarray, sprite: np.ndarray, left: int, top: int) -> None:
    """Lays a premultiplied sprite [s, s, 4] over canvas [S, S, 3] uint8, cut at the edges."""
    side, size = canvas.shape[0], sprite.shape[0]
    y0, x0, y1, x1 = max(top, 0), max(left, 0), min(top + size, side), min(left + size, side)
    part = sprite[y0 - top:y1 - top, x0 - left:x1 - left]
    area = canvas[y0:y1, x0:x1]
    below = area.astype(np.uint16) * (255 - part[..., 3:].astype(np.uint16)) // 255
    area[:] = np.minimum(below + part[..., :3], 255)


class Painter:
    """Draws scenes as pictures [side, side, 3] uint8 from the sprite cache of that side."""

    def __init__(self, side: int):
        self.side = side
        self.sprites = load_sprites(side)
        self.ramp = ((np.arange(side) + 0.5) / side)[:, None].astype(np.float32)

    def background(self, scene: Scene) -> np.ndarray:
        top, bottom = np.float32(scene.top_rgb), np.float32(scene.bottom_rgb)
        rows = np.round(top + (bottom - top) * self.ramp).astype(np.uint8)
        return np.repeat(rows[:, None], self.side, axis=1)

    def draw(self, scene: Scene) -> np.ndarray:
        canvas = self.background(scene)
        for item in scene.items:
            sprite = self.sprites[item.size][item.thing, VARIANTS.index(item.colour)]
            sprite = sprite[:, ::-1] if item.flipped else sprite
            left = (item.x - item.size // 2) * self.side // 64
            upper = (item.y - item.size // 2) * self.side // 64
            blend(canvas, sprite, left, upper)
        return canvas
