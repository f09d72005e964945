"""Trains the text-to-image demo model on scenes.

    python -m tools.train.train --config tools/train/demo.json
    torchrun --nproc-per-node 2 -m tools.train.train        one process per GPU or CPU core

Goes on from the checkpoint in --folder if there is one, else from --init-from if given. Ends after
the last stage of the config (lengthen it to go on), after --minutes, or on SIGINT or SIGTERM, and
saves each time. Writes into the folder: checkpoint.pt, curve.csv and sheets of pictures made with
the averaged weights.
"""
import argparse
import copy
import csv
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tools.dataset.stream import scene_loader, to_model_range
from tools.train import optim
from tools.train.grow import grow_state, keep_inner_levels
from tools.train.hdit import Denoiser, HDiT
from tools.train.parallel import Workers
from tools.train.pipeline import load_pipeline, save_sheet, trained_for
from tools.train.sampling import generate
from tools.train.text import TextEncoder, Tokenizer, train_tokenizer

ROOT = Path(__file__).parents[2]
SHEET_PROMPTS = [
    "a red apple", "a cat", "a blue car", "a frog", "a pizza", "a rocket", "a green owl", "a house",
    "a yellow star", "a guitar", "a purple octopus", "a sailboat", "a pink elephant", "a bell",
    "a penguin", "a black bicycle", "a blue apple on a yellow background",
    "a tree on a blue background",
    "a white rabbit on a green background", "a small carrot", "a red apple and a cat",
    "a dog and a blue balloon", "an apple to the left of a cat", "a fish above a cake",
    "a robot to the right of a green tree", "two red apples", "three green frogs", "four stars",
    "two cats", "a bear, a lemon and a crown", "a big lion and a small key", "a key below a house"]
CURVE_COLUMNS = ("step", "samples", "stage", "side", "learning_rate", "loss", "seconds")


class TextToImage(nn.Module):
    """Denoiser and text encoder together; the forward pass is the training loss."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        self.denoiser = Denoiser(HDiT(config))
        self.encoder = TextEncoder(config["text_encoder"])

    def forward(self, clean: Tensor, noise: Tensor, sigma: Tensor, ids: Tensor,
                mask: Tensor) -> Tensor:
        return self.denoiser.loss(clean, noise, sigma, **self.encoder(ids, mask)).mean()


class Trainer:
    def __init__(self, config: dict[str, Any], folder: Path, workers: Workers, drawers: int):
        self.config, self.folder, self.workers, self.drawers = config, folder, workers, drawers
        self.device = workers.device
        self.training = config["training"]
        tokenizer = ROOT / config["tokenizer"]
        if not tokenizer.exists():
            train_tokenizer(tokenizer, config["text_encoder"]["vocab_size"])
        self.tokenizer = Tokenizer(tokenizer)
        self.build(self.training["stages"][0]["levels"])
        self.step = self.samples = self.grown_at = 0
        self.seconds = 0.0
        self.stop = self.ended = False  # asked to end here; agreed by all workers
        folder.mkdir(parents=True, exist_ok=True)

    def build(self, levels: int) -> None:
        """Makes a fresh model of the config's innermost `levels` levels, equal in all workers."""
        torch.manual_seed(levels)
        self.levels = levels
        self.model = TextToImage(keep_inner_levels(self.config, levels)).to(self.device)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.optimizers = optim.make_optimizers(self.model, self.training, self.workers)
        self.loss_function = torch.compile(self.model, dynamic=False)

    def grow(self) -> None:
        """Adds an outer level around the model; the average starts anew."""
        old, model = self.average.state_dict(), self.config["model"]
        self.build(self.levels + 1)
        state = grow_state(old, self.model.state_dict(), model["patch_size"][0],
                           model["input_channels"])
        self.model.load_state_dict(state)
        self.average.load_state_dict(state)
        self.grown_at = self.step

    def state(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "average": self.average.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "levels": self.levels, "grown_at": self.grown_at,
                "step": self.step, "samples": self.samples, "seconds": self.seconds,
                "config": keep_inner_levels(self.config, self.levels)}

    def save(self) -> None:
        """Writes beside the old checkpoint, then renames, so that one is always whole."""
        if self.workers.rank:
            return
        partial = self.folder / "checkpoint.part"
        torch.save(self.state(), partial)
        os.replace(partial, self.folder / "checkpoint.pt")

    def restore(self) -> None:
        """Goes on from the folder's checkpoint."""
        state = torch.load(self.folder / "checkpoint.pt", map_location=self.device)
        self.build(state["levels"])
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.samples = state["step"], state["samples"]
        self.seconds, self.grown_at = state["seconds"], state["grown_at"]

    def start_from(self, exported: Path) -> None:
        """Goes on from exported weights, at their place in the config's stages."""
        self.build(len(self.config["model"]["widths"]))
        denoiser, encoder, _ = load_pipeline(exported)
        for target in (self.model, self.average):
            target.denoiser.load_state_dict(denoiser.state_dict())
            target.encoder.load_state_dict(encoder.state_dict())
        self.step, self.samples = trained_for(exported)
        self.grown_at = self.step

    def train_step(self, pictures: Tensor, captions: list[str], side: int) -> Tensor:
        """pictures uint8 [B, side, side, 3] -> the loss, not yet waited for."""
        rate = self.config["dataset"]["cond_dropout_rate"]
        dropped = torch.rand(len(captions)) < rate
        captions = ["" if drop else caption for drop, caption in zip(dropped, captions)]
        ids, mask = (t.to(self.device) for t in self.tokenizer(captions))
        clean = to_model_range(pictures.to(self.device, non_blocking=True))
        noise = optim.nearest_noise(clean, self.training["noise_candidates"])
        sigma = optim.sample_sigmas(len(captions), side, self.config["model"], self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.workers.has_bf16()):
            loss = self.loss_function(clean, noise, sigma, ids, mask)
        loss.backward()
        gradients = [p.grad for p in self.model.parameters()]
        self.workers.sum(gradients)
        torch._foreach_div_(gradients, self.workers.count)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        optim.update_average(self.average, self.model, self.step - self.grown_at,
                             self.training["ema_power"])
        return loss.detach()

    def train_stage(self, stage: dict[str, Any], first: int, begin: float,
                    deadline: float) -> None:
        """Trains to the end of a stage whose first sample is number `first`.

        The last stage's learning rate also falls with time, to reach its end by the deadline.
        """
        if stage["levels"] > self.levels:
            self.grow()
        torch.manual_seed(self.samples + self.workers.rank)
        losses: list[Tensor] = []
        start, last = time.monotonic(), first + stage["samples"]
        batch = stage["batch"] // self.workers.count
        loader = iter(scene_loader(stage | {"batch": batch}, self.samples + self.workers.rank,
                                   self.drawers))
        while self.samples < last and not self.ended:
            pictures, captions, _ = next(loader)
            progress = (self.samples - first) / stage["samples"]
            if stage is self.training["stages"][-1]:
                progress = max(progress, (time.monotonic() - begin) / (deadline - begin))
            rate = self.training["lr"] * blend(stage["lr"], progress)
            optim.set_learning_rate(self.optimizers, rate)
            losses.append(self.train_step(pictures, captions, stage["side"]))
            self.ended = self.workers.any(self.stop or time.monotonic() > deadline)
            self.step += 1
            self.samples += batch * self.workers.count
            if len(losses) == self.training["log_every"]:
                now = time.monotonic()
                self.seconds += now - start
                self.log(stage, rate, torch.stack(losses).mean().item(), now - start)
                losses, start = [], now
            if self.step % self.training["save_every"] == 0:
                self.save()
            if self.step % self.training["sheet_every"] == 0 and self.workers.rank == 0:
                self.write_sheet(stage["side"])

    def log(self, stage: dict[str, Any], rate: float, loss: float, seconds: float) -> None:
        if self.workers.rank:
            return
        path = self.folder / "curve.csv"
        fresh = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(CURVE_COLUMNS)
            writer.writerow([self.step, self.samples, stage["name"], stage["side"], f"{rate:.3e}",
                             f"{loss:.6f}", f"{self.seconds:.0f}"])
        speed = self.training["log_every"] * stage["batch"] / seconds
        print(f"{stage['name']}: step {self.step} samples {self.samples} loss {loss:.5f} "
              f"lr {rate:.1e} {speed:.0f} samples/s", flush=True)

    def write_sheet(self, side: int) -> None:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.workers.has_bf16()):
            pictures = generate(self.average.denoiser, self.average.encoder, self.tokenizer,
                                SHEET_PROMPTS, side, steps=15)
        save_sheet(pictures, self.folder / f"sheet-{self.samples:08}.png", columns=8)

    def run(self, minutes: float) -> None:
        begin, first = time.monotonic(), 0
        for stage in self.training["stages"]:
            if self.samples < first + stage["samples"] and not self.ended:
                self.train_stage(stage, first, begin, begin + 60 * minutes)
            first += stage["samples"]
        self.save()


def blend(ends: list[float], progress: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * progress


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("demo.json"))
    parser.add_argument("--folder", type=Path, default=ROOT / "checkpoints" / "demo-hdit")
    parser.add_argument("--init-from", type=Path, help="exported model to start from")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--drawers", type=int, default=0, help="processes that draw scenes")
    options = parser.parse_args()
    config = json.loads(options.config.read_text(encoding="utf-8"))
    trainer = Trainer(config, options.folder, Workers(options.device), options.drawers)
    if (options.folder / "checkpoint.pt").exists():
        trainer.restore()
    elif options.init_from:
        trainer.start_from(options.init_from)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: setattr(trainer, "stop", True))
    trainer.run(options.minutes)


if __name__ == "__main__":
    main()
