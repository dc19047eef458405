#pragma once
#ifdef REEL_ONEDNN

#include <cmath>
#include <limits>

#include <reel/backend/cpu/attention_tiles.hpp>
#include <reel/backend/cpu/gemm_serial.hpp>
#include <reel/backend/cpu/onednn/gemm.hpp>

namespace reel::cpu::onednn {

/// True when there are enough keys for a tile's products to repay oneDNN's calls.
[[nodiscard]] inline bool suits(const AttentionProblem<bfloat16>& p) {
    return p.keys >= 128 && p.queries >= 32;
}

/// A tile of `count` queries against one of `keys` keys: scores, and what they weight the values by. Factors are
/// bfloat16, results float.
struct TileProducts {
    const Product& scores;
    const Product& first_values; ///< overwrites
    const Product& more_values;  ///< adds

    TileProducts(Library& library, const AttentionProblem<bfloat16>& p, index_t count, index_t keys)
        : scores(made(library, {.m = count,
                                .n = keys,
                                .k = p.head_size,
                                .lda = p.query_layout.row_stride,
                                .ldb = p.key_layout.row_stride,
                                .transposed = true})),
          first_values(made(library, of_values(p, count, keys, false))),
          more_values(made(library, of_values(p, count, keys, true))) {}

    [[nodiscard]] index_t scratchpad() const {
        const auto size = [](const Product& product) {
            return static_cast<index_t>(product.description.scratchpad_desc().get_size());
        };
        return std::max({size(scores), size(first_values), size(more_values)});
    }

private:
    /// [m, k] times [k, n], or times the transpose of [n, k], into dense floats [m, n], or added to them.
    struct Factors {
        index_t m;
        index_t n;
        index_t k;
        index_t lda;
        index_t ldb;
        bool transposed = false;
        bool add = false;
    };

    [[nodiscard]] static Factors of_values(const AttentionProblem<bfloat16>& p, index_t count, index_t keys, bool add) {
        return {.m = count, .n = p.head_size, .k = keys, .lda = keys, .ldb = p.key_layout.row_stride, .add = add};
    }

    [[nodiscard]] static const Product& made(Library& library, Factors f) {
        constexpr index_t float_result = 2; // in a key's place of the element type
        const Library::Key key{f.m, f.n, f.k, f.lda, f.ldb, f.n, false, f.transposed, f.add, false, true, float_result};
        return library.get<Product>(key, [&] {
            const Desc da({f.m, f.k}, Type::bf16, Stored(f.m, f.k, f.lda, false).strides());
            const Desc db({f.k, f.n}, Type::bf16, Stored(f.k, f.n, f.ldb, f.transposed).strides());
            const Desc dc({f.m, f.n}, Type::f32, dnnl::memory::dims{f.n, 1});
            dnnl::primitive_attr attributes = own_scratchpad();
            if (f.add) {
                dnnl::post_ops operations;
                operations.append_sum(1.0F);
                attributes.set_post_ops(operations);
            }
            const auto d = describe<dnnl::matmul>(library.engine(), attributes, da, db, dc);
            return Product{d, dnnl::matmul(d)};
        });
    }
};

/// Working memory of a tile of queries.
class TileScratch {
public:
    TileScratch(Cpu& backend, const AttentionProblem<bfloat16>& p, index_t count, index_t scratchpad)
        : state_(rounded(2 * count)), scores_(rounded(count * std::min(key_tile, p.keys))),
          out_(rounded(count * p.head_size)),
          memory_(backend, state_ + scores_ + out_ + scores_ / 2 + rounded((scratchpad + 3) / 4)) {}

    [[nodiscard]] float* state() const { return memory_.data(); }
    [[nodiscard]] float* scores() const { return state() + state_; }
    [[nodiscard]] float* out() const { return scores() + scores_; }
    [[nodiscard]] void* weights() const { return out() + out_; } ///< scores as bfloat16
    [[nodiscard]] void* scratchpad() const { return out() + out_ + scores_ / 2; }

private:
    static index_t rounded(index_t floats) { return (floats + 31) / 32 * 32; } // whole cache lines, of halves too

    index_t state_;
    index_t scores_;
    index_t out_;
    Scratch<float> memory_;
};

/// Some queries of a batch and head.
struct QueryTile {
    index_t batch;
    index_t head;
    index_t first;
    index_t count;
};

/// A tile of queries; as cpu::attention_forward_tile, but that products take
/// bfloat16 factors: the exponentials are rounded before they weight the values, and added up unrounded.
inline void attention_forward_tile(Library& library, const AttentionProblem<bfloat16>& p, const QueryTile& tile,
                                   const TileScratch& scratch) {
    const index_t batch = tile.batch;
    const index_t head = tile.head;
    const index_t first = tile.first;
    const index_t count = tile.count;
    const dnnl::engine& engine = library.engine();
    dnnl::stream stream(engine);
    const auto memory = [&](const Desc& desc, const void* data) {
        return dnnl::memory(desc, engine, const_cast<void*>(data)); // factors are only read
    };
    const auto multiply = [&](const Product& product, const void* a, const void* b, float* c) {
        const auto& d = product.description;
        product.primitive.execute(stream, {{DNNL_ARG_SRC, memory(d.src_desc(), a)},
                                           {DNNL_ARG_WEIGHTS, memory(d.weights_desc(), b)},
                                           {DNNL_ARG_DST, memory(d.dst_desc(), c)},
                                           {DNNL_ARG_SCRATCHPAD, memory(d.scratchpad_desc(), scratch.scratchpad())}});
        stream.wait();
    };
    float* largest = scratch.state();
    float* sum = largest + count;
    std::fill_n(largest, count, -std::numeric_limits<float>::infinity());
    std::fill_n(sum, count, 0.0F);
    float* scores = scratch.scores();
    float* out = scratch.out();
    auto* weights = static_cast<bfloat16*>(scratch.weights());
    const index_t offset = p.query_layout.base(batch) + first * p.query_layout.row_stride + head * p.head_size;
    bool written = false;
    for_each_key_tile(p, batch, head, first + count, [&](index_t key_offset, index_t first_key, index_t keys) {
        const TileProducts products(library, p, count, keys);
        multiply(products.scores, p.q + offset, p.k + key_offset, scores);
        for (index_t i = 0; i < count; ++i) {
            const index_t visible = p.causal ? std::clamp<index_t>(first + i + 1 - first_key, 0, keys) : keys;
            ArrayMap<float> row(scores + i * keys, visible);
            std::fill_n(weights + i * keys + visible, keys - visible, bfloat16(0.0F));
            if (visible == 0) {
                continue;
            }
            const float top = std::max(largest[i], p.scale * row.maxCoeff());
            const float correction = std::exp(largest[i] - top);
            row = (p.scale * row - top).exp();
            sum[i] = sum[i] * correction + row.sum();
            largest[i] = top;
            narrow(row.data(), visible, weights + i * keys);
            if (written && correction != 1.0F) {
                ArrayMap<float>(out + i * p.head_size, p.head_size) *= correction;
            }
        }
        multiply(written ? products.more_values : products.first_values, weights, p.v + key_offset, out);
        written = true;
    });
    for (index_t i = 0; i < count; ++i) {
        ArrayMap<float> row(out + i * p.head_size, p.head_size);
        row /= sum[i];
        narrow(row.data(), p.head_size, p.out + offset + i * p.query_layout.row_stride);
        if (p.log_sum_exp != nullptr) {
            p.log_sum_exp[(batch * p.heads + head) * p.queries + first + i] = largest[i] + std::log(sum[i]);
        }
    }
}

/// AttentionProblem in `tiles` tiles of `tile` queries, the last maybe shorter.
inline void attention_forward(Cpu& backend, const AttentionProblem<bfloat16>& p, index_t tile, index_t tiles) {
    Library& library = backend.extension<Library>();
    index_t scratchpad = 0;
    {
        const Alone here;
        for (const index_t count : {tile, p.queries - (tiles - 1) * tile}) {
            const index_t whole = std::min(key_tile, p.keys);
            for (const index_t keys : {whole, p.keys % whole == 0 ? whole : p.keys % whole}) {
                scratchpad = std::max(scratchpad, TileProducts(library, p, count, keys).scratchpad());
            }
        }
    }
    backend.for_each_task(p.batches * p.heads * tiles, [&](index_t task) {
        const Alone there;
        const index_t first = task % tiles * tile;
        const index_t count = std::min(tile, p.queries - first);
        const TileScratch scratch(backend, p, count, scratchpad);
        guarded([&] {
            attention_forward_tile(library, p, {task / tiles / p.heads, task / tiles % p.heads, first, count}, scratch);
        });
    });
}

} // namespace reel::cpu::onednn

#endif // REEL_ONEDNN
