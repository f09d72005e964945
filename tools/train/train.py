"""Trains the text-to-image demo model on scenes, or the one of music on piano rolls.

    python -m tools.train.train --config tools/train/demo.json
    python -m tools.train.train --config tools/train/music.json --folder checkpoints/demo-music
    torchrun --nproc-per-node 2 -m tools.train.train        one process per GPU or CPU core

Goes on from the checkpoint in --folder if there is one, else from --init-from if given. Ends after
the last stage of the config (lengthen it to go on), after --minutes, or on SIGINT or SIGTERM, and
saves each time. Writes into the folder: checkpoint.pt, curve.csv and sheets of pictures made with
the averaged weights.
"""
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from tools.dataset.music import all_captions
from tools.dataset.music_stream import music_loader
from tools.dataset.stream import scene_loader, to_model_range
from tools.train import optim
from tools.train.grow import grow_state, keep_inner_levels
from tools.train.hdit import Denoiser, HDiT, Layer
from tools.train.parallel import Workers
from tools.train.pipeline import load_pipeline, save_sheet, to_bytes
from tools.train.sampling import generate
from tools.train.text import (CaptionReader, TextEncoder, Tokenizer, scene_captions,
                              train_tokenizer)
from tools.train.trainer import ROOT, Trainer, make_trainer, run_until_stopped, training_arguments

TOKENIZER_CAPTIONS = 60000
SHEET_PROMPTS = [
    "a red apple", "a cat", "a blue car", "a frog", "a pizza", "a rocket", "a green owl", "a house",
    "a yellow star", "a guitar", "a purple octopus", "a sailboat", "a pink elephant", "a bell",
    "a penguin", "a black bicycle", "a blue apple on a yellow background",
    "a tree on a blue background",
    "a white rabbit on a green background", "a small carrot", "a red apple and a cat",
    "a dog and a blue balloon", "an apple to the left of a cat", "a fish above a cake",
    "a robot to the right of a green tree", "two red apples", "three green frogs", "four stars",
    "two cats", "a bear, a lemon and a crown", "a big lion and a small key", "a key below a house"]
MUSIC_PROMPTS = [f"a {style} song in {key}" for style in ("pop", "rock", "hymn", "jazz")
                 for key in ("c major", "a minor", "g major", "e flat major")]


@dataclass(frozen=True)
class Source:
    """What a config's dataset.type names."""
    loader: Callable[..., DataLoader]  # of (stage, seed, drawers, read)
    captions: Callable[[int], Iterable[str]]  # of about so many, for the tokenizer
    prompts: list[str]  # of sheets


SOURCES = {"scenes": Source(scene_loader, scene_captions, SHEET_PROMPTS),
           "music": Source(music_loader, lambda _: all_captions(), MUSIC_PROMPTS)}


class TextToImage(nn.Module):
    """Denoiser and text encoder together; the forward pass is the training loss."""

    def __init__(self, inner: nn.Module, text_encoder: dict[str, Any]):
        super().__init__()
        self.denoiser = Denoiser(inner)
        self.encoder = TextEncoder(text_encoder)

    def forward(self, clean: Tensor, noise: Tensor, sigma: Tensor, ids: Tensor,
                mask: Tensor) -> Tensor:
        return self.denoiser.loss(clean, noise, sigma, **self.encoder(ids, mask)).mean()


def compile_each(model: nn.Module, kind: type[nn.Module] | tuple[type[nn.Module], ...]) -> None:
    """Compiles the modules of a kind, each by itself: equal layers share their code, which takes a
    fraction of the time that compiling the whole model does."""
    torch._dynamo.config.recompile_limit = 64  # of layers that differ in width or kind
    for module in model.modules():
        if isinstance(module, kind):
            module.compile(dynamic=False)


def on_cpu(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.cpu() for name, value in module.state_dict().items()}


def take_exported(trainer: Trainer, exported: Path, kind: type[nn.Module]) -> None:
    """Makes a trainer of TextToImage around a network of this kind go on from an exported model."""
    denoiser, encoder, _ = load_pipeline(exported, kind)
    for target in (trainer.model, trainer.average):
        target.denoiser.load_state_dict(denoiser.state_dict())
        target.encoder.load_state_dict(encoder.state_dict())
    trainer.start_at(exported / "denoiser")


def adopt_tokenizer(trainer: Trainer, sentences: Callable[[int], Iterable[str]]) -> None:
    """Gives a trainer the tokenizer that its config names, trained first where it is missing."""
    config, path = trainer.config, ROOT / trainer.config["tokenizer"]
    if not path.exists():
        train_tokenizer(path, config["text_encoder"]["vocab_size"], sentences(TOKENIZER_CAPTIONS))
    trainer.tokenizer = Tokenizer(path)
    trainer.read = CaptionReader(trainer.tokenizer, config["dataset"]["cond_dropout_rate"])


class HDiTTrainer(Trainer):
    def __init__(self, config: dict[str, Any], folder: Path, workers: Workers, drawers: int):
        super().__init__(config, folder, workers, drawers)
        self.source = SOURCES[config["dataset"]["type"]]
        adopt_tokenizer(self, self.source.captions)
        self.build(self.training["stages"][0]["levels"])

    def loader(self, stage: dict[str, Any], seed: int) -> DataLoader:
        return self.source.loader(stage, seed, self.drawers, self.read)

    def build(self, levels: int) -> None:
        """Makes a fresh model of the config's innermost `levels` levels, equal in all workers."""
        torch.manual_seed(levels)
        self.levels = levels
        config = keep_inner_levels(self.config, levels)
        self.adopt(TextToImage(HDiT(config), config["text_encoder"]))
        compile_each(self.model, Layer)

    def grow(self) -> None:
        """Adds an outer level around the model; the average starts anew."""
        old, model = on_cpu(self.average), self.config["model"]
        self.build(self.levels + 1)
        state = grow_state(old, on_cpu(self.model), model["patch_size"][0],
                           model["input_channels"])
        self.model.load_state_dict(state)
        self.average.load_state_dict(state)
        self.grown_at = self.step

    def enter_stage(self, stage: dict[str, Any]) -> None:
        if stage["levels"] > self.levels:
            self.grow()

    def state(self) -> dict[str, Any]:
        config = keep_inner_levels(self.config, self.levels)
        return super().state() | {"levels": self.levels, "config": config}

    def prepare_restore(self, state: dict[str, Any]) -> None:
        self.build(state["levels"])

    def start_from(self, exported: Path) -> None:
        self.build(len(self.config["model"]["widths"]))
        take_exported(self, exported, HDiT)

    def loss(self, pictures: Tensor, text: tuple[Tensor, Tensor], stage: dict[str, Any]) -> Tensor:
        ids, mask = (t.to(self.device, non_blocking=True) for t in text)
        clean = to_model_range(pictures)
        noise = optim.nearest_noise(clean, self.training["noise_candidates"])
        sigma = optim.sample_sigmas(len(clean), stage["side"], self.config["model"], self.device)
        return self.model(clean, noise, sigma, ids, mask)

    def write_sheet(self, stage: dict[str, Any]) -> None:
        with self.workers.autocast():
            pictures = generate(self.average.denoiser, self.average.encoder, self.tokenizer,
                                self.source.prompts, stage["side"], steps=15)
        save_sheet(to_bytes(pictures), self.folder / f"sheet-{self.samples:08}.png", columns=8)


def main() -> None:
    parser = training_arguments(__doc__.splitlines()[0], Path(__file__).with_name("demo.json"),
                                ROOT / "checkpoints" / "demo-hdit")
    options = parser.parse_args()
    trainer = make_trainer(HDiTTrainer, options)
    run_until_stopped(trainer, options)


if __name__ == "__main__":
    main()
