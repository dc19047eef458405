#pragma once

#include <reel/backend/cuda/norm.cuh>

namespace reel {

namespace cuda {

/// Layer norm's input gradient. A warp per row.
template <class T>
struct LayerNormBackwardRows {
    using C = compute_t<T>;
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
        const C mean = p.mean[row];
        const C inverse = p.inverse_std[row];
        C sum = C(0);
        C sum_normal = C(0);
        for (index_t c = lane; c < p.channels; c += 32) {
            const index_t at = row * p.channels + c;
            const C normal = (static_cast<C>(p.x[at]) - mean) * inverse;
            const C scaled = rule.affine_gradient(static_cast<C>(p.y_gradient[at]), normal, c) * rule.gamma(c);
            sum += scaled;
            sum_normal += scaled * normal;
        }
        sum = sum_over_lanes<32>(sum) / static_cast<C>(p.channels);
        sum_normal = sum_over_lanes<32>(sum_normal) / static_cast<C>(p.channels);
        for (index_t c = lane; c < p.channels; c += 32) {
            const index_t at = row * p.channels + c;
            const C normal = (static_cast<C>(p.x[at]) - mean) * inverse;
            const C scaled = rule.affine_gradient(static_cast<C>(p.y_gradient[at]), normal, c) * rule.gamma(c);
            p.x_gradient[at] = static_cast<T>(inverse * (scaled - sum - normal * sum_normal));
        }
    }
};

/// Per chunk of rows and channel: the sums of the affine output's gradient and of its product with the normalised
/// input, [chunks, channels] each.
template <class T>
struct ChunkGradients {
    using C = compute_t<T>;
    static constexpr int threads = 256;
    RowChunks chunks;
    NormProblem<T> p;
    C* sums;
    C* products;

    __device__ void operator()() const {
        const generic::NormBackwardGroup<T> rule{p};
        const index_t block = blockIdx.x;
        const ChunkRows rows(chunks, block);
        const index_t width = p.channels / p.groups;
        for (index_t c = threadIdx.x; c < p.channels; c += threads) {
            C sum = C(0);
            C product = C(0);
            for (index_t row = rows.begin; row < rows.end; ++row) {
                const index_t group = row / p.rows * p.groups + c / width;
                const index_t at = row * p.channels + c;
                const C normal = (static_cast<C>(p.x[at]) - p.mean[group]) * p.inverse_std[group];
                const C gradient = rule.affine_gradient(static_cast<C>(p.y_gradient[at]), normal, c);
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
    using C = compute_t<T>;
    static constexpr int threads = 128;
    RowChunks chunks;
    const C* sums;
    const C* products;
    const T* gamma;
    index_t channels;
    index_t groups;
    C* mean_gradient; ///< [sets * groups]
    C* mean_product;

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
            mean_gradient[blockIdx.x] = static_cast<C>(sum);
            mean_product[blockIdx.x] = static_cast<C>(product);
        }
    }
};

/// A pack of the input's gradient per index.
template <class T, int width>
struct ApplyNormGradient {
    using C = compute_t<T>;
    NormProblem<T> p;
    const C* mean_gradient;
    const C* mean_product;

    __host__ __device__ void operator()(index_t index) const {
        const generic::NormBackwardGroup<T> rule{p};
        const index_t packs = p.channels / width;
        const index_t first = index % packs * width;
        const index_t first_group = index / packs / p.rows * p.groups;
        const auto x = Pack<T, width>::load(p.x + index * width);
        auto gradient = Pack<T, width>::load(p.y_gradient + index * width);
        for (int i = 0; i < width; ++i) {
            const index_t channel = first + i;
            const index_t group = first_group + channel / (p.channels / p.groups);
            const C inverse = p.inverse_std[group];
            const C normal = (static_cast<C>(x.values[i]) - p.mean[group]) * inverse;
            const C scaled =
                rule.affine_gradient(static_cast<C>(gradient.values[i]), normal, channel) * rule.gamma(channel);
            gradient.values[i] =
                static_cast<T>(inverse * (scaled - mean_gradient[group] - normal * mean_product[group]));
        }
        gradient.store(p.x_gradient + index * width);
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
    using C = compute_t<T>;
    const cuda::Scratch<C> sums(backend, 2 * chunks.count() * p.channels);
    C* products = sums.data() + chunks.count() * p.channels;
    backend.launch(cuda::ChunkGradients<T>{chunks, p, sums.data(), products}, chunks.count());
    if (p.beta_gradient != nullptr) {
        cuda::total_columns(backend, sums.data(), chunks.count(), p.channels, true, p.beta_gradient);
    }
    if (p.gamma_gradient != nullptr) {
        cuda::total_columns(backend, products, chunks.count(), p.channels, true, p.gamma_gradient);
    }
    if (!layer_norm && p.x_gradient != nullptr) {
        const index_t groups = p.sets * p.groups;
        const cuda::Scratch<C> means(backend, 2 * groups);
        using Program = cuda::GroupGradients<T>;
        backend.launch(
            Program{chunks, sums.data(), products, p.gamma, p.channels, p.groups, means.data(), means.data() + groups},
            groups, sizeof(double) * (Program::threads / 32));
        const auto apply = [&]<int width>() {
            backend.for_each_index(p.sets * p.rows * p.channels / width,
                                   cuda::ApplyNormGradient<T, width>{p, means.data(), means.data() + groups});
        };
        cuda::with_pack_width<T>(apply, p.channels, p.x, p.y_gradient, static_cast<const T*>(p.x_gradient));
    }
}

} // namespace reel
