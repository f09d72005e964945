"""Official next-scale code on the CPU: checkpoints with random weights in its own layout, and its
pictures from them, timed in a process of its own. For bench/compare_next_scale.py, which starts

    python3 bench/official_models.py write|time MODEL FOLDER --official CHECKOUT

Packages that the code imports and inference does without (timm's, torchvision's, ...) are stood in
for; flash_attn's product of packed texts is PyTorch's own attention, text by text.
"""
import argparse
import importlib.machinery
import json
import os
import resource
import shutil
import sys
import time
import types
from pathlib import Path

import torch
from transformers import T5Config, T5EncoderModel  # before stand-ins confuse it

CFG, TAU, TOP_P = 3.0, 0.5, 0.97  # Infinity's notebook
TOKENIZER = (Path(__file__).resolve().parent.parent /
             "assets/models/demo-hdit/tokenizer/spiece.model")  # any one of a T5
PROMPT = "a red apple and a cat"
# tools/run_infinity.py:load_transformer; the layers of the text encoder, flan-t5-xl's or few.
INFINITY = {"infinity2b": {"depth": 32, "embed_dim": 2048, "num_heads": 16, "block_chunks": 8},
            "infinity16": {"depth": 16, "embed_dim": 1152, "num_heads": 12, "block_chunks": 4}}
FILES = {"infinity2b": "infinity_2b_reg.pth", "infinity16": "infinity_layer16.pth"}
TEXT_LAYERS = {"infinity2b": 24, "infinity16": 2}
PIXELS = {"infinity2b": "0.25M", "infinity16": "1M"}


def stand_in(name: str, **members) -> None:
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    for key, value in members.items():
        setattr(module, key, value)
    sys.modules[name] = module


def packed_attention(q, kv, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, dropout_p=0,
                     softmax_scale=None):
    out = []
    for i in range(len(cu_seqlens_k) - 1):
        queries = q[cu_seqlens_q[i]:cu_seqlens_q[i + 1]].transpose(0, 1)
        keys, values = (kv[cu_seqlens_k[i]:cu_seqlens_k[i + 1], j].transpose(0, 1) for j in (0, 1))
        out.append(torch.nn.functional.scaled_dot_product_attention(
            queries, keys, values, scale=softmax_scale).transpose(0, 1))
    return torch.cat(out)


def stand_in_for_packages() -> None:
    stand_in("timm")
    stand_in("timm.loss", SoftTargetCrossEntropy=torch.nn.Identity)
    stand_in("timm.models", register_model=lambda model: model)
    stand_in("timm.models.layers", DropPath=lambda *_, **__: torch.nn.Identity(),
             drop_path=lambda x, *_: x)
    stand_in("flash_attn", flash_attn_func=lambda q, k, v: None,
             flash_attn_varlen_kvpacked_func=packed_attention)
    for name in ("pytz", "imageio", "torchvision"):
        stand_in(name)
    stand_in("torchvision.transforms")
    sys.modules["torchvision"].transforms = sys.modules["torchvision.transforms"]


def var16(device: str = "cpu"):
    from models import build_vae_var
    torch.manual_seed(0)
    vae, var = build_vae_var(V=4096, Cvae=32, ch=160, share_quant_resi=4, device=device,
                             num_classes=1000, depth=16, shared_aln=False)
    return vae.eval(), var.eval()


def infinity_tokenizer(weights):
    from infinity.models.bsq_vae.vae import vae_model
    return vae_model(weights, "dynamic", 32, 2**32, test_mode=True)


def infinity_transformer(model: str, tokenizer):
    from infinity.models import Infinity
    return Infinity(
        vae_local=tokenizer, text_channels=2048, text_maxlen=512, shared_aln=True,
        raw_scale_schedule=None, checkpointing="full-block", customized_flash_attn=False,
        fused_norm=True, pad_to_multiplier=128, use_flex_attn=False,
        add_lvl_embeding_only_first_block=1, use_bit_label=1, rope2d_each_sa_layer=1,
        rope2d_normalized_by_hw=2, pn=PIXELS[model], apply_spatial_patchify=0, inference_mode=True,
        train_h_div_w_list=[1.0], mlp_ratio=4, **INFINITY[model]).eval().requires_grad_(False)


def fill(module: torch.nn.Module, skip=()) -> None:
    """Small random weights for what is left as it came from memory; nothing far from sensible."""
    generator = torch.Generator().manual_seed(0)
    for name, value in module.named_parameters():
        if value.dim() >= 2 and not name.endswith(skip):
            value.data.normal_(0, value[0].numel() ** -0.5, generator=generator)
        elif name.endswith("bias"):
            value.data.zero_()


def write(model: str, folder: Path) -> None:
    if model == "var16":
        vae, var = var16()
        fill(vae)
        fill(var, ("scale_mul_1H11",))
        torch.save(vae.state_dict(), folder / "vae_ch160v4096z32.pth")
        torch.save(var.state_dict(), folder / "var_d16.pth")
        return
    tokenizer = infinity_tokenizer({})
    fill(tokenizer)
    torch.save({"vae": tokenizer.state_dict()}, folder / "infinity_vae_d32reg.pth")
    transformer = infinity_transformer(model, tokenizer)
    fill(transformer, ("scale_mul_1H11",))
    torch.save(transformer.state_dict(), folder / FILES[model])
    del transformer
    write_text_encoder(model, folder)


def write_text_encoder(model: str, folder: Path) -> None:
    config = T5Config(vocab_size=32128, d_model=2048, d_kv=64, d_ff=5120, num_heads=32,
                      num_layers=TEXT_LAYERS[model], feed_forward_proj="gated-gelu", tie_word_embeddings=False,
                      n_positions=512)
    T5EncoderModel(config).save_pretrained(folder / "flan-t5-xl")
    shutil.copy(TOKENIZER, folder / "flan-t5-xl")


def autocast(dtype: str):
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == "bfloat16")


def time_var16(folder: Path, dtype: str):
    vae, var = var16()
    vae.load_state_dict(torch.load(folder / "vae_ch160v4096z32.pth"))
    var.load_state_dict(torch.load(folder / "var_d16.pth"))

    def run(seed: int) -> None:
        with torch.inference_mode(), autocast(dtype):
            var.autoregressive_infer_cfg(B=1, label_B=torch.tensor([207]), cfg=4, top_k=900,
                                         top_p=0.95, g_seed=seed)
    return run


def time_infinity(model: str, folder: Path, dtype: str):
    from infinity.utils.dynamic_resolution import dynamic_resolution_h_w
    from sentencepiece import SentencePieceProcessor
    pieces = SentencePieceProcessor(str(folder / "flan-t5-xl" / "spiece.model"))
    encoder = T5EncoderModel.from_pretrained(
        folder / "flan-t5-xl", dtype=torch.float16 if dtype == "bfloat16" else torch.float32)
    tokenizer = infinity_tokenizer(torch.load(folder / "infinity_vae_d32reg.pth"))
    transformer = infinity_transformer(model, tokenizer)
    if dtype == "bfloat16":
        for block in transformer.unregistered_blocks:
            block.bfloat16()
            block.ca_norm.float()  # what CUDA's autocast does by itself
    transformer.load_state_dict(torch.load(folder / FILES[model], mmap=True))
    schedule = [(1, h, w) for _, h, w in dynamic_resolution_h_w[1.0][PIXELS[model]]["scales"]]
    transformer.rng = torch.Generator()

    def run(seed: int) -> None:
        tokens = pieces.encode(PROMPT) + [pieces.eos_id()]
        length = len(tokens)
        ids = torch.zeros(1, 512, dtype=torch.int64)  # padded, as the official code does
        ids[0, :length] = torch.tensor(tokens)
        mask = (torch.arange(512) < length)[None].long()
        with torch.inference_mode(), autocast(dtype):
            states = encoder(input_ids=ids, attention_mask=mask)[0].float()
            text = (states[0, :length], [length], torch.tensor([0, length], dtype=torch.int32),
                    length)
            transformer.autoregressive_infer_cfg(
                vae=tokenizer, scale_schedule=schedule, label_B_or_BLT=text, g_seed=seed, B=1,
                negative_label_B_or_BLT=None, cfg_list=[CFG] * len(schedule),
                tau_list=[TAU] * len(schedule), top_k=900, top_p=TOP_P, returns_vemb=1,
                cfg_insertion_layer=[0], vae_type=32, ret_img=True, inference_mode=True)
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["write", "time"])
    parser.add_argument("model", choices=["var16", *INFINITY])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--official", type=Path, required=True)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--runs", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    if options.model != "var16":
        stand_in_for_packages()
    sys.path.insert(0, str(options.official))
    if options.action == "write":
        write(options.model, options.folder)
        return
    run = (time_var16(options.folder, options.dtype) if options.model == "var16" else
           time_infinity(options.model, options.folder, options.dtype))
    seconds = []
    for seed in range(options.runs):
        start = time.perf_counter()
        run(seed)
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak_bytes": peak}))


if __name__ == "__main__":
    main()
