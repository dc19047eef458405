#pragma once

#include <cmath>

#include <reel/autograd/functions.hpp>
#include <reel/autograd/layers.hpp>

namespace reel {

namespace functors {

/// A number for every score of a query row that takes it out of the softmax where its key is not seen.
template <class T>
struct HideKeys {
    T* mask;
    const std::int32_t* key_batches; ///< [batches, lists] or null
    index_t heads;
    index_t queries;
    index_t keys; ///< of a key batch
    index_t lists;
    bool causal;
    constexpr void operator()(index_t row) const {
        const index_t query = row % queries;
        const index_t batch = row / queries / heads;
        for (index_t list = 0; list < lists; ++list) {
            const bool none = key_batches != nullptr && key_batches[batch * lists + list] < 0;
            for (index_t key = 0; key < keys; ++key) {
                const bool hidden = none || (causal && key > query);
                mask[(row * lists + list) * keys + key] = static_cast<T>(hidden ? -1e4F : 0.0F);
            }
        }
    }
};

} // namespace functors

namespace detail {

/// [batches, rows, channels] as [batches * heads, rows, head size]; of attention along frames [clips * frames, tokens,
/// channels] as [clips * tokens * heads, frames, head size].
template <class V>
[[nodiscard]] V heads_first(const V& x, const AttentionOptions& options) {
    const index_t heads = options.heads;
    const index_t size = x.shape(2) / heads;
    if (options.frames > 0) {
        const index_t frames = options.frames;
        const V split = reshape(x, {x.shape(0) / frames, frames, x.shape(1), heads, size});
        return reshape(permute(split, {0, 2, 3, 1, 4}), {-1, frames, size});
    }
    return reshape(permute(reshape(x, {x.shape(0), x.shape(1), heads, size}), {0, 2, 1, 3}), {-1, x.shape(1), size});
}

/// The rows of all key batches that a query batch sees, one after the other: [batches, lists * keys, channels].
template <class V>
[[nodiscard]] V seen_by_each(const V& keys, const AttentionOptions& options) {
    if (options.key_batches.empty()) {
        return keys;
    }
    std::vector<std::int32_t> rows = options.key_batches;
    for (std::size_t i = 0; i < rows.size(); ++i) { // of none, any: it is hidden
        rows[i] = rows[i] < 0 ? rows[i - i % static_cast<std::size_t>(options.lists)] : rows[i];
    }
    const V all = index_select(keys, std::span<const std::int32_t>(rows));
    return reshape(all, {-1, options.lists * keys.shape(1), keys.shape(2)});
}

} // namespace detail

/// softmax(q k^T / sqrt(head size)), tensors or variables: [batches, heads, queries, keys], the keys of all the key
/// batches that a query batch sees being one after the other; of those that are none it is 0. Of attention along frames
/// [clips * tokens, heads, frames, frames]. As large as it looks: what attention itself never makes. Of 16 bits the
/// scores are rounded to 16.
template <class V>
[[nodiscard]] V attention_probabilities(const V& query, const V& key, const AttentionOptions& options) {
    using T = typename V::value_type;
    using B = typename V::backend_type;
    const index_t head_size = query.shape(2) / options.heads;
    const auto factor = static_cast<compute_t<T>>(1 / std::sqrt(static_cast<double>(head_size)));
    const V q = detail::heads_first(scale(query, factor), options);
    const V k = detail::heads_first(options.frames > 0 ? key : detail::seen_by_each(key, options), options);
    V scores = matmul(q, k, false, true);
    const auto& batches = options.key_batches;
    const bool gaps = std::any_of(batches.begin(), batches.end(), [](std::int32_t batch) { return batch < 0; });
    if (gaps || options.causal) {
        B& backend = query.backend();
        const Tensor<T, B> mask(backend, scores.shape());
        const auto lists =
            batches.empty()
                ? Tensor<std::int32_t, B>{}
                : Tensor<std::int32_t, B>::from_host(backend, {static_cast<index_t>(batches.size())}, batches);
        const index_t count = batches.empty() ? 1 : options.lists;
        backend.for_each_index(scores.size() / scores.shape(-1),
                               functors::HideKeys<T>{mask.data(), lists.defined() ? lists.data() : nullptr,
                                                     options.heads, scores.shape(1), scores.shape(2) / count, count,
                                                     options.causal});
        scores = add(scores, V(mask));
    }
    return reshape(softmax(scores), {-1, options.heads, scores.shape(1), scores.shape(2)});
}

/// What attention gives with these probabilities, of attention_probabilities() or made from them: [batches, queries,
/// channels].
template <class V>
[[nodiscard]] V attend_with(const V& probabilities, const V& value, const AttentionOptions& options) {
    require(probabilities.rank() == 4 && probabilities.shape(1) == options.heads, "attend_with: probabilities ",
            probabilities.shape(), "; expected [batches, ", options.heads, ", queries, keys]");
    const index_t queries = probabilities.shape(2);
    const index_t size = value.shape(2) / options.heads;
    const V v = detail::heads_first(options.frames > 0 ? value : detail::seen_by_each(value, options), options);
    const V sums = matmul(reshape(probabilities, {-1, queries, probabilities.shape(3)}), v);
    if (options.frames > 0) {
        const V split = reshape(sums, {-1, value.shape(1), options.heads, options.frames, size});
        return reshape(permute(split, {0, 3, 1, 2, 4}), {-1, value.shape(1), value.shape(2)});
    }
    return reshape(permute(reshape(sums, {-1, options.heads, queries, size}), {0, 2, 1, 3}),
                   {-1, queries, value.shape(2)});
}

} // namespace reel
