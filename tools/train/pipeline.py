"""Reads an exported model folder and lays pictures out on a sheet."""
import json
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from tools.train.hdit import Denoiser, HDiT
from tools.train.text import TextEncoder, Tokenizer


def load_pipeline(folder: Path) -> tuple[Denoiser, TextEncoder, Tokenizer]:
    """The denoiser, text encoder (float32, for inference) and tokenizer of an exported folder."""
    config = json.loads((folder / "denoiser" / "config.json").read_text(encoding="utf-8"))
    inner = HDiT(config)
    inner.load_state_dict(load_file(folder / "denoiser" / "model.safetensors"))
    text_config = json.loads((folder / "text_encoder" / "config.json").read_text(encoding="utf-8"))
    encoder = TextEncoder(text_config)
    # strict=False: the input embedding is stored once, under shared.weight.
    encoder.t5.load_state_dict(load_file(folder / "text_encoder" / "model.safetensors"),
                               strict=False)
    tokenizer = Tokenizer(folder / "tokenizer" / "spiece.model")
    return Denoiser(inner).eval(), encoder.eval(), tokenizer


def trained_for(folder: Path) -> tuple[int, int]:
    """Steps and samples that the weights of an exported folder have seen."""
    with safe_open(folder / "denoiser" / "model.safetensors", "pt") as file:
        return int(file.metadata()["steps"]), int(file.metadata()["samples"])


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
