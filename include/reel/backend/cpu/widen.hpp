#pragma once

#include <algorithm>

#include <reel/backend/cpu/scratch.hpp>

/// How 16-bit elements are computed with: copied to float, a strip or a matrix at a time, and rounded once when stored.
namespace reel::cpu {

/// True for the types whose elements are computed with in another type.
template <class T>
inline constexpr bool is_narrow = !std::same_as<T, compute_t<T>>;

/// to[i] = x[i] as the type to compute in.
template <class T>
void widen(const T* x, index_t count, compute_t<T>* to) {
    for (index_t i = 0; i < count; ++i) {
        to[i] = static_cast<compute_t<T>>(x[i]);
    }
}

/// to[i] = x[i], rounded.
template <class T>
void narrow(const compute_t<T>* x, index_t count, T* to) {
    for (index_t i = 0; i < count; ++i) {
        to[i] = static_cast<T>(x[i]);
    }
}

/// A float copy of 16-bit elements for the length of a scope. Null stays null.
template <class T>
class Widened {
public:
    Widened(Cpu& backend, const T* x, index_t count)
        : copy_(backend, x != nullptr ? count : 0), data_(x != nullptr ? copy_.data() : nullptr) {
        if (x != nullptr) {
            backend.for_each_range(
                count, [&](index_t begin, index_t end) { widen(x + begin, end - begin, data_ + begin); }, 1 << 14);
        }
    }
    [[nodiscard]] const compute_t<T>* data() const { return data_; }

private:
    Scratch<compute_t<T>> copy_;
    compute_t<T>* data_;
};

/// Rounds `count` results, on the backend's threads.
template <class T>
void store(Cpu& backend, const compute_t<T>* x, index_t count, T* to) {
    backend.for_each_range(
        count, [&](index_t begin, index_t end) { narrow(x + begin, end - begin, to + begin); }, 1 << 14);
}

/// A matrix as the type that is computed in.
template <class C>
struct WideRows {
    const C* data;
    index_t stride;
};

/// Rows that lie `stride` apart: as they are, or where they are narrow as a dense copy in `buffer`.
template <class T>
[[nodiscard]] WideRows<compute_t<T>> wide_rows(const T* x, index_t stride, index_t rows, index_t columns,
                                               [[maybe_unused]] compute_t<T>* buffer) {
    if constexpr (is_narrow<T>) {
        for (index_t i = 0; i < rows; ++i) {
            widen(x + i * stride, columns, buffer + i * columns);
        }
        return {buffer, columns};
    } else {
        return {x, stride};
    }
}

} // namespace reel::cpu
