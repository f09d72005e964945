"""The things that scenes are made of, read from things.tsv, and their sprites.

Names come from the Unicode CLDR annotations of each emoji; pictures from the font Noto Color Emoji.
Sprites are drawn once, recoloured to every colour word, scaled to the sizes of scenes.py and kept
in one git-ignored .npz file per picture size.
"""
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
ANNOTATIONS = Path("/usr/share/unicode/cldr/common/annotations/en.xml")
ROOT = Path(__file__).parents[2]
CACHE = ROOT / "checkpoints" / "sprites"
FONT_SIZE = 109  # the only size at which the font holds bitmaps
COLOURS = {
    "red": (215, 35, 40), "orange": (245, 135, 25), "yellow": (250, 210, 45),
    "green": (50, 160, 60), "blue": (45, 95, 215), "purple": (135, 60, 190),
    "pink": (250, 125, 180), "brown": (130, 80, 45), "black": (42, 42, 48),
    "white": (242, 242, 242),
}
NATURAL = "natural"
VARIANTS = (NATURAL, *COLOURS)
# Sides of things in 64ths of the picture's side.
SIZES = (20, 24, 28, 32, 36, 44, 50, 56)


@dataclass(frozen=True)
class Thing:
    emoji: str
    name: str
    plural: str
    synonyms: tuple[str, ...]
    colour: str  # the colour word that the unchanged emoji fits, "-" for none
    category: str


def load_things() -> list[Thing]:
    lines = (Path(__file__).parent / "things.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return [Thing(emoji, name, plural, tuple(s for s in synonyms.split(",") if s), colour, category)
            for emoji, name, plural, synonyms, colour, category in rows]


def names_missing_from_cldr(things: list[Thing]) -> list[str]:
    """Things of which no word of name or synonyms is in CLDR's name and keywords for the emoji."""
    words: dict[str, set[str]] = {}
    for note in ElementTree.parse(ANNOTATIONS).iter("annotation"):
        found = words.setdefault(note.attrib["cp"], set())
        found.update((note.text or "").lower().replace("|", " ").split())
    return [thing.name for thing in things
            if not words.get(thing.emoji.rstrip("\ufe0f"), set())
            & set(" ".join([thing.name, *thing.synonyms]).split())]


def draw_emoji(emoji: str) -> np.ndarray:
    """The emoji trimmed and centred in a square, premultiplied RGBA [S, S, 4] float in [0, 1]."""
    font = ImageFont.truetype(str(FONT), FONT_SIZE)
    canvas = Image.new("RGBA", (160, 160))
    ImageDraw.Draw(canvas).text((8, 8), emoji, font=font, embedded_color=True)
    picture = canvas.crop(canvas.getbbox())
    side = max(picture.size)
    square = Image.new("RGBA", (side, side))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    rgba = np.asarray(square, np.float32) / 255
    rgba[..., :3] *= rgba[..., 3:]
    return rgba


def recolour(sprite: np.ndarray, rgb: tuple[int, int, int]) -> np.ndarray:
    """The premultiplied sprite [S, S, 4] with brightness kept and hue replaced.

    Its median brightness becomes `rgb`; darker parts go to black, brighter ones to white.
    """
    alpha = sprite[..., 3]
    grey = sprite[..., :3] @ np.float32([0.299, 0.587, 0.114]) / np.maximum(alpha, 1e-3)
    middle = float(np.clip(np.median(grey[alpha > 0.5]), 0.25, 0.9))
    target = np.float32(rgb) / 255
    dark = np.clip(grey / middle, 0, 1)[..., None] ** 0.8
    bright = np.clip((grey - middle) / (1 - middle), 0, 1)[..., None]
    colour = target * dark + (1 - target) * bright * 0.75
    return np.concatenate([colour * alpha[..., None], sprite[..., 3:]], axis=-1)


def scale_sprite(sprite: np.ndarray, side: int) -> np.ndarray:
    """Premultiplied float [S, S, 4] -> premultiplied uint8 [side, side, 4]."""
    channels = [Image.fromarray(sprite[..., c]).resize((side, side), Image.Resampling.LANCZOS)
                for c in range(4)]
    scaled = np.stack([np.asarray(channel) for channel in channels], axis=-1)
    scaled[..., 3] = scaled[..., 3].clip(0, 1)
    scaled[..., :3] = scaled[..., :3].clip(0, scaled[..., 3:])
    return np.round(scaled * 255).astype(np.uint8)


def load_sprites(picture_side: int) -> dict[int, np.ndarray]:
    """Sprites for pictures of one side: size in 64ths -> uint8 [things, variants, s, s, 4]."""
    path = CACHE / f"sprites-{len(load_things())}-{picture_side}.npz"
    if not path.exists():
        write_sprites(path, picture_side)
    with np.load(path) as file:
        return {int(size): file[size] for size in file.files}


def coloured_sprites(thing: Thing, picture_side: int) -> dict[int, np.ndarray]:
    """The sprites of one thing: size in 64ths -> uint8 [variants, s, s, 4]."""
    natural = draw_emoji(thing.emoji)
    recoloured = [natural if name == thing.colour else recolour(natural, rgb)
                  for name, rgb in COLOURS.items()]
    return {size: np.stack([scale_sprite(sprite, size * picture_side // 64)
                            for sprite in (natural, *recoloured)]) for size in SIZES}


def write_sprites(path: Path, picture_side: int) -> None:
    things = load_things()
    with ProcessPoolExecutor() as pool:
        drawn = list(pool.map(coloured_sprites, things, [picture_side] * len(things)))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(partial, **{str(size): np.stack([sprites[size] for sprites in drawn])
                         for size in SIZES})
    os.replace(partial, path)  # several trainings may draw them at the same time
