#pragma once

#include <reel/backend/cuda/runtime.cuh>

/// Elements of any type, converted where they are loaded and stored, and moved several at a time.
namespace reel::cuda {

/// A number in another type, through float32 where one of them has 16 bits.
template <class To, class From>
[[nodiscard]] __host__ __device__ inline To converted(From value) {
    if constexpr (std::same_as<To, From>) {
        return value;
    } else if constexpr (Real<To> && Real<From>) {
        return static_cast<To>(value);
    } else {
        return static_cast<To>(static_cast<float>(value));
    }
}

/// `width` neighbours, moved at once.
template <class T, int width>
struct alignas(sizeof(T) * width) Pack {
    T values[width];

    [[nodiscard]] static __host__ __device__ Pack load(const T* from) { return *reinterpret_cast<const Pack*>(from); }
    __host__ __device__ void store(T* to) const { *reinterpret_cast<Pack*>(to) = *this; }
};

/// How many elements are moved at once where their number and addresses allow it: 16 bytes, the most that a thread can.
template <class T>
inline constexpr int pack_width = static_cast<int>(16 / sizeof(T));

/// Whether rows of `extent` elements are whole packs, and the pointers (null or not) begin at one.
template <int width, class... T>
[[nodiscard]] bool packs_fit(index_t extent, const T*... pointers) {
    return extent % width == 0 && ((reinterpret_cast<std::uintptr_t>(pointers) % (sizeof(T) * width) == 0) && ...);
}

/// Calls `run.operator()<width>()` with the widest pack that fits, or 1.
template <class T, class Run, class... P>
void with_pack_width(const Run& run, index_t extent, const P*... pointers) {
    if (packs_fit<pack_width<T>>(extent, pointers...)) {
        run.template operator()<pack_width<T>>();
    } else {
        run.template operator()<1>();
    }
}

template <class T, class Out>
struct Convert {
    const T* from;
    Out* to;
    __host__ __device__ void operator()(index_t i) const { to[i] = converted<Out>(from[i]); }
};

} // namespace reel::cuda
