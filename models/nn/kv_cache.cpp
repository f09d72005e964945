#include "models/nn/kv_cache.h"

#include <algorithm>
#include <cstring>

#include "kernels/core/parallel.h"
#include "kernels/heads.h"

namespace gesso::nn {

namespace {

// Tokens begin..end-1 of storage [R, H, capacity, D], as [R, tokens, H, D].
template <class AnyView>
AnyView TokensFirst(AnyView storage, int64_t begin, int64_t end) {
  return storage.Slice(2, begin, end).Permute({0, 2, 1, 3});
}

const std::byte* BytesOf(ConstView view) { return view.Bytes(); }
std::byte* BytesOf(View view) { return view.Bytes(); }

// A head's part of a token; its tokens lie behind each other.
size_t TokenBytes(const Tensor& storage) {
  return static_cast<size_t>(storage.shape()[3]) * SizeOf(storage.dtype());
}

}  // namespace

KvCache::KvCache(int64_t rows, int64_t heads, int64_t head_dim, int64_t capacity, DType dtype)
    : keys_(Tensor::Unwritten({rows, heads, capacity, head_dim}, dtype)),
      values_(Tensor::Unwritten({rows, heads, capacity, head_dim}, dtype)) {
  CHECK(dtype == DType::kF32 || dtype == DType::kBF16);
}

void KvCache::Hold(int64_t tokens) {
  CHECK(tokens >= 0 && tokens <= capacity());
  size_ = tokens;
  used_ = std::max(used_, tokens);
}

KvCache::Extension KvCache::Extend(Context& ctx, int64_t tokens) {
  const int64_t all = size_ + tokens;
  if (all <= capacity()) {
    used_ = std::max(used_, all);
    return {TokensFirst(keys_.mutable_view(), 0, all), TokensFirst(values_.mutable_view(), 0, all)};
  }
  const Shape& s = keys_.shape();
  const auto copy = [&](const Tensor& from) {
    const View to = ctx.arena->Alloc({s[0], s[1], all, s[3]}, from.dtype());
    if (ctx.device == Device::kMeta) return TokensFirst(to, 0, all);
    if (ctx.device == Device::kCuda) {  // in the order of its work, without the host
      if (size_ > 0) CopyHeads(ctx, TokensFirst(from.view(), 0, size_), TokensFirst(to, 0, size_));
      return TokensFirst(to, 0, all);
    }
    const size_t token_bytes = TokenBytes(from);
    ParallelFor(s[0] * s[1], [&](int64_t head) {
      std::memcpy(BytesOf(to) + static_cast<size_t>(head * all) * token_bytes,
                  BytesOf(from) + static_cast<size_t>(head * s[2]) * token_bytes,
                  static_cast<size_t>(size_) * token_bytes);
    });
    return TokensFirst(to, 0, all);
  };
  return {copy(keys_), copy(values_)};
}

void KvCache::CheckIndices(ConstView indices, int64_t held, Device device) const {
  const Shape& s = keys_.shape();
  Require(indices.dtype == DType::kI32 && indices.IsContiguous() && indices.shape.rank() == 3 &&
              indices.shape[0] == s[0] && indices.shape[1] == s[1] && indices.shape[2] <= held,
          ErrorKind::kShape, "kept keys must be int32 [{}, {}, at most {}], got {} {}", s[0], s[1],
          held, NameOf(indices.dtype), indices.shape);
  if (device == Device::kMeta) return;
  const int32_t* ids = indices.Data<int32_t>();
  for (int64_t i = 0; i < indices.numel(); ++i) {
    const int64_t before = i % indices.shape[2] == 0 ? -1 : ids[i - 1];
    Require(ids[i] > before && ids[i] < held, ErrorKind::kShape,
            "kept keys must ascend within 0..{}, got {} after {}", held - 1, ids[i], before);
  }
}

void KvCache::Keep(const Extension& extension, ConstView indices, Device device) {
  const Shape s = keys_.shape();
  const int64_t held = extension.keys.shape[1];
  if (!indices.empty()) CheckIndices(indices, held, device);
  const int64_t kept = indices.empty() ? held : indices.shape[2];
  const bool is_copy = extension.keys.data != keys_.view().data;
  if (is_copy && capacity() != kept) {
    for (Tensor* tensor : {&keys_, &values_}) {
      const DType dtype = tensor->dtype();
      *tensor = Tensor();  // before there is another
      *tensor = Tensor::Unwritten({s[0], s[1], kept, s[3]}, dtype);
    }
  }
  if (is_copy) used_ = kept;
  size_ = kept;
  if (device == Device::kMeta || (!is_copy && indices.empty())) return;
  const int32_t* ids = indices.empty() ? nullptr : indices.Data<int32_t>();
  const size_t token_bytes = TokenBytes(keys_);
  const auto move = [&](ConstView from, View to, int64_t head) {
    const int64_t first = head / s[1] * from.strides[0] + head % s[1] * from.strides[2];
    const auto* source = BytesOf(from) + static_cast<size_t>(first) * SizeOf(from.dtype);
    auto* target = BytesOf(to) + static_cast<size_t>(head * capacity()) * token_bytes;
    for (int64_t i = 0; i < kept; ++i) {  // in place, never overwrites what is still to be read
      const int64_t id = ids == nullptr ? i : ids[head * kept + i];
      const auto* token = source + static_cast<size_t>(id) * token_bytes;
      if (token != target) std::memcpy(target, token, token_bytes);
      target += token_bytes;
    }
  };
  const View keys = keys_.mutable_view();
  const View values = values_.mutable_view();
  ParallelFor(s[0] * s[1], [&](int64_t head) {
    move(extension.keys, keys, head);
    move(extension.values, values, head);
  });
}

size_t KvCache::bytes() const {
  if (keys_.empty()) return 0;
  const Shape& s = keys_.shape();
  return static_cast<size_t>(s[0] * s[1] * used_) * TokenBytes(keys_) * 2;
}

KvCache KvCache::Fork(std::span<const int64_t> rows) const {
  if (keys_.empty()) return {};
  const Shape& s = keys_.shape();
  KvCache fork(static_cast<int64_t>(rows.size()), s[1], s[3], s[2], keys_.dtype());
  const size_t head_bytes = static_cast<size_t>(s[2] * s[3]) * SizeOf(keys_.dtype());
  const size_t used = static_cast<size_t>(size_ * s[3]) * SizeOf(keys_.dtype());
  const auto copy = [&](const Tensor& from, Tensor& to) {
    const auto* source = from.view().Bytes();
    auto* target = to.mutable_view().Bytes();
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
  fork.used_ = size_;
  return fork;
}

size_t BytesOf(std::span<const KvCache> caches) {
  size_t bytes = 0;
  for (const KvCache& cache : caches) bytes += cache.bytes();
  return bytes;
}

}  // namespace gesso::nn
