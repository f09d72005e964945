"""Writes the averaged weights of the next-scale model and its tokenizer as a model folder.

    python -m tools.train.export_var --cfg-scale 2 --top-k 200 --top-p 0.95

Configs and key names of `transformer/` and `vae/` are those of the official VAR and VQVAE.
"""
import argparse
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tools.train.export import export_text, halved, write_json
from tools.train.train_var import TextToTokens
from tools.train.trainer import ROOT
from tools.train.vqvae import VQVAE


def export(checkpoint: Path, vqvae_checkpoint: Path, folder: Path,
           defaults: dict[str, Any]) -> None:
    state = torch.load(checkpoint, map_location="cpu")
    vae_state = torch.load(vqvae_checkpoint, map_location="cpu")
    config, vae = state["config"], vae_state["config"]["model"]
    model, vqvae = TextToTokens(config, vae), VQVAE(vae)
    model.load_state_dict(state["average"])
    vqvae.load_state_dict(vae_state["average"])
    side = vae["v_patch_nums"][-1] * 2 ** (len(vae["ch_mult"]) - 1)
    write_json(folder / "model_index.json", {
        "_class_name": "VARPipeline",
        "transformer": ["gesso", "var"],
        "vae": ["gesso", "vqvae"],
        "text_encoder": ["transformers", "T5EncoderModel"],
        "tokenizer": ["sentencepiece", "T5"],
        "defaults": {"width": side, "height": side, **defaults}})
    write_part(folder / "transformer", model.var, config["model"], state)
    write_part(folder / "vae", vqvae, vae, vae_state)
    export_text(model.encoder, config, folder)


def write_part(folder: Path, module: torch.nn.Module, config: dict[str, Any],
               state: dict[str, Any]) -> None:
    text = write_json(folder / "config.json", config)
    trained = {"samples": str(state["samples"]), "steps": str(state["step"])}
    save_file(halved(module), folder / "model.safetensors", metadata={"config": text, **trained})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path,
                        default=ROOT / "checkpoints" / "demo-var" / "checkpoint.pt")
    parser.add_argument("--vqvae-checkpoint", type=Path,
                        default=ROOT / "checkpoints" / "demo-vqvae" / "checkpoint.pt")
    parser.add_argument("--folder", type=Path, default=ROOT / "assets" / "models" / "demo-var")
    parser.add_argument("--cfg-scale", type=float, default=2.0)
    parser.add_argument("--top-k", type=int, default=200)
    parser.add_argument("--top-p", type=float, default=0.95)
    options = parser.parse_args()
    export(options.checkpoint, options.vqvae_checkpoint, options.folder, {
        "cfg_scale": options.cfg_scale, "top_k": options.top_k, "top_p": options.top_p})


if __name__ == "__main__":
    main()
