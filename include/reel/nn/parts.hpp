#pragma once

#include <reel/nn/layers.hpp>

namespace reel {

template <Scalar T, Backend B, class Parts>
struct CrossAttention;
template <Scalar T, Backend B, class Parts>
struct TemporalAttention;

/// What a UNet is made of. To exchange a part, derive from this and name another template there:
///
///     struct MyParts : DefaultParts {
///         template <Scalar T, Backend B, class Parts>
///         using Temporal = TemporalConvolution<T, B>;
///     };
///     auto unet = load_unet<float, MyParts>(cpu, folder);
///
/// A part is a Module that is called with tensors and with variables, and says in `couples` what it needs to see
/// together (couples.hpp).
struct DefaultParts {
    /// Linear(in, out, with_bias = true, layout = ParameterLayout::plain), called with x [..., in].
    template <Scalar T, Backend B>
    using Linear = reel::Linear<T, B>;

    /// Attention(channels, context_channels, heads), called with x, context and AttentionOptions, which say who sees
    /// whom; it may take the ClipPiece as a fourth. What it `couples` is beyond what the options name.
    template <Scalar T, Backend B, class Parts>
    using Attention = CrossAttention<T, B, Parts>;

    /// Temporal(channels, heads), called with x [clips * frames, tokens, channels] and frames: what is added to x.
    template <Scalar T, Backend B, class Parts>
    using Temporal = TemporalAttention<T, B, Parts>;
};

template <class Parts, class T, class B> /// The linear layer of some parts.
using LinearOf = typename Parts::template Linear<T, B>;
template <class Parts, class T, class B> /// Their attention.
using AttentionOf = typename Parts::template Attention<T, B, Parts>;
template <class Parts, class T, class B> /// Their temporal block.
using TemporalOf = typename Parts::template Temporal<T, B, Parts>;

} // namespace reel
