#include "kernels/cuda/norm_linear.h"

#include "kernels/cuda/gemm.h"
#include "kernels/cuda/low_bit.h"
#include "kernels/cuda/norm.h"
#include "kernels/cuda/quad_launch.cuh"

namespace gesso::cuda {

namespace {

std::optional<std::string_view> WhyNot(const RmsNormArgs& args) { return WhyNotRmsNorm(args); }
std::optional<std::string_view> WhyNot(const LayerNormArgs& args) { return WhyNotLayerNorm(args); }
std::optional<std::string_view> WhyNot(const LinearArgs& args) { return WhyNotLinear(args); }
std::optional<std::string_view> WhyNot(const LinearGluArgs& args) { return WhyNotLinearGlu(args); }

RmsNormRow RowOf(const RmsNormArgs& args) { return RmsNormRow(args); }
LayerNormRow RowOf(const LayerNormArgs& args) { return LayerNormRow(args); }

template <template <int> class InQuads, class Row>
void RoundRows(const Row& row, const RoundedRows& to) {
  ShareOutRows(row.Rows(), row.size, [&]<class Lanes, int kQuads>() {
    ForEachRow<Lanes>(row.Rows(),
                      RoundQuads<InQuads<kQuads>>{.source = InQuads<kQuads>(row), .to = to});
  });
}
void Round(const RmsNormRow& row, const RoundedRows& to) { RoundRows<RmsNormQuads>(row, to); }
void Round(const LayerNormRow& row, const RoundedRows& to) { RoundRows<LayerNormQuads>(row, to); }

}  // namespace

std::optional<std::string_view> WhyNotNormLinear(const NormLinearArgs& args) {
  const auto why_not = [](const auto& part) { return WhyNot(part); };
  if (const auto reason = std::visit(why_not, args.norm)) return reason;
  if (const auto reason = std::visit(why_not, args.product)) return reason;
  const PackedMatrix& weight =
      *std::visit([](const auto& part) { return part.weight; }, args.product);
  return std::visit(
      [&](const auto& norm) -> std::optional<std::string_view> {
        const std::optional<RoundedRows> to = RoundingOf(weight, norm.x.numel() / weight.cols());
        if (!to) return "weights whose products take inputs as they are";
        return WhyNotRounded(RowOf(norm), *to);
      },
      args.norm);
}

void NormLinear(Context&, const NormLinearArgs& args) {
  const RoundInputs round = [&](const RoundedRows& to) {
    std::visit([&](const auto& norm) { Round(RowOf(norm), to); }, args.norm);
  };
  std::visit([&](const auto& product) { MultiplyCodes(product, round); }, args.product);
}

}  // namespace gesso::cuda
