"""Writes the averaged weights of a training checkpoint as the model folder that gesso reads.

    python -m tools.train.export --steps 20 --cfg-scale 2

The folder is laid out like a diffusers pipeline; the denoiser's config and key names are those of
k-diffusion, the text encoder's those of Hugging Face's T5EncoderModel.
"""
import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import T5Config

from tools.train.hdit import HDiT
from tools.train.text import TextEncoder
from tools.train.train import TextToImage
from tools.train.trainer import ROOT


def halved(module: nn.Module) -> dict[str, Tensor]:
    """State dict with parameters in bfloat16 and buffers, whose rounding would show, in float32."""
    buffers = {name for name, _ in module.named_buffers()}
    return {name: (tensor.float() if name in buffers else tensor.bfloat16()).contiguous()
            for name, tensor in module.state_dict().items()}


def write_json(path: Path, content: dict[str, Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=2) + "\n"
    path.write_text(text, encoding="utf-8")
    return text


def export_text(encoder: TextEncoder, config: dict[str, Any], folder: Path) -> None:
    """Writes text_encoder/ and tokenizer/ of a training config's model."""
    t5_config = T5Config(**config["text_encoder"], architectures=["T5EncoderModel"])
    write_json(folder / "text_encoder" / "config.json", t5_config.to_dict())
    t5 = halved(encoder.t5)
    del t5["encoder.embed_tokens.weight"]  # the same tensor as shared.weight
    save_file(t5, folder / "text_encoder" / "model.safetensors", metadata={"format": "pt"})
    tokenizer = folder / "tokenizer" / "spiece.model"
    tokenizer.parent.mkdir(exist_ok=True)
    if tokenizer != ROOT / config["tokenizer"]:
        shutil.copyfile(ROOT / config["tokenizer"], tokenizer)


def export(checkpoint: Path, folder: Path, steps: int, cfg_scale: float) -> None:
    state = torch.load(checkpoint, map_location="cpu")
    config = state["config"]
    model = TextToImage(HDiT(config), config["text_encoder"])
    model.load_state_dict(state["average"])
    side = config["model"]["input_size"][0]
    write_json(folder / "model_index.json", {
        "_class_name": "HourglassDiffusionPipeline",
        "denoiser": ["gesso", "hdit"],
        "text_encoder": ["transformers", "T5EncoderModel"],
        "tokenizer": ["sentencepiece", "T5"],
        "defaults": {"width": side, "height": side, "steps": steps, "cfg_scale": cfg_scale,
                     "sampling_method": "dpmpp_2m", "scheduler": "karras"}})
    text = write_json(folder / "denoiser" / "config.json",
                      {"model": config["model"], "dataset": config["dataset"]})
    trained = {"samples": str(state["samples"]), "steps": str(state["step"])}
    save_file(halved(model.denoiser.inner), folder / "denoiser" / "model.safetensors",
              metadata={"config": text, **trained})
    export_text(model.encoder, config, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path,
                        default=ROOT / "checkpoints" / "demo-hdit" / "checkpoint.pt")
    parser.add_argument("--folder", type=Path, default=ROOT / "assets" / "models" / "demo-hdit")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--cfg-scale", type=float, default=2.0)
    options = parser.parse_args()
    export(options.checkpoint, options.folder, options.steps, options.cfg_scale)


if __name__ == "__main__":
    main()
