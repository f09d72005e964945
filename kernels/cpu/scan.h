// Vectorised scans: a vector holds neighbouring channels, each with its own recurrence, and the
// states of a channel lie in registers while a chunk of tokens passes.
#pragma once

#include "kernels/scan.h"

namespace gesso::cpu {

void SelectiveScan(Context& ctx, const SelectiveScanArgs& args);  // selective_scan.cpp
void Ssd(Context& ctx, const SsdArgs& args);                      // ssd.cpp

}  // namespace gesso::cpu
