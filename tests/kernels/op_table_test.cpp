// --kernel knows the op of every table.
#include "kernels/core/op_table.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

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

std::vector<std::string_view> Ops() {
  return {ActivateTable().op(),
          GluTable().op(),
          AttentionTable().op(),
          WindowAttentionTable().op(),
          NeighborhoodAttentionTable().op(),
          SignBitsTable().op(),
          BitCodesTable().op(),
          FadeInTable().op(),
          HoldTable().op(),
          CausalConv1dTable().op(),
          Conv2dTable().op(),
          GatedAddTable().op(),
          LinearCombinationTable().op(),
          FourierFeaturesTable().op(),
          LinearTable().op(),
          LinearGluTable().op(),
          GroupNormTable().op(),
          PrepareHeadsTable().op(),
          NearestCodeTable().op(),
          RmsNormTable().op(),
          LayerNormTable().op(),
          MaskedMeanTable().op(),
          MatchDeviationTable().op(),
          ScaledErrorTable().op(),
          ResizeTable().op(),
          RopeTable().op(),
          SampleTokensTable().op(),
          GumbelSoftmaxTable().op(),
          SelectiveScanTable().op(),
          SsdTable().op(),
          SelectTokensTable().op(),
          SpaceDepthTable().op(),
          GatherRowsTable().op(),
          TokenDistanceTable().op(),
          TopTokensTable().op()};
}

// Tables that the front doors define.
size_t CountTables() {
  const std::regex table(R"(OpTable<\w+> kTable\()");
  size_t count = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(GESSO_SOURCE_DIR) / "kernels")) {
    if (entry.path().extension() != ".cpp") continue;
    std::ostringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    const std::string source = text.str();
    count += static_cast<size_t>(std::distance(
        std::sregex_iterator(source.begin(), source.end(), table), std::sregex_iterator()));
  }
  return count;
}

TEST(OpTable, EveryOpCanBeForced) {
  EXPECT_EQ(Ops().size(), CountTables()) << "a table is missing in this test";
  // An empty implementation forces nothing.
  for (const std::string_view op : Ops()) EXPECT_NO_THROW(ForceImplementation(op, "")) << op;
  EXPECT_THROW(ForceImplementation("no_such_op", "ref"), Error);
}

}  // namespace
}  // namespace gesso
