"""Writes the averaged weights of a bidirectional Mamba's checkpoint as the folder gesso reads.

    python -m tools.train.export_bidim                                  assets/models/demo-video
    python -m tools.train.export_bidim --checkpoint checkpoints/demo-dim/checkpoint.pt \
        --folder assets/models/demo-dim

The denoiser's config is that of the parity cases of bidim, with the fields of text and noise.
"""
import argparse
from pathlib import Path

import torch

from tools.train.bidim import BiDiM
from tools.train.export import SAMPLING, export_diffusion, write_index
from tools.train.trainer import ROOT


def export(checkpoint: Path, folder: Path, steps: int, cfg_scale: float, fps: int) -> None:
    state = torch.load(checkpoint, map_location="cpu")
    config = state["config"]["model"]
    frames, height, width = config["input_size"]
    video = {"frames": frames, "fps": fps} if frames > 1 else {}
    write_index(folder, "BidirectionalMambaPipeline", {"denoiser": ["gesso", "bidim"]},
                {"width": width, "height": height, **video, "steps": steps, "cfg_scale": cfg_scale,
                 **SAMPLING})
    export_diffusion(state, BiDiM(config), config, folder)


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
