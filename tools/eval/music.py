"""Scores music that a model composes: how many of its notes agree with the key.

    python -m tools.eval.music                      samples from the checkpoint with PyTorch
    python -m tools.eval.music --model FOLDER       or from an exported model in bfloat16
    python -m tools.eval.music --write-songs songs/ writes the pieces as .mid files, then
    gesso inpaint songs/000.mid --bars 4-5 -o refilled/000.mid   and so on, and
    python -m tools.eval.music --songs songs/ --refilled refilled/   scores what any program made

Of pieces that training does not see, the two bars in the middle of a window are composed again, and
whole windows are composed for a caption. Models are shown and compose music in C major or a minor:
PyTorch is handed the pieces so, gesso finds their keys by itself. Prints JSON: the share of the new notes
of melody, chords and bass that are in the key, notes a bar beside those of the real pieces, how
many windows got new notes at all; of files also the share of kept notes that are what they were.
"""
import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tools.dataset import roll
from tools.dataset.music import KEYS, Composer, Piece, in_c, key_classes
from tools.dataset.roll import DRUMS, STEPS_PER_BAR, TRACKS, Note
from tools.dataset.stream import to_model_range
from tools.eval.evaluate import read_index
from tools.train.hdit import Denoiser, HDiT
from tools.train.pipeline import load_pipeline, save_sheet, to_bytes
from tools.train.sampling import generate, inpaint
from tools.train.text import Tokenizer
from tools.train.train import ROOT, TextToImage

FIRST_BAR = 2  # of the windows in their pieces
BEGIN, END = STEPS_PER_BAR, 3 * STEPS_PER_BAR  # columns that are composed again


def held_out_pieces(count: int) -> list[Piece]:
    """The same pieces every time; the seeds of training are other words."""
    return [Composer(f"evaluation {i}").compose() for i in range(count)]


def prompt_of(piece: Piece) -> str:
    return f"a {piece.style} song in {KEYS[piece.tonic]} {piece.mode}"


def is_new(note: Note) -> bool:
    return BEGIN <= note.start < END


def agreement(pieces: list[Piece], notes: list[list[Note]]) -> dict[str, Any]:
    """Of each piece's notes, by track and together: the share in the key, and how many a piece."""
    inside, total = np.zeros(4), np.zeros(4)
    for piece, played in zip(pieces, notes, strict=True):
        classes = key_classes(piece.tonic, piece.mode)
        for note in played:
            total[note.track] += 1
            inside[note.track] += note.pitch % 12 in classes
    shares = {TRACKS[track]: round(inside[track] / max(total[track], 1), 4)
              for track in range(4) if track != DRUMS}
    pitched = inside[:DRUMS].sum() / max(total[:DRUMS].sum(), 1)
    return {"in key": round(float(pitched), 4), **shares,
            "melody and chords": round(inside[:2].sum() / max(total[:2].sum(), 1), 4),
            "notes a piece": {TRACKS[t]: round(total[t] / len(pieces), 2) for t in range(4)}}


def refill_scores(pieces: list[Piece], before: list[list[Note]],
                  after: list[list[Note]]) -> dict[str, Any]:
    """Scores of windows' notes before and after their middle was composed again."""
    new = [[note for note in notes if is_new(note)] for notes in after]
    return {"refilled": agreement(pieces, new),
            "real": agreement(pieces, [[n for n in notes if is_new(n)] for notes in before]),
            "windows with new notes": sum(map(bool, new)) / len(pieces)}


def kept_share(before: list[list[Note]], after: list[list[Note]]) -> float:
    """Of the notes that were not to change, the share that did not."""
    kept = [[note for note in notes if not is_new(note)] for notes in before]
    same = sum(note in notes for old, notes in zip(kept, after) for note in old)
    return same / sum(map(len, kept))


def windows(pieces: list[Piece]) -> Tensor:
    """uint8 [N, 64, 64, 3]."""
    return torch.from_numpy(np.stack([roll.draw(piece.notes, FIRST_BAR) for piece in pieces]))


def read_all(pictures: Tensor) -> list[list[Note]]:
    return [roll.read(picture) for picture in pictures.numpy()]


def emptied(pieces: list[Piece]) -> Tensor:
    """Windows without the notes that begin in the middle, as gesso shows them to models."""
    first = FIRST_BAR * STEPS_PER_BAR
    return torch.from_numpy(np.stack([
        roll.draw([n for n in piece.notes if not is_new(n._replace(start=n.start - first))],
                  FIRST_BAR) for piece in pieces]))


def sample_scores(pipeline: tuple, pieces: list[Piece], settings: dict[str, Any], guided: bool,
                  seed: int) -> tuple[dict[str, Any], Tensor]:
    """The scores, and the refilled windows uint8. Refilling is told the caption if `guided`, else
    all that it knows of the key is the music around."""
    shown = to_model_range(emptied(pieces))
    mask = torch.zeros(roll.SIDE, roll.SIDE, dtype=torch.bool)
    mask[:, BEGIN:END] = True
    captions = [prompt_of(piece) for piece in pieces]
    refilled, composed = [], []
    for i in range(0, len(pieces), 50):
        part = captions[i:i + 50]
        told = part if guided else [""] * len(part)
        refilled.append(to_bytes(inpaint(*pipeline, told, shown[i:i + 50], mask,
                                         settings["steps"], settings["cfg_scale"], seed + i)))
        composed.append(to_bytes(generate(*pipeline, part, roll.SIDE, settings["steps"],
                                          settings["cfg_scale"], seed + i)))
    result = refill_scores(pieces, read_all(windows(pieces)), read_all(torch.cat(refilled)))
    result["composed for a caption"] = agreement(pieces, read_all(torch.cat(composed)))
    return result, torch.cat(refilled)


def load_checkpoint(path: Path) -> tuple[Denoiser, Any, Tokenizer]:
    """The averaged weights of a training checkpoint as a pipeline."""
    state = torch.load(path, map_location="cpu")
    model = TextToImage(HDiT(state["config"]), state["config"]["text_encoder"])
    model.load_state_dict(state["average"])
    model.eval()
    return model.denoiser, model.encoder, Tokenizer(ROOT / state["config"]["tokenizer"])


def song_window(path: Path) -> list[Note]:
    """The notes of a file that this program or gesso wrote, of the window that is scored."""
    first = FIRST_BAR * STEPS_PER_BAR
    notes = (note._replace(start=note.start - first) for note in roll.read_midi(path))
    return [note for note in notes if 0 <= note.start < roll.SIDE]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path,
                        default=ROOT / "checkpoints" / "demo-music" / "checkpoint.pt")
    parser.add_argument("--model", type=Path, help="score this exported folder instead")
    parser.add_argument("--count", type=int, default=200, help="pieces")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--cfg-scale", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guided", action="store_true", help="tell refilling the caption")
    parser.add_argument("--sheet", type=Path, help="write the first 16 refilled windows here")
    parser.add_argument("--write-songs", type=Path, help="write the pieces as .mid files and end")
    parser.add_argument("--songs", type=Path, help="a folder that --write-songs wrote")
    parser.add_argument("--refilled", type=Path, help="files of the same names with bars 4-5 new")
    options = parser.parse_args()
    pieces = held_out_pieces(options.count)
    names = [f"{i:03}.mid" for i in range(len(pieces))]
    if options.write_songs:
        options.write_songs.mkdir(parents=True, exist_ok=True)
        for name, piece in zip(names, pieces):
            roll.write_midi(options.write_songs / name, piece.notes, piece.tempo)
        return
    if options.refilled:
        before, after = ([song_window(folder / name) for name in names]
                         for folder in (options.songs, options.refilled))
        result = refill_scores(pieces, before, after)
        result["kept notes identical"] = kept_share(before, after)
    else:
        given = {name: value for name, value in (("steps", options.steps),
                                                 ("cfg_scale", options.cfg_scale)) if value}
        defaults = {"steps": 20, "cfg_scale": 1.5}
        if options.model:
            pipeline, defaults = load_pipeline(options.model), read_index(options.model)["defaults"]
        else:
            pipeline = load_checkpoint(options.checkpoint)
        result, pictures = sample_scores(pipeline, [in_c(p) for p in pieces], defaults | given, options.guided,
                                         options.seed)
        if options.sheet:
            save_sheet(pictures[:16], options.sheet, columns=4)
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
