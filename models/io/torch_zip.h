// Checkpoints that torch.save wrote (.pth, .pt, .ckpt, .bin; PyTorch 1.6 and later): a zip archive
// with a pickle of the objects (data.pkl) and one entry a storage (data/0, data/1, ...).
// Official source: pytorch/pytorch torch/serialization.py:_save,
// torch/_utils.py:_rebuild_tensor_v2.
#pragma once

#include "models/io/file_bytes.h"
#include "models/io/weights.h"

namespace gesso {

// Nothing in the file is executed; names that are not known to be harmless are refused.
//
// Tensors: nested dictionaries and lists are flattened, names joined by dots, so that a training
// checkpoint {"model_ema": state_dict} gives "model_ema.<key>". They are views of the file, except
// for strided (e.g. transposed) ones, which are copied.
// Metadata: every top-level entry that holds anything but tensors, as JSON text ("config",
// "step", ...); a plain string as it is; inside, tensors are left out (null in a list).
//
// Throws kFormat for a malformed or truncated file, kUnsupported for TorchScript, big-endian
// files, unknown names in the pickle and element types that gesso has no tensors for.
Weights ParseTorchZip(const FileBytes& file);

}  // namespace gesso
