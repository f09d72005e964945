"""Trains a small CLIP on the scenes: the verifier of searches for better pictures.

    python -m tools.eval.train_clip --minutes 12

Hugging Face CLIPModel layout and key names; the tokenizer is the demo model's SentencePiece model.
Captions of one batch differ, and a scene's colours, counts and places are what tells them apart.
"""
import argparse
import shutil
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel

from tools.dataset.stream import scene_loader, to_model_range
from tools.eval.train_detector import degrade
from tools.train.export import write_json
from tools.train.parallel import has_bf16
from tools.train.text import MAX_TOKENS, CaptionReader, Tokenizer
from tools.train.trainer import add_device_options

ROOT = Path(__file__).parents[2]
TOKENIZER = ROOT / "assets" / "models" / "demo-hdit" / "tokenizer" / "spiece.model"
MIX = {"kinds": {"single": 3, "pair": 2, "relation": 2, "sizes": 1, "count": 2, "several": 1},
       "colour": 0.6, "background": 0.3, "size_word": 0.2, "flip": 0.1, "jitter": 2}
CONFIG = {
    "projection_dim": 128,
    "text_config": {
        "vocab_size": 512, "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 3,
        "num_attention_heads": 4, "max_position_embeddings": MAX_TOKENS, "hidden_act": "gelu",
        "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1, "projection_dim": 128},
    "vision_config": {
        "hidden_size": 192, "intermediate_size": 576, "num_hidden_layers": 4,
        "num_attention_heads": 6, "image_size": 64, "patch_size": 8, "hidden_act": "gelu",
        "projection_dim": 128},
}


def same_rows(ids: Tensor) -> Tensor:
    """True [B, B] where two different rows of ids [B, L] are equal."""
    equal = (ids[:, None] == ids).all(-1)
    return equal.fill_diagonal_(False)


def contrastive_loss(clip: CLIPModel, pictures: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """Symmetric cross-entropy of CLIP; pairs of equal captions are not pushed apart.

    pictures [B, 3, 64, 64] in [-1, 1], ids and mask [B, L] -> scalar.
    """
    out = clip(input_ids=ids, attention_mask=mask.long(), pixel_values=pictures)
    logits = out.logits_per_image.float().masked_fill(same_rows(ids), -1e4)
    labels = torch.arange(len(pictures), device=pictures.device)
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def train(options: argparse.Namespace) -> CLIPModel:
    """Cosine schedule over the given time."""
    device, rate = torch.device(options.device), options.rate
    clip = CLIPModel(CLIPConfig(**CONFIG)).to(device).train()
    decayed = [p for p in clip.parameters() if p.ndim > 1]
    others = [p for p in clip.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.05},
                                   {"params": others, "weight_decay": 0.0}],
                                  lr=rate, betas=(0.9, 0.98), fused=True)
    stage = {"mix": MIX, "side": 64, "batch": options.batch}
    reader = CaptionReader(Tokenizer(TOKENIZER), drop_rate=0.0)
    start, step, losses = time.monotonic(), 0, []
    for pictures, text in scene_loader(stage, 54321, options.drawers, reader):
        progress = (time.monotonic() - start) / (60 * options.minutes)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate * min((step + 1) / 200, 0.5 + 0.5 * np.cos(np.pi * progress))
        seen = degrade(to_model_range(pictures.to(device)))
        with torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device)):
            loss = contrastive_loss(clip, seen, *(t.to(device) for t in text))
        loss.backward()
        nn.utils.clip_grad_norm_(clip.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            clip.logit_scale.clamp_(max=np.log(100))
        step += 1
        losses.append(loss.detach())
        if step % 50 == 0:
            mean = torch.stack(losses[-50:]).mean().item()
            print(f"samples {step * options.batch} loss {mean:.4f}", flush=True)
    return clip.eval().cpu()


def export(clip: CLIPModel, folder: Path) -> None:
    """Weights in bfloat16, config, tokenizer and how pixels are normalised."""
    (folder / "tokenizer").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(TOKENIZER, folder / "tokenizer" / "spiece.model")
    config = CLIPConfig(**CONFIG, architectures=["CLIPModel"])
    write_json(folder / "config.json", config.to_dict())
    write_json(folder / "preprocessor_config.json", {
        "do_resize": True, "size": {"height": 64, "width": 64}, "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "rescale_factor": 1 / 255})
    save_file({name: tensor.bfloat16().contiguous() for name, tensor in clip.state_dict().items()
               if tensor.is_floating_point()}, folder / "model.safetensors",
              metadata={"format": "pt"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1e-3)
    add_device_options(parser)
    parser.add_argument("--folder", type=Path, default=ROOT / "assets" / "models" / "demo-clip")
    options = parser.parse_args()
    export(train(options), options.folder)


if __name__ == "__main__":
    main()
