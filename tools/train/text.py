"""Text conditioning: SentencePiece ids, a T5 encoder, its pooled state and its token states.

Conventions are T5's: <pad> is 0, </s> is 1 and ends every prompt, <unk> is 2.
"""
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from torch import Tensor, nn
from transformers import T5Config, T5EncoderModel

from tools.dataset.captions import Captioner
from tools.dataset.scenes import Mix, SceneMaker

MAX_TOKENS = 32
ALL_KINDS = Mix(kinds=dict.fromkeys(("single", "pair", "relation", "sizes", "count", "several"), 1),
                colour=0.6, background=0.4, size_word=0.3)


def scene_captions(count: int) -> list[str]:
    maker, captioner = SceneMaker(ALL_KINDS, 0), Captioner(0, plain=0.5)
    return [captioner.caption(maker.make()) for _ in range(count)]


def folding_rules() -> str:
    """SentencePiece's table of what a prompt's characters are read as: white space as blanks, full
    width as ASCII, upper case of Latin letters as lower case. The tables of nmt_nfkc_cf say the
    same of these and take 240 kB for scripts that no caption has."""
    blanks = [0x09, 0x0A, 0x0D, 0xA0, 0x3000, *range(0x2000, 0x200B)]
    rules = {code: " " for code in blanks}
    rules |= {code: chr(code - 0xFEE0).lower() for code in range(0xFF01, 0xFF5F)}
    rules |= {code: chr(code).lower() for code in range(0x41, 0x250)
              if len(chr(code).lower()) == 1 and chr(code).lower() != chr(code)}
    return "".join(f"{code:X}\t{ord(target):X}\n" for code, target in rules.items())


def train_tokenizer(path: Path, vocab_size: int, sentences: list[str]) -> None:
    """Writes a SentencePiece unigram model of the captions; upper case is folded away."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.open("wb") as file, tempfile.NamedTemporaryFile("w", suffix=".tsv") as seeds,
          tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules):
        rules.write(folding_rules())
        rules.flush()
        # SentencePiece seeds pieces from repeats among distinct words and would miss whole words.
        words = Counter(f"▁{w}" for s in sentences for w in s.lower().replace(",", " ,").split())
        letters = Counter("".join(words.elements()))
        seeds.writelines(f"{piece}\t{n}\n" for piece, n in (words + letters).most_common())
        seeds.flush()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences), seed_sentencepieces_file=seeds.name,
            model_writer=file, model_type="unigram", vocab_size=vocab_size,
            hard_vocab_limit=False, normalization_rule_tsv=rules.name,
            required_chars="abcdefghijklmnopqrstuvwxyz0123456789.,-'!?", pad_id=0, eos_id=1,
            unk_id=2, bos_id=-1, pad_piece="<pad>", minloglevel=1)


class Tokenizer:
    def __init__(self, path: Path):
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))

    def __call__(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """Ids [B, L] and mask [B, L] bool, L = MAX_TOKENS; longer prompts are cut."""
        rows = [row[:MAX_TOKENS - 1] + [1] for row in self.pieces.encode(list(prompts))]
        ids = torch.tensor([row + [0] * (MAX_TOKENS - len(row)) for row in rows])
        return ids, ids != 0


class CaptionReader:
    """Turns captions into ids and mask [B, L]; each caption is read as "" with the probability
    `drop_rate`, for classifier-free guidance."""

    def __init__(self, tokenizer: Tokenizer, drop_rate: float):
        self.tokenizer, self.drop_rate = tokenizer, drop_rate

    def __call__(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        dropped = torch.rand(len(captions)) < self.drop_rate
        return self.tokenizer(["" if drop else caption
                               for drop, caption in zip(dropped, captions)])


class TextEncoder(nn.Module):
    """T5 encoder whose states condition the model of pictures."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        self.t5 = T5EncoderModel(T5Config(**config))

    def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """ids, mask [B, L] -> context [B, L, D], context_mask [B, L], mapping_cond [B, D].

        mapping_cond is the mean of the states over the tokens that are not padding.
        """
        context = self.t5(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        weight = mask[:, :, None].to(context.dtype)
        pooled = (context * weight).sum(1) / weight.sum(1)
        return {"context": context, "context_mask": mask, "mapping_cond": pooled}
