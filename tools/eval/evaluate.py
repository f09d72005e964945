"""Scores pictures of the 300 held-out prompts by the detector.

    python -m tools.eval.evaluate --model assets/models/demo-hdit  samples with PyTorch
    python -m tools.eval.evaluate --write-prompts prompts.txt      one prompt a line, then
    gesso generate --prompt-file prompts.txt -o 'pictures/%03d.png'   and
    python -m tools.eval.evaluate --pictures pictures/             scores 000.png, 001.png, ...

Prints JSON: the share of prompts fulfilled in each category, the same for real drawings of the
prompts (the ceiling that the detector's own errors set), and the Frechet distance of the detector's
features to those of real drawings, with that of as many other real drawings beside it. For a
next-scale model also what its tokenizer leaves of the real drawings: the model's own ceiling.
"""
import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from tools.dataset.scenes import THINGS, Painter
from tools.dataset.stream import to_model_range
from tools.eval.detector import Detector, detect, load_detector
from tools.eval.prompts import CATEGORIES, Task, fulfilled, held_out_tasks
from tools.train import sampling, var_sampling
from tools.train.bidim import BiDiM
from tools.train.pipeline import (load_pipeline, load_var_pipeline, load_vqvae, save_sheet,
                                  to_bytes)

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "assets" / "models"
SIDE = 64  # of what the detector sees


def scores(detector: Detector, tasks: list[Task], pictures: Tensor) -> dict[str, float]:
    """Share of tasks fulfilled by pictures uint8 [N, S, S, 3], by category."""
    found = detect(detector, to_model_range(to_detector(pictures)))
    results = {category: [] for category in CATEGORIES}
    for task, things in zip(tasks, found, strict=True):
        results[task.category].append(fulfilled(task, things))
    return {category: round(float(np.mean(hits)), 3) for category, hits in results.items() if hits}


@torch.no_grad()
def features(detector: Detector, pictures: Tensor) -> np.ndarray:
    """pictures uint8 [N, S, S, 3] -> [N, F] float64."""
    chunks = to_model_range(to_detector(pictures)).split(256)
    return torch.cat([detector.features(chunk) for chunk in chunks]).double().numpy()


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Between Gaussians fitted to features [N, F] and [M, F]."""
    difference = a.mean(0) - b.mean(0)
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(0)).sum()
    return float(difference @ difference + np.trace(cov_a) + np.trace(cov_b) - 2 * shared)


def draw(tasks: list[Task], side: int = SIDE) -> Tensor:
    painter = Painter(side)
    return torch.from_numpy(np.stack([painter.draw(task.scene) for task in tasks]))


def to_detector(pictures: Tensor) -> Tensor:
    """Pictures uint8 [N, S, S, 3] averaged down to [N, 64, 64, 3]."""
    channels_first = pictures.permute(0, 3, 1, 2).float()
    scaled = F.interpolate(channels_first, size=(SIDE, SIDE), mode="area")
    return scaled.round().byte().permute(0, 2, 3, 1)


def read_index(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "model_index.json").read_text(encoding="utf-8"))


# prompts, seed -> pictures [B, 3, S, S] in [-1, 1]
Drawer = Callable[[list[str], int], Tensor]


def hdit_drawer(folder: Path, settings: dict[str, Any]) -> Drawer:
    pipeline = load_pipeline(folder)
    pipeline[0].inner.compile(dynamic=False)
    return lambda prompts, seed: sampling.generate(
        *pipeline, prompts, settings["width"], settings["steps"], settings["cfg_scale"], seed)


def var_drawer(folder: Path, settings: dict[str, Any]) -> Drawer:
    pipeline = load_var_pipeline(folder)
    return lambda prompts, seed: var_sampling.generate(
        *pipeline, prompts, seed, cfg=settings["cfg_scale"], top_k=settings["top_k"],
        top_p=settings["top_p"])


def bidim_drawer(folder: Path, settings: dict[str, Any]) -> Drawer:
    pipeline = load_pipeline(folder, BiDiM)
    return lambda prompts, seed: sampling.generate_clips(
        *pipeline, prompts, settings["steps"], settings["cfg_scale"], seed)[:, :, 0]


# What draws prompts, and the settings that the command line may replace.
PIPELINES = {"HourglassDiffusionPipeline": (hdit_drawer, ("steps", "cfg_scale")),
             "BidirectionalMambaPipeline": (bidim_drawer, ("steps", "cfg_scale")),
             "VARPipeline": (var_drawer, ("cfg_scale", "top_k", "top_p"))}


def sample(folder: Path, prompts: list[str], seed: int, given: dict[str, Any]) -> Tensor:
    """Pictures uint8 [N, S, S, 3] by the model's own settings but for those given. Ends the
    program on a setting that the model does not have."""
    index = read_index(folder)
    make_drawer, names = PIPELINES[index["_class_name"]]
    unknown = [name for name in given if name not in names]
    if unknown:
        sys.exit(f"{folder}: {index['_class_name']} has no setting {', '.join(unknown)}")
    drawer = make_drawer(folder, index["defaults"] | given)
    return torch.cat([to_bytes(drawer(prompts[i:i + 50], seed + i))
                      for i in range(0, len(prompts), 50)])


def reconstruct(folder: Path, tasks: list[Task]) -> Tensor:
    """The tasks' drawings through a next-scale model's tokenizer and back, uint8 [N, S, S, 3]."""
    vqvae = load_vqvae(folder)
    pictures = draw(tasks, vqvae.side())
    return torch.cat([to_bytes(vqvae.pictures(vqvae.tokens(to_model_range(part))))
                      for part in pictures.split(50)])


def read_picture(path: Path) -> np.ndarray:
    """uint8 [H, W, 3]."""
    return np.asarray(Image.open(path).convert("RGB"))


def read_pictures(folder: Path) -> Tensor:
    """Pictures 000.png, 001.png, ... of a folder, one a prompt, uint8 [N, S, S, 3]."""
    paths = sorted(folder.glob("*.png"))
    if [path.stem for path in paths] != [f"{i:03}" for i in range(len(paths))]:
        sys.exit(f"{folder}: expected 000.png, 001.png, ... and no other PNG file")
    return torch.from_numpy(np.stack([read_picture(path) for path in paths]))


def report(detector: Detector, tasks: list[Task], pictures: Tensor,
           things: tuple[str, ...] = ()) -> dict:
    """Scores beside the ceilings of the detector; `things` as the tasks were made of."""
    many = held_out_tasks(10 * len(tasks) // len(CATEGORIES), things)
    reference, real = features(detector, draw(many)), draw(tasks)
    return {
        "pictures": scores(detector, tasks, pictures),
        "real drawings": scores(detector, tasks, real),
        "frechet distance": round(frechet_distance(features(detector, pictures), reference), 3),
        "frechet distance of real drawings": round(
            frechet_distance(features(detector, real), reference), 3),
    }


def evaluation_arguments(description: str, model: str) -> argparse.ArgumentParser:
    """The options that evaluations of pictures and of clips share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", type=Path, default=MODELS / model, help="exported folder")
    parser.add_argument("--write-prompts", type=Path, help="write the prompts and end")
    parser.add_argument("--detector", type=Path,
                        default=MODELS / "detector" / "model.safetensors")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--cfg-scale", type=float)
    parser.add_argument("--seed", type=int, default=0)
    return parser


def write_prompts(path: Path, prompts: list[str]) -> None:
    path.write_text("\n".join(prompts) + "\n", encoding="utf-8")


def known_things(names: str) -> tuple[str, ...]:
    """The names of a comma-separated list."""
    chosen = tuple(names.split(","))
    unknown = sorted(set(chosen) - {thing.name for thing in THINGS})
    if unknown:
        raise argparse.ArgumentTypeError(f"the data has no {', '.join(unknown)}")
    return chosen


def main() -> None:
    parser = evaluation_arguments(__doc__.splitlines()[0], "demo-hdit")
    parser.add_argument("--pictures", type=Path, help="score this folder's files instead")
    parser.add_argument("--per-category", type=int, default=60)
    parser.add_argument("--things", type=known_things, default=(), metavar="NAME,NAME,...",
                        help="prompts of these things alone, for models that know no others")
    parser.add_argument("--top-k", type=int)
    parser.add_argument("--top-p", type=float)
    parser.add_argument("--sheet", type=Path, help="write the first 64 of mixed pictures here")
    options = parser.parse_args()
    tasks = held_out_tasks(options.per_category, options.things)
    prompts = [task.prompt for task in tasks]
    if options.write_prompts:
        write_prompts(options.write_prompts, prompts)
        return
    if options.pictures:
        pictures = read_pictures(options.pictures)
    else:
        given = {name: getattr(options, name) for name in ("steps", "cfg_scale", "top_k", "top_p")
                 if getattr(options, name) is not None}
        pictures = sample(options.model, prompts, options.seed, given)
    if options.sheet:
        save_sheet(pictures[::max(1, len(tasks) // 64)][:64], options.sheet, columns=8)
    detector = load_detector(options.detector)
    result = report(detector, tasks, pictures, options.things)
    if not options.pictures and "vae" in read_index(options.model):
        result["reconstructed drawings"] = scores(detector, tasks,
                                                  reconstruct(options.model, tasks))
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
