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


SAMPLING = {"sampling_method": "dpmpp_2m", "scheduler": "karras"}


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


def write_index(folder: Path, pipeline: str, parts: dict[str, list[str]],
                defaults: dict[str, Any]) -> None:
    """Writes model_index.json of a text model whose other parts are `parts`."""
    write_json(folder / "model_index.json", {
        "_class_name": pipeline, **parts,
        "text_encoder": ["transformers", "T5EncoderModel"],
        "tokenizer": ["sentencepiece", "T5"],
        "defaults": defaults})


def write_part(folder: Path, module: nn.Module, config: dict[str, Any],
               state: dict[str, Any]) -> None:
    """Writes config and weights of one part of a training checkpoint's model."""
    text = write_json(folder / "config.json", config)
    trained = {"samples": str(state["samples"]), "steps": str(state["step"])}
    save_file(halved(module), folder / "model.safetensors", metadata={"config": text, **trained})


def export_diffusion(state: dict[str, Any], inner: nn.Module, config: dict[str, Any],
                     folder: Path) -> None:
    """Writes the averaged weights of a checkpoint of TextToImage around the network `inner`, of
    which `config` is the exported config."""
    model = TextToImage(inner, state["config"]["text_encoder"])
    model.load_state_dict(state["average"])
    write_part(folder / "denoiser", model.denoiser.inner, config, state)
    export_text(model.encoder, state["config"], folder)


def export(checkpoint: Path, folder: Path, steps: int, cfg_scale: float) -> None:
    state = torch.load(checkpoint, map_location="cpu")
    config = state["config"]
    side = config["model"]["input_size"][0]
    write_index(folder, "HourglassDiffusionPipeline", {"denoiser": ["gesso", "hdit"]},
                {"width": side, "height": side, "steps": steps, "cfg_scale": cfg_scale, **SAMPLING})
    export_diffusion(state, HDiT(config),
                     {"model": config["model"], "dataset": config["dataset"]}, folder)


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
