#include "kernels/cuda/nearest_code.h"

#include "kernels/cuda/device/nearest_code.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/runtime.h"

namespace gesso::cuda {

namespace {

struct Codes : PackedMatrix::Storage {
  Tensor values;  // [V, D]

  explicit Codes(Tensor v) : values(std::move(v)) { Upload(values); }
  void Unpack(float* weight) const override {
    std::copy_n(values.Data<float>(), values.shape().numel(), weight);
  }
};

const Codes* CodesOf(const PackedCodebook& codebook) {
  return dynamic_cast<const Codes*>(&codebook.codes.storage());
}

}  // namespace

PackedMatrix PackCodes(ConstView codes) {
  return PackedMatrix(std::make_shared<Codes>(Cast(codes, DType::kF32)), codes.shape[0],
                      codes.shape[1], DType::kF32, PackedMatrix::Encoding::kDevice, codes.bytes());
}

std::optional<std::string_view> WhyNotNearestCode(const NearestCodeArgs& args) {
  if (CodesOf(*args.codebook) == nullptr) return "a codebook packed for another device";
  return WhyNotReachable({args.z, args.tokens, args.codebook->bias});
}

void NearestCode(Context&, const NearestCodeArgs& args) {
  constexpr int kFound = 0;  // the scratch memory used
  const NearestCodeSearch search(args, CodesOf(*args.codebook)->values);
  const int64_t parts = search.slices * search.rows;
  auto* found = static_cast<NearestInSlice*>(
      Scratch(kFound, static_cast<size_t>(parts) * sizeof(NearestInSlice)));
  ForEach(parts, NearestInSliceElement{search, found});
  ForEach(search.rows, NearestCodeElement{found, static_cast<int32_t*>(args.tokens.data),
                                          search.rows, search.slices});
}

}  // namespace gesso::cuda
