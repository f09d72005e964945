#!/usr/bin/env python3
"""gesso against the official code of VAR (256 pixels) and Infinity-2B (512 and 1024 pixels), end to
end: the same random weights in the files that are published, time of a picture and peak memory.

    python3 bench/compare_next_scale.py var16 FOLDER --official CHECKOUT_OF_VAR
    python3 bench/compare_next_scale.py infinity2b FOLDER --official CHECKOUT_OF_INFINITY
    python3 bench/compare_next_scale.py infinity16 FOLDER --official CHECKOUT_OF_INFINITY \\
        --gesso-only --cache fastvar scalekv depth      # a narrow one at 1024 pixels
    python3 bench/compare_next_scale.py var16 FOLDER --official CHECKOUT_OF_VAR --device cuda \\
        --dtype bfloat16 --runs 8 --variants eager symbolic-graphs    # both on the same GPU

FOLDER gets the weights unless they are there (2 GB for var16, 9 for var30, 14 for infinity2b). Each
side is a process that makes several pictures, one after the other; its figure is the fastest but
the first. Memory is that of the process, on a GPU also what the GPU has given out beyond what it
had before. The official side runs eagerly and with its blocks compiled, as --variants says
(bench/official_models.py); PyTorch's best is the fastest of them.
"""
import argparse
import contextlib
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Iterator, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.compare import device_name, publish, record  # noqa: E402

FILES = {"var16": "var_d16.pth", "var30": "var_d30.pth", "infinity2b": "infinity_2b_reg.pth",
         "infinity2b_1m": "infinity_2b_reg.pth", "infinity16": "infinity_layer16.pth"}
PROMPT = "a red apple and a cat"
JOBS = {"var16": {"class_label": 207}, "var30": {"class_label": 207},
        "infinity2b": {"prompt": PROMPT, "width": 512, "height": 512},
        "infinity2b_1m": {"prompt": PROMPT, "width": 1024, "height": 1024},
        "infinity16": {"prompt": PROMPT, "width": 1024, "height": 1024}}
GPU_QUERY = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
GPU_PERIOD = 50  # milliseconds


class Usage(NamedTuple):
    seconds: list[float]  # of each picture
    peak: int             # bytes of the process
    gpu_peak: int         # bytes of the GPU; 0 on a CPU


@contextlib.contextmanager
def watch_gpu(device: str) -> Iterator[list[int]]:
    """Yields a list that in the end holds the most bytes that the GPU has given out meanwhile,
    beyond those it had given out before; 0 without a GPU or without nvidia-smi."""
    peak = [0]
    if device != "cuda" or not shutil.which("nvidia-smi"):
        yield peak
        return
    before = int(subprocess.check_output(GPU_QUERY, text=True).split()[0])
    with tempfile.TemporaryFile("w+") as log:
        watcher = subprocess.Popen([*GPU_QUERY, f"--loop-ms={GPU_PERIOD}"], stdout=log)
        try:
            yield peak
        finally:
            watcher.terminate()
            watcher.wait()
            log.seek(0)
            used = [int(line) for line in log.read().split() if line.isdigit()]
            peak[0] = (max(used, default=before) - before) << 20


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


def run_gesso(options: argparse.Namespace, dtype: str, cache: str) -> Usage:
    jobs = "".join(json.dumps(JOBS[options.model] | {"seed": seed}) + "\n"
                   for seed in range(options.runs))
    with watch_gpu(options.device) as gpu:
        output, peak = measure(
            [options.gesso, "generate", "-m", options.folder / FILES[options.model], "--dtype",
             dtype, "--device", options.device, "--prompt-file", "-", "--json", "--overwrite",
             "-o", options.folder / "%03d.png", *(["--cache", cache] if cache else [])], jobs)
    return Usage([json.loads(line)["seconds"] for line in output.splitlines()], peak, gpu[0])


def key_bytes(options: argparse.Namespace, dtype: str, cache: str) -> int:
    """What keys and values of a picture take at most."""
    size = JOBS[options.model]
    output, _ = measure(
        [options.gesso, "info", options.folder / FILES[options.model], "--json", "--dtype", dtype,
         "-W", size["width"], "-H", size["height"],
         *(["--cache", cache] if cache else [])])
    return json.loads(output.splitlines()[0])["picture"]["cache_bytes"]


def official(options: argparse.Namespace, action: str) -> list:
    """The command of the official side, but for what to time."""
    checkout = ["--official", options.official] if options.official else []
    return [sys.executable, ROOT / "bench" / "official_models.py", action, options.model,
            options.folder, *checkout, "--device", options.device]


def run_official(options: argparse.Namespace, dtype: str, variant: str) -> Usage:
    with watch_gpu(options.device) as gpu:
        output, peak = measure([*official(options, "time"), "--dtype", dtype, "--variant", variant,
                                "--runs", options.runs])
    return Usage(json.loads(output.splitlines()[-1])["seconds"], peak, gpu[0])


def compare(options: argparse.Namespace) -> str:
    stored = sum(path.stat().st_size for path in options.folder.rglob("*")
                 if path.suffix in (".pth", ".safetensors"))
    lines = [f"Weights as stored: {stored / 1e9:.2f} GB.", "",
             "| who | s a picture | first | peak memory | of the weights | of the GPU "
             "| keys and values |", "|---|---|---|---|---|---|---|"]

    def add(who: str, usage: Usage, keys: str) -> None:
        fastest = min(usage.seconds[1:] or usage.seconds)
        record(options, f"{options.model}_batch1", dtype, who, fastest)
        gpu = f"{usage.gpu_peak / 1e9:.2f} GB" if usage.gpu_peak else ""
        lines.append(f"| {who} | {fastest:.3g} | {usage.seconds[0]:.3g} "
                     f"| {usage.peak / 1e9:.2f} GB | {usage.peak / stored:.2f} | {gpu} | {keys} |")
        print(lines[-1], file=sys.stderr, flush=True)

    for dtype in options.dtype:
        for cache in ["", *options.cache]:
            keys = (f"{key_bytes(options, dtype, cache) / 1e6:.0f} MB"
                    if "width" in JOBS[options.model] else "")
            add(f"gesso {dtype} {cache}".strip(), run_gesso(options, dtype, cache), keys)
        for variant in [] if options.gesso_only else options.variants:
            add(f"official {dtype} {variant}", run_official(options, dtype, variant), "")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=FILES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--official", type=Path, help="checkout of the official code")
    parser.add_argument("--gesso", type=Path, default=ROOT / "build" / "cli" / "gesso")
    parser.add_argument("--gesso-only", action="store_true", help="time gesso alone")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu",
                        help="where both sides compute")
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"],
                        choices=["float32", "bfloat16"])
    parser.add_argument("--variants", nargs="+", default=["eager"],
                        help="ways the official code runs: eager, compiled, graphs, symbolic, "
                             "symbolic-graphs")
    parser.add_argument("--cache", nargs="*", default=[], help="policies that are timed as well")
    parser.add_argument("--runs", type=int, default=3, help="pictures a side")
    parser.add_argument("--results", type=Path, help="Markdown file that the table is added to")
    parser.add_argument("--json", type=Path, help="file that every figure is added to as JSON")
    options = parser.parse_args()
    if not options.official and not options.gesso_only:
        parser.error("--official is required, but with --gesso-only")
    options.folder.mkdir(parents=True, exist_ok=True)
    if not (options.folder / FILES[options.model]).exists():
        measure(official(options, "write"))
    command = " ".join(["python3", "bench/compare_next_scale.py", *sys.argv[1:]])
    report = (f"\n## {datetime.date.today()}, {device_name(options)}\n\n`{command}`\n\n"
              f"{compare(options)}")
    publish(report, options.results)


if __name__ == "__main__":
    main()
