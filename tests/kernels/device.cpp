// The tests of ops on the device that GESSO_TEST_DEVICE names.
#include "tests/support/device.h"

namespace gesso {
namespace {

const auto* const kDevice = testing::AddGlobalTestEnvironment(new testing_support::ChosenDevice);

}  // namespace
}  // namespace gesso
