#include "kernels/ops.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

#include "kernels/activation.h"
#include "kernels/attention.h"
#include "kernels/binary_code.h"
#include "kernels/blend.h"
#include "kernels/causal_conv.h"
#include "kernels/conv.h"
#include "kernels/elementwise.h"
#include "kernels/embedding.h"
#include "kernels/gemm.h"
#include "kernels/group_norm.h"
#include "kernels/heads.h"
#include "kernels/nearest_code.h"
#include "kernels/norm.h"
#include "kernels/norm_linear.h"
#include "kernels/pool.h"
#include "kernels/reduce.h"
#include "kernels/resize.h"
#include "kernels/rope.h"
#include "kernels/sample.h"
#include "kernels/scan.h"
#include "kernels/token.h"
#include "kernels/token_pruning.h"

namespace gesso {

namespace {

template <class Args>
OpNames NamesOf(const OpTable<Args>& table) {
  OpNames names{table.op(), {}};
  for (const OpImplementation<Args>& implementation : table.implementations()) {
    names.implementations.push_back(implementation.name);
  }
  return names;
}

}  // namespace

std::vector<OpNames> Ops() {
  return {NamesOf(ActivateTable()),
          NamesOf(GluTable()),
          NamesOf(AttentionTable()),
          NamesOf(WindowAttentionTable()),
          NamesOf(NeighborhoodAttentionTable()),
          NamesOf(SignBitsTable()),
          NamesOf(BitCodesTable()),
          NamesOf(FadeInTable()),
          NamesOf(HoldTable()),
          NamesOf(CausalConv1dTable()),
          NamesOf(Conv2dTable()),
          NamesOf(GatedAddTable()),
          NamesOf(LinearCombinationTable()),
          NamesOf(FourierFeaturesTable()),
          NamesOf(LinearTable()),
          NamesOf(LinearGluTable()),
          NamesOf(GroupNormTable()),
          NamesOf(PrepareHeadsTable()),
          NamesOf(NearestCodeTable()),
          NamesOf(RmsNormTable()),
          NamesOf(LayerNormTable()),
          NamesOf(NormLinearTable()),
          NamesOf(MaskedMeanTable()),
          NamesOf(MatchDeviationTable()),
          NamesOf(ScaledErrorTable()),
          NamesOf(ResizeTable()),
          NamesOf(RopeTable()),
          NamesOf(SampleTokensTable()),
          NamesOf(GumbelSoftmaxTable()),
          NamesOf(SelectiveScanTable()),
          NamesOf(SsdTable()),
          NamesOf(SelectTokensTable()),
          NamesOf(SpaceDepthTable()),
          NamesOf(GatherRowsTable()),
          NamesOf(TokenDistanceTable()),
          NamesOf(TopTokensTable())};
}

void RequireImplementation(std::string_view op, std::string_view implementation) {
  const std::vector<OpNames> ops = Ops();
  const auto found = std::ranges::find(ops, op, &OpNames::op);
  if (found == ops.end()) {
    std::vector<std::string_view> names;
    std::ranges::transform(ops, std::back_inserter(names), &OpNames::op);
    Fail(ErrorKind::kUsage, "--kernel: there is no op '{}' (ops: {})", op, fmt::join(names, ", "));
  }
  const std::vector<std::string_view>& known = found->implementations;
  Require(std::ranges::find(known, implementation) != known.end(), ErrorKind::kUsage,
          "--kernel: {} has no implementation '{}' (implementations: {})", op, implementation,
          fmt::join(known, ", "));
}

}  // namespace gesso
