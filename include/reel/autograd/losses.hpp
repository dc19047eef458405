#pragma once

#include <cmath>
#include <cstdint>
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

/// Softmax of one row, and -log of its element `label`. Less the row's largest, so that nothing overflows.
template <class T>
struct SoftmaxCrossEntropy {
    const T* logits;
    const std::int32_t* labels;
    T* probabilities;
    T* losses;
    index_t classes;
    constexpr void operator()(index_t row) const {
        using std::exp;
        using std::log;
        const T* x = logits + row * classes;
        T* p = probabilities + row * classes;
        T largest = x[0];
        for (index_t c = 1; c < classes; ++c) {
            largest = x[c] > largest ? x[c] : largest;
        }
        T sum = T(0);
        for (index_t c = 0; c < classes; ++c) {
            p[c] = exp(x[c] - largest);
            sum += p[c];
        }
        for (index_t c = 0; c < classes; ++c) {
            p[c] /= sum;
        }
        losses[row] = log(sum) + largest - x[labels[row]];
    }
};

template <class T>
struct CrossEntropyGradient {
    const T* probabilities;
    const std::int32_t* labels;
    T* result;
    T factor;
    index_t classes;
    constexpr void operator()(index_t i) const {
        const bool is_label = i % classes == labels[i / classes];
        result[i] = factor * (probabilities[i] - (is_label ? T(1) : T(0)));
    }
};

} // namespace functors

/// Mean over all elements of weight * (x - target)^2, as a scalar of shape []; each of the `weights` counts for an
/// equal share of the leading axis. Throws Error when their number does not divide it.
template <Scalar T, Backend B>
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
template <Scalar T, Backend B>
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
template <Scalar T, Backend B>
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

/// Mean over rows of -log softmax(logits)[label], in nats, as a scalar of shape []: torch.nn.functional.cross_entropy.
/// logits [rows, classes]; a label for each row. Throws Error for another number of labels or one that is no class.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> cross_entropy_loss(const Variable<T, B>& logits, std::span<const std::int32_t> labels) {
    require(logits.rank() == 2 && logits.size() > 0 && static_cast<index_t>(labels.size()) == logits.shape(0),
            "cross_entropy_loss: ", labels.size(), " labels for logits ", logits.shape(),
            "; expected [rows, classes] and a label for each row");
    const index_t rows = logits.shape(0);
    const index_t classes = logits.shape(1);
    for (const std::int32_t label : labels) {
        require(label >= 0 && label < classes, "cross_entropy_loss: label ", label, "; expected 0 to ", classes - 1);
    }
    B& backend = logits.backend();
    const auto classes_of = Tensor<std::int32_t, B>::from_host(backend, {rows}, labels);
    Tensor<T, B> probabilities(backend, logits.shape());
    Tensor<T, B> losses(backend, {rows});
    backend.for_each_index(rows, functors::SoftmaxCrossEntropy<T>{logits.value().data(), classes_of.data(),
                                                                  probabilities.data(), losses.data(), classes});
    const double count = static_cast<double>(rows);
    return record(Tensor<T, B>::full(backend, {}, static_cast<T>(sum_all(losses) / count)), {logits},
                  [probabilities, classes_of, classes, count](Node<T, B>& node) {
                      const double seed = static_cast<double>(node.gradient.to_host()[0]);
                      Tensor<T, B> result(probabilities.backend(), probabilities.shape());
                      probabilities.backend().for_each_index(
                          result.size(),
                          functors::CrossEntropyGradient<T>{probabilities.data(), classes_of.data(), result.data(),
                                                            static_cast<T>(seed / count), classes});
                      node.send(0, result);
                  });
}

} // namespace reel
