#include "kernels/cpu/gemm.h"

#include <algorithm>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/ref/scalar.h"

namespace gesso::cpu {

namespace {

struct Rows final : PackedMatrix::Storage {
  Tensor weight;  // [N, K] f32
  void Unpack(float* out) const override {
    std::copy_n(weight.Data<float>(), weight.shape().numel(), out);
  }
};

// x as f32 rows: itself where it is f32 already.
const float* FloatRows(ConstView x, int64_t stride, int64_t rows, int64_t cols,
                       std::vector<float>& buffer) {
  if (x.dtype == DType::kF32) return x.Data<float>();
  buffer.resize(static_cast<size_t>(rows * stride));
  ParallelFor(rows, [&](int64_t m) {
    for (int64_t k = 0; k < cols; ++k) {
      buffer[static_cast<size_t>(m * stride + k)] =
          static_cast<float>(x.Data<BFloat16>()[m * stride + k]);
    }
  });
  return buffer.data();
}

void Product(const float* x, int64_t stride, int64_t rows, const PackedMatrix& weight, float* out) {
  const auto& packed = static_cast<const Rows&>(weight.storage());
  const dnnl::status status =
      dnnl::sgemm('N', 'T', rows, weight.rows(), weight.cols(), 1.0f, x, stride,
                  packed.weight.Data<float>(), weight.cols(), 0.0f, out, weight.rows());
  Require(status == dnnl::status::success, ErrorKind::kInternal, "oneDNN's sgemm failed");
}

}  // namespace

DType ActivationDType(DType) { return DType::kF32; }

PackedMatrix PackMatrix(ConstView weight, DType dtype) {
  auto storage = std::make_shared<Rows>();
  const Tensor rounded = dtype == DType::kBF16 ? Cast(weight, DType::kBF16) : Tensor();
  storage->weight = Cast(rounded.empty() ? weight : rounded.view(), DType::kF32);
  return PackedMatrix(storage, weight.shape[0], weight.shape[1], DType::kF32);
}

void Linear(Context&, const LinearArgs& args) {
  thread_local std::vector<float> x_buffer;
  thread_local std::vector<float> product;
  const int64_t n = args.weight->rows();
  const int64_t k = args.weight->cols();
  const int64_t rows = args.out.numel() / n;
  const int64_t stride = args.x.shape.rank() == 2 ? args.x.strides[0] : k;
  product.resize(static_cast<size_t>(rows * n));
  const float* x = FloatRows(args.x, stride, rows, k, x_buffer);
  Product(x, stride, rows, *args.weight, product.data());
  ParallelFor(rows, [&, from = product.data()](int64_t m) {
    for (int64_t j = 0; j < n; ++j) {
      const int64_t at = m * n + j;
      double value = from[at];
      if (!args.bias.empty()) value += args.bias.Data<float>()[j];
      if (args.activation != Activation::kNone) value = ref::Activate(args.activation, value);
      if (!args.residual.empty()) {
        value += ref::Load(args.residual.data, args.residual.dtype, at);
      }
      ref::Store(args.out.data, args.out.dtype, at, value);
    }
  });
}

void LinearGlu(Context&, const LinearGluArgs& args) {
  thread_local std::vector<float> x_buffer;
  thread_local std::vector<float> product;
  const int64_t features = args.weight->rows() / 2;
  const int64_t k = args.weight->cols();
  const int64_t rows = args.out.numel() / features;
  product.resize(static_cast<size_t>(rows * 2 * features));
  const float* x = FloatRows(args.x, k, rows, k, x_buffer);
  Product(x, k, rows, *args.weight, product.data());
  ParallelFor(rows, [&, from = product.data()](int64_t m) {
    const float* value = from + m * 2 * features;
    for (int64_t f = 0; f < features; ++f) {
      const double gate = ref::Activate(args.activation, value[features + f]);
      ref::Store(args.out.data, args.out.dtype, m * features + f, value[f] * gate);
    }
  });
}

}  // namespace gesso::cpu
