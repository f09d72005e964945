#include "models/io/waiting.h"

#include <atomic>

namespace gesso {

namespace {

std::atomic<int> waiting{0};
static_assert(std::atomic<int>::is_always_lock_free);

}  // namespace

Waiting::Waiting() noexcept { ++waiting; }
Waiting::~Waiting() { --waiting; }

bool Waiting::IsAny() noexcept { return waiting > 0; }

}  // namespace gesso
