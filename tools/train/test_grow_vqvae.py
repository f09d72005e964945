"""Checks that a tokenizer grows without a change of what it does."""
import pytest
import torch
import torch.nn.functional as F

from tools.train.grow_vqvae import grow_state, inner_levels, keep_pixelwise
from tools.train.vqvae import VQVAE

CONFIG = {"ch": 32, "ch_mult": [1, 1, 2], "num_res_blocks": 1, "z_channels": 8, "vocab_size": 48,
          "v_patch_nums": [1, 2, 4], "quant_resi": 0.5, "share_quant_resi": 4, "using_sa": True,
          "using_mid_sa": True, "quant_conv_ks": 3, "using_znorm": False}


@pytest.fixture(name="pair")
def make_pair() -> tuple[VQVAE, VQVAE]:
    """A random tokenizer of 8x8 pictures and the one of 16x16 pictures grown from it."""
    torch.manual_seed(3)
    small, large = VQVAE(inner_levels(CONFIG, 2)).double(), VQVAE(CONFIG).double()
    keep_pixelwise(small)
    state = grow_state(small.state_dict(), large.state_dict())
    large.load_state_dict({name: value.double() for name, value in state.items()})
    return small, large


@torch.no_grad()
def test_tokens_stay(pair: tuple[VQVAE, VQVAE]) -> None:
    small, large = pair
    pictures = torch.rand(3, 3, 16, 16).double() * 2 - 1
    f = small.encode(small.fitted(pictures))
    assert torch.allclose(large.encode(pictures), f)
    assert torch.equal(large.quantize.tokenize(large.encode(pictures)), small.quantize.tokenize(f))


@torch.no_grad()
def test_pictures_double(pair: tuple[VQVAE, VQVAE]) -> None:
    small, large = pair
    f_hat = torch.randn(2, 8, 4, 4).double()
    doubled = F.interpolate(small.decode(f_hat), scale_factor=2, mode="nearest")
    assert torch.allclose(large.decode(f_hat), doubled)
