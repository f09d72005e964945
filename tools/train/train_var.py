"""Trains the next-scale demo model on scenes, by a trained tokenizer (tools.train.train_vqvae).

    python -m tools.train.train_var --minutes 75
    torchrun --nproc-per-node 2 -m tools.train.train_var        one process per GPU or CPU core

Goes on from the checkpoint in --folder if there is one, else from --init-from if given, and then
with the tokenizer of that folder. Ends after the last stage of the config (lengthen it to go on), after --minutes, or on
SIGINT or SIGTERM, and saves each time. In a share of the steps the late scales run a sub-network
of the blocks, so that depth can be switched when sampling.
"""
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tools.dataset.stream import to_model_range
from tools.train.parallel import Workers
from tools.train.pipeline import load_var_pipeline, load_vqvae, save_sheet, to_bytes
from tools.train.text import CaptionReader, TextEncoder, Tokenizer
from tools.train.train import SHEET_PROMPTS, compile_each
from tools.train.train_vqvae import tokens_are_final
from tools.train.trainer import ROOT, Trainer, make_trainer, run_until_stopped, training_arguments
from tools.train.var import VAR, Block, kept_blocks
from tools.train.var_sampling import generate
from tools.train.vqvae import VQVAE


class TextToTokens(nn.Module):
    """VAR and text encoder together."""

    def __init__(self, config: dict[str, Any], vae: dict[str, Any]):
        super().__init__()
        self.var = VAR(config["model"], vae["vocab_size"], vae["z_channels"])
        self.encoder = TextEncoder(config["text_encoder"])

    def forward(self, inputs: Tensor, ids: Tensor, mask: Tensor, passed: frozenset[int],
                late: int) -> Tensor:
        condition = self.var.text_condition(self.encoder(ids, mask))
        return self.var(inputs, condition, passed, late)


def load_tokenizer(path: Path) -> VQVAE:
    """The tokenizer of an exported model's folder, or the averaged one of train_vqvae's checkpoint,
    frozen. Ends the program if there is none whose tokens are final."""
    if path.is_dir():
        return load_vqvae(path).requires_grad_(False)
    if not path.exists():
        sys.exit(f"{path}: no such file; train the tokenizer first (tools.train.train_vqvae)")
    state = torch.load(path, map_location="cpu")
    if not tokens_are_final(state):
        sys.exit(f"{path}: its tokens may still change; train the tokenizer on to its last stage")
    vqvae = VQVAE(state["config"]["model"])
    vqvae.load_state_dict(state["average"])
    return vqvae.requires_grad_(False).eval()


class VARTrainer(Trainer):
    def __init__(self, config: dict[str, Any], folder: Path, workers: Workers, drawers: int):
        super().__init__(config, folder, workers, drawers)
        self.tokenizer = Tokenizer(ROOT / config["tokenizer"])
        self.read = CaptionReader(self.tokenizer, config["dataset"]["cond_dropout_rate"])
        self.vqvae = load_tokenizer(ROOT / config["vqvae"]).to(self.device)
        torch.manual_seed(0)
        self.adopt(TextToTokens(config, self.vqvae.config))
        if self.device.type == "cuda":
            compile_each(self.model, Block)

    def start_from(self, exported: Path) -> None:
        var, _, encoder, _ = load_var_pipeline(exported)
        for target in (self.model, self.average):
            target.var.load_state_dict(var.state_dict())
            target.encoder.load_state_dict(encoder.state_dict())
        self.start_at(exported / "transformer")

    def sub_network(self) -> tuple[frozenset[int], int]:
        """The blocks that late scales pass by in this step, and the first late scale; the same in
        all workers."""
        switching, depth = self.training["depth_switching"], len(self.model.var.blocks)
        random = np.random.default_rng(self.step)
        if random.random() >= switching["share"]:
            return frozenset(), 0
        kept = kept_blocks(depth, int(random.choice(switching["kept"])))
        return frozenset(range(depth)) - frozenset(kept), int(random.choice(switching["late"]))

    def loss(self, pictures: Tensor, text: tuple[Tensor, Tensor], stage: dict[str, Any]) -> Tensor:
        ids, mask = (t.to(self.device, non_blocking=True) for t in text)
        with torch.no_grad():
            clean = self.vqvae.fitted(to_model_range(pictures))
            f = self.vqvae.encode(clean).float()
            with torch.autocast(self.device.type, enabled=False):
                tokens = self.vqvae.quantize.tokenize(f)
                inputs = self.vqvae.quantize.next_inputs(tokens)
        logits = self.model(inputs, ids, mask, *self.sub_network())
        return F.cross_entropy(logits.float().flatten(0, 1), tokens.flatten())

    @torch.no_grad()
    def write_sheet(self, stage: dict[str, Any]) -> None:
        pictures = generate(self.average.var, self.vqvae, self.average.encoder, self.tokenizer,
                            SHEET_PROMPTS, **self.training["sheet_sampling"])
        save_sheet(to_bytes(pictures), self.folder / f"sheet-{self.samples:08}.png", columns=8)


def main() -> None:
    parser = training_arguments(__doc__.splitlines()[0], Path(__file__).with_name("var.json"),
                                ROOT / "checkpoints" / "demo-var")
    options = parser.parse_args()
    tokenizer = {"vqvae": str(options.init_from.resolve())} if options.init_from else {}
    trainer = make_trainer(VARTrainer, options, tokenizer)
    run_until_stopped(trainer, options)


if __name__ == "__main__":
    main()
