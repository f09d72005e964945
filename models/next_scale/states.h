// What the blocks of a next-scale transformer keep from scale to scale: keys and values of the
// tokens so far and of the text, and where scans stand.
//
// Where a device records passes (kernels/core/replay.h) all of it stays in its place from picture
// to picture, and the pass of every scale is recorded. Not so with hooks, which decide anew.
#pragma once

#include <span>
#include <vector>

#include "kernels/core/replay.h"
#include "models/next_scale/block.h"

namespace gesso::next_scale {

class States {
 public:
  // Of `rows` sequences; `hooks` may be null.
  States(std::span<const Block> blocks, int64_t rows, const Hooks* hooks);

  // Room for keys and values of `tokens` tokens in each block, `heads` heads of `head_dim`; none is
  // held. Where the hooks of the constructor say so, of fewer.
  void ReserveKeys(const Hooks* hooks, int64_t heads, int64_t head_dim, int64_t tokens,
                   DType activation);
  // Scans start before the first token.
  void ResetScans();
  // text [R, L, D] f32, and mask [R, L] i32, contiguous in host memory: 0 = no token.
  void EncodeText(Context& ctx, std::span<const Block> blocks, DType activation, ConstView text,
                  ConstView mask);

  // Whether memory stays after the last scale, for the next picture.
  bool stay() const { return stay_; }
  BlockState Of(int64_t layer, ConstView modulation);
  // What keys and values take now.
  size_t KeyBytes() const { return nn::BytesOf(caches_); }

  // Does work(), the pass of a scale through all blocks from `input` to `logits` [Q, N, V], N being
  // its tokens.
  template <class Work>
  void Run(const Context& ctx, int64_t scale, ConstView input, View logits, const Work& work) {
    if (!stay_) return work();
    const int64_t held = caches_.empty() ? 0 : caches_.front().size();
    const auto from_here = [&] {  // where a recording that failed has moved them on
      Hold(held);
      work();
    };
    replayer_.Run(ctx, input, logits, from_here, {scale, logits.shape[0], held});
    Hold(held + logits.shape[1]);
  }

  // Row i of the copy is row rows[i] here; rows may repeat.
  States Fork(std::span<const int64_t> rows) const;

 private:
  States() = default;  // for Fork to fill
  void Hold(int64_t tokens);

  int64_t rows_ = 0;
  int64_t layers_ = 0;
  bool stay_ = false;
  std::vector<nn::KvCache> caches_;  // of each block, where keys are kept
  std::vector<mamba::State> scans_;  // of each block, with scans
  std::vector<Tensor> text_keys_;    // of each block, with text: [R, L, 2C]
  Tensor text_mask_;                 // [R, L]
  Replayer replayer_;
};

}  // namespace gesso::next_scale
