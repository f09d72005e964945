"""Makes the PyTorch files beside it, which tests/models/io_torch_zip_test.cpp reads.

Needs torch: python make.py
"""

import argparse
import os
from pathlib import Path

import torch

HERE = Path(__file__).parent


def training_checkpoint():
    """As k-diffusion's train.py saves one: config, weights, averaged weights, optimizer."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(6.0).reshape(2, 3) / 4)
        layer.bias.fill_(-1.5)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=1e-3)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return {
        "config": {"model": {"type": "image_transformer_v2", "widths": [128, 256], "rate": 0.5}},
        "model": layer.state_dict(),
        "model_ema": {"layer": {"weight": torch.arange(6.0).reshape(2, 3) / 8}},
        "opt": optimizer.state_dict(),
        "args": argparse.Namespace(name="small", seed=2**40, dtype=torch.bfloat16),
        "step": 7,
        "note": "a plain text",
        "none": None,
    }


def views():
    """Every way in which a tensor lies in its storage, and every element type."""
    base = torch.arange(24.0).reshape(2, 3, 4)
    numbers = [1, 0, 2, 127]
    return {
        "base": base,
        "transposed": base.permute(2, 0, 1),
        "slice": base[1, 1:],
        "columns": base[:, :, 1::2],
        "expanded": torch.tensor([5.0, 6.0]).reshape(2, 1).expand(2, 3),
        "channels_last": torch.arange(16.0).reshape(1, 2, 2, 4).contiguous(
            memory_format=torch.channels_last),
        "parameter": torch.nn.Parameter(torch.tensor([1.25, -2.0])),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "list": [torch.tensor([1.0]), "between", torch.tensor([2.0])],
        "f16": torch.tensor([0.5, -1.5, 65504.0], dtype=torch.float16),
        "bf16": torch.tensor([0.5, -1.5, 3e38], dtype=torch.bfloat16),
        "f16_transposed": torch.arange(6.0).half().reshape(2, 3).t(),
        "f64": torch.tensor([1 / 3], dtype=torch.float64),
        "i64": torch.tensor([-(2**40)]),
        "i32": torch.tensor(numbers, dtype=torch.int32),
        "i16": torch.tensor(numbers, dtype=torch.int16),
        "i8": torch.tensor(numbers, dtype=torch.int8),
        "u8": torch.tensor(numbers, dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
    }


class Malicious:
    def __reduce__(self):
        return os.system, ("touch /tmp/gesso-was-executed",)


def main():
    torch.save(training_checkpoint(), HERE / "training.pth")
    torch.save(views(), HERE / "views.pth")
    torch.save(views(), HERE / "views_protocol4.pth", pickle_protocol=4)
    torch.save({"w": torch.zeros(1), "x": Malicious()}, HERE / "malicious.pth")
    torch.save({"w": torch.zeros(1).to(torch.float8_e4m3fn)}, HERE / "float8.pth")
    torch.save({"w": torch.zeros(1)}, HERE / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), HERE / "script.pt")


main()
