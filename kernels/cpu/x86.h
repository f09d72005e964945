// Instructions of x86 CPUs that Highway does not tell apart.
#pragma once

namespace gesso::cpu {

// Whether AMX multiplies bfloat16 here: the CPU has it, and the operating system lets this process
// use its registers (asked for at the first call).
bool HasAmxBF16();

// Whether the CPU has AVX512-BF16.
bool HasAvx512BF16();

// Whether AMX multiplies 8-bit integers here, as HasAmxBF16.
bool HasAmxInt8();

// Whether the CPU has AVX512-VNNI.
bool HasAvx512Vnni();

// Whether the CPU is Intel's.
bool IsIntel();

}  // namespace gesso::cpu
