"""Trains tiny models of every kind for some steps, exports and reads them.

Checks that losses fall, that training goes on from its checkpoint, and the names in the exported
files against those of the official checkpoints, as the parity cases have them. GESSO_PARITY names
the folder that holds the cases.
"""
import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from tools.eval import music
from tools.eval.evaluate import reconstruct, sample
from tools.eval.prompts import held_out_tasks
from tools.train.export import export as export_hdit
from tools.train.export_var import export_index, export_transformer, export_vae
from tools.train.parallel import Workers
from tools.train.pipeline import load_pipeline, load_var_pipeline, trained_for
from tools.train.test_hdit import FOLDERS, read_case
from tools.train.train import HDiTTrainer
from tools.train.train_var import VARTrainer
from tools.train.train_vqvae import VQVAETrainer
from tools.train.trainer import Trainer
from tools.train.var_sampling import generate

HERE = Path(__file__).parent
DEFAULTS = {"cfg_scale": 1.5, "top_k": 20, "top_p": 0.9}
# Of this project's text conditioning, which official checkpoints do not have.
TEXT_NAMES = re.compile(r"text_proj\.|blocks\.N\.ca(_norm)?\.")


def stages(config: dict, samples: list[int]) -> dict:
    """The config with stages so long, in batches of 4."""
    training = config["training"] | {
        "log_every": 1, "save_every": 1000, "sheet_every": 1000, "revive_every": 2,
        "stages": [stage | {"samples": count, "batch": 4, "lr": [1.0, 1.0]}
                   for stage, count in zip(config["training"]["stages"], samples, strict=True)]}
    return config | {"training": training}


def tiny_vqvae() -> dict:
    config = json.loads((HERE / "vqvae.json").read_text(encoding="utf-8"))
    model = config["model"] | {"ch_mult": [1, 1, 1, 2], "vocab_size": 32, "z_channels": 8,
                               "v_patch_nums": [1, 2, 8]}
    return stages(config | {"model": model}, [4, 4, 12, 4, 4])


def tiny_var(vqvae: Path) -> dict:
    config = json.loads((HERE / "var.json").read_text(encoding="utf-8"))
    model = config["model"] | {"depth": 2, "embed_dim": 32, "num_heads": 1,
                               "patch_nums": [1, 2, 8], "text": {"dim": 16}}
    text = config["text_encoder"] | {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1,
                                     "num_heads": 2}
    config = stages(config | {"model": model, "text_encoder": text, "vqvae": str(vqvae)}, [4, 8, 12])
    config["training"]["depth_switching"] = {"share": 0.5, "kept": [2], "late": [2]}
    return config


def losses(folder: Path, stage: str) -> list[float]:
    with (folder / "curve.csv").open(newline="", encoding="utf-8") as file:
        return [float(row["loss"]) for row in csv.DictReader(file) if row["stage"] == stage]


def train(kind: type[Trainer], config: dict, folder: Path) -> Trainer:
    trainer = kind(config, folder, Workers("cpu"), 0)
    trainer.run(float("inf"))
    return trainer


@pytest.fixture(autouse=True, scope="module")
def uncompiled() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Module, "compile", lambda *_, **__: None)  # would take minutes
        yield


@pytest.fixture(name="trained", scope="module")
def train_both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(VQVAETrainer, tiny_vqvae(), folder / "vqvae")
    train(VARTrainer, tiny_var(folder / "vqvae" / "checkpoint.pt"), folder / "var")
    export_vae(folder / "vqvae" / "checkpoint.pt", folder / "model")
    export_transformer(folder / "var" / "checkpoint.pt", folder / "model", tiny_vqvae()["model"])
    export_index(folder / "model", DEFAULTS)
    return folder


def test_losses_fall(trained: Path) -> None:
    for folder, stage in (("vqvae", "quantised"), ("var", "compositions")):
        curve = losses(trained / folder, stage)
        assert curve[-1] < curve[0], (folder, curve)


def test_goes_on_from_checkpoint(trained: Path) -> None:
    config = tiny_var(trained / "vqvae" / "checkpoint.pt")
    trainer = VARTrainer(config, trained / "var", Workers("cpu"), 0)
    trainer.restore()
    saved = torch.load(trained / "var" / "checkpoint.pt")
    assert trainer.samples == 24 and trainer.step == 6
    assert all(torch.equal(value, saved["model"][name])
               for name, value in trainer.model.state_dict().items())


def test_decoder_learns_maps_without_late_scales(tmp_path: Path) -> None:
    trainer = VQVAETrainer(tiny_vqvae(), tmp_path, Workers("cpu"), 0)
    *_, own, larger = trainer.training["stages"]
    maps = trainer.model.quantize.partial_maps(tokens := torch.randint(32, (3, 69)))
    for missing in range(3):
        chances = [0.0] * missing + [1.0]
        assert torch.equal(trainer.with_missing_scales(tokens, chances), maps[-1 - missing])
    for stage, sides in ((larger, larger["patch_nums"]), (own, [1, 2, 8])):
        trainer.enter_stage(stage)
        assert trainer.model.quantize.sides == trainer.average.quantize.sides == sides


def names(keys) -> set[str]:
    return {re.sub(r"\.\d+\.", ".N.", re.sub(r"\.\d+\.", ".N.", key)) for key in keys}


def exported_names(path: Path) -> set[str]:
    with safe_open(path, "pt") as file:
        return names(file.keys())


def test_official_names(trained: Path) -> None:
    """The case of the shared AdaLN has no L2 norm of queries and keys, so its scale is added."""
    _, case = read_case(FOLDERS[0] / "vqvae.small.safetensors")
    assert exported_names(trained / "model" / "vae" / "model.safetensors") == names(case["weights"])
    _, case = read_case(FOLDERS[0] / "var.ten_scales.safetensors")
    official = names(key.removeprefix("var.") for key in case["weights"] if key[:4] == "var.")
    official = official - {"class_emb.weight"} | {"blocks.N.attn.scale_mul_1H11"}
    found = exported_names(trained / "model" / "transformer" / "model.safetensors")
    assert {name for name in found if not TEXT_NAMES.match(name)} == official


def test_exported_model_draws(trained: Path) -> None:
    pipeline = load_var_pipeline(trained / "model")
    pictures = generate(*pipeline, ["a red apple", "two cats"], seed=1, cfg=1.5, top_k=20,
                        top_p=0.9)
    assert pictures.shape == (2, 3, 64, 64) and pictures.std() > 0
    again = generate(*pipeline, ["a red apple", "two cats"], seed=1, cfg=1.5, top_k=20, top_p=0.9)
    assert torch.equal(pictures, again)
    index = json.loads((trained / "model" / "model_index.json").read_text(encoding="utf-8"))
    assert index["defaults"] == DEFAULTS


def test_folder_can_be_scored(trained: Path) -> None:
    pictures = sample(trained / "model", ["a cat", "two keys"], 0, {"top_k": 5})
    assert pictures.shape == (2, 64, 64, 3) and pictures.dtype == torch.uint8
    tasks = held_out_tasks(1)
    assert reconstruct(trained / "model", tasks).shape == (len(tasks), 64, 64, 3)
    with pytest.raises(SystemExit, match="no setting steps"):
        sample(trained / "model", ["a cat"], 0, {"steps": 4})


def test_stages_end_by_time(trained: Path, tmp_path: Path) -> None:
    config = tiny_var(trained / "vqvae" / "checkpoint.pt")
    first, _, last = config["training"]["stages"]
    first |= {"samples": 1000, "until": 0.0}
    last |= {"samples": 8}
    trainer = VARTrainer(config, tmp_path, Workers("cpu"), 0)
    trainer.run(10.0)
    assert first["samples"] == 4 and trainer.samples == 20
    again = VARTrainer(tiny_var(trained / "vqvae" / "checkpoint.pt"), tmp_path, Workers("cpu"), 0)
    again.training["stages"][0]["samples"] = 1000
    again.restore()
    assert again.training["stages"][0]["samples"] == 4


def tiny_hdit() -> dict:
    """Two stages: small pictures with the three inner levels, then all four."""
    config = json.loads((HERE / "demo.json").read_text(encoding="utf-8"))
    model = config["model"] | {"widths": [32, 32, 32, 64], "depths": [1, 1, 1, 1], "mapping_width": 16,
                               "mapping_depth": 1}
    training = config["training"]
    kept = training | {"stages": [training["stages"][0], training["stages"][2]]}
    return stages(config | {"model": model, "training": kept}, [8, 8])


def test_diffusion_model_grows_and_goes_on(tmp_path: Path) -> None:
    trained = train(HDiTTrainer, tiny_hdit(), tmp_path)
    assert trained.levels == 4 and trained.grown_at == 2 and trained.step == 4
    trainer = HDiTTrainer(tiny_hdit(), tmp_path, Workers("cpu"), 0)
    trainer.restore()
    assert trainer.samples == 16 and trainer.grown_at == 2
    for ours, theirs in ((trainer.model, trained.model), (trainer.average, trained.average)):
        assert all(torch.equal(value, theirs.state_dict()[name])
                   for name, value in ours.state_dict().items())
    export_hdit(tmp_path / "checkpoint.pt", tmp_path / "model", steps=4, cfg_scale=2.0)
    assert trained_for(tmp_path / "model" / "denoiser") == (4, 16)


def test_model_of_music_trains_and_refills(tmp_path: Path) -> None:
    config = json.loads((HERE / "music.json").read_text(encoding="utf-8"))
    config["tokenizer"] = str(tmp_path / "spiece.model")
    config["model"] |= {"widths": [32, 32], "depths": [1, 1], "d_ffs": [32, 32],
                        "mapping_width": 16}
    trained = train(HDiTTrainer, stages(config, [8, 24]), tmp_path)
    assert trained.samples == 32 and len(trained.tokenizer.pieces) < 96
    trained.write_sheet(trained.training["stages"][-1])
    assert (tmp_path / "sheet-00000032.png").exists()
    export_hdit(tmp_path / "checkpoint.pt", tmp_path / "model", steps=3, cfg_scale=1.5)
    index = json.loads((tmp_path / "model" / "model_index.json").read_text(encoding="utf-8"))
    assert index["defaults"]["width"] == 64
    pieces = music.held_out_pieces(2)
    scores, pictures = music.sample_scores(load_pipeline(tmp_path / "model"), pieces,
                                           index["defaults"], guided=True, seed=0)
    assert set(scores) == {"refilled", "real", "windows with new notes", "composed for a caption"}
    shown = music.emptied(pieces)
    assert torch.equal(pictures[:, :, music.END:], shown[:, :, music.END:])
    assert not torch.equal(pictures[:, :, :music.END], shown[:, :, :music.END])
