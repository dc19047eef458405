#pragma once

#include <reel/backend/cuda/packs.cuh>
#include <reel/backend/cuda/reduce.cuh>
#include <reel/backend/generic/norm.hpp>

namespace reel {

namespace cuda {

/// One element of the result.
template <class T>
[[nodiscard]] __host__ __device__ inline T normalised(const NormProblem<T>& p, T x, compute_t<T> mean,
                                                      compute_t<T> inverse_std, index_t channel) {
    using C = compute_t<T>;
    C value = (static_cast<C>(x) - mean) * inverse_std;
    value = p.gamma != nullptr ? value * static_cast<C>(p.gamma[channel]) : value;
    value = p.beta != nullptr ? value + static_cast<C>(p.beta[channel]) : value;
    return static_cast<T>(p.silu ? value * generic::sigmoid(value) : value);
}

/// Layer norm: one group of one row. A warp per row; the row is read three times, twice from the cache.
template <class T>
struct LayerNormRows {
    using C = compute_t<T>;
    static constexpr int threads = 256;
    static constexpr int rows_per_block = threads / 32;
    NormProblem<T> p;

    __device__ void operator()() const {
        using std::sqrt;
        const index_t row = static_cast<index_t>(blockIdx.x) * rows_per_block + threadIdx.x / 32;
        const index_t lane = threadIdx.x % 32;
        if (row >= p.sets) {
            return; // all lanes of the warp
        }
        const T* x = p.x + row * p.channels;
        T* y = p.y + row * p.channels;
        C sum = C(0);
        for (index_t c = lane; c < p.channels; c += 32) {
            sum += static_cast<C>(x[c]);
        }
        const C mean = sum_over_lanes<32>(sum) / static_cast<C>(p.channels);
        C squares = C(0);
        for (index_t c = lane; c < p.channels; c += 32) {
            const C d = static_cast<C>(x[c]) - mean;
            squares += d * d;
        }
        const C inverse = C(1) / sqrt(sum_over_lanes<32>(squares) / static_cast<C>(p.channels) + p.epsilon);
        if (p.mean != nullptr && lane == 0) {
            p.mean[row] = mean;
            p.inverse_std[row] = inverse;
        }
        for (index_t c = lane; c < p.channels; c += 32) {
            y[c] = normalised(p, x[c], mean, inverse, c);
        }
    }
};

/// Mean and sum of squared deviations of every channel in a chunk of rows, [chunks, channels] each. Values are taken
/// relative to the chunk's first, so that a mean far from zero costs no digits.
template <class T>
struct ChunkMoments {
    using C = compute_t<T>;
    static constexpr int threads = 256;
    RowChunks chunks;
    const T* x;
    C* means;
    C* deviations;
    index_t channels;

    __device__ void operator()() const {
        const index_t block = blockIdx.x;
        const ChunkRows rows(chunks, block);
        const C count = static_cast<C>(rows.end - rows.begin);
        for (index_t c = threadIdx.x; c < channels; c += threads) {
            const C origin = static_cast<C>(x[rows.begin * channels + c]);
            C sum = C(0);
            C squares = C(0);
            for (index_t row = rows.begin; row < rows.end; ++row) {
                const C d = static_cast<C>(x[row * channels + c]) - origin;
                sum += d;
                squares += d * d;
            }
            means[block * channels + c] = origin + sum / count;
            const C deviation = squares - sum * (sum / count);
            deviations[block * channels + c] = deviation > C(0) ? deviation : C(0);
        }
    }
};

/// Statistics of a set's group from those of its chunks' channels: Chan, Golub & LeVeque 1979, in double. A block per
/// group.
template <class C>
struct GroupStatistics {
    static constexpr int threads = 128;
    RowChunks chunks;
    const C* means;
    const C* deviations;
    index_t channels;
    index_t groups;
    C epsilon;
    C* mean;
    C* inverse_std;

    __device__ double rows_of(index_t chunk) const {
        const index_t begin = chunk * chunks.chunk;
        return static_cast<double>(chunks.rows - begin < chunks.chunk ? chunks.rows - begin : chunks.chunk);
    }

    __device__ void operator()() const {
        using std::sqrt;
        double* slots = shared_memory<double>();
        const index_t set = static_cast<index_t>(blockIdx.x) / groups;
        const index_t width = channels / groups;
        const index_t first = static_cast<index_t>(blockIdx.x) % groups * width;
        const index_t count = chunks.per_set * width;
        const double numbers = static_cast<double>(chunks.rows * width);
        double sum = 0;
        for (index_t i = threadIdx.x; i < count; i += threads) {
            const index_t at = (set * chunks.per_set + i / width) * channels + first + i % width;
            sum += rows_of(i / width) * static_cast<double>(means[at]);
        }
        const double center = sum_over_block<threads>(sum, slots) / numbers;
        double squares = 0;
        for (index_t i = threadIdx.x; i < count; i += threads) {
            const index_t at = (set * chunks.per_set + i / width) * channels + first + i % width;
            const double d = static_cast<double>(means[at]) - center;
            squares += static_cast<double>(deviations[at]) + rows_of(i / width) * d * d;
        }
        squares = sum_over_block<threads>(squares, slots);
        if (threadIdx.x == 0) {
            mean[blockIdx.x] = static_cast<C>(center);
            inverse_std[blockIdx.x] = static_cast<C>(1.0 / sqrt(squares / numbers + static_cast<double>(epsilon)));
        }
    }
};

/// A pack of results per index.
template <class T, int width>
struct ApplyNorm {
    NormProblem<T> p;

    __host__ __device__ void operator()(index_t index) const {
        const index_t packs = p.channels / width;
        const index_t channel = index % packs * width;
        const index_t first_group = index / packs / p.rows * p.groups;
        auto pack = Pack<T, width>::load(p.x + index * width);
        for (int i = 0; i < width; ++i) {
            const index_t group = first_group + (channel + i) / (p.channels / p.groups);
            pack.values[i] = normalised(p, pack.values[i], p.mean[group], p.inverse_std[group], channel + i);
        }
        pack.store(p.y + index * width);
    }
};

} // namespace cuda

/// Mean and inverse deviation of every group, into p.mean and p.inverse_std.
template <class T>
void norm_statistics(Cuda& backend, const NormProblem<T>& p) {
    if (p.sets * p.rows * p.channels == 0) {
        return;
    }
    using C = compute_t<T>;
    const cuda::RowChunks chunks(p.sets, p.rows);
    const cuda::Scratch<C> moments(backend, 2 * chunks.count() * p.channels);
    C* deviations = moments.data() + chunks.count() * p.channels;
    backend.launch(cuda::ChunkMoments<T>{chunks, p.x, moments.data(), deviations, p.channels}, chunks.count());
    using Statistics = cuda::GroupStatistics<C>;
    backend.launch(
        Statistics{chunks, moments.data(), deviations, p.channels, p.groups, p.epsilon, p.mean, p.inverse_std},
        p.sets * p.groups, sizeof(double) * (Statistics::threads / 32));
}

/// y from x, the statistics given in p.mean and p.inverse_std: a part of the rows that they were taken of, maybe.
template <class T>
void norm_apply(Cuda& backend, const NormProblem<T>& p) {
    const auto apply = [&]<int width>() {
        backend.for_each_index(p.sets * p.rows * p.channels / width, cuda::ApplyNorm<T, width>{p});
    };
    cuda::with_pack_width<T>(apply, p.channels, p.x, static_cast<const T*>(p.y));
}

/// Layer norm in one pass over its rows; group norm in two: statistics of chunks of rows, then all elements.
template <class T>
void norm_forward(Cuda& backend, const NormProblem<T>& problem) {
    NormProblem<T> p = problem;
    if (p.sets * p.rows * p.channels == 0) {
        return;
    }
    if (p.rows == 1 && p.groups == 1) {
        constexpr index_t rows = cuda::LayerNormRows<T>::rows_per_block;
        backend.launch(cuda::LayerNormRows<T>{p}, (p.sets + rows - 1) / rows);
        return;
    }
    const cuda::Scratch<compute_t<T>> own(backend, p.mean != nullptr ? 0 : 2 * p.sets * p.groups);
    if (p.mean == nullptr) {
        p.mean = own.data();
        p.inverse_std = own.data() + p.sets * p.groups;
    }
    norm_statistics(backend, p);
    norm_apply(backend, p);
}

} // namespace reel
