#!/usr/bin/env python3
"""Writes the tiny models with random weights that the tests of pipelines and commands run.

    python3 tests/data/models/make.py        (standard library only; the same files every time)

tiny-hdit/                 text to image, 32 x 32, layout of the demo model
tiny-classes.safetensors   class-conditional, 16 x 16, a bare k-diffusion checkpoint
tiny-var/                  text to image, 8 x 8, next-scale prediction
tiny-video/                text to clips of 8 frames, 16 x 16, bidirectional Diffusion Mamba
"""
import json
import math
import random
import struct
from pathlib import Path

HERE = Path(__file__).parent
RANDOM = random.Random(0)

TEXT = {
    "architectures": ["T5EncoderModel"], "model_type": "t5", "vocab_size": 40, "d_model": 32,
    "d_kv": 16, "d_ff": 48, "num_layers": 1, "num_heads": 2, "feed_forward_proj": "gated-gelu",
    "relative_attention_num_buckets": 8, "relative_attention_max_distance": 16,
    "layer_norm_epsilon": 1e-6, "pad_token_id": 0, "eos_token_id": 1,
}
DENOISER = {
    "model": {
        "type": "image_transformer_v2", "input_channels": 3, "input_size": [32, 32],
        "patch_size": [4, 4], "widths": [32, 48], "depths": [1, 1],
        "self_attns": [{"type": "neighborhood", "d_head": 16, "kernel_size": 3},
                       {"type": "global", "d_head": 16}],
        "cross_attns": [None, {"type": "text", "d_head": 16}], "cross_attn_dim": 32,
        "mapping_cond_dim": 32, "mapping_width": 32, "mapping_depth": 1, "sigma_data": 0.5,
        "sigma_min": 0.01, "sigma_max": 80,
    },
    "dataset": {"type": "scenes"},
}
CLASSES = {
    "model": {
        "type": "image_transformer_v2", "input_channels": 1, "input_size": [16, 16],
        "patch_size": [4, 4], "widths": [32], "depths": [1],
        "self_attns": [{"type": "global", "d_head": 16}], "mapping_width": 32, "mapping_depth": 1,
        "sigma_data": 0.5, "sigma_min": 0.01, "sigma_max": 80,
    },
    "dataset": {"type": "imagefolder-class", "num_classes": 3},
}
INDEX = {
    "_class_name": "HourglassDiffusionPipeline", "denoiser": ["gesso", "hdit"],
    "text_encoder": ["transformers", "T5EncoderModel"], "tokenizer": ["sentencepiece", "T5"],
    "defaults": {"width": 32, "height": 32, "steps": 4, "cfg_scale": 2.0,
                 "sampling_method": "dpmpp_2m", "scheduler": "karras"},
}

VAE = {
    "vocab_size": 24, "z_channels": 8, "ch": 32, "ch_mult": [1, 1], "num_res_blocks": 1,
    "using_sa": False, "using_mid_sa": False, "using_znorm": False, "quant_conv_ks": 3,
    "quant_resi": 0.5, "share_quant_resi": 2, "v_patch_nums": [1, 2, 3, 4],
}
VAR = {
    "depth": 4, "embed_dim": 32, "num_heads": 2, "mlp_ratio": 2.0, "norm_eps": 1e-6,
    "attn_l2_norm": True, "shared_aln": True, "patch_nums": VAE["v_patch_nums"],
    "text": {"dim": TEXT["d_model"]},
}
VAR_INDEX = {
    "_class_name": "VARPipeline", "transformer": ["gesso", "var"], "vae": ["gesso", "vqvae"],
    "text_encoder": ["transformers", "T5EncoderModel"], "tokenizer": ["sentencepiece", "T5"],
    "defaults": {"cfg_scale": 3.0, "top_k": 12, "top_p": 0.9},
}
VIDEO = {
    "hidden_size": 32, "depth": 2, "in_channels": 3, "learn_sigma": False, "input_size": [8, 16, 16],
    "patch_size": [1, 4, 4], "scan_orders": ["spatial_first", "temporal_first"], "d_state": 16,
    "d_conv": 4, "expand": 2, "dt_rank": "auto", "text": {"dim": TEXT["d_model"]},
    "sigma_data": 0.5, "sigma_min": 0.01, "sigma_max": 80,
}
VIDEO_INDEX = {
    "_class_name": "BidirectionalMambaPipeline", "denoiser": ["gesso", "bidim"],
    "text_encoder": ["transformers", "T5EncoderModel"], "tokenizer": ["sentencepiece", "T5"],
    "defaults": {"width": 16, "height": 16, "frames": 8, "fps": 8, "steps": 4, "cfg_scale": 2.0,
                 "sampling_method": "dpmpp_2m", "scheduler": "karras"},
}


def normal(*shape, gain=None):
    """Shape and values; a matrix keeps the size of what it is multiplied with."""
    deviation = gain or 1 / math.sqrt(shape[-1])
    return shape, [RANDOM.gauss(0, deviation) for _ in range(math.prod(shape))]


def constant(value, *shape):
    return shape, [value] * math.prod(shape)


def write_safetensors(path, tensors, metadata):
    """Values are stored as bfloat16, rounded towards zero."""
    header, data = {"__metadata__": metadata}, b""
    for name, (shape, values) in sorted(tensors.items()):
        raw = b"".join(struct.pack("<f", value)[2:] for value in values)
        header[name] = {"dtype": "BF16", "shape": shape,
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def layer(prefix, model, level):
    width, mapping = model["widths"][level], model["mapping_width"]
    heads, ff = width // 16, 3 * width
    frequencies = [[math.pi * 10 ** ((j * heads + head) / (heads * 2)) for j in range(2)]
                   for head in range(heads)]
    tensors = {
        "self_attn.scale": constant(10.0, heads),
        "self_attn.norm.linear.weight": normal(width, mapping, gain=0.1),
        "self_attn.qkv_proj.weight": normal(3 * width, width),
        "self_attn.pos_emb.freqs": ((heads, 2), sum(frequencies, [])),
        "self_attn.out_proj.weight": normal(width, width),
        "ff.norm.linear.weight": normal(width, mapping, gain=0.1),
        "ff.up_proj.weight": normal(2 * ff, width),
        "ff.down_proj.weight": normal(width, ff),
    }
    if model.get("cross_attns", [None] * 9)[level]:
        tensors |= {
            "cross_attn.scale": constant(10.0, heads),
            "cross_attn.norm.linear.weight": normal(width, mapping, gain=0.1),
            "cross_attn.q_proj.weight": normal(width, width),
            "cross_attn.kv_proj.weight": normal(2 * width, model["cross_attn_dim"]),
            "cross_attn.out_proj.weight": normal(width, width),
        }
    return {prefix + name: value for name, value in tensors.items()}


def denoiser(config):
    model, classes = config["model"], config["dataset"].get("num_classes", 0)
    widths, mapping, last = model["widths"], model["mapping_width"], len(model["widths"]) - 1
    features = 16 * model["input_channels"]
    tensors = {
        "patch_in.proj.weight": normal(widths[0], features),
        "time_emb.weight": normal(mapping // 2, 1),
        "time_in_proj.weight": normal(mapping, mapping),
        "aug_emb.weight": normal(mapping // 2, 9),
        "aug_in_proj.weight": normal(mapping, mapping),
        "mapping.in_norm.scale": constant(1.0, mapping),
        "mapping.blocks.0.norm.scale": constant(1.0, mapping),
        "mapping.blocks.0.up_proj.weight": normal(6 * mapping, mapping),
        "mapping.blocks.0.down_proj.weight": normal(mapping, 3 * mapping),
        "mapping.out_norm.scale": constant(1.0, mapping),
        "out_norm.scale": constant(1.0, widths[0]),
        "patch_out.proj.weight": normal(features, widths[0]),
    }
    if classes:
        tensors["class_emb.weight"] = normal(classes + 1, mapping, gain=1.0)
    if model.get("mapping_cond_dim"):
        tensors["mapping_cond_in_proj.weight"] = normal(mapping, model["mapping_cond_dim"])
    for level in range(last):
        tensors |= layer(f"down_levels.{level}.0.", model, level)
        tensors |= layer(f"up_levels.{level}.0.", model, level)
        tensors[f"merges.{level}.proj.weight"] = normal(widths[level + 1], 4 * widths[level])
        tensors[f"splits.{level}.proj.weight"] = normal(4 * widths[level], widths[level + 1])
        tensors[f"splits.{level}.fac"] = constant(0.5, 1)
    return tensors | layer("mid_level.0.", model, last)


def text_encoder():
    d_model, inner = TEXT["d_model"], TEXT["num_heads"] * TEXT["d_kv"]
    block = "encoder.block.0.layer."
    tensors = {
        "shared.weight": normal(TEXT["vocab_size"], d_model, gain=1.0),
        block + "0.SelfAttention.relative_attention_bias.weight": normal(8, TEXT["num_heads"]),
        block + "0.SelfAttention.o.weight": normal(d_model, inner),
        block + "0.layer_norm.weight": constant(1.0, d_model),
        block + "1.DenseReluDense.wi_0.weight": normal(TEXT["d_ff"], d_model),
        block + "1.DenseReluDense.wi_1.weight": normal(TEXT["d_ff"], d_model),
        block + "1.DenseReluDense.wo.weight": normal(d_model, TEXT["d_ff"]),
        block + "1.layer_norm.weight": constant(1.0, d_model),
        "encoder.final_layer_norm.weight": constant(1.0, d_model),
    }
    for part in "qkv":
        tensors[block + f"0.SelfAttention.{part}.weight"] = normal(inner, d_model, gain=0.1)
    return tensors


def linear(name, rows, cols, gain=None):
    return {name + ".weight": normal(rows, cols, gain=gain), name + ".bias": normal(rows, gain=0.1)}


def conv(name, outputs, inputs, kernel=3):
    deviation = 1 / math.sqrt(inputs * kernel * kernel)
    return {name + ".weight": normal(outputs, inputs, kernel, kernel, gain=deviation),
            name + ".bias": normal(outputs, gain=0.1)}


def norm(name, width):
    return {name + ".weight": constant(1.0, width), name + ".bias": normal(width, gain=0.1)}


def res_block(name, width):
    return (norm(name + ".norm1", width) | conv(name + ".conv1", width, width)
            | norm(name + ".norm2", width) | conv(name + ".conv2", width, width))


def vae():
    """All channels alike, no attention: two levels, half the picture's side."""
    ch, z = VAE["ch"], VAE["z_channels"]
    tensors = conv("encoder.conv_in", ch, 3) | conv("encoder.conv_out", z, ch)
    tensors |= conv("decoder.conv_in", ch, z) | conv("decoder.conv_out", 3, ch)
    for level in range(2):
        tensors |= res_block(f"encoder.down.{level}.block.0", ch)
        for block in range(2):
            tensors |= res_block(f"decoder.up.{level}.block.{block}", ch)
    tensors |= conv("encoder.down.0.downsample.conv", ch, ch)
    tensors |= conv("decoder.up.1.upsample.conv", ch, ch)
    for half in ("encoder", "decoder"):
        tensors |= norm(half + ".norm_out", ch)
        tensors |= res_block(half + ".mid.block_1", ch) | res_block(half + ".mid.block_2", ch)
    tensors |= conv("quant_conv", z, z) | conv("post_quant_conv", z, z)
    for phi in range(VAE["share_quant_resi"]):
        tensors |= conv(f"quantize.quant_resi.qresi_ls.{phi}", z, z)
    return tensors | {"quantize.embedding.weight": normal(VAE["vocab_size"], z, gain=1.0)}


def var():
    width, text, scales = VAR["embed_dim"], VAR["text"]["dim"], len(VAR["patch_nums"])
    tokens, ff = sum(side * side for side in VAR["patch_nums"]), int(VAR["mlp_ratio"] * width)
    tensors = {"pos_start": normal(1, 1, width, gain=0.5), "pos_1LC": normal(1, tokens, width, gain=0.5),
               "lvl_embed.weight": normal(scales, width, gain=0.5)}
    tensors |= linear("text_proj", width, text) | linear("word_embed", width, VAE["z_channels"])
    tensors |= linear("shared_ada_lin.1", 6 * width, width)
    tensors |= linear("head_nm.ada_lin.1", 2 * width, width)
    tensors |= linear("head", VAE["vocab_size"], width, gain=0.3)
    for number in range(VAR["depth"]):
        block = f"blocks.{number}."
        tensors |= {
            block + "ada_gss": normal(1, 1, 6, width, gain=0.3),
            block + "attn.mat_qkv.weight": normal(3 * width, width),
            block + "attn.q_bias": normal(width, gain=0.1),
            block + "attn.v_bias": normal(width, gain=0.1),
            block + "attn.scale_mul_1H11": constant(1.4, 1, VAR["num_heads"], 1, 1),
            block + "ca.mat_kv.weight": normal(2 * width, text),
            block + "ca.v_bias": normal(width, gain=0.1),
        }
        tensors |= linear(block + "attn.proj", width, width) | norm(block + "ca_norm", width)
        tensors |= linear(block + "ca.mat_q", width, width) | linear(block + "ca.proj", width, width)
        tensors |= linear(block + "ffn.fc1", ff, width) | linear(block + "ffn.fc2", width, ff)
    return tensors


def bidim():
    width, states = VIDEO["hidden_size"], VIDEO["d_state"]
    inner, rank, patch = 2 * width, width // 16, 3 * 16
    tensors = linear("t_embedder.mlp.0", width, 256) | linear("t_embedder.mlp.2", width, width)
    tensors |= linear("text_proj", width, VIDEO["text"]["dim"])
    tensors |= linear("context_proj", width, VIDEO["text"]["dim"])
    tensors["x_embedder.proj.weight"] = normal(width, 3, 1, 4, 4, gain=1 / math.sqrt(patch))
    tensors["x_embedder.proj.bias"] = normal(width, gain=0.1)
    for number in range(VIDEO["depth"]):
        block = f"blocks.{number}."
        tensors |= linear(block + "adaLN_modulation.1", 3 * width, width, gain=0.3)
        tensors[block + "mixer.in_proj.weight"] = normal(2 * inner, width)
        tensors[block + "mixer.out_proj.weight"] = normal(width, inner)
        for way, log in (("", "A_log"), ("_b", "A_b_log")):
            mixer = block + "mixer."
            tensors[mixer + f"conv1d{way}.weight"] = normal(inner, 1, 4)
            tensors[mixer + f"conv1d{way}.bias"] = normal(inner, gain=0.1)
            tensors[mixer + f"x_proj{way}.weight"] = normal(rank + 2 * states, inner)
            tensors[mixer + f"dt_proj{way}.weight"] = normal(inner, rank)
            tensors[mixer + f"dt_proj{way}.bias"] = constant(-2.0, inner)
            tensors[mixer + log] = normal(inner, states, gain=0.5)
            tensors[mixer + f"D{way}"] = constant(1.0, inner)
    tensors |= linear("final_layer.adaLN_modulation.1", 2 * width, width, gain=0.3)
    return tensors | linear("final_layer.linear", patch, width)


def field(number, value):
    """One field of a protocol buffer: bytes, an integer or a 32-bit float."""
    def varint(n):
        return bytes([n & 127 | 128]) + varint(n >> 7) if n > 127 else bytes([n])
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def tokenizer():
    """A SentencePiece unigram model of single letters (fields: sentencepiece_model.proto)."""
    pieces = [("<pad>", 3), ("</s>", 3), ("<unk>", 2), ("\u2581", 1)]
    pieces += [(letter, 1) for letter in "abcdefghijklmnopqrstuvwxyz0123456789"]
    model = b""
    for rank, (piece, kind) in enumerate(pieces):
        body = field(1, piece.encode()) + field(2, -float(rank)) + field(3, kind)
        model += field(1, body)
    trainer = field(3, 1) + field(4, len(pieces)) + field(40, 2)
    trainer += field(41, (1 << 64) - 1) + field(42, 1) + field(43, 0)
    return model + field(2, trainer) + field(3, field(1, b"identity"))


def write_text(folder):
    write_json(folder / "text_encoder" / "config.json", TEXT)
    write_safetensors(folder / "text_encoder" / "model.safetensors", text_encoder(), {})
    (folder / "tokenizer").mkdir(exist_ok=True)
    (folder / "tokenizer" / "spiece.model").write_bytes(tokenizer())


def main():
    assert TEXT["vocab_size"] == 40
    folder = HERE / "tiny-hdit"
    write_json(folder / "model_index.json", INDEX)
    write_json(folder / "denoiser" / "config.json", DENOISER)
    write_safetensors(folder / "denoiser" / "model.safetensors", denoiser(DENOISER), {})
    write_text(folder)
    write_safetensors(HERE / "tiny-classes.safetensors", denoiser(CLASSES),
                      {"config": json.dumps(CLASSES)})
    folder = HERE / "tiny-var"
    write_json(folder / "model_index.json", VAR_INDEX)
    write_json(folder / "vae" / "config.json", VAE)
    write_safetensors(folder / "vae" / "model.safetensors", vae(), {})
    write_json(folder / "transformer" / "config.json", VAR)
    write_safetensors(folder / "transformer" / "model.safetensors", var(), {})
    write_text(folder)
    folder = HERE / "tiny-video"
    write_json(folder / "model_index.json", VIDEO_INDEX)
    write_json(folder / "denoiser" / "config.json", VIDEO)
    write_safetensors(folder / "denoiser" / "model.safetensors", bidim(), {})
    write_text(folder)


if __name__ == "__main__":
    main()
