"""DiM and the bidirectional Diffusion Mamba in PyTorch, in every way that might be their fastest:
the selective scan by several means (bench/torch_scan.py), eagerly or with compiled blocks, and on a
GPU all of a pass as one CUDA graph."""
from dataclasses import dataclass
from typing import Any, Callable
from unittest import mock

import torch
from torch import Tensor, nn

from bench import torch_scan
from bench.torch_dim import DiM, Mamba, official_config
from bench.torch_variants import Variant, randomised
from tools.train import selective_scan
from tools.train.bidim import BiDiM, Mixer

Config = dict[str, Any]
Weights = dict[str, Tensor]
# (scan, whether blocks are compiled) by name. Eagerly PyTorch's own associative scan would write
# all states out a dozen times.
VARIANTS = {"chunked": (torch_scan.chunked, False),
            "chunked-compiled": (torch_scan.chunked, True),
            "associative-compiled": (torch_scan.associative, True),
            "triton": (torch_scan.triton, False),
            "triton-compiled": (torch_scan.triton, True)}
ON_CPU = ["chunked", "chunked-compiled"]
BLOCKS = 64  # compiled versions of one block that PyTorch keeps


@dataclass
class Network:
    system: str  # as gesso calls it
    config: Config
    shape: list[int]  # of x, without the batch

    @property
    def classes(self) -> int:
        return self.config["num_embeds_ada_norm" if self.system == "dim" else "num_classes"]

    def build(self, scan: torch_scan.Scan) -> nn.Module:
        return DiM(self.config, scan) if self.system == "dim" else BidirectionalPass(self, scan)


# The official sizes of DiM. Of the bidirectional one none are published: this has width, depth and
# patches of DiT-L/2, and 4096 tokens of latents.
NETWORKS = {
    "dim_l_256": Network("dim", official_config(1024, 32, "lateral"), [4, 32, 32]),
    "dim_h_256": Network("dim", official_config(1536, 32, "lateral"), [4, 32, 32]),
    "dim_h_512": Network("dim", official_config(1536, 64, "rho_pad"), [4, 64, 64]),
    "bidim_video": Network("bidim", {
        "in_channels": 4, "input_size": [16, 32, 32], "patch_size": [1, 2, 2], "hidden_size": 1024,
        "depth": 24, "d_state": 16, "d_conv": 4, "expand": 2, "dt_rank": "auto",
        "scan_orders": ["spatial_first", "temporal_first"], "learn_sigma": True,
        "num_classes": 101}, [4, 16, 32, 32]),
}


class BidirectionalPass(BiDiM):
    """The network of classes, with another scan than the one it is trained with."""

    def __init__(self, network: Network, scan: torch_scan.Scan):
        super().__init__(network.config)
        self.scan = scan
        # Its convolution is Triton's where the scan is.
        self.conv = (selective_scan.conv if scan is torch_scan.triton else
                     selective_scan.plain_conv)

    def forward(self, x: Tensor, timestep: Tensor, y: Tensor) -> Tensor:
        """x [B, C, T, H, W], timestep, y [B] -> [B, C_out, T, H, W]."""
        with mock.patch.multiple(selective_scan, scan=self.scan, conv=self.conv):
            return self.predict(x, timestep, self.y_embedder(y))


def make_weights(network: Network, device: str) -> Weights:
    """Random ones under which every block matters: nothing is zero, and mixers keep the scale of
    what they read, so that a wrong one shows in the output."""
    torch.manual_seed(0)
    with torch.device(device):
        model = randomised(network.build(torch_scan.chunked))
    for mixer in (part for part in model.modules() if isinstance(part, (Mamba, Mixer))):
        for layer in (part for part in mixer.modules() if isinstance(part, nn.Linear)):
            nn.init.normal_(layer.weight, std=layer.in_features ** -0.5)
    return model.state_dict()


def load(network: Network, scan: torch_scan.Scan, weights: Weights, dtype: str) -> nn.Module:
    """The network with the very tensors of `weights`, in bfloat16 with copies of the matrices of
    its blocks, which autocast otherwise makes anew in every pass."""
    with torch.device("meta"):
        model = network.build(scan)
    model.load_state_dict(weights, assign=True)
    model.eval().requires_grad_(False)
    for block in blocks_of(model) if dtype == "bfloat16" else []:
        for layer in block.modules():
            if isinstance(layer, nn.Linear):
                layer.weight = nn.Parameter(layer.weight.bfloat16(), requires_grad=False)
    return model


def blocks_of(model: nn.Module) -> nn.ModuleList:
    return model.transformer_blocks if isinstance(model, DiM) else model.blocks


class Played:
    """A function without arguments; on a GPU recorded as a CUDA graph at the first call, and played
    from then on. Returns when the result is there."""

    def __init__(self, call: Callable[[], Tensor], device: str):
        self.call, self.device, self.graph, self.out = call, device, None, None

    def record(self) -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):  # compiles and allocates
                self.call()
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.out = self.call()

    def __call__(self) -> Tensor:
        if self.device == "cpu":
            return self.call()
        if self.graph is None:
            self.record()
        self.graph.replay()
        torch.cuda.synchronize()
        return self.out


def variants(network: Network, weights: Weights, inputs: list[Tensor], names: list[str],
             dtypes: list[str], device: str) -> list[Variant]:
    """Every way of `names` in every type; first an eager one in float32, for others to be compared
    with. float32 is not rounded to TF32, which gesso does not do either."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch._dynamo.config.recompile_limit = BLOCKS
    inputs = [value.to(device) for value in inputs]

    def make(name: str, dtype: str) -> Variant:
        scan, compiled = VARIANTS[name]
        model = load(network, scan, weights, dtype)
        if hasattr(model, "to_device"):
            model.to_device(device)
        for block in blocks_of(model) if compiled else []:
            block.compile(dynamic=False)

        def call() -> Tensor:
            with torch.no_grad(), torch.autocast(device, torch.bfloat16, dtype == "bfloat16",
                                                 cache_enabled=False):
                return model(*inputs)
        return Variant(f"{name} {dtype}", dtype, Played(call, device))

    rest = [(name, dtype) for dtype in dtypes for name in names
            if (name, dtype) != ("chunked", "float32")]
    return [make("chunked", "float32"), *(make(name, dtype) for name, dtype in rest)]
