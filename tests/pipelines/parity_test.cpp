// Recomputes every parity case of tests/data, and of GESSO_PARITY_DIR where that folder exists,
// in every element type that its system has.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "kernels/isa.h"
#include "pipelines/verify/case.h"
#include "tests/support/device.h"

namespace gesso {
namespace {

namespace fs = std::filesystem;

bool Owns(const VerifySystem& system, const std::string& name) {
  const VerifySystem* owner = FindVerifySystem(name);
  return owner != nullptr && owner->prefix == system.prefix;
}

std::vector<fs::path> CasesIn(const fs::path& folder, const VerifySystem& system) {
  std::vector<fs::path> cases;
  if (!fs::is_directory(folder)) return cases;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    // <system>.<variant>.safetensors
    const std::string name = entry.path().stem().stem().string();
    if (entry.path().extension() == ".safetensors" && Owns(system, name)) {
      cases.push_back(entry.path());
    }
  }
  std::ranges::sort(cases);
  return cases;
}

void RunCase(const fs::path& path, DType dtype) {
  SCOPED_TRACE(path.string());
  try {
    for (const Comparison& comparison :
         Verify(path, {.dtype = dtype, .device = testing_support::ChosenDevice::device()})) {
      fmt::print("{} {} {}: {:.2e}\n", path.filename().string(), NameOf(dtype), comparison.name,
                 comparison.error);
      EXPECT_TRUE(comparison.passed())
          << comparison.name << ": error " << comparison.error << " > " << comparison.tolerance;
    }
  } catch (const Error& error) {
    FAIL() << error.what();
  }
}

// GESSO_TEST_ISA=avx2 recomputes as a CPU does that has no more: bfloat16 weights are then widened
// and computed in float32. For a program of its own, before anything else runs.
class LimitedIsa : public testing::Environment {
 public:
  void SetUp() override {
    if (const char* name = std::getenv("GESSO_TEST_ISA")) LimitIsa(name);
  }
};

const auto* const kLimitedIsa = testing::AddGlobalTestEnvironment(new LimitedIsa);
const auto* const kDevice = testing::AddGlobalTestEnvironment(new testing_support::ChosenDevice);

class Parity : public testing::TestWithParam<VerifySystem> {
 protected:
  // Returns the number of cases, which a report (--gtest_output) has by type.
  static size_t RunFolder(const fs::path& folder) {
    const std::vector<fs::path> cases = CasesIn(folder, GetParam());
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      if (dtype == DType::kBF16 && !GetParam().has_bf16) continue;
      for (const fs::path& path : cases) RunCase(path, dtype);
      RecordProperty(std::string(NameOf(dtype)), std::to_string(cases.size()));
    }
    return cases.size();
  }
};

TEST_P(Parity, TestsData) {
  EXPECT_GT(RunFolder(fs::path(GESSO_SOURCE_DIR) / "tests" / "data"), 0u)
      << "every system has a small case in tests/data";
}

TEST_P(Parity, ParityDir) {
  if (RunFolder(GESSO_PARITY_DIR) == 0) {
    GTEST_SKIP() << "no case of " << GetParam().prefix << " in '" << GESSO_PARITY_DIR
                 << "' (CMake variable GESSO_PARITY_DIR)";
  }
}

std::string TestName(const testing::TestParamInfo<VerifySystem>& info) {
  std::string name(info.param.prefix);
  std::ranges::replace(name, '.', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Systems, Parity, testing::ValuesIn(VerifySystems()), TestName);

}  // namespace
}  // namespace gesso
