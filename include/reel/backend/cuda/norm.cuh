#pragma once

#include <reel/backend/cuda/reduce.cuh>
#include <reel/backend/generic/norm.hpp>

namespace reel {

namespace cuda {

/// Layer norm: one group of one row. A warp per row; the row is read three times, twice from the cache.
template <class T>
struct LayerNormRows {
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
        T sum = T(0);
        for (index_t c = lane; c < p.channels; c += 32) {
            sum += x[c];
        }
        const T mean = sum_over_lanes<32>(sum) / static_cast<T>(p.channels);
        T squares = T(0);
        for (index_t c = lane; c < p.channels; c += 32) {
            squares += (x[c] - mean) * (x[c] - mean);
        }
        const T inverse = T(1) / sqrt(sum_over_lanes<32>(squares) / static_cast<T>(p.channels) + p.epsilon);
        if (p.mean != nullptr && lane == 0) {
            p.mean[row] = mean;
            p.inverse_std[row] = inverse;
        }
        for (index_t c = lane; c < p.channels; c += 32) {
            T value = (x[c] - mean) * inverse;
            value = p.gamma != nullptr ? value * p.gamma[c] : value;
            value = p.beta != nullptr ? value + p.beta[c] : value;
            y[c] = p.silu ? value * generic::sigmoid(value) : value;
        }
    }
};

/// Mean and sum of squared deviations of every channel in a chunk of rows, [chunks, channels] each. Values are taken
/// relative to the chunk's first, so that a mean far from zero costs no digits.
template <class T>
struct ChunkMoments {
    static constexpr int threads = 256;
    RowChunks chunks;
    const T* x;
    T* means;
    T* deviations;
    index_t channels;

    __device__ void operator()() const {
        const index_t block = blockIdx.x;
        const ChunkRows rows(chunks, block);
        const T count = static_cast<T>(rows.end - rows.begin);
        for (index_t c = threadIdx.x; c < channels; c += threads) {
            const T origin = x[rows.begin * channels + c];
            T sum = T(0);
            T squares = T(0);
            for (index_t row = rows.begin; row < rows.end; ++row) {
                const T d = x[row * channels + c] - origin;
                sum += d;
                squares += d * d;
            }
            means[block * channels + c] = origin + sum / count;
            const T deviation = squares - sum * (sum / count);
            deviations[block * channels + c] = deviation > T(0) ? deviation : T(0);
        }
    }
};

/// Statistics of a set's group from those of its chunks' channels: Chan, Golub & LeVeque 1979, in double. A block per
/// group.
template <class T>
struct GroupStatistics {
    static constexpr int threads = 128;
    RowChunks chunks;
    const T* means;
    const T* deviations;
    index_t channels;
    index_t groups;
    T epsilon;
    T* mean;
    T* inverse_std;

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
            mean[blockIdx.x] = static_cast<T>(center);
            inverse_std[blockIdx.x] = static_cast<T>(1.0 / sqrt(squares / numbers + static_cast<double>(epsilon)));
        }
    }
};

template <class T>
struct ApplyNorm {
    NormProblem<T> p;

    __host__ __device__ void operator()(index_t index) const {
        const index_t channel = index % p.channels;
        const index_t group = index / p.channels / p.rows * p.groups + channel / (p.channels / p.groups);
        T value = (p.x[index] - p.mean[group]) * p.inverse_std[group];
        value = p.gamma != nullptr ? value * p.gamma[channel] : value;
        value = p.beta != nullptr ? value + p.beta[channel] : value;
        p.y[index] = p.silu ? value * generic::sigmoid(value) : value;
    }
};

} // namespace cuda

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
    const cuda::RowChunks chunks(p.sets, p.rows);
    const cuda::Scratch<T> moments(backend, 2 * chunks.count() * p.channels);
    const cuda::Scratch<T> own(backend, p.mean != nullptr ? 0 : 2 * p.sets * p.groups);
    if (p.mean == nullptr) {
        p.mean = own.data();
        p.inverse_std = own.data() + p.sets * p.groups;
    }
    T* deviations = moments.data() + chunks.count() * p.channels;
    backend.launch(cuda::ChunkMoments<T>{chunks, p.x, moments.data(), deviations, p.channels}, chunks.count());
    using Statistics = cuda::GroupStatistics<T>;
    backend.launch(
        Statistics{chunks, moments.data(), deviations, p.channels, p.groups, p.epsilon, p.mean, p.inverse_std},
        p.sets * p.groups, sizeof(double) * (Statistics::threads / 32));
    backend.for_each_index(p.sets * p.rows * p.channels, cuda::ApplyNorm<T>{p});
}

} // namespace reel
