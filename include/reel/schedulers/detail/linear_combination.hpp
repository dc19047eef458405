#pragma once

#include <array>
#include <initializer_list>
#include <span>

#include <reel/tensor.hpp>

namespace reel {

namespace functors {

/// z = sum over k of weight[k] x[k], in one pass
template <class T>
struct LinearCombination {
    static constexpr int capacity = 8;
    int count;
    T weight[capacity];
    const T* x[capacity];
    T* z;
    constexpr void operator()(index_t i) const {
        T sum = weight[0] * x[0][i];
        for (int k = 1; k < count; ++k) {
            sum += weight[k] * x[k][i];
        }
        z[i] = sum;
    }
};

} // namespace functors

/// One term of a linear combination. The tensor must outlive it.
template <Real T, Backend B>
struct WeightedTensor {
    double weight;
    const Tensor<T, B>* tensor;
};

/// Sum of up to 8 weighted tensors of one shape, in one pass. Terms of weight 0 are not read, so their tensors may be
/// undefined. Throws Error when no term is left, for more than 8, and for unequal shapes.
template <Real T, Backend B>
[[nodiscard]] Tensor<T, B> linear_combination(std::span<const WeightedTensor<T, B>> terms) {
    functors::LinearCombination<T> functor{};
    const Tensor<T, B>* first = nullptr;
    for (const auto& [weight, tensor] : terms) {
        if (weight == 0) {
            continue;
        }
        require(functor.count < functor.capacity, "linear_combination: more than ", functor.capacity, " terms");
        first = first == nullptr ? tensor : first;
        require(tensor->defined() && tensor->shape() == first->shape(), "linear_combination: a term of shape ",
                tensor->shape(), tensor->defined() ? "" : " (undefined)", " beside one of shape ", first->shape());
        functor.weight[functor.count] = static_cast<T>(weight);
        functor.x[functor.count] = tensor->data();
        ++functor.count;
    }
    require(first != nullptr, "linear_combination: no term with a weight other than 0");
    Tensor<T, B> result(first->backend(), first->shape());
    functor.z = result.data();
    result.backend().for_each_index(result.size(), functor);
    return result;
}

} // namespace reel
