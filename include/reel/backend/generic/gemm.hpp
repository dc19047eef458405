#pragma once

#include <reel/backend/backend.hpp>

/// Plain versions of the backend's operations, made of for_each_index alone: what a new backend starts from, and in
/// double precision the reference that every faster version is tested against.
namespace reel::generic {

template <class T>
struct GemmElement {
    GemmProblem<T> p;

    constexpr void operator()(index_t index) const {
        const index_t batch = index / (p.m * p.n);
        const index_t row = index / p.n % p.m;
        const index_t column = index % p.n;
        const T* a = p.a + batch * p.stride_a + row * (p.transpose_a ? 1 : p.lda);
        const T* b = p.b + batch * p.stride_b + column * (p.transpose_b ? p.ldb : 1);
        const index_t a_step = p.transpose_a ? p.lda : 1;
        const index_t b_step = p.transpose_b ? 1 : p.ldb;
        using C = compute_t<T>;
        C sum = C(0);
        for (index_t i = 0; i < p.k; ++i) {
            sum += static_cast<C>(a[i * a_step]) * static_cast<C>(b[i * b_step]);
        }
        T& c = p.c[batch * p.stride_c + row * p.ldc + column];
        const C bias = p.bias != nullptr ? static_cast<C>(p.bias[column]) : C(0);
        c = static_cast<T>(p.alpha * sum + bias + (p.beta == C(0) ? C(0) : p.beta * static_cast<C>(c)));
    }
};

template <Backend B, class T>
void gemm(B& backend, const GemmProblem<T>& problem) {
    backend.for_each_index(problem.batch * problem.m * problem.n, GemmElement<T>{problem});
}

} // namespace reel::generic
