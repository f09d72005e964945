#!/usr/bin/env python3
"""gesso against PyTorch, end to end in one run: one forward pass of the official oxford-flowers
HDiT with the same random weights and the same input, outputs compared before times are.

    python3 bench/compare.py                     # what this CPU can do, batch 1 and 4
    python3 bench/compare.py --isa avx2          # both sides without AVX-512
    python3 bench/compare.py --side 1024 --batch 1
    python3 bench/compare.py --scaling           # gesso's time at 128 .. 1024 pixels
    python3 bench/compare.py --device cuda --neighborhood gather flex    # both on the same GPU

PyTorch runs in every way that might be its fastest (bench/torch_variants.py). All are tried; the
best few of each type then alternate with gesso. Each side's figure is the median of its runs.
"""
import argparse
import datetime
import importlib.util
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["torch", "numpy", "safetensors"]
LIMITED = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2",
           "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
BOUND = {"float32": 1e-4, "bfloat16": 3e-2}  # relative RMS of gesso's output to PyTorch's float32


def base_parser(description: str) -> argparse.ArgumentParser:
    """The options of all comparisons with alternating sides."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="gesso's build folder")
    parser.add_argument("--venv", type=Path,
                        help="virtual environment with torch; made if it is not there. Without "
                             "this option a Python that has torch itself needs none")
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"], choices=BOUND)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--isa", choices=["native", "avx2"], default="native")
    parser.add_argument("--rounds", type=int, default=5, help="alternations of the two sides")
    parser.add_argument("--repetitions", type=int, default=5, help="runs a side and round")
    parser.add_argument("--finalists", type=int, default=2,
                        help="PyTorch variants of each type that alternate with gesso")
    parser.add_argument("--results", type=Path, help="Markdown file that the table is added to")
    return parser


def common_parser(description: str) -> argparse.ArgumentParser:
    """The options of all comparisons of one forward pass."""
    parser = base_parser(description)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu",
                        help="where both sides compute")
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--json", type=Path, help="file that every figure is added to as JSON")
    return parser


def record(options: argparse.Namespace, name: str, dtype: str, who: str, seconds: float) -> None:
    """Adds a figure to the file for programs, if one is named."""
    if options.json:
        row = {"name": name, "dtype": dtype, "who": who, "seconds": seconds}
        with options.json.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def parse_options() -> argparse.Namespace:
    parser = common_parser(__doc__)
    parser.set_defaults(batch=[1, 4])
    parser.add_argument("--side", type=int, nargs="+", default=[256],
                        choices=[128, 256, 512, 1024],
                        help="of the pictures; every doubling adds a level to the network")
    parser.add_argument("--mode", choices=["default", "reduce-overhead", "max-autotune"],
                        help="torch.compile's: on a GPU max-autotune if absent, which plays CUDA "
                             "graphs after minutes of search for the fastest kernels; "
                             "reduce-overhead plays them without the search")
    parser.add_argument("--official", type=Path,
                        help="checkout of crowsonkb/k-diffusion: its network takes part too "
                             "(neighborhood attention there needs the package natten)")
    parser.add_argument("--neighborhood", nargs="+", default=["masked", "gather", "flex"],
                        choices=["masked", "gather", "flex"],
                        help="PyTorch's ways to do neighborhood attention that take part")
    arithmetic = ["float32", "autocast", "bfloat16"]
    parser.add_argument("--arithmetic", nargs="+", default=arithmetic, choices=arithmetic,
                        help="what PyTorch computes in; its first way in float32 always takes part")
    parser.add_argument("--scaling", action="store_true", help="time against size, gesso alone")
    return parser.parse_args()


def enter_environment(options: argparse.Namespace) -> None:
    """Starts this script again inside the virtual environment and with the ISA's variables."""
    venv = options.venv or ROOT / "build" / "bench-venv"
    python = venv.absolute() / "bin" / "python3"
    if not options.venv and all(importlib.util.find_spec(package) for package in PACKAGES):
        python = Path(sys.executable)
    elif not python.exists():
        print(f"making {venv} with {', '.join(PACKAGES)}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    environment = os.environ | {"GESSO_BENCH_ENVIRONMENT": "1", "PYTHONPATH": str(ROOT),
                                "OMP_NUM_THREADS": str(options.threads)}
    if options.isa == "avx2":
        environment |= LIMITED
    os.execve(python, [str(python), *sys.argv], environment)


class Gesso:
    """Runs gesso_bench_forward on files in `folder`."""

    def __init__(self, options: argparse.Namespace, folder: Path):
        self.options, self.folder = options, folder

    def run(self, name: str, dtype: str, repetitions: int) -> dict[str, Any]:
        command = [self.options.build / "bench" / "gesso_bench_forward",
                   self.folder / f"{name}.model.safetensors",
                   "--input", self.folder / f"{name}.input.safetensors",
                   "--output", self.folder / f"{name}.output.safetensors",
                   "--repetitions", str(repetitions), "--dtype", dtype, "--isa", self.options.isa,
                   "--threads", str(self.options.threads), "--device", self.options.device]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout)


def write_inputs(folder: Path, name: str, side: int, batch: int):
    """Random weights and input for both sides: returns config, weights, x, sigma."""
    import torch
    from safetensors.torch import save_file

    from bench.torch_variants import config_of, randomised
    from tools.train.hdit import HDiT
    config = config_of(side)
    torch.manual_seed(0)
    weights = randomised(HDiT(config)).state_dict()
    save_file(weights, folder / f"{name}.model.safetensors", {"config": json.dumps(config)})
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, 3, side, side, generator=generator)
    sigma = torch.tensor([0.25, 1.0, 4.0, 64.0])[torch.arange(batch) % 4]  # exact in bfloat16
    save_file({"x": x, "sigma": sigma}, folder / f"{name}.input.safetensors")
    return config, weights, x, sigma


def timed(run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def relative_error(got, want) -> float:
    got, want = got.double().cpu(), want.double().cpu()
    return float((got - want).norm() / want.norm())


def try_variants(all_variants: list, reference,
                 bounds: dict[str, float] | None = None) -> dict[str, float]:
    """Compiles and checks every variant once; its seconds by name, without those that fail or
    give another result."""
    seconds = {}
    for variant in all_variants:
        try:
            error = relative_error(variant.run(), reference)
        except Exception as failure:  # a variant that PyTorch cannot run cannot be its best
            print(f"  {variant.name}: fails: {str(failure).splitlines()[0]}", file=sys.stderr)
            continue
        if not error < (bounds or BOUND)[variant.dtype]:
            print(f"  {variant.name}: is wrong, differs from eager float32 by {error:.1e}",
                  file=sys.stderr)
            continue
        seconds[variant.name] = min(timed(variant.run) for _ in range(3))
        print(f"  {variant.name}: {1e3 * seconds[variant.name]:.0f} ms, differs from eager "
              f"float32 by {error:.1e}", file=sys.stderr)
    return seconds


def check_gesso(options: argparse.Namespace, gesso: Gesso, name: str, reference,
                bounds: dict[str, float]) -> None:
    """Ends the program if gesso's output is another than PyTorch's."""
    from safetensors.torch import load_file
    for dtype in options.dtype:
        gesso.run(name, dtype, 1)
        out = load_file(gesso.folder / f"{name}.output.safetensors")["out"]
        error = relative_error(out, reference)
        print(f"{name}, {dtype}: gesso's output differs by {error:.1e}", file=sys.stderr)
        if not error < bounds[dtype]:
            sys.exit(f"outputs differ by more than {bounds[dtype]}: there is nothing to time")


def alternate(options: argparse.Namespace, run_gesso: Callable[[str, int], dict[str, Any]],
              finalists: list) -> dict[str, float]:
    """The median seconds of run_gesso(dtype, repetitions) and of PyTorch's finalists, by turns."""
    times: dict[str, list[float]] = {}
    print(f"final rounds: {', '.join(v.name for v in finalists)}", file=sys.stderr, flush=True)
    for _ in range(options.rounds):
        for dtype in options.dtype:
            runs = run_gesso(dtype, options.repetitions)["seconds"]
            times.setdefault(f"gesso {dtype}", []).extend(runs)
        for variant in finalists:
            runs = [timed(variant.run) for _ in range(options.repetitions)]
            times.setdefault(f"PyTorch {variant.name}", []).extend(runs)
    print("done with the final rounds", file=sys.stderr, flush=True)
    return {who: statistics.median(runs) for who, runs in times.items()}


def contest(options: argparse.Namespace, gesso: Gesso, name: str, made: list,
            bounds: dict[str, float]) -> list[dict[str, Any]]:
    """gesso on the files `name` against the variants `made`, whose first is right by definition:
    for each type the fastest of PyTorch and the median seconds of both."""
    reference = made[0].run().cpu()
    check_gesso(options, gesso, name, reference, bounds)
    trial = try_variants(made, reference, bounds)
    finalists = [variant for dtype in options.dtype
                 for variant in sorted((v for v in made if v.dtype == dtype and v.name in trial),
                                       key=lambda v: trial[v.name])[:options.finalists]]
    medians = alternate(options, lambda *how: gesso.run(name, *how), finalists)
    dtypes = {f"PyTorch {v.name}": v.dtype for v in finalists}
    for who, seconds in medians.items():
        record(options, name, dtypes.get(who, who.removeprefix("gesso ")), who, seconds)
    rows = []
    for dtype in options.dtype:
        best = min((f"PyTorch {v.name}" for v in finalists if v.dtype == dtype), key=medians.get)
        rows.append({"dtype": dtype, "torch": best, "torch_seconds": medians[best],
                     "seconds": medians[f"gesso {dtype}"]})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def compare_batch(options: argparse.Namespace, folder: Path, side: int,
                  batch: int) -> list[dict[str, Any]]:
    from bench.torch_variants import variants
    name = f"flowers{side}_batch{batch}"
    config, weights, x, sigma = write_inputs(folder, name, side, batch)
    mode = options.mode or ("max-autotune" if options.device == "cuda" else "default")
    made = variants(config, weights, x, sigma, options.official, options.neighborhood,
                    options.dtype, options.device, mode)
    made[1:] = [v for v in made[1:] if v.name.endswith(tuple(options.arithmetic))]
    return contest(options, Gesso(options, folder), name, made, BOUND)


def device_name(options: argparse.Namespace) -> str:
    import torch
    return torch.cuda.get_device_name() if options.device == "cuda" else cpu_name()


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def heading(options: argparse.Namespace) -> str:
    """What the figures below it were measured on and with."""
    import torch
    command = " ".join(["python3", f"bench/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    return (f"\n## {datetime.date.today()}, {device_name(options)}, {options.threads} threads, "
            f"{options.isa}\n\n`{command}` (PyTorch {torch.__version__})\n\n")


def table(what: str, rows: list[dict[str, Any]]) -> str:
    """Rows of `contest`, whose first column is their "what"."""
    lines = [f"| {what} | type | PyTorch, its fastest | ms | gesso ms | ratio |",
             "|---|---|---|---|---|---|"]
    for row in rows:
        lines.append(f"| {row['what']} | {row['dtype']} | {row['torch']} | "
                     f"{1e3 * row['torch_seconds']:.3g} | {1e3 * row['seconds']:.3g} | "
                     f"{row['torch_seconds'] / row['seconds']:.2f} |")
    return "\n".join(lines) + "\n"


def compare(options: argparse.Namespace, folder: Path) -> str:
    return table("pixels, batch", [row | {"what": f"{side} x {side}, {batch}"}
                                   for side in options.side for batch in options.batch
                                   for row in compare_batch(options, folder, side, batch)])


def scaling(options: argparse.Namespace, folder: Path) -> str:
    """Time at 128 .. 1024 pixels, and the exponent of the line through the logarithms."""
    gesso = Gesso(options, folder)
    points = []
    lines = ["| pixels | levels | GFLOP | ms |", "|---|---|---|---|"]
    for side in (128, 256, 512, 1024):
        config, *_ = write_inputs(folder, f"scaling{side}", side, 1)
        runs = [gesso.run(f"scaling{side}", options.dtype[0], options.repetitions)
                for _ in range(options.rounds)]
        seconds = statistics.median(second for run in runs for second in run["seconds"])
        points.append((math.log(side * side), math.log(seconds)))
        lines.append(f"| {side} x {side} | {len(config['model']['widths'])} | "
                     f"{runs[0]['flops'] / 1e9:.1f} | {1e3 * seconds:.0f} |")
    exponent = statistics.linear_regression(*zip(*points)).slope
    steps = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in zip(points, points[1:])]
    return ("\n".join(lines) + f"\n\nTime grows with the number of pixels to the power of "
            f"{exponent:.2f} (doubling by doubling: "
            f"{', '.join(f'{step:.2f}' for step in steps)}).\n")


def publish(report: str, results: Path | None) -> None:
    """Prints a report and adds it to a file, if one is named."""
    print(report)
    if results:
        with results.open("a", encoding="utf-8") as file:
            file.write(report)


def set_up_torch(options: argparse.Namespace) -> Path:
    """Threads and ISA of PyTorch's side; returns the folder that both sides share files in."""
    import torch
    torch.set_num_threads(options.threads)
    if options.isa == "avx2":
        torch._inductor.config.cpp.simdlen = 256
    folder = ROOT / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def main() -> None:
    options = parse_options()
    if "GESSO_BENCH_ENVIRONMENT" not in os.environ:
        enter_environment(options)
    folder = set_up_torch(options)
    report = heading(options) + (scaling if options.scaling else compare)(options, folder)
    publish(report, options.results)


if __name__ == "__main__":
    main()
