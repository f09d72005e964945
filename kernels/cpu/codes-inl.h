// Products with weights in few bits: a chunk's panels are decoded into this thread's scratch, once
// for all rows of a task. Included once a Highway target, before gemm_job-inl.h's users.
#if defined(GESSO_KERNELS_CPU_CODES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GESSO_KERNELS_CPU_CODES_INL_H_
#undef GESSO_KERNELS_CPU_CODES_INL_H_
#else
#define GESSO_KERNELS_CPU_CODES_INL_H_
#endif

#include "kernels/cpu/gemm_job-inl.h"
#include "kernels/cpu/low_bit.h"
#include "kernels/cpu/scratch.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

// Of a kernel (gemm_job-inl.h) with Decode(panels, panel, to), which writes one panel as the
// kernel's T, PanelSize elements.
template <class Kernel, class T>
struct DecodedPanels {
  // A panel is decoded for every block of rows: larger blocks are worth more L2.
  static constexpr int64_t kBlockBytes = 1 << 20;

  static const T* PanelsAt(const Job& job, int64_t first, int64_t count, bool gates) {
    const auto& panels = static_cast<const cpu::LowBitPanels&>(*job.storage);
    const int64_t size = Kernel::PanelSize(job.depth);
    const auto floats =
        size * static_cast<int64_t>(sizeof(T)) / static_cast<int64_t>(sizeof(float));
    cpu::Scratch scratch(count * floats,
                         gates ? cpu::ScratchUse::kGates : cpu::ScratchUse::kValues);
    auto* const to = reinterpret_cast<T*>(scratch.Take(count * floats));
    for (int64_t i = 0; i < count; ++i) Kernel::Decode(panels, first + i, to + i * size);
    return to;
  }
};

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // GESSO_KERNELS_CPU_CODES_INL_H_
