#include "kernels/cpu/activation.h"

#include "kernels/core/parallel.h"
#include "kernels/cpu/highway.h"
#include "kernels/ref/scalar.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/activation.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

template <Activation kActivation, class In, class Out>
void GatedRow(const In* value, const In* gate, int64_t count, Out* out) {
  const int64_t lanes = LanesF();
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    Store(hn::Mul(Load(value + i), Activate<kActivation>(Load(gate + i))), out + i);
  }
  if (const int64_t rest = count - i; rest > 0) {
    const auto activated = Activate<kActivation>(LoadPart(gate + i, rest));
    StorePart(hn::Mul(LoadPart(value + i, rest), activated), out + i, rest);
  }
}

template <Activation kActivation, class In, class Out>
void ActivatedRow(const In* x, int64_t count, Out* out) {
  const int64_t lanes = LanesF();
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) Store(Activate<kActivation>(Load(x + i)), out + i);
  if (const int64_t rest = count - i; rest > 0) {
    StorePart(Activate<kActivation>(LoadPart(x + i, rest)), out + i, rest);
  }
}

// Calls run<activation>().
template <class Run>
void WithActivation(Activation activation, const Run& run) {
  switch (activation) {
    case Activation::kNone:
      return run.template operator()<Activation::kNone>();
    case Activation::kGeluErf:
      return run.template operator()<Activation::kGeluErf>();
    case Activation::kGeluTanh:
      return run.template operator()<Activation::kGeluTanh>();
    case Activation::kSilu:
      return run.template operator()<Activation::kSilu>();
    case Activation::kRelu:
      return run.template operator()<Activation::kRelu>();
  }
}

// value and gate share their dtype.
void AnyGatedRow(Activation activation, const void* value, const void* gate, DType in,
                 int64_t count, void* out, DType out_dtype) {
  cpu::WithTypes(in, out_dtype, [&](auto from, auto to) {
    using In = decltype(from);
    using Out = decltype(to);
    WithActivation(activation, [&]<Activation kActivation>() {
      GatedRow<kActivation>(static_cast<const In*>(value), static_cast<const In*>(gate), count,
                            static_cast<Out*>(out));
    });
  });
}

void AnyActivatedRow(Activation activation, const void* x, DType in, int64_t count, void* out,
                     DType out_dtype) {
  cpu::WithTypes(in, out_dtype, [&](auto from, auto to) {
    using In = decltype(from);
    using Out = decltype(to);
    WithActivation(activation, [&]<Activation kActivation>() {
      ActivatedRow<kActivation>(static_cast<const In*>(x), count, static_cast<Out*>(out));
    });
  });
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(AnyGatedRow);
HWY_EXPORT(AnyActivatedRow);

void GluRow(Activation activation, const float* value, const float* gate, int64_t count, void* out,
            DType out_dtype) {
  if (!WhyNoVectors()) {
    HWY_DYNAMIC_DISPATCH(AnyGatedRow)
    (activation, value, gate, DType::kF32, count, out, out_dtype);
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    ref::Store(out, out_dtype, i, value[i] * ref::Activate(activation, gate[i]));
  }
}

void Glu(Context&, const GluArgs& args) {
  const int64_t count = args.out.shape[1];
  ParallelRange(args.out.shape[0], RowsATask(count), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      HWY_DYNAMIC_DISPATCH(AnyGatedRow)
      (args.activation, At(args.value, row * args.value.strides[0]),
       At(args.gate, row * args.gate.strides[0]), args.value.dtype, count,
       At(args.out, row * args.out.strides[0]), args.out.dtype);
    }
  });
}

void Activate(Context&, const ActivateArgs& args) {
  const int64_t count = args.out.shape[1];
  ParallelRange(args.out.shape[0], RowsATask(count), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      HWY_DYNAMIC_DISPATCH(AnyActivatedRow)
      (args.activation, At(args.x, row * args.x.strides[0]), args.x.dtype, count,
       At(args.out, row * args.out.strides[0]), args.out.dtype);
    }
  });
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
