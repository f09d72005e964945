"""Growing a picture model: twice the side by one more, outer, level.

The inner levels keep their tokens' places and meaning, so what was learnt at the small side stays.
The new layers start such that the inner levels see the picture at half its side.
"""
import re
from typing import Any

import torch
from torch import Tensor

PREFIX = "denoiser.inner."
LEVEL_LISTS = ("down_levels", "up_levels", "merges", "splits")
PER_LEVEL = ("widths", "depths", "self_attns", "cross_attns", "d_ffs", "dropout_rate")


def keep_inner_levels(config: dict[str, Any], levels: int) -> dict[str, Any]:
    """The config of the model made of the last `levels` levels."""
    model = {key: value[-levels:] if key in PER_LEVEL and isinstance(value, list) else value
             for key, value in config["model"].items()}
    return config | {"model": model}


def shift_levels(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """State dict with the levels renumbered for one more outside; ends at the pixels dropped."""
    shifted = {}
    for key, value in state.items():
        name = key.removeprefix(PREFIX)
        if name.startswith(("patch_in.", "patch_out.", "out_norm.")):
            continue
        match = re.match(r"(\w+)\.(\d+)\.(.*)", name)
        if key.startswith(PREFIX) and match and match[1] in LEVEL_LISTS:
            key = f"{PREFIX}{match[1]}.{int(match[2]) + 1}.{match[3]}"
        shifted[key] = value
    return shifted


def enlarged(weight: Tensor, patch: int, channels: int) -> Tensor:
    """Columns [n, patch*patch*channels] of pixels -> [n, 2, 2, patch*patch*channels] of sub-patches
    of the picture of twice the side."""
    pixels = weight.reshape(-1, patch, patch, channels)
    fine = pixels.repeat_interleave(2, 1).repeat_interleave(2, 2)
    return fine.reshape(-1, 2, patch, 2, patch, channels).transpose(2, 3).flatten(3)


def grow_state(old: dict[str, Tensor], new: dict[str, Tensor], patch: int,
               channels: int) -> dict[str, Tensor]:
    """Fills the fresh state dict `new`, one level larger, with what `old` knows."""
    grown = new | shift_levels(old)
    width = new[PREFIX + "patch_in.proj.weight"].shape[0]
    basis = torch.nn.init.orthogonal_(torch.empty(width, patch * patch * channels))
    merge = enlarged(old[PREFIX + "patch_in.proj.weight"], patch, channels) / 4
    shown = old[PREFIX + "patch_out.proj.weight"] * old[PREFIX + "out_norm.scale"]
    split = enlarged(shown.T, patch, channels) @ basis.T
    grown[PREFIX + "patch_in.proj.weight"] = basis
    grown[PREFIX + "merges.0.proj.weight"] = (merge @ basis.T).flatten(1)
    grown[PREFIX + "splits.0.proj.weight"] = split.flatten(1).T.contiguous()
    return grown
