#include "kernels/cpu/x86.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/x86.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

bool IsAvx512() { return HWY_TARGET == HWY_AVX3; }

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

namespace {

#if defined(__x86_64__)

struct Registers {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers Features(unsigned subleaf) {
  constexpr unsigned kExtendedFeatures = 7;
  Registers r;
  if (__get_cpuid_count(kExtendedFeatures, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

bool AskForTiles() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM of asm/prctl.h
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

// Tiles, with products of the kind that bit `kind` of edx stands for.
bool FindAmx(unsigned kind) {
  constexpr unsigned kTile = 24;
  const unsigned edx = Features(0).edx;
  return ((edx >> kind) & 1U) != 0 && ((edx >> kTile) & 1U) != 0 && AskForTiles();
}

bool FindAmxBF16() { return FindAmx(22); }
bool FindAmxInt8() { return FindAmx(25); }
bool FindAvx512Vnni() { return (Features(0).ecx & (1U << 11)) != 0; }

bool FindAvx512BF16() { return (Features(1).eax & (1U << 5)) != 0; }

#else

bool FindAmxBF16() { return false; }
bool FindAmxInt8() { return false; }
bool FindAvx512Vnni() { return false; }
bool FindAvx512BF16() { return false; }

#endif

HWY_EXPORT(IsAvx512);

// What a limit on the instructions (kernels/isa.h) leaves. Asked at every product: Highway's
// SupportedTargets would ask the CPU each time, which takes microseconds on a virtual machine.
bool MayUseAvx512() { return HWY_DYNAMIC_DISPATCH(IsAvx512)(); }

}  // namespace

bool HasAmxBF16() {
  static const bool has = FindAmxBF16();
  return has && MayUseAvx512();
}

bool HasAmxInt8() {
  static const bool has = FindAmxInt8();
  return has && MayUseAvx512();
}

bool HasAvx512Vnni() {
  static const bool has = FindAvx512Vnni();
  return has && MayUseAvx512();
}

bool HasAvx512BF16() {
  static const bool has = FindAvx512BF16();
  return has && MayUseAvx512();
}

bool IsIntel() {
#if defined(__x86_64__)
  static const bool is_intel = __builtin_cpu_is("intel") != 0;
  return is_intel;
#else
  return false;
#endif
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
