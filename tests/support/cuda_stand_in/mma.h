#pragma once
// The warp matrix functions that reel calls. On a device a warp's lanes share a matrix between them in a way nobody may
// rely on; here every lane holds all of it, and the last to store stores the same.

#include <bit>
#include <cstdint>
#include <type_traits>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <reel/core/scalar.hpp>

namespace nvcuda::wmma {

struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major, mem_col_major };

template <class Use, int m, int n, int k, class T, class Layout = void>
struct fragment {
    static_assert(m == 16 && n == 16 && k == 16);
    float values[16][16];
};

inline float number(float value) {
    return value;
}
inline float number(__nv_bfloat16 value) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}
inline float number(__half value) {
    return static_cast<float>(std::bit_cast<reel::half>(value));
}

template <class T>
constexpr bool fits(const T* data, unsigned stride) { // what the CUDA C++ Programming Guide asks for
    return reinterpret_cast<std::uintptr_t>(data) % 32 == 0 && stride * sizeof(T) % 16 == 0;
}

template <class Fragment, class T>
void load(Fragment& to, const T* from, unsigned stride, bool by_columns) {
    if (!fits(from, stride)) {
        cuda_stand_in::refuse("a matrix that does not begin at 32 bytes, or whose rows do not at 16");
    }
    for (unsigned i = 0; i < 16; ++i) {
        for (unsigned j = 0; j < 16; ++j) {
            to.values[i][j] = number(by_columns ? from[j * stride + i] : from[i * stride + j]);
        }
    }
}

template <class Use, class T, class Layout>
void load_matrix_sync(fragment<Use, 16, 16, 16, T, Layout>& to, const T* from, unsigned stride) {
    cuda_stand_in::warp_barrier();
    load(to, from, stride, std::is_same_v<Layout, col_major>);
}
inline void load_matrix_sync(fragment<accumulator, 16, 16, 16, float>& to, const float* from, unsigned stride,
                             layout_t layout) {
    cuda_stand_in::warp_barrier();
    load(to, from, stride, layout == mem_col_major);
}
inline void store_matrix_sync(float* to, const fragment<accumulator, 16, 16, 16, float>& from, unsigned stride,
                              layout_t layout) {
    cuda_stand_in::warp_barrier();
    if (!fits(to, stride)) {
        cuda_stand_in::refuse("a matrix that does not begin at 32 bytes, or whose rows do not at 16");
    }
    for (unsigned i = 0; i < 16; ++i) {
        for (unsigned j = 0; j < 16; ++j) {
            to[layout == mem_col_major ? j * stride + i : i * stride + j] = from.values[i][j];
        }
    }
}
inline void fill_fragment(fragment<accumulator, 16, 16, 16, float>& to, float value) {
    for (auto& row : to.values) {
        for (float& element : row) {
            element = value;
        }
    }
}

template <class T, class LayoutA, class LayoutB>
void mma_sync(fragment<accumulator, 16, 16, 16, float>& d, const fragment<matrix_a, 16, 16, 16, T, LayoutA>& a,
              const fragment<matrix_b, 16, 16, 16, T, LayoutB>& b, const fragment<accumulator, 16, 16, 16, float>& c) {
    fragment<accumulator, 16, 16, 16, float> result = c;
    for (unsigned i = 0; i < 16; ++i) {
        for (unsigned k = 0; k < 16; ++k) {
            for (unsigned j = 0; j < 16; ++j) {
                result.values[i][j] += a.values[i][k] * b.values[k][j];
            }
        }
    }
    d = result;
}

} // namespace nvcuda::wmma
