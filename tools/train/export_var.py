"""Writes the averaged weights of the next-scale model and its tokenizer as a model folder.

    python -m tools.train.export_var --cfg-scale 2 --top-k 200 --top-p 0.95

Configs and key names of `transformer/` and `vae/` are those of the official VAR and VQVAE.
"""
import argparse
import json
from pathlib import Path
from typing import Any

import torch

from tools.train.export import export_text, write_index, write_part
from tools.train.train_var import TextToTokens
from tools.train.trainer import ROOT
from tools.train.vqvae import VQVAE


def export_index(folder: Path, defaults: dict[str, Any]) -> None:
    write_index(folder, "VARPipeline",
                {"transformer": ["gesso", "var"], "vae": ["gesso", "vqvae"]}, defaults)


def export_transformer(checkpoint: Path, folder: Path, vae: dict[str, Any]) -> None:
    """Writes the next-scale model and its text encoder; `vae` is the tokenizer's config."""
    state = torch.load(checkpoint, map_location="cpu")
    model = TextToTokens(state["config"], vae)
    model.load_state_dict(state["average"])
    write_part(folder / "transformer", model.var, state["config"]["model"], state)
    export_text(model.encoder, state["config"], folder)


def export_vae(checkpoint: Path, folder: Path) -> None:
    state = torch.load(checkpoint, map_location="cpu")
    vqvae = VQVAE(state["config"]["model"])
    vqvae.load_state_dict(state["average"])
    write_part(folder / "vae", vqvae, state["config"]["model"], state)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path,
                        default=ROOT / "checkpoints" / "demo-var" / "checkpoint.pt")
    parser.add_argument("--vqvae-checkpoint", type=Path,
                        default=ROOT / "checkpoints" / "demo-vqvae" / "checkpoint.pt")
    parser.add_argument("--folder", type=Path, default=ROOT / "assets" / "models" / "demo-var")
    parser.add_argument("--part", choices=("transformer", "vae"), help="write only this one")
    parser.add_argument("--cfg-scale", type=float, default=2.0)
    parser.add_argument("--top-k", type=int, default=200)
    parser.add_argument("--top-p", type=float, default=0.95)
    options = parser.parse_args()
    if options.part != "transformer":
        export_vae(options.vqvae_checkpoint, options.folder)
    if options.part != "vae":
        vae = json.loads((ROOT / "tools" / "train" / "vqvae.json").read_text(encoding="utf-8"))
        export_transformer(options.checkpoint, options.folder, vae["model"])
    export_index(options.folder, {"cfg_scale": options.cfg_scale, "top_k": options.top_k,
                                  "top_p": options.top_p})


if __name__ == "__main__":
    main()
