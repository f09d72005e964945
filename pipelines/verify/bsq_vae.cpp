// Recomputes the cases of Infinity's tokenizer.
#include "models/bsq_vae/model.h"

#include "pipelines/verify/pictures.h"
#include "pipelines/verify/systems.h"

namespace gesso {

namespace {

// x = u8 / 127.5 - 1
Tensor Scaled(const Tensor& bytes) {
  const Tensor values = Cast(bytes, DType::kI32);
  Tensor picture(bytes.shape(), DType::kF32);
  for (int64_t i = 0; i < bytes.shape().numel(); ++i) {
    picture.MutableData<float>()[i] =
        static_cast<float>(static_cast<double>(values.Data<int32_t>()[i]) / 127.5 - 1);
  }
  return picture;
}

// Bits on the case's maps, compared; their sum goes to z.
std::vector<Tensor> CompareBits(Context& ctx, ParityCase& parity_case, const Tensor& h, Tensor& z) {
  std::vector<Tensor> bits;
  std::vector<View> views;
  const Shape& s = h.shape();
  for (const bsq_vae::MapSize& map :
       bsq_vae::ParseSchedule(parity_case.config(), "scale_schedule")) {
    bits.emplace_back(Shape{s[0], map.height, map.width, s[3]}, DType::kU8);
  }
  for (Tensor& scale : bits) views.push_back(scale.mutable_view());
  bsq_vae::EncodeBits(ctx, h, views, z.mutable_view());
  for (size_t k = 0; k < bits.size(); ++k) {
    const Shape& map = bits[k].shape();
    parity_case.Compare(fmt::format("out/bits.{}", k),
                        bits[k].view().Reshape({map[0], 1, map[1], map[2], map[3]}));
  }
  return bits;
}

}  // namespace

void VerifyBsqVae(Context& ctx, ParityCase& parity_case) {
  const VerifyOptions& options = parity_case.options();
  const auto model = bsq_vae::Model::Load(parity_case.ModelWeights(), parity_case.config(),
                                          options.device, options.dtype);
  ParityTap tap(parity_case);
  Context tapped = ctx;
  tapped.tap = &tap;
  const Tensor& image = parity_case.At("in/image_u8");
  Require(image.shape().rank() == 4, ErrorKind::kShape,
          "in/image_u8: expected [B, C, H, W], got {}", image.shape().ToString());
  const bsq_vae::MapSize size = model->LatentSize(image.shape()[2], image.shape()[3]);
  Tensor h({image.shape()[0], size.height, size.width, model->config().codebook_dim}, DType::kF32);
  model->Encode(tapped, Scaled(image), h.mutable_view());
  CompareMap(parity_case, "out/h", h);
  Tensor z(h.shape(), DType::kF32);
  const std::vector<Tensor> bits = CompareBits(ctx, parity_case, h, z);
  CompareMap(parity_case, "out/z", z);
  Tensor summed(h.shape(), DType::kF32);
  bsq_vae::DecodeBits(ctx, std::vector<ConstView>(bits.begin(), bits.end()), summed.mutable_view());
  CompareMap(parity_case, "out/summed_codes", summed);
  Tensor picture(image.shape(), DType::kF32);
  model->Decode(tapped, summed, picture.mutable_view());
  ComparePicture(parity_case, picture);
}

}  // namespace gesso
