"""Trains the tokenizer of the next-scale demo model on scenes.

    python -m tools.train.train_vqvae
    torchrun --nproc-per-node 2 -m tools.train.train_vqvae       one process per GPU or CPU core

Goes on from the checkpoint in --folder if there is one, else from --init-from if given. Ends after
the last stage of the config (lengthen it to go on), after --minutes, or on SIGINT or SIGTERM, and
saves each time. Sheets show drawings above their reconstructions.
"""
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tools.dataset.scenes import Mix
from tools.dataset.stream import SceneBatches, to_model_range
from tools.train.parallel import Workers
from tools.train.pipeline import load_vqvae, save_sheet, to_bytes
from tools.train.train import compile_each
from tools.train.trainer import ROOT, Trainer, make_trainer, run_until_stopped, training_arguments
from tools.train.vqvae import VQVAE, Decoder, Encoder, ResnetBlock

SHEET_SEED, SHEET_COUNT = 7, 24


def tokens_are_final(state: dict[str, Any]) -> bool:
    """Whether a checkpoint's tokens no longer change: only the decoder is still trained."""
    return state["samples"] >= sum(stage["samples"] for stage in
                                   state["config"]["training"]["stages"]
                                   if not stage.get("decoder_only"))


def edges(x: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbouring pixels of x [B, C, H, W], across and down."""
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def reconstruction_loss(found: Tensor, wanted: Tensor, weights: dict[str, float]) -> Tensor:
    """L1, L2 and, at full and half resolution, L1 of the edges; pictures [B, 3, H, W]."""
    sharp = sum(F.l1_loss(a, b) for found_side, wanted_side in
                ((found, wanted), (F.avg_pool2d(found, 2), F.avg_pool2d(wanted, 2)))
                for a, b in zip(edges(found_side), edges(wanted_side)))
    return (weights["l1"] * F.l1_loss(found, wanted) + weights["l2"] * F.mse_loss(found, wanted)
            + weights["edge"] * sharp)


class VQVAETrainer(Trainer):
    """Of a batch, a stage's share "continuous" is decoded without quantisation, which lets the
    encoder and decoder find each other early. "dropped" gives the chances that none, one, ... of
    the last scales are missing, as where sampling leaves them out. "patch_nums" are a stage's own
    scales, for pictures beyond the model's size."""

    def __init__(self, config: dict[str, Any], folder: Path, workers: Workers, drawers: int):
        super().__init__(config, folder, workers, drawers)
        self.hits = torch.zeros(config["model"]["vocab_size"], device=self.device)
        torch.manual_seed(0)
        model = VQVAE(config["model"])
        nn.init.normal_(model.quantize.embedding.weight, std=0.1)
        self.adopt(model.to(memory_format=torch.channels_last))
        # On a CPU norms between convolutions take most of the time, more of it the more is fused.
        on_gpu = self.device.type == "cuda"
        compile_each(self.model, ResnetBlock if on_gpu else (Encoder, Decoder))

    def start_from(self, exported: Path) -> None:
        state = load_vqvae(exported).state_dict()
        for target in (self.model, self.average):
            target.load_state_dict(state)
        self.start_at(exported / "vae")

    def enter_stage(self, stage: dict[str, Any]) -> None:
        """In a stage "decoder_only", tokens stay what they are."""
        for model in (self.model, self.average):
            model.quantize.sides = stage.get("patch_nums", self.config["model"]["v_patch_nums"])
        self.fixed = stage.get("decoder_only", False)
        for part in (self.model.encoder, self.model.quant_conv, self.model.quantize):
            part.requires_grad_(not self.fixed)

    def loss(self, pictures: Tensor, text: Any, stage: dict[str, Any]) -> Tensor:
        clean = self.model.fitted(to_model_range(pictures))
        f = self.model.encode(clean).float()
        with torch.autocast(self.device.type, enabled=False):
            f_hat, code_loss, tokens, vectors = self.model.quantize(f)
        self.hits += torch.bincount(tokens.flatten(), minlength=len(self.hits))
        self.vectors = vectors.flatten(0, 1)
        if "dropped" in stage:
            f_hat = self.with_missing_scales(tokens, stage["dropped"])
        as_is = torch.rand(len(f), 1, 1, 1, device=self.device) < stage["continuous"]
        found = self.model.decode(torch.where(as_is, f, f_hat)).float()
        weights = self.training["loss_weights"]
        return reconstruction_loss(found, clean, weights) + weights["codes"] * code_loss

    def with_missing_scales(self, tokens: Tensor, chances: list[float]) -> Tensor:
        """tokens [B, L] -> maps [B, z, N, N], each without as many of its last scales as are drawn
        from the chances of 0, 1, ... of them."""
        maps = torch.stack(self.model.quantize.partial_maps(tokens)[::-1][:len(chances)])
        missing = torch.multinomial(torch.tensor(chances, device=self.device), len(tokens), True)
        return maps[missing, torch.arange(len(tokens), device=self.device)]

    def after_step(self) -> None:
        if not self.fixed and (self.step + 1) % self.training["revive_every"] == 0:
            self.revive()

    @torch.no_grad()
    def revive(self) -> None:
        """Gives codes that hardly occurred since the last call the place of vectors seen now."""
        self.workers.sum([self.hits])
        dead = (self.hits < self.training["dead_below"] * self.hits.mean()).nonzero()[:, 0]
        picks = self.vectors[torch.randint(len(self.vectors), dead.shape, device=self.device)]
        if self.workers.rank:
            picks.zero_()
        self.workers.sum([picks])
        for model in (self.model, self.average):
            model.quantize.embedding.weight[dead] = picks
        self.hits.zero_()

    @torch.no_grad()
    def write_sheet(self, stage: dict[str, Any]) -> None:
        mix = Mix(**stage["mix"])
        pictures, *_ = next(iter(SceneBatches(mix, stage["side"], SHEET_COUNT, SHEET_SEED)))
        wanted = self.average.fitted(to_model_range(pictures.to(self.device)))
        tokens = self.average.tokens(wanted)
        found, wanted = to_bytes(self.average.pictures(tokens)), to_bytes(wanted)
        error = (found.float() - wanted.float()).square().mean()
        print(f"sheet: PSNR {20 * torch.log10(255 / error.sqrt()).item():.2f} dB, "
              f"{tokens.unique().numel()} codes occur", flush=True)
        rows = [row for pair in zip(wanted.split(8), found.split(8)) for row in pair]
        save_sheet(torch.cat(rows), self.folder / f"sheet-{self.samples:08}.png", columns=8)


def main() -> None:
    parser = training_arguments(__doc__.splitlines()[0], Path(__file__).with_name("vqvae.json"),
                                ROOT / "checkpoints" / "demo-vqvae")
    options = parser.parse_args()
    trainer = make_trainer(VQVAETrainer, options)
    run_until_stopped(trainer, options)


if __name__ == "__main__":
    main()
