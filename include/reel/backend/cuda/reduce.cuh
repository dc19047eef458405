#pragma once

#include <reel/backend/cuda/launch.cuh>
#include <reel/backend/cuda/scratch.cuh>

namespace reel {

namespace cuda {

// Sums are reel's own. CUB's segmented reduction wants the elements of a segment one after the other; those of a column
// lie a row apart, and reading them through an iterator would fetch a cache line for each. Its sum of a whole tensor
// cost nvcc a sixth of its time for a file of kernels.

/// How rows are cut into blocks that never cross a set: enough blocks for a large GPU, rows enough to repay one.
struct RowChunks {
    index_t sets;
    index_t rows; ///< per set
    index_t chunk;
    index_t per_set; ///< chunks

    RowChunks(index_t set_count, index_t row_count) : sets(set_count), rows(row_count) {
        constexpr index_t wanted_blocks = 1024;
        constexpr index_t least_rows = 32;
        const index_t even = (sets * rows + wanted_blocks - 1) / wanted_blocks;
        chunk = even > least_rows ? even : least_rows;
        per_set = (rows + chunk - 1) / chunk;
    }
    [[nodiscard]] index_t count() const { return sets * per_set; }
};

/// Rows of one chunk: [begin, end), counted over all sets.
struct ChunkRows {
    index_t begin;
    index_t end;
    __device__ ChunkRows(const RowChunks& chunks, index_t block)
        : begin(block / chunks.per_set * chunks.rows + block % chunks.per_set * chunks.chunk),
          end(block / chunks.per_set * chunks.rows + (block % chunks.per_set * chunks.chunk + chunks.chunk < chunks.rows
                                                          ? block % chunks.per_set * chunks.chunk + chunks.chunk
                                                          : chunks.rows)) {}
};

/// partial [chunks, columns] = sums over the rows of each chunk. A block per chunk, a thread per column.
template <class T>
struct ChunkSums {
    static constexpr int threads = 256;
    RowChunks chunks;
    const T* x;
    double* partial;
    index_t columns;

    __device__ void operator()() const {
        const index_t block = blockIdx.x;
        const ChunkRows rows(chunks, block);
        for (index_t column = threadIdx.x; column < columns; column += threads) {
            double sum = 0;
            for (index_t row = rows.begin; row < rows.end; ++row) {
                sum += static_cast<double>(x[row * columns + column]);
            }
            partial[block * columns + column] = sum;
        }
    }
};

/// y[column] = (y[column], if it is added to, +) the sum of partial [count, columns] over its rows. A block per column;
/// the order of additions is fixed.
template <class T, class P>
struct ColumnTotal {
    static constexpr int threads = 128;
    const P* partial;
    index_t count;
    index_t columns;
    bool add;
    T* y;

    __device__ void operator()() const {
        double* slots = shared_memory<double>();
        const index_t column = blockIdx.x;
        double sum = 0;
        for (index_t i = threadIdx.x; i < count; i += threads) {
            sum += static_cast<double>(partial[i * columns + column]);
        }
        sum = sum_over_block<threads>(sum, slots);
        if (threadIdx.x == 0) {
            y[column] = static_cast<T>(add ? sum + static_cast<double>(y[column]) : sum);
        }
    }
};

template <class T, class P>
void total_columns(Cuda& backend, const P* partial, index_t count, index_t columns, bool add, T* y) {
    using Program = ColumnTotal<T, P>;
    backend.launch(Program{partial, count, columns, add, y}, columns, sizeof(double) * (Program::threads / 32));
}

/// partial [blocks] = sums of runs of x, or of its squares. A block per run.
template <class T, bool squared>
struct RunSums {
    static constexpr int threads = 256;
    static constexpr index_t most_blocks = 1024;
    const T* x;
    double* partial;
    index_t count;
    index_t run;

    RunSums(const T* values, index_t value_count)
        : x(values), partial(nullptr), count(value_count), run(threads * per_thread(value_count)) {}
    [[nodiscard]] index_t blocks() const { return (count + run - 1) / run; }

    __device__ void operator()() const {
        double* slots = shared_memory<double>();
        const index_t begin = static_cast<index_t>(blockIdx.x) * run;
        const index_t end = begin + run < count ? begin + run : count;
        double sum = 0;
        for (index_t i = begin + static_cast<index_t>(threadIdx.x); i < end; i += threads) {
            const auto value = static_cast<double>(x[i]);
            sum += squared ? value * value : value;
        }
        sum = sum_over_block<threads>(sum, slots);
        if (threadIdx.x == 0) {
            partial[blockIdx.x] = sum;
        }
    }

private:
    static index_t per_thread(index_t value_count) {
        constexpr index_t least = 16; // to repay the thread
        const index_t even = (value_count + threads * most_blocks - 1) / (threads * most_blocks);
        return even > least ? even : least;
    }
};

} // namespace cuda

/// Sum of all elements or of their squares, in double, added in a fixed order. Waits for the result, and for nothing
/// before.
template <class T, bool squared>
[[nodiscard]] double total(Cuda& backend, const T* x, index_t count, std::bool_constant<squared> /*of squares*/) {
    if (count <= 0) {
        return 0;
    }
    using Program = cuda::RunSums<T, squared>;
    Program program(x, count);
    const index_t blocks = program.blocks();
    const cuda::Scratch<double> sums(backend, blocks + 1); // of the runs, and theirs
    program.partial = sums.data();
    backend.launch(program, blocks, sizeof(double) * (Program::threads / 32));
    cuda::total_columns(backend, sums.data(), blocks, 1, false, sums.data() + blocks);
    double result = 0;
    backend.copy_to_host(&result, sums.data() + blocks, sizeof(result));
    return result;
}

/// y [columns] = sums over the rows of x [rows, columns], accumulated in double. The same bits in every run.
template <class T>
void column_sums(Cuda& backend, const T* x, T* y, index_t rows, index_t columns) {
    const cuda::RowChunks chunks(1, rows);
    const cuda::Scratch<double> partial(backend, chunks.count() * columns);
    if (columns > 0) {
        backend.launch(cuda::ChunkSums<T>{chunks, x, partial.data(), columns}, chunks.count());
    }
    cuda::total_columns(backend, partial.data(), chunks.count(), columns, false, y);
}

} // namespace reel
