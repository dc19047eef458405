#pragma once

#include <functional>
#include <memory>
#include <string>
#include <type_traits>

#include <reel/autograd/variable.hpp>

namespace reel {

/// A function in some place of a layer, kept for tensors and for variables. `Given<V>` is what it is told.
template <template <class> class Given, Scalar T, Backend B>
struct ProcessorFunctions {
    template <class V>
    using Function = std::function<V(const Given<V>&)>;

    Function<Tensor<T, B>> of_tensors;
    Function<Variable<T, B>> of_variables;

    /// For as many of the two as the processor takes; `at` says where. Throws Error where it takes neither.
    template <class F>
    [[nodiscard]] static ProcessorFunctions of(const std::shared_ptr<F>& processor, const std::string& at) {
        ProcessorFunctions both{as<Tensor<T, B>>(processor), as<Variable<T, B>>(processor)};
        require(both.of_tensors || both.of_variables, at, ": the processor takes neither its tensors nor its ",
                "variables; write it as [](const auto& given) { ... }");
        return both;
    }

    /// `what` it is, for messages: "attention processor".
    template <class V>
    [[nodiscard]] V operator()(const Given<V>& given, const char* what) const {
        if constexpr (std::same_as<V, Tensor<T, B>>) {
            require(of_tensors != nullptr, given.name, ": its ", what, " takes variables only");
            return of_tensors(given);
        } else {
            require(of_variables != nullptr, given.name, ": its ", what,
                    " takes tensors only, so that this UNet cannot be trained through it");
            return of_variables(given);
        }
    }

private:
    template <class V, class F>
    [[nodiscard]] static Function<V> as(const std::shared_ptr<F>& processor) {
        if constexpr (std::is_invocable_r_v<V, F&, const Given<V>&>) {
            return [processor](const Given<V>& given) { return (*processor)(given); };
        } else {
            return {};
        }
    }
};

} // namespace reel
