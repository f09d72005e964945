#!/usr/bin/env python3
"""Writes demo-var with one more scale, of 23 x 23 tokens: twice those of its largest. Its trained
weights stay; the places and the level of the new tokens are random, so its pictures are for timing
only.

    python3 bench/larger_demo.py FOLDER
"""
import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

DEMO = Path(__file__).resolve().parent.parent / "assets" / "models" / "demo-var"
SIDE = 23


def write_larger_demo(folder: Path) -> None:
    shutil.copytree(DEMO, folder)
    for part, key in (("transformer", "patch_nums"), ("vae", "v_patch_nums")):
        path = folder / part / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        config[key].append(SIDE)
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    path = folder / "transformer" / "model.safetensors"
    weights = load_file(path)
    generator = torch.Generator().manual_seed(0)
    for name, rows, axis in (("pos_1LC", SIDE**2, 1), ("lvl_embed.weight", 1, 0)):
        shape = list(weights[name].shape)
        shape[axis] = rows
        more = torch.randn(shape, generator=generator) * weights[name].float().std()
        weights[name] = torch.cat([weights[name], more.to(weights[name])], axis)
    save_file(weights, path)


if __name__ == "__main__":
    write_larger_demo(Path(sys.argv[1]))
