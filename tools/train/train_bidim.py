"""Trains the bidirectional Mamba demo models: of clips, or of pictures on the scenes of HDiT.

    python -m tools.train.train_bidim --config tools/train/video.json --minutes 5 --drawers 14
    python -m tools.train.train_bidim --config tools/train/dim.json --minutes 5 --drawers 14

Goes on from the checkpoint in --folder if there is one, else from --init-from if given. Ends after
the last stage of the config, after --minutes, or on SIGINT or SIGTERM, and saves each time. A video
config begins with stages of single frames, which cost a sixteenth. The tokenizer is trained first where it is missing.
"""
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers.models.t5.modeling_t5 import T5Block

from tools.dataset.motion import clip_captions, clip_loader
from tools.dataset.stream import to_model_range
from tools.train import optim
from tools.train.bidim import BiDiM, Block
from tools.train.parallel import Workers
from tools.train.pipeline import load_text_encoder, save_sheet, to_bytes
from tools.train.sampling import generate_clips
from tools.train.text import scene_captions
from tools.train.train import (SHEET_PROMPTS, TextToImage, adopt_tokenizer, compile_each,
                               take_exported)
from tools.train.trainer import ROOT, Trainer, make_trainer, run_until_stopped, training_arguments

CLIP_PROMPTS = [
    "a cat moves to the left", "a car moves to the right", "a rocket moves up",
    "an apple moves down", "a soccer ball bounces", "a star spins", "a frog grows",
    "a banana shrinks", "a ladybug orbits", "a fish moves to the left on a yellow background",
    "a ball bounces", "a car bounces"]


class BidimTrainer(Trainer):
    def __init__(self, config: dict[str, Any], folder: Path, workers: Workers, drawers: int):
        super().__init__(config, folder, workers, drawers)
        self.frames = config["model"]["input_size"][0]
        adopt_tokenizer(self, clip_captions if self.frames > 1 else scene_captions)
        torch.manual_seed(0)
        model = TextToImage(BiDiM(config["model"]), config["text_encoder"])
        if "text_encoder_from" in config:  # a folder whose words are known already
            known = load_text_encoder(ROOT / config["text_encoder_from"])
            model.encoder.load_state_dict(known.state_dict())
        self.adopt(model)

    def start_from(self, exported: Path) -> None:
        take_exported(self, exported, BiDiM)

    def loader(self, stage: dict[str, Any], seed: int) -> DataLoader:
        if self.frames == 1:
            return super().loader(stage, seed)
        return clip_loader(stage, seed, self.drawers, self.read)

    def loss(self, pictures: Tensor, text: tuple[Tensor, Tensor], stage: dict[str, Any]) -> Tensor:
        """pictures uint8 [B, side, side, 3] or clips [B, F, side, side, 3]."""
        ids, mask = (t.to(self.device, non_blocking=True) for t in text)
        clips = pictures[:, None] if pictures.ndim == 4 else pictures
        clean = to_model_range(clips).contiguous()
        noise = optim.nearest_noise(clean, self.training["noise_candidates"])
        sigma = optim.sample_sigmas(len(clean), stage["side"], self.config["model"],
                                    self.device)
        return self.model(clean, noise, sigma, ids, mask)

    def write_sheet(self, stage: dict[str, Any]) -> None:
        """A clip a row, or eight pictures a row."""
        prompts = CLIP_PROMPTS if self.frames > 1 else SHEET_PROMPTS
        with self.workers.autocast():
            clips = generate_clips(self.average.denoiser, self.average.encoder, self.tokenizer,
                                   prompts, steps=15)
        pictures = to_bytes(clips).flatten(0, 1)
        columns = self.frames if self.frames > 1 else 8
        save_sheet(pictures, self.folder / f"sheet-{self.samples:08}.png", columns)


def main() -> None:
    parser = training_arguments(__doc__.splitlines()[0], Path(__file__).with_name("video.json"),
                                ROOT / "checkpoints" / "demo-video")
    parser.add_argument("--no-compile", action="store_true", help="run the blocks as they are")
    options = parser.parse_args()
    trainer = make_trainer(BidimTrainer, options)
    if not options.no_compile:
        compile_each(trainer.model, Block)
        compile_each(trainer.model, T5Block)
    run_until_stopped(trainer, options)


if __name__ == "__main__":
    main()
