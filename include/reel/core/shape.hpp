#pragma once

#include <algorithm>
#include <array>
#include <initializer_list>
#include <ostream>

#include <reel/core/error.hpp>
#include <reel/core/scalar.hpp>

namespace reel {

/// Extents of a tensor, outermost first. Rank 0 is a scalar (one element).
class Shape {
public:
    static constexpr int max_rank = 6;

    Shape() = default;

    /// Throws Error for a negative extent or a rank above max_rank.
    Shape(std::initializer_list<index_t> extents) : Shape(extents.begin(), extents.end()) {}

    template <class Iterator>
    Shape(Iterator first, Iterator last) {
        for (; first != last; ++first) {
            append(static_cast<index_t>(*first));
        }
    }

    [[nodiscard]] int rank() const { return rank_; }
    [[nodiscard]] const index_t* begin() const { return extents_.data(); }
    [[nodiscard]] const index_t* end() const { return extents_.data() + rank_; }

    /// Extent of an axis; negative axes count from the end. Throws Error when out of range.
    [[nodiscard]] index_t operator[](int axis) const {
        const int positive = axis < 0 ? axis + rank_ : axis;
        require(positive >= 0 && positive < rank_, "Shape: axis ", axis, " of a shape of rank ", rank_);
        return extents_[static_cast<std::size_t>(positive)];
    }

    /// Number of elements.
    [[nodiscard]] index_t size() const {
        index_t n = 1;
        for (const index_t extent : *this) {
            n *= extent;
        }
        return n;
    }

    /// The same shape with one axis changed.
    [[nodiscard]] Shape with(int axis, index_t extent) const {
        Shape result = *this;
        static_cast<void>((*this)[axis]);
        result.extents_[static_cast<std::size_t>(axis < 0 ? axis + rank_ : axis)] = extent;
        return result;
    }

    void append(index_t extent) {
        require(extent >= 0, "Shape: extent ", extent, " is negative");
        require(rank_ < max_rank, "Shape: more than ", max_rank, " axes");
        extents_[static_cast<std::size_t>(rank_)] = extent;
        ++rank_;
    }

    friend bool operator==(const Shape& a, const Shape& b) {
        return std::equal(a.begin(), a.end(), b.begin(), b.end());
    }

    friend std::ostream& operator<<(std::ostream& out, const Shape& shape) {
        out << '[';
        for (int axis = 0; axis < shape.rank_; ++axis) {
            out << (axis == 0 ? "" : ", ") << shape[axis];
        }
        return out << ']';
    }

private:
    std::array<index_t, max_rank> extents_{};
    int rank_ = 0;
};

} // namespace reel
