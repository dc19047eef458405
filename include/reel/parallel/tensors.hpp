#pragma once
// Tensors of any backend among ranks. They go by way of the host: what is on a device is copied there and back.

#include <span>
#include <string_view>
#include <vector>

#include <reel/parallel/communicator.hpp>
#include <reel/tensor.hpp>

namespace reel {

/// Sums a tensor over the ranks, in place: of 16-bit types in float, rounded once. Called by all, with tensors of one
/// shape.
template <Scalar T, class B>
void all_reduce(const Communicator& ranks, const Tensor<T, B>& x, std::string_view what = "all_reduce") {
    if (ranks.alone() || x.size() == 0) {
        return;
    }
    std::vector<T> values = x.to_host();
    if constexpr (std::same_as<T, compute_t<T>>) {
        ranks.all_reduce(std::span<T>(values), what);
    } else {
        std::vector<float> sums(values.size());
        for (std::size_t i = 0; i < sums.size(); ++i) {
            sums[i] = static_cast<float>(values[i]);
        }
        ranks.all_reduce(std::span<float>(sums), what);
        for (std::size_t i = 0; i < sums.size(); ++i) {
            values[i] = T(sums[i]);
        }
    }
    x.backend().copy_from_host(x.data(), values.data(), values.size() * sizeof(T));
}

/// `make(first, last)` gives rows [first, last) of a tensor of `rows` rows; every rank makes its share, and all get the
/// whole. Called by all, where rows > 0.
template <class B, class Make>
[[nodiscard]] auto rows_over_ranks(const Communicator& ranks, B& backend, index_t rows, const Make& make,
                                   std::string_view what) {
    using X = decltype(make(index_t{}, index_t{}));
    using T = typename X::value_type;
    if (ranks.alone()) {
        return make(index_t{0}, rows);
    }
    const Share mine = ranks.share(rows);
    const X part = mine.empty() ? X() : make(mine.first, mine.last);
    index_t extents[1 + Shape::max_rank]{part.rank()}; // rank 0 has rows, and knows the shape
    for (int axis = 0; axis < part.rank(); ++axis) {
        extents[1 + axis] = part.shape(axis);
    }
    ranks.broadcast(std::span<index_t>(extents), 0, what);
    Shape shape;
    shape.append(rows);
    for (index_t axis = 1; axis < extents[0]; ++axis) {
        shape.append(extents[1 + axis]);
    }
    std::vector<T> all(static_cast<std::size_t>(shape.size()));
    if (part.size() > 0) {
        const std::size_t row = all.size() / static_cast<std::size_t>(rows);
        part.backend().copy_to_host(all.data() + static_cast<std::size_t>(mine.first) * row, part.data(),
                                    static_cast<std::size_t>(part.size()) * sizeof(T));
    }
    ranks.all_gather(std::span<T>(all), rows, what);
    return X::from_host(backend, shape, std::span<const T>(all));
}

} // namespace reel
