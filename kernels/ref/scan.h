// The slow truth of kernels/scan.h: the recurrences, one token after the other.
#pragma once

#include "kernels/scan.h"

namespace gesso::ref {

void SelectiveScan(Context& ctx, const SelectiveScanArgs& args);
void Ssd(Context& ctx, const SsdArgs& args);

}  // namespace gesso::ref
