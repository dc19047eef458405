#pragma once

#include <reel/backend/cuda/norm.cuh>

namespace reel {

namespace cuda {

/// Layer norm's input gradient. A warp per row.
template <class T>
struct LayerNormBackwardRows {
    static constexpr int threads = 256;
    static constexpr int rows_per_block = threads / 32;
    NormProblem<T> p;

    __device__ void operator()() const {
        const index_t row = static_cast<index_t>(blockIdx.x) * rows_per_block + threadIdx.x / 32;
        const index_t lane = threadIdx.x % 32;
        if (row >= p.sets) {
            return; // all lanes of the warp
        }
        const generic::NormBackwardGroup<T> rule{p};
        const T mean = p.mean[row];
        const T inverse = p.inverse_std[row];
        T sum = T(0);
        T sum_normal = T(0);
        for (index_t c = lane; c < p.channels; c += 32) {
            const index_t at = row * p.channels + c;
            const T normal = (p.x[at] - mean) * inverse;
            const T scaled =
                rule.affine_gradient(p.y_gradient[at], normal, c) * (p.gamma != nullptr ? p.gamma[c] : T(1));
            sum += scaled;
            sum_normal += scaled * normal;
        }
        sum = sum_over_lanes<32>(sum) / static_cast<T>(p.channels);
        sum_normal = sum_over_lanes<32>(sum_normal) / static_cast<T>(p.channels);
        for (index_t c = lane; c < p.channels; c += 32) {
            const index_t at = row * p.channels + c;
            const T normal = (p.x[at] - mean) * inverse;
            const T scaled =
                rule.affine_gradient(p.y_gradient[at], normal, c) * (p.gamma != nullptr ? p.gamma[c] : T(1));
            p.x_gradient[at] = inverse * (scaled - sum - normal * sum_normal);
        }
    }
};

/// Per chunk of rows and channel: the sums of the affine output's gradient and of its product with the normalised
/// input, [chunks, channels] each.
template <class T>
struct ChunkGradients {
    static constexpr int threads = 256;
    RowChunks chunks;
    NormProblem<T> p;
    T* sums;
    T* products;

    __device__ void operator()() const {
        const generic::NormBackwardGroup<T> rule{p};
        const index_t block = blockIdx.x;
        const ChunkRows rows(chunks, block);
        const index_t width = p.channels / p.groups;
        for (index_t c = threadIdx.x; c < p.channels; c += threads) {
            T sum = T(0);
            T product = T(0);
            for (index_t row = rows.begin; row < rows.end; ++row) {
                const index_t group = row / p.rows * p.groups + c / width;
                const index_t at = row * p.channels + c;
                const T normal = (p.x[at] - p.mean[group]) * p.inverse_std[group];
                const T gradient = rule.affine_gradient(p.y_gradient[at], normal, c);
                sum += gradient;
                product += gradient * normal;
            }
            sums[block * p.channels + c] = sum;
            products[block * p.channels + c] = product;
        }
    }
};

/// Per set and group: means of the normalised input's gradient and of its product with that input. A block per group.
template <class T>
struct GroupGradients {
    static constexpr int threads = 128;
    RowChunks chunks;
    const T* sums;
    const T* products;
    const T* gamma;
    index_t channels;
    index_t groups;
    T* mean_gradient; ///< [sets * groups]
    T* mean_product;

    __device__ void operator()() const {
        double* slots = shared_memory<double>();
        const index_t set = static_cast<index_t>(blockIdx.x) / groups;
        const index_t width = channels / groups;
        const index_t first = static_cast<index_t>(blockIdx.x) % groups * width;
        double sum = 0;
        double product = 0;
        for (index_t i = threadIdx.x; i < chunks.per_set * width; i += threads) {
            const index_t channel = first + i % width;
            const index_t at = (set * chunks.per_set + i / width) * channels + channel;
            const double weight = gamma != nullptr ? static_cast<double>(gamma[channel]) : 1.0;
            sum += weight * static_cast<double>(sums[at]);
            product += weight * static_cast<double>(products[at]);
        }
        const double count = static_cast<double>(chunks.rows * width);
        sum = sum_over_block<threads>(sum, slots) / count;
        product = sum_over_block<threads>(product, slots) / count;
        if (threadIdx.x == 0) {
            mean_gradient[blockIdx.x] = static_cast<T>(sum);
            mean_product[blockIdx.x] = static_cast<T>(product);
        }
    }
};

template <class T>
struct ApplyNormGradient {
    NormProblem<T> p;
    const T* mean_gradient;
    const T* mean_product;

    __host__ __device__ void operator()(index_t index) const {
        const index_t channel = index % p.channels;
        const index_t group = index / p.channels / p.rows * p.groups + channel / (p.channels / p.groups);
        const T normal = (p.x[index] - p.mean[group]) * p.inverse_std[group];
        const T scaled = generic::NormBackwardGroup<T>{p}.affine_gradient(p.y_gradient[index], normal, channel) *
                         (p.gamma != nullptr ? p.gamma[channel] : T(1));
        p.x_gradient[index] = p.inverse_std[group] * (scaled - mean_gradient[group] - normal * mean_product[group]);
    }
};

} // namespace cuda

/// Gradients of norm_forward. Every sum is taken in a fixed order.
template <class T>
void norm_backward(Cuda& backend, const NormProblem<T>& p) {
    if (p.sets * p.rows * p.channels == 0) {
        return;
    }
    const bool layer_norm = p.rows == 1 && p.groups == 1;
    if (layer_norm && p.x_gradient != nullptr) {
        constexpr index_t rows = cuda::LayerNormBackwardRows<T>::rows_per_block;
        backend.launch(cuda::LayerNormBackwardRows<T>{p}, (p.sets + rows - 1) / rows);
    }
    const bool wants_affine = p.gamma_gradient != nullptr || p.beta_gradient != nullptr;
    if (!wants_affine && (layer_norm || p.x_gradient == nullptr)) {
        return;
    }
    // Sums over whole sets serve the input's gradient; those of a layer norm's weights run across its sets of one row.
    const cuda::RowChunks chunks = layer_norm ? cuda::RowChunks(1, p.sets) : cuda::RowChunks(p.sets, p.rows);
    const cuda::Scratch<T> sums(backend, 2 * chunks.count() * p.channels);
    T* products = sums.data() + chunks.count() * p.channels;
    backend.launch(cuda::ChunkGradients<T>{chunks, p, sums.data(), products}, chunks.count());
    if (p.beta_gradient != nullptr) {
        cuda::total_columns(backend, sums.data(), chunks.count(), p.channels, true, p.beta_gradient);
    }
    if (p.gamma_gradient != nullptr) {
        cuda::total_columns(backend, products, chunks.count(), p.channels, true, p.gamma_gradient);
    }
    if (!layer_norm && p.x_gradient != nullptr) {
        const index_t groups = p.sets * p.groups;
        const cuda::Scratch<T> means(backend, 2 * groups);
        using Program = cuda::GroupGradients<T>;
        backend.launch(
            Program{chunks, sums.data(), products, p.gamma, p.channels, p.groups, means.data(), means.data() + groups},
            groups, sizeof(double) * (Program::threads / 32));
        backend.for_each_index(p.sets * p.rows * p.channels,
                               cuda::ApplyNormGradient<T>{p, means.data(), means.data() + groups});
    }
}

} // namespace reel
