// The kernels as a Python module.
#include "tools/train/cpu/kernels.h"

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  module.def("forward_scan", &gesso_train::ForwardScan);
  module.def("backward_scan", &gesso_train::BackwardScan);
  module.def("forward_conv", &gesso_train::ForwardConv);
  module.def("backward_conv", &gesso_train::BackwardConv);
}
