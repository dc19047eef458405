#pragma once
// Parts of one's own, and what must be so of each: the same numbers whole, in pieces and recorded.

#include <doctest/doctest.h>

#include <reel/models/transformer.hpp>
#include <reel/nn/initialize.hpp>

namespace exchanged {

using namespace reel;

inline constexpr std::size_t never = std::size_t{1} << 40; // pieces so large that everything goes whole
inline constexpr std::size_t tiny = std::size_t{1} << 12;

template <class T, class B>
Tensor<T, B> randoms(B& backend, const Shape& shape, std::uint64_t stream) {
    Tensor<compute_t<T>, B> x(backend, shape);
    fill_normal(backend, x, 7, stream);
    return reel::detail::stored_as<T>(x);
}

template <class T, class B>
double difference(const Tensor<T, B>& a, const Tensor<T, B>& b) {
    REQUIRE(a.shape() == b.shape());
    const auto x = a.to_host();
    const auto y = b.to_host();
    double largest = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        largest = std::max(largest, std::abs(static_cast<double>(x[i]) - static_cast<double>(y[i])));
    }
    return largest;
}

/// A Linear with a low-rank addition: it derives from reel's, and so inherits an into() that knows nothing of it.
template <Scalar T, Backend B>
struct LoraLinear : reel::Linear<T, B> {
    Parameter<T, B> down;
    Parameter<T, B> up;

    LoraLinear(index_t in, index_t out, bool with_bias = true, ParameterLayout layout = ParameterLayout::plain)
        : reel::Linear<T, B>(in, out, with_bias, layout),
          down({.shape = {2, in}, .init = ParameterInit::fan_in_uniform, .fan_in = in}),
          up({.shape = {out, 2}, .init = ParameterInit::normal, .deviation = 0.3}) {}

    static void members(auto& self, const auto& visit) {
        reel::Linear<T, B>::members(self, visit);
        visit("lora_down", self.down);
        visit("lora_up", self.up);
    }

    template <class V>
    [[nodiscard]] V operator()(const V& x) const {
        const V low = linear(x, down.template as<V>(), V{});
        return add(reel::Linear<T, B>::operator()(x), linear(low, up.template as<V>(), V{}));
    }
};

/// A convolution along the frames of every token, 3 frames wide, in the place of the temporal attention.
template <Scalar T, Backend B>
struct TemporalConvolution {
    static constexpr Couples couples = Couples::frames;
    Conv2d<T, B> conv;

    TemporalConvolution(index_t channels, index_t /*heads*/) : conv(channels, channels, 3, ConvOptions::same_pad(1)) {}
    static void members(auto& self, const auto& visit) { visit("conv_temp", self.conv); }

    /// [clips * frames, tokens, channels] as pictures of one column: [clips * tokens, frames, 1, channels].
    template <class V>
    [[nodiscard]] V operator()(const V& x, index_t frames) const {
        const index_t clips = x.shape(0) / frames;
        const index_t tokens = x.shape(1);
        const index_t channels = x.shape(2);
        const V columns = reshape(permute(reshape(x, {clips, frames, tokens, channels}), {0, 2, 1, 3}),
                                  {clips * tokens, frames, 1, channels});
        return reshape(permute(reshape(conv(columns), {clips, tokens, frames, channels}), {0, 2, 1, 3}),
                       {clips * frames, tokens, channels});
    }
};

/// The same, and it does not say what it couples.
template <Scalar T, Backend B>
struct SilentConvolution {
    TemporalConvolution<T, B> inner;
    SilentConvolution(index_t channels, index_t heads) : inner(channels, heads) {}
    static void members(auto& self, const auto& visit) { visit("", self.inner); }
    template <class V>
    [[nodiscard]] V operator()(const V& x, index_t frames) const {
        return inner(x, frames);
    }
};

/// It convolves over the tokens as well, and says that it does not.
template <Scalar T, Backend B>
struct ShiftedConvolution : TemporalConvolution<T, B> {
    using TemporalConvolution<T, B>::TemporalConvolution;
    template <class V>
    [[nodiscard]] V operator()(const V& x, index_t /*frames*/) const {
        return reshape(this->conv(reshape(x, {x.shape(0), x.shape(1), 1, x.shape(2)})),
                       {x.shape(0), x.shape(1), x.shape(2)});
    }
};

/// An attention of one's own: keys are not projected, and the result is gated.
template <Scalar T, Backend B>
struct GatedAttention {
    static constexpr Couples couples = Couples::nothing; // beyond what the options name
    reel::Linear<T, B> to_q;
    reel::Linear<T, B> to_k;
    reel::Linear<T, B> gate;
    index_t heads;

    GatedAttention(index_t channels, index_t context_channels, index_t head_count)
        : to_q(channels, channels), to_k(context_channels, channels), gate(channels, channels), heads(head_count) {}
    static void members(auto& self, const auto& visit) {
        visit("to_q", self.to_q);
        visit("to_k", self.to_k);
        visit("gate", self.gate);
    }
    template <class V>
    [[nodiscard]] V operator()(const V& x, const V& context, AttentionOptions options) const {
        options.heads = heads;
        const V keys = to_k(context);
        return multiply(scaled_dot_product_attention(to_q(x), keys, keys, options), activate(Silu{}, gate(x)));
    }
};

/// It shifts the pictures of a batch by one, and says that it couples no more than the options name.
template <Scalar T, Backend B>
struct GlobalAttention : GatedAttention<T, B> {
    using GatedAttention<T, B>::GatedAttention;
    template <class V>
    [[nodiscard]] V operator()(const V& x, const V& context, const AttentionOptions& options) const {
        const V y = GatedAttention<T, B>::operator()(x, context, options);
        return scale(y, static_cast<compute_t<T>>(1.0 / static_cast<double>(x.shape(0))));
    }
};

/// Divides by the number of rows it is given, as a norm over them would.
template <Scalar T, Backend B>
struct MeanLinear : reel::Linear<T, B> {
    using reel::Linear<T, B>::Linear;
    template <class V>
    [[nodiscard]] V operator()(const V& x) const {
        const auto rows = static_cast<double>(x.size() / x.shape(-1));
        return scale(reel::Linear<T, B>::operator()(x), static_cast<compute_t<T>>(1 + 1 / rows));
    }
};

struct LoraParts : DefaultParts {
    template <Scalar T, Backend B>
    using Linear = LoraLinear<T, B>;
};
struct ConvolutionParts : DefaultParts {
    template <Scalar T, Backend B, class Parts>
    using Temporal = TemporalConvolution<T, B>;
};
struct SilentParts : DefaultParts {
    template <Scalar T, Backend B, class Parts>
    using Temporal = SilentConvolution<T, B>;
};
struct GatedParts : DefaultParts {
    template <Scalar T, Backend B, class Parts>
    using Attention = GatedAttention<T, B>;
};
struct AllParts : LoraParts {
    template <Scalar T, Backend B, class Parts>
    using Attention = GatedAttention<T, B>;
    template <Scalar T, Backend B, class Parts>
    using Temporal = TemporalConvolution<T, B>;
};
struct ShiftedParts : DefaultParts {
    template <Scalar T, Backend B, class Parts>
    using Temporal = ShiftedConvolution<T, B>;
};
struct MeanParts : DefaultParts {
    template <Scalar T, Backend B>
    using Linear = MeanLinear<T, B>;
};
struct GlobalParts : DefaultParts {
    template <Scalar T, Backend B, class Parts>
    using Attention = GlobalAttention<T, B>;
};

template <class T, class Parts, class B>
Transformer3DModel<T, B, Parts> transformer(B& backend) {
    Transformer3DModel<T, B, Parts> model({.channels = 16, .text_channels = 12, .heads = 2, .groups = 4, .layers = 2});
    initialize(model, backend, 1);
    return model;
}

template <class T, class Parts>
void check_parts() {
    Cpu cpu(2);
    auto model = transformer<T, Parts>(cpu);
    const auto x = randoms<T>(cpu, {8, 6, 5, 16}, 1);
    const auto text = randoms<T>(cpu, {2, 7, 12}, 2);
    cpu.piece_bytes = never;
    const auto whole = model(x, text, 4);
    const auto recorded = model(Variable<T>(x), Variable<T>(text), 4).value();
    CHECK(difference(whole, recorded) == 0);
    const double bound = sizeof(T) == 8 ? 1e-12 : (sizeof(T) == 4 ? 1e-4 : 0.15);
    for (const std::size_t bytes : {tiny, 2 * tiny, 16 * tiny}) {
        cpu.piece_bytes = bytes;
        CHECK(difference(whole, model(x, text, 4)) < bound);
    }
    // What was exchanged shows: without it the numbers are others.
    auto plain = transformer<T, DefaultParts>(cpu);
    CHECK(difference(whole, plain(x, text, 4)) > 0.01);
}

template <class Parts>
std::size_t peak_bytes(std::size_t piece_bytes) {
    Cpu cpu(1);
    const auto model = transformer<float, Parts>(cpu);
    const auto x = randoms<float>(cpu, {8, 12, 10, 16}, 1);
    const auto text = randoms<float>(cpu, {2, 7, 12}, 2);
    cpu.piece_bytes = piece_bytes;
    static_cast<void>(model(x, text, 4)); // tries what the parts say
    cpu.memory().reset_peak();
    const std::size_t before = cpu.memory().statistics().in_use;
    static_cast<void>(model(x, text, 4));
    return cpu.memory().statistics().peak - before;
}
template <class Parts>
std::size_t bytes_in_pieces() {
    return peak_bytes<Parts>(tiny);
}
template <class Parts>
std::size_t bytes_whole() {
    return peak_bytes<Parts>(never);
}

/// In pieces the model throws an Error that holds `text`; whole, it runs.
template <class Parts>
void check_refused(const std::string& text) {
    Cpu cpu(1);
    const auto model = transformer<double, Parts>(cpu);
    const auto x = randoms<double>(cpu, {6, 6, 5, 16}, 1);
    const auto prompt = randoms<double>(cpu, {2, 7, 12}, 2);
    cpu.piece_bytes = never;
    CHECK(model(x, prompt, 3).defined());
    cpu.piece_bytes = tiny;
    try {
        static_cast<void>(model(x, prompt, 3));
        FAIL_CHECK("not found");
    } catch (const Error& error) {
        const std::string found = error.what();
        CAPTURE(found);
        CHECK(found.find(text) != std::string::npos);
    }
}

} // namespace exchanged
