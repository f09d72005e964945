// Checkpoints in several files, described by an index: {"metadata": {...}, "weight_map": {tensor
// name: file name}}, as *.safetensors.index.json and pytorch_model.bin.index.json.
// Official source: huggingface/huggingface_hub src/huggingface_hub/serialization/_base.py.
#pragma once

#include <functional>

#include "models/io/file_bytes.h"
#include "models/io/weights.h"

namespace gesso {

// True if the bytes begin as a JSON object does.
bool IsJson(std::span<const std::byte> bytes);

// All tensors of all shards, which lie beside the index and are read by `open_shard`; the shards'
// metadata are joined, the first of a key counts. Throws kFormat, naming the tensor, where index
// and shards disagree, and kIo where a shard is missing.
Weights OpenSharded(const FileBytes& index,
                    const std::function<Weights(const std::filesystem::path&)>& open_shard);

}  // namespace gesso
