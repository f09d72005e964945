// Denormal numbers count as zeros while an object lives, on its thread. A decaying state passes
// through them on its way to zero, where each multiplication would take a hundred times as long.
#pragma once

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace gesso::cpu {

#if defined(__SSE2__)
class FlushDenormals {
 public:
  FlushDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | kInputs | kResults); }
  ~FlushDenormals() { _mm_setcsr(before_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  static constexpr unsigned kInputs = 0x0040;   // DAZ
  static constexpr unsigned kResults = 0x8000;  // FTZ
  unsigned before_;
};
#else
class FlushDenormals {};
#endif

}  // namespace gesso::cpu
