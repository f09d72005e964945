"""Reads exported model folders and lays pictures out on a sheet."""
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from tools.train.bidim import BiDiM
from tools.train.hdit import Denoiser, HDiT
from tools.train.text import TextEncoder, Tokenizer
from tools.train.var import VAR
from tools.train.vqvae import VQVAE


GROUP = 128  # inputs that share a scale in q8, q4 and f8


def load_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of an exported file; weights in q8, q4 (of even numbers of inputs) or f8
    (docs/low_bit.md) widened to float32. Ends with ValueError for the other types of few bits."""
    with safe_open(path, "pt") as file:
        kind = (file.metadata() or {}).get("low_bit")
    stored = load_file(path)
    if kind is None:
        return stored
    if kind not in ("q8", "q4", "f8"):
        raise ValueError(f"{path}: weights in {kind}; of the types in few bits q8, q4 and f8 are "
                         "read")
    weights = {name: value for name, value in stored.items() if f"{name}.scale" not in stored}
    for name in stored.keys() - weights.keys():
        scales = stored[f"{name}.scale"].float().repeat_interleave(GROUP, 1)
        codes = stored[name]
        if kind == "q4":  # two inputs a byte, the first in its low half
            codes = torch.stack([codes & 15, codes >> 4], 2).flatten(1).float() - 8
        weights[name] = codes.float() * scales[:, :codes.shape[1]]
        del weights[f"{name}.scale"]
    return weights


def load_text_encoder(folder: Path) -> TextEncoder:
    """The text encoder (float32, for inference) of an exported folder."""
    config = json.loads((folder / "text_encoder" / "config.json").read_text(encoding="utf-8"))
    encoder = TextEncoder(config)
    # strict=False: the input embedding is stored once, under shared.weight.
    encoder.t5.load_state_dict(load_weights(folder / "text_encoder" / "model.safetensors"),
                               strict=False)
    return encoder.eval()


def load_pipeline(folder: Path, kind: type[HDiT] | type[BiDiM] = HDiT
                  ) -> tuple[Denoiser, TextEncoder, Tokenizer]:
    """The denoiser around a network of this kind, the text encoder (both float32, for inference)
    and the tokenizer of an exported folder."""
    config = json.loads((folder / "denoiser" / "config.json").read_text(encoding="utf-8"))
    inner = kind(config)
    inner.load_state_dict(load_weights(folder / "denoiser" / "model.safetensors"))
    tokenizer = Tokenizer(folder / "tokenizer" / "spiece.model")
    return Denoiser(inner).eval(), load_text_encoder(folder), tokenizer


def load_vqvae(folder: Path) -> VQVAE:
    """The tokenizer (float32, for inference) of an exported next-scale model."""
    vqvae = VQVAE(json.loads((folder / "vae" / "config.json").read_text(encoding="utf-8")))
    vqvae.load_state_dict(load_weights(folder / "vae" / "model.safetensors"))
    return vqvae.eval()


def load_var_pipeline(folder: Path) -> tuple[VAR, VQVAE, TextEncoder, Tokenizer]:
    """The parts (float32, for inference) of an exported next-scale model."""
    vqvae = load_vqvae(folder)
    config = json.loads((folder / "transformer" / "config.json").read_text(encoding="utf-8"))
    var = VAR(config, vqvae.config["vocab_size"], vqvae.config["z_channels"])
    var.load_state_dict(load_weights(folder / "transformer" / "model.safetensors"))
    tokenizer = Tokenizer(folder / "tokenizer" / "spiece.model")
    return var.eval(), vqvae, load_text_encoder(folder), tokenizer


def trained_for(folder: Path) -> tuple[int, int]:
    """Steps and samples that the weights in an exported part's folder have seen."""
    with safe_open(folder / "model.safetensors", "pt") as file:
        return int(file.metadata()["steps"]), int(file.metadata()["samples"])


def to_bytes(pictures: Tensor) -> Tensor:
    """[B, 3, ..., H, W] in [-1, 1] -> uint8 [B, ..., H, W, 3] on the CPU."""
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte().movedim(1, -1).cpu()


def save_sheet(pictures: Tensor, path: Path, columns: int, gap: int = 2) -> None:
    """Writes pictures uint8 [N, S, S, 3] row by row as one PNG."""
    count, side = pictures.shape[0], pictures.shape[1]
    rows, cell = -(-count // columns), side + gap
    sheet = np.full((rows * cell + gap, columns * cell + gap, 3), 128, np.uint8)
    for index, picture in enumerate(pictures.numpy()):
        top, left = gap + index // columns * cell, gap + index % columns * cell
        sheet[top:top + side, left:left + side] = picture
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(path)
