#pragma once
#ifdef REEL_ONEDNN

#include <algorithm>

#include <reel/backend/cpu/onednn/primitives.hpp>

namespace reel::cpu::onednn {

/// True when oneDNN can do it: one product, as it lies, that is not tiny.
template <class T>
[[nodiscard]] bool suits(const GemmProblem<T>& p) {
    return p.batch == 1 && p.alpha == 1.0F && (p.beta == 0.0F || (p.beta == 1.0F && p.bias == nullptr)) &&
           p.m * p.n * p.k >= (1 << 18);
}

/// A stored matrix of `rows` rows.
struct Stored {
    index_t rows;
    index_t columns;
    index_t ld;
    bool transposed;

    Stored(index_t m, index_t n, index_t given, bool is_transposed)
        : rows(is_transposed ? n : m), columns(is_transposed ? m : n), ld(rows == 1 ? columns : given),
          transposed(is_transposed) {}

    [[nodiscard]] index_t span() const { return (rows - 1) * ld + columns; }
    [[nodiscard]] dnnl::memory::dims strides() const {
        return transposed ? dnnl::memory::dims{1, ld} : dnnl::memory::dims{ld, 1};
    }
    /// Where row i of the matrix (a column of what is stored, when transposed) begins.
    [[nodiscard]] index_t row(index_t i) const { return transposed ? i : i * ld; }
    [[nodiscard]] index_t column(index_t i) const { return transposed ? i * ld : i; }
};

template <class T>
[[nodiscard]] const Product& product_of(Library& library, const GemmProblem<T>& p, index_t m, index_t n, bool bf16) {
    const Stored a(p.m, p.k, p.lda, p.transpose_a);
    const Stored b(p.k, p.n, p.ldb, p.transpose_b);
    const Stored c(p.m, p.n, p.ldc, false);
    const bool add = p.beta == 1.0F;
    const bool bias = p.bias != nullptr;
    return library.get<Product>(
        {m, n, p.k, a.ld, b.ld, c.ld, a.transposed, b.transposed, add, bias, bf16, std::same_as<T, bfloat16>}, [&] {
            const Type type = bf16 ? Type::bf16 : Type::f32;
            const Desc da({m, p.k}, type, a.strides());
            const Desc db({p.k, n}, type, b.strides());
            const Desc dc({m, n}, type_of<T>, c.strides());
            dnnl::primitive_attr attributes = own_scratchpad();
            if (add) {
                dnnl::post_ops operations;
                operations.append_sum(1.0F);
                attributes.set_post_ops(operations);
            }
            const auto d = bias ? describe<dnnl::matmul>(library.engine(), attributes, da, db,
                                                         Desc({1, n}, type_of<T>, Tag::ab), dc)
                                : describe<dnnl::matmul>(library.engine(), attributes, da, db, dc);
            return Product{d, dnnl::matmul(d)};
        });
}

/// C is shared out to the threads along its longer side. `bf16`: factors are multiplied as bfloat16.
template <class T>
void gemm(Cpu& backend, const GemmProblem<T>& p, bool bf16) {
    Library& library = backend.extension<Library>();
    const Stored stored_a(p.m, p.k, p.lda, p.transpose_a);
    const Stored stored_b(p.k, p.n, p.ldb, p.transpose_b);
    const Operand a(backend, p.a, stored_a.span(), bf16);
    const Operand b(backend, p.b, stored_b.span(), bf16);
    const bool by_rows = p.m >= p.n;
    const index_t longer = by_rows ? p.m : p.n;
    constexpr index_t tile = 16; // borders between parts on full vectors
    const index_t parts = std::min<index_t>(backend.threads(), (longer + tile - 1) / tile);
    const auto border = [&](index_t i) {
        return i == parts ? longer : std::min(longer, (longer * i / parts + tile - 1) / tile * tile);
    };
    backend.for_each_task(parts, [&](index_t part) {
        const Alone there;
        const index_t first = border(part);
        const index_t count = border(part + 1) - first;
        if (count == 0) {
            return;
        }
        const index_t row = by_rows ? first : 0;
        const index_t column = by_rows ? 0 : first;
        const Product& made = product_of(library, p, by_rows ? count : p.m, by_rows ? p.n : count, bf16);
        const auto& d = made.description;
        Arguments arguments{{DNNL_ARG_SRC, {d.src_desc(), library.engine(), a.at(stored_a.row(row))}},
                            {DNNL_ARG_WEIGHTS, {d.weights_desc(), library.engine(), b.at(stored_b.column(column))}},
                            {DNNL_ARG_DST, {d.dst_desc(), library.engine(), p.c + row * p.ldc + column}}};
        if (p.bias != nullptr) {
            arguments.emplace(DNNL_ARG_BIAS,
                              dnnl::memory(d.bias_desc(), library.engine(), const_cast<T*>(p.bias + column)));
        }
        execute(backend, library, made, std::move(arguments));
    });
}

} // namespace reel::cpu::onednn

#endif // REEL_ONEDNN
