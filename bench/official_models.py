"""Official next-scale code: checkpoints with random weights in its own layout, and its pictures
from them, timed in a process of its own. For bench/compare_next_scale.py, which starts

    python3 bench/official_models.py write|time MODEL FOLDER --official CHECKOUT

VAR's weights are those of this project's own classes (tools/train). Packages that the code imports
and inference does without (timm's, torchvision's, ...) are stood in for; flash_attn's product of
packed texts is PyTorch's own attention. Blocks in bfloat16 have their weights in bfloat16, which
autocast otherwise makes anew in every call.
"""
import argparse
import importlib.machinery
import json
import os
import shutil
import sys
import time
import types
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))  # behind the official code, which has folders of the same names

CFG, TAU, TOP_P = 3.0, 0.5, 0.97  # Infinity's notebook
TOKENIZER = ROOT / "assets/models/demo-hdit/tokenizer/spiece.model"  # any one of a T5
PROMPT = "a red apple and a cat"
DEPTHS = {"var16": 16, "var30": 30}
# tools/run_infinity.py:load_transformer; the layers of the text encoder, flan-t5-xl's or few.
INFINITY_2B = {"depth": 32, "embed_dim": 2048, "num_heads": 16, "block_chunks": 8}
INFINITY = {"infinity2b": INFINITY_2B, "infinity2b_1m": INFINITY_2B,
            "infinity16": {"depth": 16, "embed_dim": 1152, "num_heads": 12, "block_chunks": 4}}
FILES = {"infinity2b": "infinity_2b_reg.pth", "infinity2b_1m": "infinity_2b_reg.pth",
         "infinity16": "infinity_layer16.pth"}
TEXT_LAYERS = {"infinity2b": 24, "infinity2b_1m": 24, "infinity16": 2}
PIXELS = {"infinity2b": "0.25M", "infinity2b_1m": "1M", "infinity16": "1M"}
# What torch.compile is told for the blocks. A picture runs them in ten shapes or more: each is
# compiled by itself, or all at once with the sizes as symbols, which takes a fraction of the time.
# reduce-overhead plays CUDA graphs, one a block and scale.
VARIANTS = {"eager": None,
            "compiled": {"dynamic": False},
            "graphs": {"dynamic": False, "mode": "reduce-overhead"},
            "symbolic": {"dynamic": True},
            "symbolic-graphs": {"dynamic": True, "mode": "reduce-overhead"}}
SHAPES = 128  # of one block that are compiled before PyTorch gives up and runs it eagerly


def stand_in(name: str, **members) -> None:
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    for key, value in members.items():
        setattr(module, key, value)
    sys.modules[name] = module


def packed_attention(q, kv, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, dropout_p=0,
                     softmax_scale=None):
    """flash_attn_varlen_kvpacked_func for texts of one length, as a prompt and the empty text have
    here: q [B * Lq, H, c], kv [B * Lk, 2, H, c] -> like q, without a look at values on the GPU."""
    texts = len(cu_seqlens_k) - 1
    if len(kv) != texts * max_seqlen_k:
        raise ValueError("only texts of one length are served")
    queries = q.unflatten(0, (texts, -1)).transpose(1, 2)
    keys, values = (part.transpose(1, 2) for part in kv.unflatten(0, (texts, -1)).unbind(2))
    return torch.nn.functional.scaled_dot_product_attention(
        queries, keys, values, scale=softmax_scale).transpose(1, 2).flatten(0, 1)


def stand_in_for_packages() -> None:
    from transformers import T5EncoderModel  # noqa: F401  before stand-ins confuse it
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


def build_var(model: str, device: str):
    from models import build_vae_var
    torch.manual_seed(0)
    with torch.device(device):
        vae, var = build_vae_var(V=4096, Cvae=32, ch=160, share_quant_resi=4, device=device,
                                 num_classes=1000, depth=DEPTHS[model], shared_aln=False)
    var.rng = torch.Generator(device)  # not where the official code finds a GPU
    return vae.eval().requires_grad_(False), var.eval().requires_grad_(False)


def own_var(model: str, device: str) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The same with this project's classes: the parameters alone."""
    from bench.torch_decoder import OFFICIAL
    from tools.train.var import VAR
    from tools.train.vqvae import VQVAE
    depth, sides = DEPTHS[model], OFFICIAL["v_patch_nums"]
    config = {"depth": depth, "embed_dim": 64 * depth, "num_heads": depth, "mlp_ratio": 4.0,
              "norm_eps": 1e-6, "attn_l2_norm": True, "shared_aln": False, "patch_nums": sides,
              "num_classes": 1000}
    with torch.device(device):
        return VQVAE(OFFICIAL), VAR(config, OFFICIAL["vocab_size"], OFFICIAL["z_channels"])


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


def fill(module: torch.nn.Module, device: str, skip=()) -> None:
    """Small random weights for what is left as it came from memory; nothing far from sensible."""
    generator = torch.Generator(device).manual_seed(0)
    for name, value in module.named_parameters():
        if value.dim() >= 2 and not name.endswith(skip):
            value.data.normal_(0, value[0].numel() ** -0.5, generator=generator)
        elif name.endswith("bias"):
            value.data.zero_()


def save(module: torch.nn.Module, path: Path, name: str = "") -> None:
    """Writes the weights as numbers of the CPU, under a key if it has a name."""
    weights = {key: value.cpu() for key, value in module.state_dict().items()}
    torch.save({name: weights} if name else weights, path)


def write(model: str, folder: Path, device: str) -> None:
    if model in DEPTHS:
        vae, var = own_var(model, device)
        fill(vae, device)
        fill(var, device, ("scale_mul_1H11",))
        save(vae, folder / "vae_ch160v4096z32.pth")
        save(var, folder / f"var_d{DEPTHS[model]}.pth")
        return
    tokenizer = infinity_tokenizer({}).to(device)
    fill(tokenizer, device)
    save(tokenizer, folder / "infinity_vae_d32reg.pth", "vae")
    # Its layers would start from random numbers of the CPU, one thread's, only to be filled here.
    torch.nn.Linear.reset_parameters = lambda self: None
    transformer = infinity_transformer(model, tokenizer).to(device)
    fill(transformer, device, ("scale_mul_1H11",))
    save(transformer, folder / FILES[model])
    del transformer
    write_text_encoder(model, folder, device)


def write_text_encoder(model: str, folder: Path, device: str) -> None:
    from transformers import T5Config, T5EncoderModel
    config = T5Config(vocab_size=32128, d_model=2048, d_kv=64, d_ff=5120, num_heads=32,
                      num_layers=TEXT_LAYERS[model], feed_forward_proj="gated-gelu",
                      tie_word_embeddings=False, n_positions=512)
    with torch.device(device):
        encoder = T5EncoderModel(config)
    encoder.save_pretrained(folder / "flan-t5-xl")
    shutil.copy(TOKENIZER, folder / "flan-t5-xl")


def autocast(options: argparse.Namespace):
    return torch.autocast(options.device, dtype=torch.bfloat16, enabled=options.dtype == "bfloat16")


def prepare_blocks(blocks, options: argparse.Namespace) -> None:
    """The blocks in the type and the variant asked for."""
    settings = VARIANTS[options.variant]
    torch._dynamo.config.recompile_limit = SHAPES
    for block in blocks:
        block.drop_path = torch.nn.Identity()  # as it is without training, in every block alike
        if options.dtype == "bfloat16":
            block.bfloat16()
        if settings:
            block.compile(**settings)


def make_var(options: argparse.Namespace):
    """A function that makes the picture of a seed."""
    device, folder = options.device, options.folder
    vae, var = build_var(options.model, device)
    for part, name in (vae, "vae_ch160v4096z32"), (var, f"var_d{DEPTHS[options.model]}"):
        tables = dict(part.named_buffers())
        part.load_state_dict(tables | torch.load(folder / f"{name}.pth", mmap=True))
    prepare_blocks(var.blocks, options)
    label = torch.tensor([207], device=device)

    def run(seed: int) -> None:
        with torch.inference_mode(), autocast(options):
            var.autoregressive_infer_cfg(B=1, label_B=label, cfg=4, top_k=900, top_p=0.95,
                                         g_seed=seed)
    return run


def make_infinity(options: argparse.Namespace):
    """A function that makes the picture of a seed, its prompt's encoding included."""
    from infinity.models import basic
    from infinity.utils.dynamic_resolution import dynamic_resolution_h_w
    from sentencepiece import SentencePieceProcessor
    from transformers import T5EncoderModel
    model, folder, device = options.model, options.folder, options.device
    pieces = SentencePieceProcessor(str(folder / "flan-t5-xl" / "spiece.model"))
    encoder = T5EncoderModel.from_pretrained(
        folder / "flan-t5-xl",
        dtype=torch.float16 if options.dtype == "bfloat16" else torch.float32).to(device)
    tokenizer = infinity_tokenizer(torch.load(folder / "infinity_vae_d32reg.pth")).to(device)
    torch.nn.Linear.reset_parameters = lambda self: None  # all are read from the file
    transformer = infinity_transformer(model, tokenizer).to(device)
    # Finds its table by text and counts with NumPy, of which PyTorch compiles neither.
    basic.apply_rotary_emb = torch.compiler.disable(basic.apply_rotary_emb)
    prepare_blocks(transformer.unregistered_blocks, options)
    for block in transformer.unregistered_blocks:
        block.ca_norm.float()  # what CUDA's autocast does by itself
    transformer.load_state_dict(torch.load(folder / FILES[model], mmap=True))
    schedule = [(1, h, w) for _, h, w in dynamic_resolution_h_w[1.0][PIXELS[model]]["scales"]]
    transformer.rng = torch.Generator(device)

    def run(seed: int) -> None:
        tokens = pieces.encode(PROMPT) + [pieces.eos_id()]
        length = len(tokens)
        ids = torch.zeros(1, 512, dtype=torch.int64)  # padded, as the official code does
        ids[0, :length] = torch.tensor(tokens)
        mask = (torch.arange(512) < length)[None].long()
        with torch.inference_mode(), autocast(options):
            states = encoder(input_ids=ids.to(device), attention_mask=mask.to(device))[0].float()
            text = (states[0, :length], [length], torch.tensor([0, length], dtype=torch.int32),
                    length)
            transformer.autoregressive_infer_cfg(
                vae=tokenizer, scale_schedule=schedule, label_B_or_BLT=text, g_seed=seed, B=1,
                negative_label_B_or_BLT=None, cfg_list=[CFG] * len(schedule),
                tau_list=[TAU] * len(schedule), top_k=900, top_p=TOP_P, returns_vemb=1,
                cfg_insertion_layer=[0], vae_type=32, ret_img=True, inference_mode=True)
    return run


def time_pictures(run, options: argparse.Namespace) -> list[float]:
    """Seconds of each picture, until the device has it."""
    seconds = []
    for seed in range(options.runs):
        torch.compiler.cudagraph_mark_step_begin()  # keys and values of a picture stay valid
        start = time.perf_counter()
        run(seed)
        if options.device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
        print(f"picture {seed}: {seconds[-1]:.3f} s", file=sys.stderr, flush=True)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["write", "time"])
    parser.add_argument("model", choices=[*DEPTHS, *INFINITY])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--official", type=Path,
                        help="checkout of the official code; VAR is written without it")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--variant", default="eager", choices=VARIANTS)
    parser.add_argument("--runs", type=int, default=2)
    options = parser.parse_args()
    if not options.official and (options.action == "time" or options.model in INFINITY):
        parser.error("--official is required, but for writing a VAR")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.backends.cuda.matmul.allow_tf32 = False  # gesso does not round float32 either
    torch.backends.cudnn.allow_tf32 = False
    if options.model in INFINITY:
        stand_in_for_packages()
    if options.official:
        sys.path.insert(0, str(options.official))
    if options.action == "write":
        write(options.model, options.folder, options.device)
        return
    make = make_var if options.model in DEPTHS else make_infinity
    print(json.dumps({"seconds": time_pictures(make(options), options)}))


if __name__ == "__main__":
    main()
