#!/usr/bin/env python3
"""gesso against the official code of VAR-d16 (256 pixels) and Infinity-2B (512 pixels), end to end:
the same random weights in the files that are published, time of a picture and peak memory of the
process.

    python3 bench/compare_next_scale.py var16 FOLDER --official CHECKOUT_OF_VAR
    python3 bench/compare_next_scale.py infinity2b FOLDER --official CHECKOUT_OF_INFINITY
    python3 bench/compare_next_scale.py infinity16 FOLDER --official CHECKOUT_OF_INFINITY \\
        --gesso-only --cache fastvar scalekv depth      # a narrow one at 1024 pixels

FOLDER gets the weights unless they are there (2 GB, 14 GB). Each side is a process that makes
several pictures, one after the other; its figure is the fastest but the first.
"""
import argparse
import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.compare import cpu_name, publish  # noqa: E402

FILES = {"var16": "var_d16.pth", "infinity2b": "infinity_2b_reg.pth",
         "infinity16": "infinity_layer16.pth"}
JOBS = {"var16": {"class_label": 207},
        "infinity2b": {"prompt": "a red apple and a cat", "width": 512, "height": 512},
        "infinity16": {"prompt": "a red apple and a cat", "width": 1024, "height": 1024}}


def measure(command: list, stdin: str = "") -> tuple[str, int]:
    """What the command prints, and the peak of its memory in bytes."""
    process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    process.stdin.write(stdin)
    process.stdin.close()
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command[0]} failed")
    return output, usage.ru_maxrss * 1024


def run_gesso(options: argparse.Namespace, dtype: str, cache: str) -> tuple[list[float], int]:
    jobs = "".join(json.dumps(JOBS[options.model] | {"seed": seed}) + "\n"
                   for seed in range(options.runs))
    output, peak = measure(
        [options.gesso, "generate", "-m", options.folder / FILES[options.model], "--dtype", dtype,
         "--prompt-file", "-", "--json", "--overwrite", "-o", options.folder / "%03d.png",
         *(["--cache", cache] if cache else [])], jobs)
    return [json.loads(line)["seconds"] for line in output.splitlines()], peak


def key_bytes(options: argparse.Namespace, dtype: str, cache: str) -> int:
    """What keys and values of a picture take at most."""
    size = JOBS[options.model]
    output, _ = measure(
        [options.gesso, "info", options.folder / FILES[options.model], "--json", "--dtype", dtype,
         "-W", size["width"], "-H", size["height"],
         *(["--cache", cache] if cache else [])])
    return json.loads(output.splitlines()[0])["picture"]["cache_bytes"]


def run_official(options: argparse.Namespace, dtype: str) -> tuple[list[float], int]:
    output, peak = measure(
        [sys.executable, ROOT / "bench" / "official_models.py", "time", options.model,
         options.folder, "--official", options.official, "--dtype", dtype, "--runs", options.runs])
    return json.loads(output.splitlines()[-1])["seconds"], peak


def compare(options: argparse.Namespace) -> str:
    stored = sum(path.stat().st_size for path in options.folder.rglob("*")
                 if path.suffix in (".pth", ".safetensors"))
    lines = [f"Weights as stored: {stored / 1e9:.2f} GB.", "",
             "| who | s a picture | peak memory | of the weights | keys and values |",
             "|---|---|---|---|---|"]

    def add(who: str, seconds: list[float], peak: int, keys: str) -> None:
        fastest = min(seconds[1:] or seconds)
        lines.append(f"| {who} | {fastest:.2f} | {peak / 1e9:.2f} GB | {peak / stored:.2f} "
                     f"| {keys} |")
        print(lines[-1], file=sys.stderr)

    for dtype in options.dtype:
        for cache in ["", *options.cache]:
            keys = (f"{key_bytes(options, dtype, cache) / 1e6:.0f} MB"
                    if "width" in JOBS[options.model] else "")
            add(f"gesso {dtype} {cache}".strip(), *run_gesso(options, dtype, cache), keys)
        if not options.gesso_only:
            add(f"official {dtype}", *run_official(options, dtype), "")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=FILES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--official", type=Path, help="checkout of the official code")
    parser.add_argument("--gesso", type=Path, default=ROOT / "build" / "cli" / "gesso")
    parser.add_argument("--gesso-only", action="store_true", help="time gesso alone")
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--cache", nargs="*", default=[], help="policies that are timed as well")
    parser.add_argument("--runs", type=int, default=3, help="pictures a side")
    parser.add_argument("--results", type=Path, help="Markdown file that the table is added to")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if not (options.folder / FILES[options.model]).exists():
        measure([sys.executable, ROOT / "bench" / "official_models.py", "write", options.model,
                 options.folder, "--official", options.official])
    command = " ".join(["python3", "bench/compare_next_scale.py", *sys.argv[1:]])
    report = f"\n## {datetime.date.today()}, {cpu_name()}\n\n`{command}`\n\n{compare(options)}"
    publish(report, options.results)


if __name__ == "__main__":
    main()
