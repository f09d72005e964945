// Heads of attention as its implementations walk them, whether over all keys or over those of a
// window, and how their sums become results. Included once a Highway target, like math-inl.h.
#if defined(GESSO_KERNELS_CPU_ATTENTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GESSO_KERNELS_CPU_ATTENTION_INL_H_
#undef GESSO_KERNELS_CPU_ATTENTION_INL_H_
#else
#define GESSO_KERNELS_CPU_ATTENTION_INL_H_
#endif

#include <limits>
#include <type_traits>

#include "kernels/cpu/attention.h"
#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// Tokens of one head laid out on a rectangle: token i is the i-th in row-major order.
template <class T>
struct Tokens {
  T* first;
  int64_t count;
  int64_t columns;
  int64_t down;    // elements from a token to the one below
  int64_t across;  // and to its right neighbor

  T* At(int64_t i) const { return first + i / columns * down + i % columns * across; }
};

// One head's queries, keys and values, and what is added to their scores.
template <class T>
struct Head {
  Tokens<const T> q, k, v;
  Tokens<T> out;
  int64_t depth;
  float scale;
  const float* bias;        // [queries, keys] or null
  const int32_t* key_mask;  // [keys] or null
};

// What is added to the scores of the keys begin..begin+count-1, and of those that only fill
// `padded`: 0, or minus infinity where they take no part.
template <class T>
void MaskKeys(const Head<T>& head, int64_t begin, int64_t count, int64_t padded, float* added) {
  for (int64_t j = 0; j < padded; ++j) {
    const bool takes_part =
        j < count && (head.key_mask == nullptr || head.key_mask[begin + j] != 0);
    added[j] = takes_part ? 0 : kMinusInfinity;
  }
}

// Head `h` of picture `b`.
template <class T>
Head<T> HeadOf(const AttentionArgs& args, int64_t b, int64_t h) {
  const int64_t keys = args.k.shape[1];
  const auto tokens = [&](auto view) {
    auto* first = view.template Data<T>() + b * view.strides[0] + h * view.strides[2];
    const int64_t count = view.shape[1];
    return Tokens<std::remove_pointer_t<decltype(first)>>{first, count, count, 0, view.strides[1]};
  };
  Head<T> head{tokens(args.q),  tokens(args.k), tokens(args.v), tokens(args.out),
               args.q.shape[3], args.scale,     nullptr,        nullptr};
  if (!args.bias.empty()) head.bias = args.bias.Data<float>() + h * args.q.shape[1] * keys;
  if (!args.key_mask.empty()) head.key_mask = args.key_mask.Data<int32_t>() + b * keys;
  return head;
}

// Calls body(head) with the tokens of every window of line `line` from the top, of head `h` of
// picture `b`.
template <class T, class Body>
void ForEachWindow(const WindowAttentionArgs& args, int64_t b, int64_t h, int64_t line,
                   const Body& body) {
  const Shape& s = args.q.shape;
  const cpu::WindowRange y = cpu::WindowAt(line, s[1], args.window, args.shift);
  for (int64_t i = 0; i < cpu::WindowCount(s[2], args.window, args.shift); ++i) {
    const cpu::WindowRange x = cpu::WindowAt(i, s[2], args.window, args.shift);
    const int64_t count = (y.end - y.begin) * (x.end - x.begin);
    const auto tokens = [&](auto view) {
      auto* first = view.template Data<T>() + b * view.strides[0] + y.begin * view.strides[1] +
                    x.begin * view.strides[2] + h * view.strides[3];
      return Tokens<std::remove_pointer_t<decltype(first)>>{first, count, x.end - x.begin,
                                                            view.strides[1], view.strides[2]};
    };
    body(Head<T>{tokens(args.q), tokens(args.k), tokens(args.v), tokens(args.out), s[4], args.scale,
                 nullptr, nullptr});
  }
}

// out[c] = sums[c] / total, c < depth; zeros where every key was masked, so that nothing was
// summed.
template <class T>
HWY_INLINE void StoreShares(const float* sums, float total, int64_t depth, T* out) {
  const auto share = hn::Set(F32(), total == 0 ? 0 : 1 / total);
  int64_t c = 0;
  for (; c + LanesF() <= depth; c += LanesF()) Store(hn::Mul(share, Load(sums + c)), out + c);
  if (c < depth) StorePart(hn::Mul(share, Load(sums + c)), out + c, depth - c);
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // GESSO_KERNELS_CPU_ATTENTION_INL_H_
