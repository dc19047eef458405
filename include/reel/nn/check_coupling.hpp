#pragma once

#include <atomic>
#include <cmath>

#include <reel/core/philox.hpp>
#include <reel/nn/module.hpp>
#include <reel/nn/residual_branches.hpp>

namespace reel {

namespace detail {

/// How far apart the same numbers may be that were computed whole and in pieces, relative to the largest.
template <class T>
inline constexpr double coupling_tolerance = sizeof(T) == 2 ? 0.06 : (sizeof(T) == 4 ? 1e-4 : 1e-9);

} // namespace detail

namespace detail {

template <Scalar T, Backend B>
void require_same_numbers(const Tensor<T, B>& whole, const Tensor<T, B>& pieces, const std::string& what,
                          Couples couples) {
    const auto x = whole.to_host();
    const auto y = pieces.to_host();
    double largest = 0;
    double difference = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const auto value = static_cast<double>(x[i]);
        largest = std::max(largest, std::abs(value));
        difference = std::max(difference, std::abs(value - static_cast<double>(y[i])));
    }
    require(difference <= coupling_tolerance<T> * largest, what, " is said to couple ", to_string(couples),
            ", but cut where that allows it gives other numbers (", difference, " apart, of ", largest,
            "); the part that was exchanged must say in `couples` what it needs to see together, or nothing at all");
}

} // namespace detail

/// Throws Error, naming the branch and what it is said to couple, when the branch in pieces is not what it is whole, on
/// random numbers: as few frames or tokens as the claim says do not matter.
template <Scalar T, Backend B, class Run>
void check_coupling(B& backend, const std::string& block, const ResidualBranch<Run>& branch, index_t clips,
                    const Shape& shape) {
    if (branch.couples == Couples::everything) {
        return;
    }
    const index_t frames = includes(branch.couples, Couples::frames) ? shape[0] : std::min<index_t>(shape[0], 3);
    const index_t tokens = includes(branch.couples, Couples::tokens) ? shape[1] : std::min<index_t>(shape[1], 4);
    Tensor<compute_t<T>, B> random(backend, {clips * frames, tokens, shape[2]});
    fill_normal(backend, random, 1, 0);
    const Tensor<T, B> x = detail::stored_as<T>(random);
    const Tensor<T, B> whole = add(branch.run(x, ClipPiece{.clips = clips, .frames = frames}), x);
    const Tensor<T, B> y = x.clone();
    add_in_pieces_(y, clips, branch, true);
    detail::require_same_numbers(whole, y, block + ": " + branch.name, branch.couples);
}

/// Gives every parameter random numbers, small enough for products to stay about as large as their input: for a copy of
/// a module that is to be checked, since a part that starts at zero would hide what it couples.
template <Module M, Backend B>
void set_random(M& checked, B& backend) {
    std::uint64_t stream = 0;
    for_each_parameter(checked, [&]<class T>(const std::string&, Parameter<T, B>& parameter) {
        const Shape& shape = parameter.spec().shape;
        const index_t rows = shape.rank() > 1 ? shape[0] : std::max<index_t>(shape.size(), 1);
        Tensor<compute_t<T>, B> values(backend, shape);
        fill_normal(backend, values, 1, ++stream);
        const double deviation = 1 / std::sqrt(static_cast<double>(std::max<index_t>(shape.size() / rows, 1)));
        parameter.settle();
        parameter.train(false);
        parameter.set(detail::stored_as<T>(scale(values, static_cast<compute_t<T>>(deviation))));
    });
}

/// Remembers, across threads, that something has been checked.
class CheckedOnce {
public:
    CheckedOnce() = default;
    CheckedOnce(const CheckedOnce& other) : done_(other.done_.load()) {}
    CheckedOnce& operator=(const CheckedOnce& other) {
        done_ = other.done_.load();
        return *this;
    }

    [[nodiscard]] explicit operator bool() const { return done_; }
    void set() { done_ = true; }

private:
    std::atomic<bool> done_ = false;
};

/// Whether a layer [..., in] may be given some pictures of a clip at a time. Of one that is not reel's own that is
/// tried once: throws Error when it couples more than it says.
template <Scalar T, Backend B, class Layer>
[[nodiscard]] bool may_cut_pictures(const std::string& what, const Layer& layer, B& backend, index_t in,
                                    CheckedOnce& checked) {
    const Couples couples = couples_of(layer);
    if (!includes(Couples::tokens, couples)) {
        return false;
    }
    if (!WritesInto<Layer> && !checked) {
        Layer random = layer;
        set_random(random, backend);
        Tensor<compute_t<T>, B> values(backend, {3, 4, in});
        fill_normal(backend, values, 1, 0);
        const Tensor<T, B> x = detail::stored_as<T>(values);
        const Tensor<T, B> whole = random(x);
        const Tensor<T, B> pieces(backend, whole.shape());
        for_each_piece(
            3, 1, [&](index_t begin, index_t end) { pieces.slice(begin, end).copy_from(random(x.slice(begin, end))); });
        detail::require_same_numbers(whole, pieces, what, couples);
        checked.set();
    }
    return true;
}

} // namespace reel
