"""What every training has: stages, checkpoints, a curve, sheets, and an end when asked for."""
import argparse
import copy
import csv
import json
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from tools.dataset.stream import scene_loader
from tools.train import optim
from tools.train.pipeline import trained_for
from tools.train.parallel import Workers

ROOT = Path(__file__).parents[2]
CURVE_COLUMNS = ("step", "samples", "stage", "side", "learning_rate", "loss", "seconds")


class Trainer(ABC):
    """Trains `model` by the config's stages and keeps its moving average.

    A kind of model says how it is built, what its loss is and what its sheets show, and by `read`
    what it wants of captions; that is done where scenes are drawn.

    A stage ends after its samples or, if the run has a time limit, at its share "until" of it, when
    that comes first. A stage with "until", and the last one, goes through its learning rates by
    whichever of the two is further.
    """

    read: Callable[[list[str]], Any] = staticmethod(lambda captions: captions)

    def __init__(self, config: dict[str, Any], folder: Path, workers: Workers, drawers: int):
        self.config, self.folder, self.workers, self.drawers = config, folder, workers, drawers
        self.device = workers.device
        self.training = config["training"]
        self.step = self.samples = 0
        self.grown_at = 0  # the step at which the model last grew and the average began anew
        self.seconds = 0.0
        self.stop = self.ended = False  # asked to end here; agreed by all workers
        folder.mkdir(parents=True, exist_ok=True)

    def adopt(self, model: nn.Module) -> None:
        """Makes a fresh model, equal in all workers, the one that is trained."""
        self.model = model.to(self.device)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.optimizers = optim.make_optimizers(self.model, self.training, self.workers)

    @abstractmethod
    def loss(self, pictures: Tensor, text: Any, stage: dict[str, Any]) -> Tensor:
        """pictures uint8 [B, side, side, 3], text as `read` gives it -> the loss of this batch."""

    @abstractmethod
    def write_sheet(self, stage: dict[str, Any]) -> None:
        """Writes pictures made with the averaged weights."""

    def loader(self, stage: dict[str, Any], seed: int) -> DataLoader:
        """Endless batches (pictures, what self.read makes of their captions) of a stage."""
        return scene_loader(stage, seed, self.drawers, self.read)

    def enter_stage(self, stage: dict[str, Any]) -> None:
        """Called before the first step of a stage, and when training goes on inside one."""

    def after_step(self) -> None:
        """Called after the optimisers' step."""

    def state(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "average": self.average.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "grown_at": self.grown_at, "step": self.step, "samples": self.samples,
                "seconds": self.seconds, "config": self.config}

    def save(self) -> None:
        """Writes beside the old checkpoint, then renames, so that one is always whole."""
        if self.workers.rank:
            return
        partial = self.folder / "checkpoint.part"
        torch.save(self.state(), partial)
        os.replace(partial, self.folder / "checkpoint.pt")

    def start_from(self, exported: Path) -> None:
        """Goes on from an exported model folder, at its place in the config's stages."""
        raise NotImplementedError

    def start_at(self, part: Path) -> None:
        """Takes the place in the stages from an exported part; the average starts anew."""
        self.step, self.samples = trained_for(part)
        self.grown_at = self.step

    def prepare_restore(self, state: dict[str, Any]) -> None:
        """Makes the model have the shape of a checkpoint's."""

    def restore(self) -> None:
        """Goes on from the folder's checkpoint."""
        state = torch.load(self.folder / "checkpoint.pt", map_location=self.device)
        self.prepare_restore(state)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.samples = state["step"], state["samples"]
        self.seconds, self.grown_at = state["seconds"], state["grown_at"]
        last = 0  # stages that are over keep the lengths they had
        for stage, saved in zip(self.training["stages"], state["config"]["training"]["stages"]):
            last += saved["samples"]
            if last <= self.samples:
                stage["samples"] = saved["samples"]

    def train_step(self, pictures: Tensor, text: Any, stage: dict[str, Any]) -> Tensor:
        """Returns the loss, not yet waited for."""
        with self.workers.autocast():
            loss = self.loss(pictures.to(self.device, non_blocking=True), text, stage)
        loss.backward()
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        self.workers.sum(gradients)
        torch._foreach_div_(gradients, self.workers.count)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.after_step()
        optim.update_average(self.average, self.model, self.step - self.grown_at,
                             self.training["ema_power"])
        return loss.detach()

    def train_stage(self, stage: dict[str, Any], first: int, until: float) -> None:
        """Trains to the end of a stage whose first sample is number `first`, but not past the time
        `until`."""
        self.enter_stage(stage)
        torch.manual_seed(self.samples + self.workers.rank)
        losses: list[Tensor] = []
        begin = start = time.monotonic()
        last = first + stage["samples"]
        timed = "until" in stage or stage is self.training["stages"][-1]
        batch = stage["batch"] // self.workers.count
        loader = iter(self.loader(stage | {"batch": batch}, self.samples + self.workers.rank))
        over = False
        while self.samples < last and not over:
            pictures, text = next(loader)
            progress = (self.samples - first) / stage["samples"]
            if timed:
                progress = max(progress, (time.monotonic() - begin) / max(until - begin, 1.0))
            rate = self.training["lr"] * blend(stage["lr"], min(progress, 1.0))
            optim.set_learning_rate(self.optimizers, rate)
            losses.append(self.train_step(pictures, text, stage))
            self.ended = self.workers.any(self.stop)
            over = self.ended or self.workers.any(time.monotonic() > until)
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
                self.write_sheet(stage)
        if not self.ended and "until" in stage:
            stage["samples"] = self.samples - first

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

    def run(self, minutes: float) -> None:
        begin, first = time.monotonic(), 0
        for stage in self.training["stages"]:
            until = begin + 60 * minutes * stage.get("until", 1.0)
            if self.samples < first + stage["samples"] and not self.ended:
                self.train_stage(stage, first, until)
                # Without a share of its own, what stops a stage before its end is the run's end.
                self.ended |= self.samples < first + stage["samples"]
            first += stage["samples"]
        self.save()


def blend(ends: list[float], progress: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * progress


def training_arguments(description: str, config: Path, folder: Path) -> argparse.ArgumentParser:
    """The options that every training has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", type=Path, default=config)
    parser.add_argument("--folder", type=Path, default=folder, help="for checkpoints and sheets")
    parser.add_argument("--init-from", type=Path, help="exported model folder to go on from")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long")
    add_device_options(parser)
    return parser


def add_device_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--drawers", type=int, default=0, help="processes that draw scenes")


def make_trainer(kind: type[Trainer], options: argparse.Namespace,
                 changes: dict[str, Any] | None = None) -> Trainer:
    config = json.loads(options.config.read_text(encoding="utf-8")) | (changes or {})
    return kind(config, options.folder, Workers(options.device), options.drawers)


def run_until_stopped(trainer: Trainer, options: argparse.Namespace) -> None:
    """Goes on from the folder's checkpoint, else from an exported model if one is given. SIGINT and
    SIGTERM end the run after the step, and it saves."""
    if (options.folder / "checkpoint.pt").exists():
        trainer.restore()
    elif options.init_from:
        trainer.start_from(options.init_from)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: setattr(trainer, "stop", True))
    trainer.run(options.minutes)
