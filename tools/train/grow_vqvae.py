"""Growing a tokenizer: pictures of twice the side for the same tokens, by one more, outer, level.

The grown encoder is the old one behind a halving of the picture, and the grown decoder at first
doubles the old one's pictures, both exactly. That needs outermost convolutions that look at single
pixels (keep_pixelwise). Tokens stay what they are, so a next-scale model can learn from the small
tokenizer while the decoder learns the finer details.
"""
import re
from typing import Any

import torch
from torch import Tensor

from tools.train.vqvae import VQVAE

LEVEL = re.compile(r"(encoder\.down|decoder\.up)\.(\d+)\.(.*)")


def inner_levels(config: dict[str, Any], levels: int) -> dict[str, Any]:
    """The config of the tokenizer made of the last `levels` levels."""
    return config | {"ch_mult": config["ch_mult"][-levels:]}


@torch.no_grad()
def keep_pixelwise(model: VQVAE) -> None:
    """Leaves of the 3x3 kernels that read and write pixels the centres only."""
    for conv in (model.encoder.conv_in, model.decoder.conv_out):
        centre = conv.weight[..., 1:2, 1:2].clone()
        conv.weight.zero_()[..., 1:2, 1:2] = centre


def grow_state(old: dict[str, Tensor], new: dict[str, Tensor]) -> dict[str, Tensor]:
    """Fills the fresh state dict `new`, one level larger and as wide outside, with what `old`
    knows."""
    grown = dict(new)
    for key, value in old.items():
        match = LEVEL.match(key)
        grown[f"{match[1]}.{int(match[2]) + 1}.{match[3]}" if match else key] = value
    for key, value in new.items():
        if re.match(r"(encoder\.down|decoder\.up)\.0\.block\.\d+\.conv2\.", key):
            grown[key] = torch.zeros_like(value)  # the block passes its input on
    channels = new["encoder.conv_in.bias"].shape[0]
    identity = torch.eye(channels)
    halving = torch.zeros(channels, channels, 3, 3)
    halving[..., :2, :2] = identity[..., None, None] / 4
    doubling = torch.zeros(channels, channels, 3, 3)
    doubling[..., 1, 1] = identity
    for name, weight in (("encoder.down.0.downsample.conv", halving),
                         ("decoder.up.1.upsample.conv", doubling)):
        grown[f"{name}.weight"], grown[f"{name}.bias"] = weight, torch.zeros(channels)
    return grown
