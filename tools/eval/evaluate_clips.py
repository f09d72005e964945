"""Scores clips of the 100 held-out prompts: whether thing and motion are what was asked for.

    python -m tools.eval.evaluate_clips --model assets/models/demo-video   samples with PyTorch
    python -m tools.eval.evaluate_clips --write-prompts prompts.txt        one prompt a line; then
    python -m tools.eval.evaluate_clips --clips clips/     scores clips/000/*.png, clips/001/*.png

Frames of a clip are in the order of their names. Prints JSON: the shares of prompts whose clip
shows the thing, the motion and both, and the same for real drawings of the prompts (the ceiling
that the measure's own errors set).
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tools.eval.clips import PROMPTS, clip_tasks, draw_clips, score_clips
from tools.eval.detector import load_detector
from tools.eval.evaluate import (evaluation_arguments, read_index, read_picture, to_detector,
                                 write_prompts)
from tools.train.bidim import BiDiM
from tools.train.parallel import Workers
from tools.train.pipeline import load_pipeline, save_sheet, to_bytes
from tools.train.sampling import generate_clips

FEWEST_FRAMES = 8
BATCH = 25


def sample(folder: Path, prompts: list[str], steps: int, cfg_scale: float, seed: int,
           device: str) -> Tensor:
    """Clips uint8 [N, F, S, S, 3] of an exported folder."""
    workers = Workers(device)
    denoiser, encoder, tokenizer = load_pipeline(folder, BiDiM)
    denoiser, encoder = denoiser.to(workers.device), encoder.to(workers.device)
    clips = []
    for first in range(0, len(prompts), BATCH):
        with workers.autocast():
            part = generate_clips(denoiser, encoder, tokenizer, prompts[first:first + BATCH], steps,
                                  cfg_scale, seed + first)
        clips.append(to_bytes(part))
    return torch.cat(clips)


def read_clips(folder: Path, count: int) -> Tensor:
    """Clips uint8 [N, F, S, S, 3] from the folders 000, 001, ... Ends the program if some are
    missing or differ in size."""
    clips = []
    for number in range(count):
        paths = sorted((folder / f"{number:03}").glob("*.png"))
        if len(paths) < FEWEST_FRAMES:
            sys.exit(f"{folder / f'{number:03}'}: {len(paths)} frames (*.png), expected at least "
                     f"{FEWEST_FRAMES}")
        clips.append(np.stack([read_picture(path) for path in paths]))
        if clips[-1].shape != clips[0].shape:
            sys.exit(f"{folder / f'{number:03}'}: frames of shape {clips[-1].shape}, those of 000 "
                     f"have {clips[0].shape}")
    return torch.from_numpy(np.stack(clips))


def main() -> None:
    parser = evaluation_arguments(__doc__.splitlines()[0], "demo-video")
    parser.add_argument("--clips", type=Path, help="score this folder's clips instead")
    parser.add_argument("--count", type=int, default=PROMPTS, help="of prompts")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--sheet", type=Path, help="write the clips here, one a row")
    options = parser.parse_args()
    tasks = clip_tasks(options.count)
    prompts = [task.prompt for task in tasks]
    if options.write_prompts:
        write_prompts(options.write_prompts, prompts)
        return
    if options.clips:
        clips = read_clips(options.clips, options.count)
    else:
        defaults = read_index(options.model)["defaults"]
        clips = sample(options.model, prompts, options.steps or defaults["steps"],
                       options.cfg_scale or defaults["cfg_scale"], options.seed, options.device)
    if options.sheet:
        save_sheet(clips.flatten(0, 1), options.sheet, columns=clips.shape[1])
    frames = clips.shape[1]
    clips = to_detector(clips.flatten(0, 1)).unflatten(0, (-1, frames))
    detector = load_detector(options.detector)
    json.dump({"clips": score_clips(detector, tasks, clips),
               "real drawings": score_clips(detector, tasks, draw_clips(tasks))},
              sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
