"""Draws a training curve as PNG: loss on a logarithmic axis over samples, one colour a stage.

    python -m tools.train.plot_curve checkpoints/demo-hdit/curve.csv curve.png
"""
import csv
import math
import sys
from pathlib import Path

from PIL import Image, ImageDraw

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 720, 400, 64, 56, 24, 16
COLOURS = ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189),
           (140, 86, 75), (227, 119, 194))


def read_curve(path: Path) -> list[tuple[int, str, float]]:
    """(samples, stage, loss) of every logged line."""
    with path.open(newline="", encoding="utf-8") as file:
        return [(int(row["samples"]), row["stage"], float(row["loss"]))
                for row in csv.DictReader(file)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between low and high."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**e for e in exponents for digit in (1, 2, 5)]
    return [tick for tick in ticks if low <= tick <= high]


def draw_curve(rows: list[tuple[int, str, float]]) -> Image.Image:
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    canvas = ImageDraw.Draw(picture)
    most = max(samples for samples, _, _ in rows)
    low, high = min(loss for *_, loss in rows) / 1.1, max(loss for *_, loss in rows) * 1.1

    def place(samples: float, loss: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * samples / most
        share = math.log(loss / low) / math.log(high / low)
        return x, HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share

    for tick in log_ticks(low, high):
        y = place(0, tick)[1]
        canvas.line([(LEFT, y), (WIDTH - RIGHT, y)], fill=(225, 225, 225))
        canvas.text((8, y - 6), f"{tick:.3g}", fill="black")
    for part in range(5):
        x = place(most * part / 4, low)[0]
        canvas.text((min(x, WIDTH - 60) - 10, HEIGHT - BOTTOM + 6), f"{most * part // 4:,}",
                    fill="black")
    stages = list(dict.fromkeys(stage for _, stage, _ in rows))
    for index, stage in enumerate(stages):
        colour = COLOURS[index % len(COLOURS)]
        points = [place(samples, loss) for samples, name, loss in rows if name == stage]
        canvas.line(points, fill=colour, width=2)
        canvas.text((WIDTH - 200, TOP + 14 * index), stage, fill=colour)
    canvas.text((LEFT, HEIGHT - 24), "samples", fill="black")
    canvas.text((8, 6), "weighted loss", fill="black")
    return picture


if __name__ == "__main__":
    draw_curve(read_curve(Path(sys.argv[1]))).save(sys.argv[2])
