// The threads of a block as fragments.cuh and flash_attention.cuh see them on the device: tensor
// cores, copies into shared memory that run beside the arithmetic, barriers.
#pragma once

#include <cuda_pipeline_primitives.h>

#include "kernels/cuda/device/fragments.cuh"

namespace gesso::cuda {

struct BlockThreads {
  template <class T>
  struct Each {
    T own;
    __device__ T& operator[](int) { return own; }
    __device__ const T& operator[](int) const { return own; }
  };

  __device__ int count() const { return static_cast<int>(blockDim.x); }
  // body(thread) by every thread of the block.
  template <class Body>
  __device__ void ForEach(const Body& body) const {
    body(Thread());
  }
  // The same, where what follows from a thread's number had better be worked out anew than be kept
  // in registers.
  template <class Body>
  __device__ void ForEachAnew(const Body& body) const {
    int thread;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
    body(Known(thread));
  }
  // body(a thread of it) by every warp; bodies do what a warp can do alone, and what they decide is
  // the same for all its threads.
  template <class Body>
  __device__ void ForEachWarp(const Body& body) const {
    body(Thread());
  }
  // Whether a thread of the warp says so.
  __device__ bool Any(const Each<bool>& says) const { return __any_sync(~0u, says.own); }
  __device__ void Barrier() const { __syncthreads(); }
  // Of a warp's threads alone.
  __device__ void WarpBarrier() const { __syncwarp(); }

  // 16 bytes into shared memory, or zeros if not `takes`; both addresses are multiples of 16.
  __device__ void Copy(void* to, const void* from, bool takes) const {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(SharedAddress(to)),
                 "l"(__cvta_generic_to_global(from)), "r"(takes ? 16 : 0)
                 : "memory");
  }
  // Closes the group of copies made since the last call.
  __device__ void CommitCopies() const { __pipeline_commit(); }
  // Until this thread's copies are done but for those of the newest groups.
  template <int kNewest>
  __device__ void AwaitAllBut() const {
    __pipeline_wait_prior(kNewest);
  }
  // A pointer whose sum is not to be taken apart: offsets then go straight into addresses.
  __device__ static const char* Whole(const char* pointer) {
    asm("" : "+l"(pointer));
    return pointer;
  }

  // Over the four threads that have the same rows; all of them get the result.
  template <int kRows>
  __device__ void GroupMax(Each<RowNumbers<kRows>>& values) const {
    for (float& value : values.own.at) {
      value = fmaxf(value, __shfl_xor_sync(~0u, value, 1));
      value = fmaxf(value, __shfl_xor_sync(~0u, value, 2));
    }
  }
  template <int kRows>
  __device__ void GroupSum(Each<RowNumbers<kRows>>& values) const {
    for (float& value : values.own.at) {
      value += __shfl_xor_sync(~0u, value, 1);
      value += __shfl_xor_sync(~0u, value, 2);
    }
  }

  // Four 8 x 8 matrices of 16-bit elements in shared memory: at(t) is where row t % 8 of matrix
  // t % 32 / 8 begins. Register m of a thread gets elements (g, 2i) and (g, 2i + 1) of matrix m.
  template <class At>
  __device__ void LoadMatrices(Each<Registers>& to, const At& at) const {
    uint32_t(&r)[4] = to.own.at;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(SharedAddress(at(Thread())))
                 : "memory");
  }
  // The same with elements (2i, g) and (2i + 1, g).
  template <class At>
  __device__ void LoadTransposed(Each<Registers>& to, const At& at) const {
    uint32_t(&r)[4] = to.own.at;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(SharedAddress(at(Thread())))
                 : "memory");
  }

  // sum [16, 8] += left [16, 16] right [16, 8] of a warp, in bfloat16; the right factor is that in
  // registers kFirst and kFirst + 1.
  template <int kFirst>
  __device__ void MultiplyBf16(Each<Accumulator>& sum, const Each<Registers>& left,
                               const Each<Registers>& rights) const {
    float(&c)[4] = sum.own.at;
    const uint32_t(&a)[4] = left.own.at;
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(rights.own.at[kFirst]),
          "r"(rights.own.at[kFirst + 1]));
  }
  // sum [16, 8] += left [16, 8] right [8, 8] in TF32.
  template <int kFirst>
  __device__ void MultiplyTf32(Each<Accumulator>& sum, const Each<Registers>& left,
                               const Each<Registers>& rights) const {
    float(&c)[4] = sum.own.at;
    const uint32_t(&a)[4] = left.own.at;
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(rights.own.at[kFirst]),
          "r"(rights.own.at[kFirst + 1]));
  }

 private:
  __device__ static int Thread() { return Known(static_cast<int>(threadIdx.x)); }
  // To be no negative number, of which a quotient takes more.
  __device__ static int Known(int thread) {
    __builtin_assume(thread >= 0 && thread < 1024);
    return thread;
  }
  __device__ static uint32_t SharedAddress(const void* pointer) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
  }
};

}  // namespace gesso::cuda
