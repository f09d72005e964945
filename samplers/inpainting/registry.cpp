#include "samplers/inpainting/registry.h"

#include "kernels/core/error.h"
#include "samplers/inpainting/inpainters.h"

namespace gesso {

namespace {

// Completes an entry by the inpainter's function: options and factory follow from its type.
template <class Options>
InpainterInfo Entry(InpainterInfo info,
                    void (*inpaint)(Context&, const InpaintRun&, const Options&)) {
  info.options = ListOptions<Options>();
  info.make = [inpaint](std::string_view text) -> Inpainter {
    return [inpaint, options = ParseOptions<Options>(text)](Context& ctx, const InpaintRun& run) {
      inpaint(ctx, run, options);
    };
  };
  return info;
}

}  // namespace

const std::vector<InpainterInfo>& Inpainters() {
  static const std::vector<InpainterInfo> kTable = {
      // name, help, paper, function
      Entry({"replace", "what is kept is put back at every step; for black and white masks",
             "Song et al. 2021, Score-based generative modeling through stochastic differential "
             "equations"},
            InpaintByReplacement),
      Entry({"repaint",
             "replace, with noise put back and the way taken again: fits better, takes as many "
             "times as long",
             "Lugmayr et al. 2022, RePaint: inpainting using denoising diffusion probabilistic "
             "models"},
            InpaintByResampling),
      Entry(
          {"differential", "grey says in how many of the steps a pixel is painted; for soft masks",
           "Levin and Fried 2023, Differential diffusion: giving each pixel its strength"},
          InpaintDifferentially),
  };
  return kTable;
}

Inpainter MakeInpainter(std::string_view method) {
  const auto [name, options] = SplitMethod(method);
  std::string names;
  for (const InpainterInfo& info : Inpainters()) {
    if (info.name == name) {
      return WithContext("inpaint " + info.name, [&] { return info.make(options); });
    }
    names += (names.empty() ? "" : ", ") + info.name;
  }
  Fail(ErrorKind::kUsage, "there is no inpainter '{}' (inpainters: {})", name, names);
}

}  // namespace gesso
