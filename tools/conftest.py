"""One thread: the tests' tensors are too small to gain by more."""
import torch

torch.set_num_threads(1)
