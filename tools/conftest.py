"""One thread: the tests' tensors are too small to gain by more. Triton's kernels are interpreted
where there is no GPU to run them."""
import os

import torch

torch.set_num_threads(1)
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
