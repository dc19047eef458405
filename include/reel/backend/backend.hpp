#pragma once

#include <concepts>

#include <reel/backend/problems.hpp>
#include <reel/core/scalar.hpp>

namespace reel {

/// Stands for an index functor in the Backend concept: a copyable struct whose constexpr call operator takes an index.
struct IndexFunctorArchetype {
    constexpr void operator()(index_t) const {}
};

/// A place where tensors live and operations run. An object of the type is the explicit context: its threads or stream,
/// its memory. The required vocabulary is small; `generic/` builds every operation from it. A backend may give faster
/// versions as overloads of the functions in `generic/`, found by argument-dependent lookup:
/// convolution, attention_forward, attention_backward, norm_forward, norm_backward, map_unary, ...
template <class B>
concept Backend = requires(B& backend, std::size_t bytes, void* to, const void* from, IndexFunctorArchetype functor) {
    { backend.allocate(bytes) } -> std::same_as<void*>;
    { backend.deallocate(to, bytes) }
    noexcept;
    backend.copy(to, from, bytes);
    backend.copy_from_host(to, from, bytes);
    backend.copy_to_host(to, from, bytes);
    backend.for_each_index(index_t{}, functor);
    backend.for_each_index(index_t{}, functor, index_t{1}); // with a hint: indices that repay a thread
    {backend.synchronize()};
};

} // namespace reel
