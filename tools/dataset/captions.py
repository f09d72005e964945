"""Plain English captions of scenes."""
import numpy as np

from tools.dataset.scenes import SIZE_BIG, SIZE_DEFAULT, SIZE_SMALL, THINGS, Item, Scene
from tools.dataset.things import NATURAL

NUMBERS = {2: "two", 3: "three", 4: "four"}
RELATIONS = {
    "left": ("to the left of", "on the left of", "left of"),
    "right": ("to the right of", "on the right of", "right of"),
    "above": ("above", "over", "on top of"),
    "below": ("below", "under", "beneath"),
}
SMALL_WORDS, BIG_WORDS = ("small", "tiny", "little"), ("big", "large", "huge")
OPENINGS = ("a picture of", "an image of", "a photo of", "a drawing of", "an emoji of")


class Captioner:
    """Says scenes in words; `plain` is the share of captions without synonyms and openings."""

    def __init__(self, seed: int | list[int], plain: float = 0.7):
        self.random = np.random.default_rng(seed)
        self.plain = plain

    def choose(self, options):
        return options[int(self.random.integers(len(options)))]

    def caption(self, scene: Scene) -> str:
        plain = self.random.random() < self.plain
        text = self.subject(scene, plain) + self.background(scene, plain)
        if plain:
            return text
        style = self.random.random()
        if style < 0.4:
            return f"{self.choose(OPENINGS)} {text}"
        if style < 0.6 and scene.kind != "count":
            return text.removeprefix("an ").removeprefix("a ")
        return text

    def name(self, item: Item, plain: bool, plural: bool = False) -> str:
        thing = THINGS[item.thing]
        if plural:
            return thing.plural
        return thing.name if plain or not thing.synonyms else self.choose(
            (thing.name, *thing.synonyms))

    def phrase(self, item: Item, plain: bool, size: str = "") -> str:
        """A noun phrase such as "a small red apple"."""
        colour = "" if item.colour == NATURAL else item.colour
        words = " ".join(word for word in (size, colour, self.name(item, plain)) if word)
        return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"

    def size_word(self, item: Item, plain: bool) -> str:
        words = SMALL_WORDS if item.size <= SIZE_SMALL else BIG_WORDS
        return words[0] if plain else self.choose(words)

    def subject(self, scene: Scene, plain: bool) -> str:
        items = scene.items
        if scene.kind == "count":
            colour = "" if items[0].colour == NATURAL else f"{items[0].colour} "
            return f"{NUMBERS[len(items)]} {colour}{self.name(items[0], plain, plural=True)}"
        if scene.kind == "single":
            unusual = items[0].size in (SIZE_SMALL, SIZE_BIG) and items[0].size != SIZE_DEFAULT
            return self.phrase(items[0], plain, self.size_word(items[0], plain) if unusual else "")
        if scene.kind == "sizes":
            phrases = [self.phrase(item, plain, self.size_word(item, plain)) for item in items]
            return " and ".join(phrases)
        phrases = [self.phrase(item, plain) for item in items]
        if scene.kind == "relation":
            word = RELATIONS[scene.relation][0] if plain else self.choose(RELATIONS[scene.relation])
            return f"{phrases[0]} {word} {phrases[1]}"
        if scene.kind == "pair":
            return (" and " if plain else self.choose((" and ", " next to ", " with "))).join(
                phrases)
        return f"{', '.join(phrases[:-1])} and {phrases[-1]}"

    def background(self, scene: Scene, plain: bool) -> str:
        if not scene.top:
            return ""
        if scene.top == scene.bottom:
            article = "an" if scene.top[0] in "aeiou" else "a"
            word = "on" if plain else self.choose(("on", "in front of", "against"))
            return f" {word} {article} {scene.top} background"
        return f" on a gradient from {scene.top} to {scene.bottom}"
