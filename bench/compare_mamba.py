#!/usr/bin/env python3
"""gesso against PyTorch: one forward pass of DiM and of the bidirectional Diffusion Mamba for video
with the same random weights and the same input, outputs compared before times are.

    python3 bench/compare_mamba.py                                   # what this CPU can do
    python3 bench/compare_mamba.py --device cuda --dtype bfloat16    # both on the same GPU

PyTorch's networks are those of bench/torch_dim.py and tools/train/bidim.py. Their scan is not the
package mamba_ssm's, which need not be there and takes no part: it is written in PyTorch in chunks,
or on a GPU also PyTorch's associative scan or the Triton kernel that this project trains with
(bench/torch_scan.py); on a GPU a pass of PyTorch is one CUDA graph. All of --variants are tried;
the best few of each type then alternate with gesso. Each side's figure is the median of its runs.
"""
import argparse
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.compare import (BOUND, Gesso, common_parser, contest, enter_environment,  # noqa: E402
                           heading, publish, set_up_torch, table)


def parse_options() -> argparse.Namespace:
    parser = common_parser(__doc__)
    parser.add_argument("--networks", nargs="+", default=["dim_l_256"],
                        help="dim_l_256, dim_h_256, dim_h_512, bidim_video")
    parser.add_argument("--variants", nargs="+",
                        help="PyTorch's ways that take part: chunked, chunked-compiled; on a GPU "
                             "also associative-compiled, triton, triton-compiled. All if absent")
    return parser.parse_args()


def write_inputs(folder: Path, name: str, network, batch: int, device: str):
    """Random weights, made on the device, and input for both sides: returns weights and inputs."""
    import torch
    from safetensors.torch import save_file

    from bench.torch_mamba import make_weights
    weights = make_weights(network, device)
    save_file({key: value.cpu().contiguous() for key, value in weights.items()},
              folder / f"{name}.model.safetensors",
              {"system": network.system, "config": json.dumps(network.config)})
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, *network.shape, generator=generator)
    timestep = torch.tensor([500.0, 999.0, 1.0, 250.0])[torch.arange(batch) % 4]
    y = torch.arange(batch) * 207 % network.classes
    save_file({"x": x, "timestep": timestep, "y": y.int()}, folder / f"{name}.input.safetensors")
    return weights, [x, timestep, y]


def compare_network(options: argparse.Namespace, folder: Path, which: str, batch: int) -> list:
    from bench.torch_mamba import NETWORKS, ON_CPU, VARIANTS, variants
    name = f"{which}_batch{batch}"
    weights, inputs = write_inputs(folder, name, NETWORKS[which], batch, options.device)
    names = options.variants or (list(VARIANTS) if options.device == "cuda" else ON_CPU)
    made = variants(NETWORKS[which], weights, inputs, names, options.dtype, options.device)
    return contest(options, Gesso(options, folder), name, made, BOUND)


def main() -> None:
    options = parse_options()
    if "GESSO_BENCH_ENVIRONMENT" not in os.environ:
        enter_environment(options)
    folder = set_up_torch(options)
    rows = [row | {"what": f"{which}, {batch}"} for which in options.networks
            for batch in options.batch for row in compare_network(options, folder, which, batch)]
    publish(heading(options) + table("network, batch", rows), options.results)


if __name__ == "__main__":
    main()
