#include "models/next_scale/states.h"

#include "kernels/core/select.h"

namespace gesso::next_scale {

States::States(std::span<const Block> blocks, int64_t rows, const Hooks* hooks)
    : rows_(rows), layers_(std::ssize(blocks)), stay_(hooks == nullptr && Replayer::Records()) {
  for (const Block& block : blocks) {
    if (block.scans()) scans_.push_back(block.MakeScanState(rows));
  }
}

void States::ReserveKeys(const Hooks* hooks, int64_t heads, int64_t head_dim, int64_t tokens,
                         DType activation) {
  if (stay_ && !caches_.empty() && caches_.front().capacity() == tokens) return Hold(0);
  replayer_.Forget();
  caches_.clear();
  for (int64_t layer = 0; layer < layers_; ++layer) {
    const int64_t kept = hooks == nullptr ? tokens : hooks->CacheCapacity(layer, tokens);
    caches_.emplace_back(rows_, heads, head_dim, kept, activation);
  }
}

void States::ResetScans() {
  for (mamba::State& state : scans_) state.Reset();
}

void States::EncodeText(Context& ctx, std::span<const Block> blocks, DType activation,
                        ConstView text, ConstView mask) {
  const int64_t length = text.shape[1];
  if (text_keys_.empty() || text_keys_.front().shape()[1] != length) {
    replayer_.Forget();
    text_keys_.clear();
    for (const Block& block : blocks) {
      text_keys_.push_back(Tensor::Unwritten({rows_, length, block.text_keys_width()}, activation));
    }
    text_mask_ = Tensor({rows_, length}, DType::kI32);
  }
  for (size_t i = 0; i < text_keys_.size(); ++i) {
    blocks[i].TextKeys(ctx, text, text_keys_[i].mutable_view());
  }
  if (ctx.device == Device::kMeta) return;
  CopyFromHost(mask.Data<int32_t>(), text_mask_.mutable_view());
}

BlockState States::Of(int64_t layer, ConstView modulation) {
  const auto at = static_cast<size_t>(layer);
  return {.modulation = modulation,
          .cache = caches_.empty() ? nullptr : &caches_[at],
          .scan = scans_.empty() ? nullptr : &scans_[at],
          .text_keys = text_keys_.empty() ? ConstView() : text_keys_[at].view(),
          .text_mask = text_mask_};
}

// The last scale's keys have no room, and need none.
void States::Hold(int64_t tokens) {
  for (nn::KvCache& cache : caches_) {
    if (tokens <= cache.capacity()) cache.Hold(tokens);
  }
}

States States::Fork(std::span<const int64_t> rows) const {
  States fork;
  fork.rows_ = std::ssize(rows);
  fork.layers_ = layers_;
  for (const nn::KvCache& cache : caches_) fork.caches_.push_back(cache.Fork(rows));
  for (const mamba::State& state : scans_) fork.scans_.push_back(state.Fork(rows));
  for (const Tensor& keys : text_keys_) fork.text_keys_.push_back(Select(keys, 0, rows));
  fork.text_mask_ = Select(text_mask_, 0, rows);
  return fork;
}

}  // namespace gesso::next_scale
