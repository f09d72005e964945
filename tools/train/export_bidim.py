"""Writes the averaged weights of a bidirectional Mamba's checkpoint as the folder gesso reads.

    python -m tools.train.export_bidim                                  assets/models/demo-video
    python -m tools.train.export_bidim --checkpoint checkpoints/demo-dim/checkpoint.pt \
        --folder assets/models/demo-dim

The denoiser's config is that of the parity cases of bidim, with the fields of text and noise.
"""
import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

from tools.train.bidim import BiDiM
from tools.train.export import export_text, halved, write_json
from tools.train.train import TextToImage
from tools.train.trainer import ROOT


def export(checkpoint: Path, folder: Path, steps: int, cfg_scale: float, fps: int) -> None:
    state = torch.load(checkpoint, map_location="cpu")
    config = state["config"]
    model = TextToImage(BiDiM(config["model"]), config["text_encoder"])
    model.load_state_dict(state["average"])
    frames, height, width = config["model"]["input_size"]
    video = {"frames": frames, "fps": fps} if frames > 1 else {}
    write_json(folder / "model_index.json", {
        "_class_name": "BidirectionalMambaPipeline",
        "denoiser": ["gesso", "bidim"],
        "text_encoder": ["transformers", "T5EncoderModel"],
        "tokenizer": ["sentencepiece", "T5"],
        "defaults": {"width": width, "height": height, **video, "steps": steps,
                     "cfg_scale": cfg_scale, "sampling_method": "dpmpp_2m",
                     "scheduler": "karras"}})
    text = write_json(folder / "denoiser" / "config.json", config["model"])
    trained = {"samples": str(state["samples"]), "steps": str(state["step"])}
    save_file(halved(model.denoiser.inner), folder / "denoiser" / "model.safetensors",
              metadata={"config": text, **trained})
    export_text(model.encoder, config, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path,
                        default=ROOT / "checkpoints" / "demo-video" / "checkpoint.pt")
    parser.add_argument("--folder", type=Path, default=ROOT / "assets" / "models" / "demo-video")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--cfg-scale", type=float, default=2.0)
    parser.add_argument("--fps", type=int, default=8)
    options = parser.parse_args()
    export(options.checkpoint, options.folder, options.steps, options.cfg_scale, options.fps)


if __name__ == "__main__":
    main()
