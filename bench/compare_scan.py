#!/usr/bin/env python3
"""gesso's selective scan against the reference loop of state-spaces/mamba in PyTorch: outputs are
compared before times are, with `gesso verify` on a case that is recorded for the purpose.

    python3 bench/compare_scan.py                # 1024 channels, 16 states, 1024 tokens
    python3 bench/compare_scan.py --scaling      # gesso's time at 256 .. 65,536 tokens
"""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="gesso's build folder")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--isa", choices=["native", "avx2"], default="native")
    parser.add_argument("--rounds", type=int, default=3, help="alternations of the two sides")
    parser.add_argument("--scaling", action="store_true", help="time against length, gesso alone")
    return parser.parse_args()


def selective_scan(u, delta, a, b, c, d, z, bias):
    """mamba_ssm/ops/selective_scan_interface.py:selective_scan_ref for real A and shared B, C:
    u, delta, z [B, D, L], a [D, N], b, c [B, N, L]; returns y and the last state."""
    import torch
    delta = torch.nn.functional.softplus(delta + bias[:, None])
    decay = torch.exp(torch.einsum("bdl,dn->bdln", delta, a))
    added = torch.einsum("bdl,bnl,bdl->bdln", delta, b, u)
    state = u.new_zeros(u.shape[0], *a.shape)
    ys = []
    for t in range(u.shape[2]):
        state = decay[:, :, t] * state + added[:, :, t]
        ys.append(torch.einsum("bdn,bn->bd", state, c[:, :, t]))
    y = torch.stack(ys, dim=2) + u * d[:, None]
    return y * torch.nn.functional.silu(z), state


def make_inputs(length: int, channels: int, states: int):
    import torch
    generator = torch.Generator().manual_seed(0)
    def normal(*shape):
        return torch.randn(*shape, generator=generator)
    return {"u": normal(1, channels, length), "delta": normal(1, channels, length),
            "A": -torch.arange(1, states + 1).float().repeat(channels, 1),
            "B": normal(1, states, length), "C": normal(1, states, length),
            "D": normal(channels), "z": normal(1, channels, length),
            "delta_bias": normal(channels)}


def check_values(options: argparse.Namespace, folder: Path) -> None:
    """Records the reference in float64 and lets gesso recompute it."""
    from safetensors.torch import save_file
    inputs = make_inputs(512, 96, 16)
    names = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")
    y, state = selective_scan(*(inputs[name].double() for name in names))
    tensors = {f"in/{name}": value.contiguous() for name, value in inputs.items()}
    tensors |= {"out/y": y.float().contiguous(), "out/last_state": state.float().contiguous()}
    path = folder / "op.selective_scan.compare.safetensors"
    save_file(tensors, path, {"system": "op.selective_scan", "tolerance": "1e-5",
                              "config": json.dumps({"delta_softplus": True})})
    subprocess.run([options.build / "cli" / "gesso", "verify", path], check=True)


def gesso_seconds(options: argparse.Namespace, pattern: str) -> dict[str, float]:
    """Seconds of the benchmarks that match, by name."""
    command = [options.build / "bench" / "gesso_bench_ops", f"--threads={options.threads}",
               f"--isa={options.isa}", f"--benchmark_filter=^selective_scan/highway/{pattern}",
               "--benchmark_format=json", "--benchmark_min_time=0.2"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return {run["name"]: run["real_time"] * 1e-6 for run in json.loads(done.stdout)["benchmarks"]}


def compare(options: argparse.Namespace) -> None:
    import torch
    torch.set_num_threads(options.threads)
    inputs = make_inputs(1024, 1024, 16)
    ours, theirs = [], []
    for _ in range(options.rounds):
        ours += gesso_seconds(options, "float32/1024x1024x16").values()
        for _ in range(2):
            start = time.perf_counter()
            selective_scan(*(inputs[name] for name in ("u", "delta", "A", "B", "C", "D", "z",
                                                       "delta_bias")))
            theirs.append(time.perf_counter() - start)
    gesso, reference = statistics.median(ours), statistics.median(theirs)
    print(f"1024 channels, 16 states, 1024 tokens, {options.threads} threads, {options.isa}: "
          f"gesso {1e3 * gesso:.2f} ms, PyTorch's loop {1e3 * reference:.0f} ms, "
          f"{reference / gesso:.0f} times as long")


def scaling(options: argparse.Namespace) -> None:
    points: dict[int, list[float]] = {}
    for _ in range(options.rounds):
        for name, seconds in gesso_seconds(options, "float32/[0-9]*x256x16").items():
            points.setdefault(int(name.split("/")[3].split("x")[0]), []).append(seconds)
    medians = {length: statistics.median(runs) for length, runs in sorted(points.items())}
    for length, seconds in medians.items():
        print(f"{length} tokens: {1e3 * seconds:.3f} ms")
    slope = statistics.linear_regression([math.log(x) for x in medians],
                                         [math.log(y) for y in medians.values()]).slope
    print(f"time grows with the number of tokens to the power of {slope:.3f}")


def main() -> None:
    options = parse_options()
    if options.scaling:
        return scaling(options)
    folder = ROOT / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    check_values(options, folder)
    return compare(options)


if __name__ == "__main__":
    sys.exit(main())
