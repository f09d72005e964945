"""Measures a bidirectional Diffusion Mamba with random weights in few bits against bfloat16 and
float32: time of a forward pass, memory of the weights, error of a picture.

    python3 bench/low_bit.py --build build --types w8a8 --width 768 --depth 24 --side 32

Programs run by turns, the fastest pass of all rounds counts. The error is that of a picture after
--steps steps against float32, RMS of all values from 0 to 255.
"""
import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

CLASSES = 1000
STATES = 16


def random_weights(config: dict) -> dict[str, torch.Tensor]:
    """Tensors with the names of models/bidim, as spread as those of a trained network."""
    width, inner = config["hidden_size"], 2 * config["hidden_size"]
    rank = -(-width // 16)
    _, high, wide = config["patch_size"]
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int, scale: float = 1) -> torch.Tensor:
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
        return torch.randn(shape, generator=generator) * scale / fan_in**0.5

    tensors = {
        "x_embedder.proj.weight": normal(width, config["in_channels"], 1, high, wide),
        "x_embedder.proj.bias": torch.zeros(width),
        "t_embedder.mlp.0.weight": normal(width, 256),
        "t_embedder.mlp.0.bias": torch.zeros(width),
        "t_embedder.mlp.2.weight": normal(width, width),
        "t_embedder.mlp.2.bias": torch.zeros(width),
        "y_embedder.embedding_table.weight": torch.randn(CLASSES + 1, width, generator=generator),
        "final_layer.adaLN_modulation.1.weight": normal(2 * width, width, scale=0.3),
        "final_layer.adaLN_modulation.1.bias": torch.zeros(2 * width),
        "final_layer.linear.weight": normal(high * wide * config["in_channels"], width),
        "final_layer.linear.bias": torch.zeros(high * wide * config["in_channels"]),
    }
    for i in range(config["depth"]):
        block = f"blocks.{i}."
        tensors[block + "adaLN_modulation.1.weight"] = normal(3 * width, width, scale=0.3)
        tensors[block + "adaLN_modulation.1.bias"] = torch.cat(
            [torch.zeros(2 * width), torch.full((width,), 0.2)])
        tensors[block + "mixer.in_proj.weight"] = normal(2 * inner, width)
        tensors[block + "mixer.out_proj.weight"] = normal(width, inner)
        for suffix, log in (("", "A_log"), ("_b", "A_b_log")):
            step = torch.exp(torch.empty(inner).uniform_(-6.9, -2.3, generator=generator))
            tensors[f"{block}mixer.conv1d{suffix}.weight"] = normal(inner, 1, 4)
            tensors[f"{block}mixer.conv1d{suffix}.bias"] = torch.zeros(inner)
            tensors[f"{block}mixer.x_proj{suffix}.weight"] = normal(rank + 2 * STATES, inner)
            tensors[f"{block}mixer.dt_proj{suffix}.weight"] = normal(inner, rank)
            tensors[f"{block}mixer.dt_proj{suffix}.bias"] = torch.log(torch.expm1(step))
            tensors[f"{block}mixer.D{suffix}"] = torch.ones(inner)
            tensors[f"{block}mixer.{log}"] = torch.log(
                torch.arange(1, STATES + 1).float()).repeat(inner, 1)
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def write_model(path: Path, options: argparse.Namespace) -> None:
    config = {
        "hidden_size": options.width, "depth": options.depth, "in_channels": 3,
        "learn_sigma": False, "num_classes": CLASSES,
        "input_size": [1, options.side * options.patch, options.side * options.patch],
        "patch_size": [1, options.patch, options.patch], "scan_orders": ["spatial_first"],
        "d_state": STATES, "d_conv": 4, "expand": 2, "dt_rank": "auto", "sigma_data": 0.5,
        "sigma_min": 0.01, "sigma_max": 80
    }
    tensors = {name: tensor.to(torch.bfloat16) for name, tensor in random_weights(config).items()}
    save_file(tensors, path, metadata={"config": json.dumps(config)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--types", nargs="+", default=["w8a8"])
    parser.add_argument("--calibrate", type=int, default=0, help="pictures; 0: a scale a row")
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--depth", type=int, default=24)
    parser.add_argument("--side", type=int, default=32, help="tokens on a side")
    parser.add_argument("--patch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3, help="passes a round")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--prefix", default="", help="command in front, like 'chrt -f 5'")
    options = parser.parse_args()
    program = options.build / "cli" / "gesso"

    def run(*arguments: str) -> str:
        return subprocess.run([*options.prefix.split(), program, *arguments], check=True,
                              capture_output=True, text=True).stdout

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "model.safetensors"
        write_model(model, options)
        columns = {"float32": (model, "float32"), "bfloat16": (model, "bfloat16")}
        for kind in options.types:
            few = folder / f"{kind}.safetensors"
            calibrate = ["--calibrate", str(options.calibrate)] if options.calibrate else []
            print(run("convert", str(model), str(few), "--type", kind, *calibrate).strip())
            columns[kind] = (few, "bfloat16")
        times = {column: [] for column in columns}
        ops = {}
        for _ in range(options.rounds):
            for column, (path, dtype) in columns.items():
                report = json.loads(run("bench", "-m", str(path), "--dtype", dtype, "--repeats",
                                        str(options.repeats), "--json"))
                size = report["sizes"][0]
                if size["ms"] <= min(times[column], default=size["ms"]):
                    ops[column] = size["ops"][:4]
                times[column].append(size["ms"])
        pictures = {}
        for column, (path, dtype) in columns.items():
            out = folder / f"{column}.png"
            run("generate", "-m", str(path), "--dtype", dtype, "--class-label", "7", "--seed", "1",
                "--steps", str(options.steps), "-o", str(out))
            pictures[column] = np.asarray(Image.open(out)).astype(np.float64)
        for column, (path, _) in columns.items():
            error = np.sqrt(np.mean((pictures[column] - pictures["float32"])**2))
            print(json.dumps({
                "weights": column, "ms": round(min(times[column]), 2),
                "file_mib": round(path.stat().st_size / 2**20, 1), "picture_rms": round(error, 2),
                "of_bfloat16": round(min(times[column]) / min(times["bfloat16"]), 3),
                "most_time": {op["op"]: round(op["ms"], 2) for op in ops[column]}
            }))


if __name__ == "__main__":
    main()
