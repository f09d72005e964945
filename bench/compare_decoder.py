#!/usr/bin/env python3
"""gesso against PyTorch: the decoder of VAR's published tokenizer (a 16 x 16 map to 256 x 256
pixels) with the same random weights and the same input, outputs compared before times are.

    python3 bench/compare_decoder.py             # what this CPU can do
    python3 bench/compare_decoder.py --isa avx2  # both sides without AVX-512

PyTorch runs in every way that might be its fastest (bench/torch_decoder.py). All are tried; plain
eager float32 and the best few of each type then alternate with gesso. Each side's figure is the
median of its runs.
"""
import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.compare import (BOUND, alternate, base_parser, enter_environment,  # noqa: E402
                           heading, publish, relative_error, set_up_torch, try_variants)

EAGER = "eager float32 channels first"
# PyTorch also adds up its residual blocks in bfloat16, which costs it accuracy here.
TORCH_BOUND = BOUND | {"bfloat16": 0.1}


def parse_options() -> argparse.Namespace:
    parser = base_parser(__doc__)
    parser.set_defaults(device="cpu", rounds=3, repetitions=3, finalists=1)
    parser.add_argument("--latent", type=int, default=16, help="side of the latent map")
    return parser.parse_args()


def write_inputs(folder: Path, side: int):
    """Random weights and latents for both sides: returns weights and latents."""
    import torch
    from safetensors.torch import save_file

    from bench.torch_decoder import OFFICIAL, Decoder
    torch.manual_seed(0)
    weights = Decoder(OFFICIAL).state_dict()
    save_file(weights, folder / "decoder.model.safetensors", {"config": json.dumps(OFFICIAL)})
    latents = torch.randn(1, OFFICIAL["z_channels"], side, side)
    save_file({"latents": latents}, folder / "decoder.input.safetensors")
    return weights, latents


def run_gesso(options: argparse.Namespace, folder: Path, dtype: str,
              repetitions: int) -> dict[str, Any]:
    command = [options.build / "bench" / "gesso_bench_decode", folder / "decoder.model.safetensors",
               "--input", folder / "decoder.input.safetensors",
               "--output", folder / "decoder.output.safetensors",
               "--repetitions", str(repetitions), "--dtype", dtype, "--isa", options.isa,
               "--threads", str(options.threads)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def compare(options: argparse.Namespace, folder: Path) -> str:
    from safetensors.torch import load_file

    from bench.torch_decoder import OFFICIAL, variants
    weights, latents = write_inputs(folder, options.latent)
    made = variants(OFFICIAL, weights, latents, options.dtype)
    eager = next(variant for variant in variants(OFFICIAL, weights, latents, ["float32"])
                 if variant.name == EAGER)
    reference = eager.run()
    arena = {}
    for dtype in options.dtype:
        arena[dtype] = run_gesso(options, folder, dtype, 1)["arena_bytes"]
        error = relative_error(load_file(folder / "decoder.output.safetensors")["out"], reference)
        print(f"{dtype}: gesso's output differs by {error:.1e}", file=sys.stderr)
        if not error < BOUND[dtype]:
            sys.exit(f"outputs differ by more than {BOUND[dtype]}: there is nothing to time")
    trial = try_variants(made, reference, TORCH_BOUND)
    finalists = [eager] + [variant for dtype in options.dtype
                           for variant in sorted((v for v in made if v.dtype == dtype
                                                  and v.name in trial and v.name != EAGER),
                                                 key=lambda v: trial[v.name])[:options.finalists]]
    medians = alternate(options, lambda *how: run_gesso(options, folder, *how), finalists)
    baseline = medians[f"PyTorch {EAGER}"]
    lines = ["| who | ms | eager float32 / this | arena |", "|---|---|---|---|"]
    for who, seconds in medians.items():
        memory = arena.get(who.removeprefix("gesso "))
        lines.append(f"| {who} | {1e3 * seconds:.0f} | {baseline / seconds:.2f} | "
                     f"{f'{memory / 2**20:.0f} MiB' if memory else ''} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    options = parse_options()
    if "GESSO_BENCH_ENVIRONMENT" not in os.environ:
        enter_environment(options)
    folder = set_up_torch(options)
    publish(heading(options) + compare(options, folder), options.results)


if __name__ == "__main__":
    main()
