#!/usr/bin/env python3
"""Writes the tiny models with random weights that the tests of pipelines and commands run.

    python3 tests/data/models/make.py        (standard library only; the same files every time)

tiny-hdit/                 text to image, 32 x 32, layout of the demo model
tiny-classes.safetensors   class-conditional, 16 x 16, a bare k-diffusion checkpoint
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


def main():
    assert TEXT["vocab_size"] == 40
    folder = HERE / "tiny-hdit"
    write_json(folder / "model_index.json", INDEX)
    write_json(folder / "denoiser" / "config.json", DENOISER)
    write_json(folder / "text_encoder" / "config.json", TEXT)
    write_safetensors(folder / "denoiser" / "model.safetensors", denoiser(DENOISER), {})
    write_safetensors(folder / "text_encoder" / "model.safetensors", text_encoder(), {})
    (folder / "tokenizer").mkdir(exist_ok=True)
    (folder / "tokenizer" / "spiece.model").write_bytes(tokenizer())
    write_safetensors(HERE / "tiny-classes.safetensors", denoiser(CLASSES),
                      {"config": json.dumps(CLASSES)})


if __name__ == "__main__":
    main()
