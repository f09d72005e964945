#include "kernels/cpu/gemm_bf16.h"

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/cpu/activation.h"
#include "kernels/cpu/highway.h"
#include "kernels/cpu/onednn.h"

namespace gesso::cpu {

namespace {

using dnnl::memory;

// Rows of x that one task multiplies. Fixed, so that results do not depend on threads.
constexpr int64_t kBlock = 64;

enum class Residual { kNone, kInOut, kApart };

// What a oneDNN primitive is made for.
struct Key {
  int64_t rows;
  DType out;
  Activation activation;
  bool bias;
  Residual residual;
  bool operator==(const Key&) const = default;
};

struct Primitive {
  Key key;
  dnnl::matmul product;
  memory::desc x, out, bias, scratch;
};

// A primitive cuts its work for the number of threads that it is made under. Ours run on one each.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

class Matrix final : public PackedMatrix::Storage {
 public:
  explicit Matrix(const Tensor& weight) : rows_(weight.shape()[0]), cols_(weight.shape()[1]) {
    const memory::desc plain({cols_, rows_}, memory::data_type::bf16, memory::format_tag::ba);
    memory from(plain, onednn::Engine());
    std::memcpy(from.get_data_handle(), weight.view().data, weight.view().bytes());
    const memory::desc any({cols_, rows_}, memory::data_type::bf16, memory::format_tag::any);
    const Key key = {kBlock, DType::kF32, Activation::kNone, false, Residual::kNone};
    layout_ = Describe(key, any).weights_desc();
    weights_ = memory(layout_, onednn::Engine());
    Reorder(from, weights_);
  }

  void Unpack(float* weight) const override {
    const memory::desc plain({cols_, rows_}, memory::data_type::f32, memory::format_tag::ba);
    memory to(plain, onednn::Engine(), weight);
    Reorder(weights_, to);
  }

  const memory& weights() const { return weights_; }

  // The primitive for `key`: made once, then looked up.
  const Primitive& Find(const Key& key) const {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find(primitives_, key, &Primitive::key);
    if (found != primitives_.end()) return *found;
    const auto description = Describe(key, layout_);
    return primitives_.emplace_back(
        Primitive{key, dnnl::matmul(description), description.src_desc(), description.dst_desc(),
                  key.bias ? BiasDesc() : memory::desc(), description.scratchpad_desc()});
  }

 private:
  static void Reorder(const memory& from, memory& to) {
    dnnl::stream stream(onednn::Engine());
    memory source = from;
    dnnl::reorder(source, to).execute(stream, source, to);
    stream.wait();
  }

  memory::desc BiasDesc() const {
    return {{1, rows_}, memory::data_type::f32, memory::format_tag::ab};
  }

  dnnl::matmul::primitive_desc Describe(const Key& key, const memory::desc& weights) const {
    const OneThread one_thread;
    const memory::desc x({key.rows, cols_}, memory::data_type::bf16, memory::format_tag::ab);
    const memory::desc out({key.rows, rows_}, onednn::TypeOf(key.out), memory::format_tag::ab);
    dnnl::post_ops post_ops;
    onednn::AppendActivation(post_ops, key.activation);
    if (key.residual == Residual::kInOut) post_ops.append_sum(1.0f);
    if (key.residual == Residual::kApart) {
      post_ops.append_binary(dnnl::algorithm::binary_add, out);
    }
    dnnl::primitive_attr attributes;
    attributes.set_post_ops(post_ops);
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);  // primitives run concurrently
    return onednn::DescribeProduct(x, weights, key.bias ? BiasDesc() : memory::desc(), out,
                                   attributes);
  }

  int64_t rows_;
  int64_t cols_;
  memory::desc layout_;
  memory weights_;
  mutable std::mutex mutex_;
  mutable std::deque<Primitive> primitives_;
};

// Buffers of one thread, kept between calls.
struct Buffers {
  std::vector<BFloat16> x;
  std::vector<float> product;
  std::vector<std::byte> scratch;
};

Buffers& ThreadBuffers() {
  thread_local Buffers buffers;
  return buffers;
}

template <class T>
T* AtLeast(std::vector<T>& buffer, int64_t size) {
  if (buffer.size() < static_cast<size_t>(size)) buffer.resize(static_cast<size_t>(size));
  return buffer.data();
}

// Rows of x as contiguous bf16: where they lie, or in this thread's buffer.
const void* RowsAsBF16(ConstView x, int64_t stride, int64_t begin, int64_t rows, int64_t cols) {
  if (x.dtype == DType::kBF16 && stride == cols) return At(x, begin * stride);
  BFloat16* to = AtLeast(ThreadBuffers().x, rows * cols);
  for (int64_t i = 0; i < rows; ++i) {
    const void* row = At(x, (begin + i) * stride);
    if (x.dtype == DType::kBF16) {
      std::copy_n(static_cast<const BFloat16*>(row), cols, to + i * cols);
      continue;
    }
    for (int64_t k = 0; k < cols; ++k) {
      to[i * cols + k] = BFloat16(static_cast<const float*>(row)[k]);
    }
  }
  return to;
}

void Execute(const Matrix& matrix, const Primitive& primitive, const void* x, const void* bias,
             const void* residual, void* out) {
  const dnnl::engine& engine = onednn::Engine();
  thread_local dnnl::stream stream(engine);
  const auto at = [&](const memory::desc& desc, const void* data) {
    return memory(desc, engine, const_cast<void*>(data));
  };
  auto* scratch =
      AtLeast(ThreadBuffers().scratch, static_cast<int64_t>(primitive.scratch.get_size()) + 1);
  std::unordered_map<int, memory> arguments = {
      {DNNL_ARG_SRC, at(primitive.x, x)},
      {DNNL_ARG_WEIGHTS, matrix.weights()},
      {DNNL_ARG_DST, at(primitive.out, out)},
      {DNNL_ARG_SCRATCHPAD, at(primitive.scratch, scratch)}};
  if (primitive.key.bias) arguments.emplace(DNNL_ARG_BIAS, at(primitive.bias, bias));
  if (primitive.key.residual == Residual::kApart) {
    const int position = primitive.key.activation == Activation::kNone ? 0 : 1;
    arguments.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(position) | DNNL_ARG_SRC_1,
                      at(primitive.out, residual));
  }
  primitive.product.execute(stream, arguments);
  stream.wait();
}

// Calls body(primitive, begin, rows) for every block of rows, in parallel. All primitives are made
// before, on this thread.
template <class Body>
void ForEachBlock(const Matrix& matrix, Key key, int64_t rows, const Body& body) {
  const int64_t last = rows % kBlock;
  key.rows = last;
  const Primitive* tail = last > 0 ? &matrix.Find(key) : nullptr;
  key.rows = kBlock;
  const Primitive* full = rows >= kBlock ? &matrix.Find(key) : nullptr;
  ParallelRange(rows, kBlock, [&](int64_t begin, int64_t end) {
    body(end - begin == kBlock ? *full : *tail, begin, end - begin);
  });
}

}  // namespace

bool MultipliesBF16() {
  const dnnl::cpu_isa isa = dnnl::get_effective_cpu_isa();
  return isa == dnnl::cpu_isa::avx512_core_bf16 || isa == dnnl::cpu_isa::avx512_core_amx;
}

bool GainsFromBF16() {
#if defined(__x86_64__)
  const bool half_rate = __builtin_cpu_is("intel") != 0;
#else
  const bool half_rate = false;
#endif
  const bool amx = dnnl::get_effective_cpu_isa() == dnnl::cpu_isa::avx512_core_amx;
  return amx || (MultipliesBF16() && !half_rate);
}

PackedMatrix PackBF16(ConstView weight) {
  return onednn::Guard("linear", [&] {
    return PackedMatrix(std::make_shared<Matrix>(Cast(weight, DType::kBF16)), weight.shape[0],
                        weight.shape[1], DType::kBF16);
  });
}

std::optional<std::string> WhyNotBF16(const PackedMatrix& weight) {
  if (weight.dtype() == DType::kBF16) return std::nullopt;
  return "the weights are packed in float32";
}

void LinearBF16(Context&, const LinearArgs& args) {
  const auto& matrix = static_cast<const Matrix&>(args.weight->storage());
  const int64_t columns = args.weight->rows();
  const int64_t cols = args.weight->cols();
  const int64_t stride = args.x.shape.rank() == 2 ? args.x.strides[0] : cols;
  Key key = {0, args.out.dtype, args.activation, !args.bias.empty(), Residual::kNone};
  if (!args.residual.empty()) {
    key.residual = args.residual.data == args.out.data ? Residual::kInOut : Residual::kApart;
  }
  onednn::Guard("linear", [&] {
    const auto run = [&](const Primitive& primitive, int64_t begin, int64_t rows) {
      const void* residual = args.residual.empty() ? nullptr : At(args.residual, begin * columns);
      Execute(matrix, primitive, RowsAsBF16(args.x, stride, begin, rows, cols), args.bias.data,
              residual, At(args.out, begin * columns));
    };
    ForEachBlock(matrix, key, args.out.numel() / columns, run);
  });
}

void LinearGluBF16(Context&, const LinearGluArgs& args) {
  const auto& matrix = static_cast<const Matrix&>(args.weight->storage());
  const int64_t columns = args.weight->rows() / 2;
  const int64_t cols = args.weight->cols();
  const Key key = {0, DType::kF32, Activation::kNone, false, Residual::kNone};
  onednn::Guard("linear_glu", [&] {
    const auto run = [&](const Primitive& primitive, int64_t begin, int64_t rows) {
      float* product = AtLeast(ThreadBuffers().product, rows * 2 * columns);
      Execute(matrix, primitive, RowsAsBF16(args.x, cols, begin, rows, cols), nullptr, nullptr,
              product);
      for (int64_t i = 0; i < rows; ++i) {
        const float* value = product + i * 2 * columns;
        GluRow(args.activation, value, value + columns, columns,
               At(args.out, (begin + i) * columns), args.out.dtype);
      }
    };
    ForEachBlock(matrix, key, args.out.numel() / columns, run);
  });
}

}  // namespace gesso::cpu
