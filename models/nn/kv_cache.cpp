#include "models/nn/kv_cache.h"

#include <cstring>

#include "kernels/core/parallel.h"

namespace gesso::nn {

namespace {

// Tokens begin..end-1 of storage [R, H, capacity, D], as [R, tokens, H, D].
template <class AnyView>
AnyView TokensFirst(AnyView storage, int64_t begin, int64_t end) {
  return storage.Slice(2, begin, end).Permute({0, 2, 1, 3});
}

}  // namespace

KvCache::KvCache(int64_t rows, int64_t heads, int64_t head_dim, int64_t capacity, DType dtype)
    : keys_({rows, heads, capacity, head_dim}, dtype),
      values_({rows, heads, capacity, head_dim}, dtype) {
  CHECK(dtype == DType::kF32 || dtype == DType::kBF16);
}

KvCache::Slots KvCache::Append(int64_t tokens) {
  Require(size_ + tokens <= capacity(), ErrorKind::kMemory,
          "a cache for {} tokens cannot take {} after {}", capacity(), tokens, size_);
  const int64_t begin = size_;
  size_ += tokens;
  return {TokensFirst(keys_.mutable_view(), begin, size_),
          TokensFirst(values_.mutable_view(), begin, size_)};
}

ConstView KvCache::keys() const { return TokensFirst(keys_.view(), 0, size_); }
ConstView KvCache::values() const { return TokensFirst(values_.view(), 0, size_); }

void KvCache::Compact(ConstView indices, Device device) {
  const int64_t heads = keys_.shape()[1];
  Require(indices.dtype == DType::kI32 && indices.IsContiguous() && indices.shape.rank() == 3 &&
              indices.shape[0] == rows() && indices.shape[1] == heads && indices.shape[2] <= size_,
          ErrorKind::kShape, "kept keys must be int32 [{}, {}, at most {}], got {} {}", rows(),
          heads, size_, NameOf(indices.dtype), indices.shape);
  const int64_t kept = indices.shape[2];
  if (device == Device::kMeta) {
    size_ = kept;
    return;
  }
  const int32_t* ids = indices.Data<int32_t>();
  for (int64_t i = 0; i < indices.numel(); ++i) {
    const int64_t before = i % kept == 0 ? -1 : ids[i - 1];
    Require(ids[i] > before && ids[i] < size_, ErrorKind::kShape,
            "kept keys must ascend within 0..{}, got {} after {}", size_ - 1, ids[i], before);
  }
  const size_t token_bytes = static_cast<size_t>(keys_.shape()[3]) * SizeOf(keys_.dtype());
  const size_t head_bytes = static_cast<size_t>(capacity()) * token_bytes;
  auto* keys = static_cast<std::byte*>(keys_.mutable_view().data);
  auto* values = static_cast<std::byte*>(values_.mutable_view().data);
  ParallelFor(rows() * heads, [&](int64_t head) {
    const size_t first = static_cast<size_t>(head) * head_bytes;
    for (int64_t i = 0; i < kept; ++i) {  // never overwrites what is still to be read
      const size_t from = first + static_cast<size_t>(ids[head * kept + i]) * token_bytes;
      const size_t to = first + static_cast<size_t>(i) * token_bytes;
      if (from == to) continue;
      std::memcpy(keys + to, keys + from, token_bytes);
      std::memcpy(values + to, values + from, token_bytes);
    }
  });
  size_ = kept;
}

KvCache KvCache::Fork(std::span<const int64_t> rows) const {
  const Shape& s = keys_.shape();
  KvCache fork(static_cast<int64_t>(rows.size()), s[1], s[3], s[2], keys_.dtype());
  const size_t head_bytes = static_cast<size_t>(s[2] * s[3]) * SizeOf(keys_.dtype());
  const size_t used = static_cast<size_t>(size_ * s[3]) * SizeOf(keys_.dtype());
  const auto copy = [&](const Tensor& from, Tensor& to) {
    const auto* source = static_cast<const std::byte*>(from.view().data);
    auto* target = static_cast<std::byte*>(to.mutable_view().data);
    for (size_t row = 0; row < rows.size(); ++row) {
      CHECK(rows[row] >= 0 && rows[row] < s[0]);
      for (int64_t head = 0; head < s[1]; ++head) {
        std::memcpy(
            target + static_cast<size_t>(static_cast<int64_t>(row) * s[1] + head) * head_bytes,
            source + static_cast<size_t>(rows[row] * s[1] + head) * head_bytes, used);
      }
    }
  };
  copy(keys_, fork.keys_);
  copy(values_, fork.values_);
  fork.size_ = size_;
  return fork;
}

}  // namespace gesso::nn
