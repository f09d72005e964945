"""Times a block of DiM and a block of DiT against the length of the sequence, at equal parameters,
and draws both as PNG.

    python3 bench/dim_scaling.py --build build -o docs/dim-scaling.png

Both blocks run through gesso (gesso_bench_blocks). A DiT block has about twice the parameters of a
DiM block of the same width, so times are given for 100 million parameters of either.
"""
import argparse
import json
import math
import subprocess
from pathlib import Path

from PIL import Image, ImageDraw

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 720, 420, 72, 56, 28, 20
COLOURS = {"dim": (31, 119, 180), "dit": (214, 39, 40)}
NAMES = {"dim": "DiM (Mamba)", "dit": "DiT (attention, MLP)"}


def measure(build: Path, block: str, tokens: list[int], width: int, precision: str,
            rounds: int) -> list[tuple[int, float]]:
    """(tokens, milliseconds for 100 million parameters) of each length."""
    command = [str(build / "bench" / "gesso_bench_blocks"), "--block", block, "--precision",
               precision, "--width", str(width), "--rounds", str(rounds), "--tokens",
               *map(str, tokens)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [json.loads(line) for line in output.splitlines()]
    return [(line["tokens"], line["ms"] * 1e8 / line["parameters"]) for line in lines]


def exponent(points: list[tuple[int, float]]) -> float:
    """The power of the length that the time grows with, over all points (least squares)."""
    x = [math.log(tokens) for tokens, _ in points]
    y = [math.log(ms) for _, ms in points]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return (sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) /
            sum((a - mean_x)**2 for a in x))


def crossing(dim: list[tuple[int, float]], dit: list[tuple[int, float]]) -> float | None:
    """The length from which DiM is the faster one, between two points along the logarithms."""
    before = None
    for (tokens, a), (_, b) in zip(dim, dit):
        gap = math.log(a / b)
        if gap <= 0:
            if before is None:
                return float(tokens)
            last_tokens, last_gap = before
            share = last_gap / (last_gap - gap)
            return last_tokens * (tokens / last_tokens)**share
        before = tokens, gap
    return None


def draw(series: dict[str, list[tuple[int, float]]], title: str) -> Image.Image:
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    canvas = ImageDraw.Draw(picture)
    points = [point for line in series.values() for point in line]
    low_x, high_x = min(t for t, _ in points), max(t for t, _ in points)
    low_y, high_y = min(ms for _, ms in points) / 1.3, max(ms for _, ms in points) * 1.3

    def place(tokens: float, ms: float) -> tuple[float, float]:
        x = math.log(tokens / low_x) / math.log(high_x / low_x)
        y = math.log(ms / low_y) / math.log(high_y / low_y)
        return LEFT + (WIDTH - LEFT - RIGHT) * x, HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * y

    for power in range(math.ceil(math.log10(low_y)), math.floor(math.log10(high_y)) + 1):
        y = place(low_x, 10.0**power)[1]
        canvas.line([(LEFT, y), (WIDTH - RIGHT, y)], fill=(225, 225, 225))
        canvas.text((8, y - 6), f"{10.0**power:,.0f} ms", fill="black")
    for tokens in sorted({t for t, _ in points}):
        x = place(tokens, low_y)[0]
        canvas.line([(x, TOP), (x, HEIGHT - BOTTOM)], fill=(240, 240, 240))
        canvas.text((x - 16, HEIGHT - BOTTOM + 6), f"{tokens:,}", fill="black")
    for row, (name, line) in enumerate(series.items()):
        places = [place(*point) for point in line]
        canvas.line(places, fill=COLOURS[name], width=2)
        for x, y in places:
            canvas.ellipse([x - 3, y - 3, x + 3, y + 3], fill=COLOURS[name])
        canvas.text((LEFT + 12, TOP + 8 + 14 * row),
                    f"{NAMES[name]}: length^{exponent(line):.2f}", fill=COLOURS[name])
    canvas.text((LEFT, 8), title, fill="black")
    canvas.text((LEFT, HEIGHT - 24), "tokens", fill="black")
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--tokens", type=int, nargs="+",
                        default=[256, 512, 1024, 2048, 4096, 8192, 16384])
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    series = {block: measure(args.build, block, args.tokens, args.width, args.precision,
                             args.rounds) for block in ("dim", "dit")}
    for block, line in series.items():
        print(block, *(f"{tokens}: {ms:.1f} ms" for tokens, ms in line))
    where = crossing(series["dim"], series["dit"])
    print("DiM is faster from", f"{where:.0f} tokens" if where else "no length measured")
    draw(series, f"100 M parameters, width {args.width}, {args.precision}").save(args.output)


if __name__ == "__main__":
    main()
