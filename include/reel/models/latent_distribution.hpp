#pragma once
// The distribution of latents that an autoencoder gives for a picture, and samples of it.

#include <cmath>

#include <reel/ops/rearrange.hpp>

namespace reel {

/// A log variance that says that there is none: the latent is its mean, to the bit, whatever the noise. AutoencoderTiny
/// has no distribution and gives this. Finite, and exact in 16 bits.
inline constexpr double no_spread = -16384;

/// Calls `run` on each picture of the leading axis alone and joins the results, which must have one shape: the same
/// values as all at once, in the memory of one. `step` is called after each.
template <class T, Backend B, class Run, class Step>
[[nodiscard]] Tensor<T, B> sliced(const Tensor<T, B>& x, const Run& run, const Step& step) {
    require(x.rank() > 0 && x.shape(0) > 0, "sliced: no pictures in ", x.shape());
    Tensor<T, B> all;
    for (index_t i = 0; i < x.shape(0); ++i) {
        const Tensor<T, B> part = run(x.slice(i, i + 1));
        const index_t rows = part.shape(0);
        if (!all.defined()) {
            all = Tensor<T, B>(part.backend(), part.shape().with(0, rows * x.shape(0)));
        }
        all.slice(i * rows, (i + 1) * rows).copy_from(part);
        step();
    }
    return all;
}
/// The same without a call after each.
template <class T, Backend B, class Run>
[[nodiscard]] Tensor<T, B> sliced(const Tensor<T, B>& x, const Run& run) {
    return sliced(x, run, [] {});
}

namespace functors {

/// exp(factor * clamp(log variance, -30, 20)), or 0 where there is no spread.
template <class C>
[[nodiscard]] constexpr C exp_of_log_variance(C log_variance, C factor) {
    using std::exp;
    if (log_variance <= C(no_spread)) {
        return C(0);
    }
    return exp(factor * (log_variance < C(-30) ? C(-30) : (log_variance > C(20) ? C(20) : log_variance)));
}

/// mean + exp(clamp(log variance, -30, 20) / 2) * noise
template <class T>
struct GaussianSample {
    using C = compute_t<T>;
    const T* moments;
    const T* noise;
    T* sample;
    C factor;
    index_t channels;
    constexpr void operator()(index_t i) const {
        const T* row = moments + i / channels * 2 * channels;
        const C log_variance = static_cast<C>(row[channels + i % channels]);
        const C spread = noise != nullptr ? exp_of_log_variance(log_variance, C(0.5)) * static_cast<C>(noise[i]) : C(0);
        sample[i] = static_cast<T>(factor * (static_cast<C>(row[i % channels]) + spread));
    }
};

template <class T>
struct ExpOfClamped {
    using C = compute_t<T>;
    const T* x;
    T* y;
    C factor;
    constexpr void operator()(index_t i) const {
        y[i] = static_cast<T>(exp_of_log_variance(static_cast<C>(x[i]), factor));
    }
};

} // namespace functors

/// The distribution whose moments encode() gave, [n, h, w, 2 * latent_channels]: a normal one per latent, its log
/// variance bounded to -30..20, and at `no_spread` no distribution at all. diffusers' DiagonalGaussianDistribution.
template <Scalar T, Backend B = Cpu>
struct DiagonalGaussianDistribution {
    Tensor<T, B> moments;

    [[nodiscard]] index_t channels() const { return moments.shape(-1) / 2; }
    [[nodiscard]] Tensor<T, B> mean() const { return slice_channels(moments, 0, channels()); }
    [[nodiscard]] Tensor<T, B> std() const { return exp_of_log_variance(0.5); }
    [[nodiscard]] Tensor<T, B> var() const { return exp_of_log_variance(1); }

private:
    [[nodiscard]] Tensor<T, B> exp_of_log_variance(double factor) const {
        const Tensor<T, B> log_variance = slice_channels(moments, channels(), 2 * channels());
        Tensor<T, B> result(moments.backend(), log_variance.shape());
        moments.backend().for_each_index(result.size(), functors::ExpOfClamped<T>{log_variance.data(), result.data(),
                                                                                  static_cast<compute_t<T>>(factor)});
        return result;
    }
};

/// A sample of the distribution whose moments encode() gave, times `factor` (the scaling factor, usually):
/// [n, h, w, latent_channels], shaped like `noise`. With undefined noise it is the mean.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> sample_latents(const Tensor<T, B>& moments, const Tensor<T, B>& noise, double factor) {
    require(moments.rank() == 4 && moments.shape(3) % 2 == 0, "sample_latents: moments ", moments.shape(),
            "; expected [n, h, w, 2 * latent channels]");
    const index_t channels = moments.shape(3) / 2;
    const Shape shape = moments.shape().with(3, channels);
    require(!noise.defined() || noise.shape() == shape, "sample_latents: noise ", noise.shape(), "; expected ", shape);
    Tensor<T, B> sample(moments.backend(), shape);
    moments.backend().for_each_index(
        sample.size(), functors::GaussianSample<T>{moments.data(), noise.defined() ? noise.data() : nullptr,
                                                   sample.data(), static_cast<compute_t<T>>(factor), channels});
    return sample;
}

} // namespace reel
