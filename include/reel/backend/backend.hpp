#pragma once

#include <concepts>

#include <reel/backend/problems.hpp>
#include <reel/core/scalar.hpp>

namespace reel {

/// Stands for an index functor in the Backend concept: a copyable struct whose constexpr call operator takes an index.
struct IndexFunctorArchetype {
    constexpr void operator()(index_t) const {}
};

/// `void* allocate(bytes)` and `void deallocate(block, bytes) noexcept`.
template <class B>
concept HasAllocate = requires(B& backend, std::size_t bytes, void* block) {
    { backend.allocate(bytes) } -> std::same_as<void*>;
    { backend.deallocate(block, bytes) }
    noexcept;
};

/// `copy(to, from, bytes)` within the backend's memory, `copy_from_host` and `copy_to_host`.
template <class B>
concept HasCopies = requires(B& backend, std::size_t bytes, void* to, const void* from) {
    backend.copy(to, from, bytes);
    backend.copy_from_host(to, from, bytes);
    backend.copy_to_host(to, from, bytes);
};

/// `for_each_index(count, functor)`, and with a hint: how many indices repay a thread.
template <class B>
concept HasForEachIndex = requires(B& backend, IndexFunctorArchetype functor) {
    backend.for_each_index(index_t{}, functor);
    backend.for_each_index(index_t{}, functor, index_t{1});
};

/// `synchronize()`: returns when all that was asked for is done.
template <class B>
concept HasSynchronize = requires(B& backend) {
    backend.synchronize();
};

/// A place where tensors live and operations run. An object of the type is the explicit context: its threads or stream,
/// its memory. The required vocabulary is small; `generic/` builds every operation from it. A backend may give faster
/// versions as overloads of the functions in `generic/`, found by argument-dependent lookup: convolution,
/// attention_forward, attention_backward, norm_forward, norm_backward, map_unary, ...
template <class B>
concept Backend = HasAllocate<B> && HasCopies<B> && HasForEachIndex<B> && HasSynchronize<B>;

/// Fails to compile, with the missing requirement in the error's first line, unless B is a Backend.
template <class B>
[[nodiscard]] consteval bool check_backend() {
    static_assert(HasAllocate<B>, "reel: not a Backend: HasAllocate is not met: it needs void* allocate(std::size_t "
                                  "bytes) and void deallocate(void* block, std::size_t bytes) noexcept");
    static_assert(HasCopies<B>, "reel: not a Backend: HasCopies is not met: it needs copy(to, from, bytes), "
                                "copy_from_host(to, from, bytes) and copy_to_host(to, from, bytes)");
    static_assert(HasForEachIndex<B>,
                  "reel: not a Backend: HasForEachIndex is not met: it needs for_each_index(index_t count, functor) "
                  "and the same with a third argument, how many indices repay a thread");
    static_assert(HasSynchronize<B>, "reel: not a Backend: HasSynchronize is not met: it needs synchronize()");
    return Backend<B>;
}

} // namespace reel
