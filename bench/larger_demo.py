#!/usr/bin/env python3
"""Writes demo-var with two more scales, of 20 x 20 and 23 x 23 tokens: the last has twice those of
its own largest, and none grows by more than a third, as in the published schedules. Its trained
weights stay; the places of the new tokens lie between those of the largest map, whose level they
share, as pictures beyond a model's own size are made without training.

    python3 bench/larger_demo.py FOLDER
"""
import json
import shutil
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

DEMO = Path(__file__).resolve().parent.parent / "assets" / "models" / "demo-var"
SIDES = (20, 23)


def write_larger_demo(folder: Path) -> None:
    shutil.copytree(DEMO, folder)
    for part, key in (("vae", "v_patch_nums"), ("transformer", "patch_nums")):
        path = folder / part / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        own = config[key][-1]
        config[key] += SIDES
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    path = folder / "transformer" / "model.safetensors"
    weights = load_file(path)
    places, levels = weights["pos_1LC"], weights["lvl_embed.weight"]
    largest = places[:, -own**2:].float().transpose(1, 2).unflatten(2, (own, own))
    more = [F.interpolate(largest, size=(side, side), mode="bicubic").flatten(2).transpose(1, 2)
            for side in SIDES]
    weights["pos_1LC"] = torch.cat([places, *(part.to(places) for part in more)], 1)
    weights["lvl_embed.weight"] = torch.cat([levels, *[levels[-1:]] * len(SIDES)])
    save_file(weights, path)


if __name__ == "__main__":
    write_larger_demo(Path(sys.argv[1]))
