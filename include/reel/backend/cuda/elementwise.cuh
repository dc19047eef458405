#pragma once

#include <reel/backend/cuda/context.cuh>
#include <reel/backend/cuda/packs.cuh>
#include <reel/backend/generic/elementwise.hpp>

namespace reel {

namespace cuda {

/// A pack of f(x) per index.
template <class F, class T, int width>
struct MapPacks {
    F f;
    const T* x;
    T* y;

    __host__ __device__ void operator()(index_t index) const {
        auto pack = Pack<T, width>::load(x + index * width);
        for (int i = 0; i < width; ++i) {
            pack.values[i] = static_cast<T>(f(static_cast<compute_t<T>>(pack.values[i])));
        }
        pack.store(y + index * width);
    }
};

template <class F, class T, int width>
struct MapBackwardPacks {
    F f;
    const T* x;
    const T* y_gradient;
    T* x_gradient;

    __host__ __device__ void operator()(index_t index) const {
        using C = compute_t<T>;
        const auto values = Pack<T, width>::load(x + index * width);
        auto pack = Pack<T, width>::load(y_gradient + index * width);
        for (int i = 0; i < width; ++i) {
            pack.values[i] = static_cast<T>(static_cast<C>(pack.values[i]) * f.slope(static_cast<C>(values.values[i])));
        }
        pack.store(x_gradient + index * width);
    }
};

/// A pack of a row's results per index.
template <class T, int width>
struct GegluPacks {
    const T* x;
    T* y;
    index_t row_width;

    __host__ __device__ void operator()(index_t index) const {
        using C = compute_t<T>;
        const index_t packs = row_width / width;
        const T* row = x + index / packs * 2 * row_width + index % packs * width;
        auto pack = Pack<T, width>::load(row);
        const auto gate = Pack<T, width>::load(row + row_width);
        for (int i = 0; i < width; ++i) {
            pack.values[i] =
                static_cast<T>(static_cast<C>(pack.values[i]) * generic::Gelu{}(static_cast<C>(gate.values[i])));
        }
        pack.store(y + index * width);
    }
};

template <class T, int width>
struct GegluBackwardPacks {
    const T* x;
    const T* y_gradient;
    T* x_gradient;
    index_t row_width;

    __host__ __device__ void operator()(index_t index) const {
        using C = compute_t<T>;
        const index_t packs = row_width / width;
        const index_t at = index / packs * 2 * row_width + index % packs * width;
        auto value = Pack<T, width>::load(x + at);
        auto gate = Pack<T, width>::load(x + at + row_width);
        const auto gradient = Pack<T, width>::load(y_gradient + index * width);
        for (int i = 0; i < width; ++i) {
            const C g = static_cast<C>(gradient.values[i]);
            const C v = static_cast<C>(value.values[i]);
            const C z = static_cast<C>(gate.values[i]);
            value.values[i] = static_cast<T>(g * generic::Gelu{}(z));
            gate.values[i] = static_cast<T>(g * v * generic::Gelu{}.slope(z));
        }
        value.store(x_gradient + at);
        gate.store(x_gradient + at + row_width);
    }
};

} // namespace cuda

/// y = f(x), computed in compute_t<T>.
template <class F, class T>
void map_unary(Cuda& backend, F f, const T* x, T* y, index_t count) {
    const auto run = [&]<int width>() { backend.for_each_index(count / width, cuda::MapPacks<F, T, width>{f, x, y}); };
    cuda::with_pack_width<T>(run, count, x, y);
}

/// x_gradient = y_gradient * f'(x)
template <class F, class T>
void map_unary_backward(Cuda& backend, F f, const T* x, const T* y_gradient, T* x_gradient, index_t count) {
    const auto run = [&]<int width>() {
        backend.for_each_index(count / width, cuda::MapBackwardPacks<F, T, width>{f, x, y_gradient, x_gradient});
    };
    cuda::with_pack_width<T>(run, count, x, y_gradient, x_gradient);
}

/// GEGLU: [rows, 2 * row_width] to [rows, row_width].
template <class T>
void geglu(Cuda& backend, const T* x, T* y, index_t rows, index_t row_width) {
    const auto run = [&]<int width>() {
        backend.for_each_index(rows * row_width / width, cuda::GegluPacks<T, width>{x, y, row_width});
    };
    cuda::with_pack_width<T>(run, row_width, x, y);
}

/// Gradient of GEGLU: [rows, row_width] to [rows, 2 * row_width].
template <class T>
void geglu_backward(Cuda& backend, const T* x, const T* y_gradient, T* x_gradient, index_t rows, index_t row_width) {
    const auto run = [&]<int width>() {
        backend.for_each_index(rows * row_width / width,
                               cuda::GegluBackwardPacks<T, width>{x, y_gradient, x_gradient, row_width});
    };
    cuda::with_pack_width<T>(run, row_width, x, y_gradient, x_gradient);
}

} // namespace reel
