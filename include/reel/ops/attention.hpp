#pragma once

#include <cmath>
#include <span>
#include <vector>

#include <reel/backend/cpu/kernels.hpp>
#include <reel/backend/generic/attention.hpp>
#include <reel/ops/elementwise.hpp>

namespace reel {

/// Who attends to whom.
struct AttentionOptions {
    index_t heads = 1;
    bool causal = false; ///< query i sees keys 0..i
    /// For each query batch, `lists` indices of key batches whose rows it sees, one after the other; -1 is none. Empty:
    /// query batch n sees key batch n.
    std::vector<std::int32_t> key_batches{};
    index_t lists = 1;
    /// 0: attention along the tokens of each batch. Otherwise along the frames of each clip: q, k and v are
    /// [clips * frames, tokens, channels] and every token attends to itself in the other frames of its clip.
    index_t frames = 0;
};

/// Key lists of sparse-causal attention: frame i sees the first frame and frame max(i - 1, 0). Frames 0 and 1 would see
/// frame 0 twice, which a softmax cannot tell from once. Wu et al. 2022 (Tune-A-Video), arXiv:2212.11565, eq. 4.
[[nodiscard]] inline std::vector<std::int32_t> sparse_causal_keys(index_t clips, index_t frames) {
    std::vector<std::int32_t> keys;
    for (index_t clip = 0; clip < clips; ++clip) {
        for (index_t frame = 0; frame < frames; ++frame) {
            const index_t former = frame >= 2 ? clip * frames + frame - 1 : -1;
            keys.push_back(static_cast<std::int32_t>(clip * frames));
            keys.push_back(static_cast<std::int32_t>(former));
        }
    }
    return keys;
}

/// Key list that gives all frames of a clip the same keys: text, projected once per clip.
[[nodiscard]] inline std::vector<std::int32_t> shared_keys(index_t clips, index_t frames) {
    std::vector<std::int32_t> keys;
    for (index_t i = 0; i < clips * frames; ++i) {
        keys.push_back(static_cast<std::int32_t>(i / frames));
    }
    return keys;
}

/// What attention gives, and what its gradients need.
template <class T, Backend B>
struct AttentionResult {
    Tensor<T, B> out;
    Tensor<compute_t<T>, B> log_sum_exp; ///< [batches, heads, queries], kept on request
};

namespace detail {

/// The problem, and the device copy of its key lists that has to live as long.
template <class T, Backend B>
struct AttentionCall {
    AttentionProblem<T> problem;
    Tensor<std::int32_t, B> key_batches;

    AttentionCall(const Tensor<T, B>& q, const Tensor<T, B>& k, const Tensor<T, B>& v,
                  const AttentionOptions& options) {
        require(q.rank() == 3 && k.rank() == 3 && k.shape() == v.shape() && q.shape(2) == k.shape(2), "attention: q ",
                q.shape(), ", k ", k.shape(), ", v ", v.shape(),
                "; expected [batches, queries, channels] and twice [key batches, keys, channels]");
        const index_t channels = q.shape(2);
        require(k.shape(1) > 0, "attention: no keys in k ", k.shape());
        require(options.heads > 0 && channels % options.heads == 0, "attention: ", channels, " channels in ",
                options.heads, " heads; expected a multiple");
        problem.heads = options.heads;
        problem.head_size = channels / options.heads;
        problem.scale = static_cast<compute_t<T>>(1.0 / std::sqrt(static_cast<double>(problem.head_size)));
        problem.causal = options.causal;
        problem.q = q.data();
        problem.k = k.data();
        problem.v = v.data();
        if (options.frames > 0) {
            along_frames(q.shape(), k.shape(), options);
            return;
        }
        problem.batches = q.shape(0);
        problem.queries = q.shape(1);
        problem.keys = k.shape(1);
        problem.key_batch_count = k.shape(0);
        problem.query_layout = {1, q.shape(1) * channels, 0, channels};
        problem.key_layout = {1, k.shape(1) * channels, 0, channels};
        if (options.key_batches.empty()) {
            require(q.shape(0) == k.shape(0), "attention: ", q.shape(0), " query batches and ", k.shape(0),
                    " key batches without a key list");
            return;
        }
        problem.lists = options.lists;
        require(static_cast<index_t>(options.key_batches.size()) == q.shape(0) * options.lists,
                "attention: ", options.key_batches.size(), " key batch indices for ", q.shape(0),
                " query batches with ", options.lists, " each");
        for (std::size_t i = 0; i < options.key_batches.size(); ++i) {
            const std::int32_t key = options.key_batches[i];
            const bool first = i % static_cast<std::size_t>(options.lists) == 0;
            require(key >= (first ? 0 : -1) && key < k.shape(0), "attention: key batch ", key, " of ", k.shape(0));
        }
        const auto count = static_cast<index_t>(options.key_batches.size());
        key_batches = Tensor<std::int32_t, B>::from_host(q.backend(), {count}, options.key_batches);
        problem.key_batches = key_batches.data();
    }

private:
    void along_frames(const Shape& q, const Shape& k, const AttentionOptions& options) {
        require(q == k && options.key_batches.empty(), "attention along frames: q ", q, " and k ", k, " differ");
        require(q[0] % options.frames == 0, "attention along frames: ", q[0], " pictures in clips of ", options.frames);
        const index_t tokens = q[1];
        const index_t channels = q[2];
        problem.batches = q[0] / options.frames * tokens;
        problem.key_batch_count = problem.batches;
        problem.queries = options.frames;
        problem.keys = options.frames;
        problem.query_layout = {tokens, options.frames * tokens * channels, channels, tokens * channels};
        problem.key_layout = problem.query_layout;
    }
};

} // namespace detail

/// softmax(q k^T / sqrt(head size)) v, heads being equal runs of channels; see AttentionOptions for the shapes.
/// No score matrix is kept. Vaswani et al. 2017, arXiv:1706.03762.
template <Scalar T, Backend B>
[[nodiscard]] AttentionResult<T, B> attention(const Tensor<T, B>& q, const Tensor<T, B>& k, const Tensor<T, B>& v,
                                              const AttentionOptions& options, bool keep_log_sum_exp = false) {
    detail::AttentionCall<T, B> call(q, k, v, options);
    AttentionProblem<T>& problem = call.problem;
    AttentionResult<T, B> result{Tensor<T, B>(q.backend(), q.shape()), {}};
    problem.out = result.out.data();
    if (keep_log_sum_exp) {
        result.log_sum_exp = Tensor<compute_t<T>, B>(q.backend(), {problem.batches, problem.heads, problem.queries});
        problem.log_sum_exp = result.log_sum_exp.data();
    }
    if constexpr (requires { attention_forward(q.backend(), problem); }) {
        attention_forward(q.backend(), problem);
    } else {
        generic::attention_forward(q.backend(), problem);
    }
    return result;
}

/// The attended values alone.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> scaled_dot_product_attention(const Tensor<T, B>& q, const Tensor<T, B>& k,
                                                        const Tensor<T, B>& v, const AttentionOptions& options) {
    return attention(q, k, v, options).out;
}

/// Gradients of attention; members not asked for are undefined.
template <class T, Backend B>
struct AttentionGradients {
    Tensor<T, B> q;
    Tensor<T, B> k;
    Tensor<T, B> v;
};

/// What attention is computed of.
template <class T, Backend B>
struct AttentionInputs {
    Tensor<T, B> q;
    Tensor<T, B> k;
    Tensor<T, B> v;
};

/// Which of attention's gradients are wanted.
struct AttentionWants {
    bool q = false;
    bool k = false;
    bool v = false;
};

/// Gradients of attention from that of its result; those that are not wanted stay empty.
template <Scalar T, Backend B>
[[nodiscard]] AttentionGradients<T, B>
attention_gradients(const AttentionInputs<T, B>& inputs, const AttentionOptions& options,
                    const AttentionResult<T, B>& forward, const Tensor<T, B>& out_gradient,
                    const AttentionWants& wants) {
    const Tensor<T, B>& q = inputs.q; // clang 14 knows no structured binding in a requirement
    const Tensor<T, B>& k = inputs.k;
    const Tensor<T, B>& v = inputs.v;
    detail::AttentionCall<T, B> call(q, k, v, options);
    AttentionProblem<T>& problem = call.problem;
    require(out_gradient.shape() == q.shape(), "attention_gradients: gradient ", out_gradient.shape(), " for q ",
            q.shape());
    problem.out = forward.out.data();
    problem.log_sum_exp = forward.log_sum_exp.data();
    problem.out_gradient = out_gradient.data();
    AttentionGradients<compute_t<T>, B> sums;
    if (wants.q) {
        sums.q = Tensor<compute_t<T>, B>(q.backend(), q.shape());
        problem.q_gradient = sums.q.data();
    }
    if (wants.k) {
        sums.k = Tensor<compute_t<T>, B>::zeros(k.backend(), k.shape());
        problem.k_gradient = sums.k.data();
    }
    if (wants.v) {
        sums.v = Tensor<compute_t<T>, B>::zeros(v.backend(), v.shape());
        problem.v_gradient = sums.v.data();
    }
    if constexpr (requires { attention_backward(q.backend(), problem); }) {
        attention_backward(q.backend(), problem);
    } else {
        generic::attention_backward(q.backend(), problem);
    }
    return {detail::stored_as<T>(std::move(sums.q)), detail::stored_as<T>(std::move(sums.k)),
            detail::stored_as<T>(std::move(sums.v))};
}

} // namespace reel
