#pragma once

#include <cmath>
#include <span>
#include <vector>

#include <reel/autograd/variable.hpp>
#include <reel/ops/reduce.hpp>

/// Losses of training from nothing, beside mse_loss.
namespace reel {

namespace functors {

/// Each run of `length` elements times a factor of its own.
template <class T>
struct ScaleRuns {
    const T* x;
    const T* factors;
    T* y;
    index_t length;
    constexpr void operator()(index_t i) const { y[i] = factors[i / length] * x[i]; }
};

/// mean + exp(log variance / 2) * noise, of moments [rows, 2 * channels]: means, then log variances.
template <class T>
struct Reparameterized {
    const T* moments;
    const T* noise;
    T* sample;
    index_t channels;
    constexpr void operator()(index_t i) const {
        using std::exp;
        const T* row = moments + i / channels * 2 * channels;
        const index_t c = i % channels;
        sample[i] = row[c] + exp(T(0.5) * row[channels + c]) * noise[i];
    }
};

/// The gradient of Reparameterized: to the mean as it is, to the log variance times half the spread.
template <class T>
struct ReparameterizedGradient {
    const T* moments;
    const T* noise;
    const T* gradient;
    T* result;
    index_t channels;
    constexpr void operator()(index_t i) const {
        using std::exp;
        const index_t row = i / channels * 2 * channels;
        const index_t c = i % channels;
        result[row + c] = gradient[i];
        result[row + channels + c] = T(0.5) * exp(T(0.5) * moments[row + channels + c]) * noise[i] * gradient[i];
    }
};

/// (mean^2 + variance - 1 - log variance) / 2 per latent.
template <class T>
struct GaussianDivergence {
    const T* moments;
    T* divergence;
    index_t channels;
    constexpr void operator()(index_t i) const {
        using std::exp;
        const T* row = moments + i / channels * 2 * channels;
        const T mean = row[i % channels];
        const T log_variance = row[channels + i % channels];
        divergence[i] = T(0.5) * (mean * mean + exp(log_variance) - T(1) - log_variance);
    }
};

template <class T>
struct GaussianDivergenceGradient {
    const T* moments;
    T* result;
    T factor;
    index_t channels;
    constexpr void operator()(index_t i) const {
        using std::exp;
        const bool is_mean = i % (2 * channels) < channels;
        result[i] = factor * (is_mean ? moments[i] : T(0.5) * (exp(moments[i]) - T(1)));
    }
};

} // namespace functors

/// Mean over all elements of weight * (x - target)^2, as a scalar of shape []; each of the `weights` counts for an
/// equal share of the leading axis. Throws Error when their number does not divide it.
template <Real T, Backend B>
[[nodiscard]] Variable<T, B> weighted_mse_loss(const Variable<T, B>& x, const Tensor<T, B>& target,
                                               std::span<const T> weights) {
    const auto groups = static_cast<index_t>(weights.size());
    require(groups > 0 && x.rank() > 0 && x.size() > 0 && x.shape(0) % groups == 0, "weighted_mse_loss: ", groups,
            " weights for ", x.shape(), "; expected a divisor of its leading extent");
    B& backend = x.backend();
    const Tensor<T, B> difference = subtract(x.value(), target);
    const auto factors = Tensor<T, B>::from_host(backend, {groups}, weights);
    Tensor<T, B> weighted(backend, x.shape());
    backend.for_each_index(
        x.size(), functors::ScaleRuns<T>{difference.data(), factors.data(), weighted.data(), x.size() / groups});
    const double count = static_cast<double>(x.size());
    const double sum = sum_all(multiply(weighted, difference));
    return record(Tensor<T, B>::full(backend, {}, static_cast<T>(sum / count)), {x},
                  [weighted, count](Node<T, B>& node) {
                      const double seed = static_cast<double>(node.gradient.to_host()[0]);
                      node.send(0, scale(weighted, static_cast<T>(2.0 * seed / count)));
                  });
}

/// A sample of the normal distributions that `moments` [n, h, w, 2 * channels] describe (means, then log variances),
/// through which gradients pass: mean + exp(log variance / 2) * noise (Kingma & Welling 2013, arXiv:1312.6114).
/// `noise` is [n, h, w, channels], and so is the result. Log variances are used as they are, without bounds.
template <Real T, Backend B>
[[nodiscard]] Variable<T, B> reparameterize(const Variable<T, B>& moments, const Tensor<T, B>& noise) {
    const index_t channels = moments.shape(-1) / 2;
    require(moments.shape(-1) % 2 == 0 && noise.shape() == moments.shape().with(moments.rank() - 1, channels),
            "reparameterize: moments ", moments.shape(), " and noise ", noise.shape(),
            "; expected half as many channels in the noise");
    Tensor<T, B> sample(moments.backend(), noise.shape());
    moments.backend().for_each_index(
        sample.size(), functors::Reparameterized<T>{moments.value().data(), noise.data(), sample.data(), channels});
    return record(std::move(sample), {moments}, [kept = moments.value(), noise, channels](Node<T, B>& node) {
        Tensor<T, B> result(kept.backend(), kept.shape());
        kept.backend().for_each_index(noise.size(), functors::ReparameterizedGradient<T>{kept.data(), noise.data(),
                                                                                         node.gradient.data(),
                                                                                         result.data(), channels});
        node.send(0, result);
    });
}

/// Mean over latents of the Kullback-Leibler divergence from those distributions to the standard normal one, in nats,
/// as a scalar of shape []. diffusers' DiagonalGaussianDistribution.kl, which sums instead.
template <Real T, Backend B>
[[nodiscard]] Variable<T, B> kl_loss(const Variable<T, B>& moments) {
    const index_t channels = moments.shape(-1) / 2;
    require(moments.size() > 0 && moments.shape(-1) % 2 == 0, "kl_loss: moments ", moments.shape(),
            "; expected means, then as many log variances");
    Tensor<T, B> divergence(moments.backend(), {moments.size() / 2});
    moments.backend().for_each_index(
        divergence.size(), functors::GaussianDivergence<T>{moments.value().data(), divergence.data(), channels});
    const double count = static_cast<double>(divergence.size());
    auto loss = Tensor<T, B>::full(moments.backend(), {}, static_cast<T>(sum_all(divergence) / count));
    return record(std::move(loss), {moments}, [kept = moments.value(), channels, count](Node<T, B>& node) {
        const double seed = static_cast<double>(node.gradient.to_host()[0]);
        Tensor<T, B> result(kept.backend(), kept.shape());
        kept.backend().for_each_index(result.size(),
                                      functors::GaussianDivergenceGradient<T>{kept.data(), result.data(),
                                                                              static_cast<T>(seed / count), channels});
        node.send(0, result);
    });
}

} // namespace reel
