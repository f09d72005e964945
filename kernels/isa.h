// Which of the CPU's vector instructions may be used: to compare machines on one machine.
#pragma once

#include <string_view>

namespace gesso {

// Uses nothing newer than `name` ("avx2"; "native" is everything the CPU has) in our kernels and
// in oneDNN. Must be called before anything is packed or run. Throws kUsage for another name.
void LimitIsa(std::string_view name);

}  // namespace gesso
