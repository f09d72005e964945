"""Trains tiny bidirectional Mambas, goes on from their checkpoints, exports and samples them."""
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from tools.eval.evaluate import sample as sample_pictures
from tools.eval.evaluate_clips import sample as sample_clips
from tools.train.bidim import BiDiM
from tools.train.export_bidim import export
from tools.train.hdit import Denoiser
from tools.train.optim import sample_sigmas
from tools.train.parallel import Workers
from tools.train.test_training import losses
from tools.train.train_bidim import BidimTrainer

HERE = Path(__file__).parent


def tiny(name: str, folder: Path) -> dict:
    """A recipe with a model of four tokens a frame, a vocabulary of its own and few steps."""
    config = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    model = config["model"] | {"patch_size": [1, 32, 32], "hidden_size": 16, "depth": 2,
                               "text": {"dim": 16}}
    text = config["text_encoder"] | {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1,
                                     "num_heads": 2}
    stages = [stage | {"samples": 8, "batch": 4} for stage in config["training"]["stages"]]
    training = config["training"] | {"log_every": 1, "save_every": 1000, "sheet_every": 1000,
                                     "stages": stages}
    config.pop("text_encoder_from", None)  # of another width
    return config | {"model": model, "text_encoder": text, "training": training,
                     "tokenizer": str(folder / "spiece.model")}


@pytest.mark.parametrize("name, frames", [("video", 16), ("dim", 1)])
def test_trains_goes_on_and_exports(name: str, frames: int, tmp_path: Path,
                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.train.train.TOKENIZER_CAPTIONS", 2000)
    config = tiny(name, tmp_path)
    folder, samples = tmp_path / "run", 8 * len(config["training"]["stages"])
    trained = BidimTrainer(config, folder, Workers("cpu"), 0)
    trained.run(float("inf"))
    assert trained.samples == samples
    assert all(len(losses(folder, stage["name"])) == 2 for stage in config["training"]["stages"])
    trainer = BidimTrainer(config, folder, Workers("cpu"), 0)
    trainer.restore()
    assert trainer.samples == samples
    assert all(torch.equal(value, trained.average.state_dict()[key])
               for key, value in trainer.average.state_dict().items())
    trainer.write_sheet(config["training"]["stages"][-1])
    assert (folder / f"sheet-{samples:08}.png").exists()
    model = tmp_path / "model"
    export(folder / "checkpoint.pt", model, steps=2, cfg_scale=2.0, fps=8)
    check_folder(model, frames)
    if frames > 1:
        clips = sample_clips(model, ["a cat spins", "a car moves up"], 2, 2.0, 0, "cpu")
        assert clips.shape == (2, 16, 64, 64, 3) and clips.float().std() > 0
    else:
        pictures = sample_pictures(model, ["a cat", "two keys"], 0, {})
        assert pictures.shape == (2, 64, 64, 3) and pictures.float().std() > 0


def check_folder(model: Path, frames: int) -> None:
    """The folder's index and config, and the names of the text extension's weights."""
    index = json.loads((model / "model_index.json").read_text(encoding="utf-8"))
    assert index["_class_name"] == "BidirectionalMambaPipeline"
    assert index["defaults"].get("frames", 1) == frames
    with safe_open(model / "denoiser" / "model.safetensors", "pt") as file:
        config = json.loads(file.metadata()["config"])
        assert {"text_proj.weight", "context_proj.bias"} <= set(file.keys())
    assert config["text"] == {"dim": 16} and config["input_size"][0] == frames
    assert not config["learn_sigma"] and "num_classes" not in config


def test_loss_falls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One batch of pictures again and again is learnt."""
    monkeypatch.setattr("tools.train.train.TOKENIZER_CAPTIONS", 2000)
    config = tiny("dim", tmp_path)
    trainer = BidimTrainer(config, tmp_path / "run", Workers("cpu"), 0)
    stage = config["training"]["stages"][0]
    pictures, text = next(iter(trainer.loader(stage, 3)))
    found = []
    for _ in range(40):
        torch.manual_seed(0)
        found.append(trainer.train_step(pictures, text, stage).item())
    assert found[-1] < 0.8 * found[0], found


def test_v_weights_do_not_depend_on_sigma_data() -> None:
    """The weight of the clean clip's error is that of v-prediction whatever F is made to tell."""
    weights = []
    sigma = torch.tensor([0.15, 0.5, 3.0, 40.0])
    for data in (0.5, 0.0625):
        config = tiny("video", Path("unused"))["model"] | {"sigma_data": data}
        denoiser = Denoiser(BiDiM(config))
        _, c_out, _ = denoiser.scalings(sigma)
        weights.append(denoiser.loss_weight(sigma) / c_out**2)
    assert torch.allclose(weights[0], 4 + 1 / sigma**2)
    assert torch.allclose(weights[1], weights[0])


def test_densities() -> None:
    torch.manual_seed(0)
    config = {"sigma_sample_density": {"type": "lognormal", "mean": 0.6, "std": 1.3}}
    logs = sample_sigmas(4000, 64, config, torch.device("cpu")).log()
    assert abs(logs.mean() - 0.6) < 0.01 and abs(logs.std() - 1.3) < 0.01
    assert (logs[1:] > logs[:-1] - 0.1)[10:-10].all()  # one draw in each of 4000 equal shares
    usual = {"sigma_data": 0.5, "sigma_min": 0.01, "sigma_max": 80}
    named = usual | {"sigma_sample_density": {"type": "cosine-interpolated"}}
    torch.manual_seed(1)
    silent = sample_sigmas(4, 64, usual, torch.device("cpu"))
    torch.manual_seed(1)
    assert torch.equal(sample_sigmas(4, 64, named, torch.device("cpu")), silent)
    with pytest.raises(ValueError, match="uniform"):
        sample_sigmas(4, 64, {"sigma_sample_density": {"type": "uniform"}}, torch.device("cpu"))
