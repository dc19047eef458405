#pragma once
// A model's autoencoder, of whichever kind it is.

#include <concepts>
#include <utility>
#include <variant>

#include <reel/models/autoencoder_kl.hpp>
#include <reel/models/autoencoder_tiny.hpp>

namespace reel {

/// What the configuration of an autoencoder of any kind says about its latents.
template <class C>
concept LatentConfig = requires(const C& config) {
    { config.latent_channels } -> std::convertible_to<index_t>;
    { config.scaling_factor } -> std::convertible_to<double>;
    { config.pixels_per_latent() } -> std::convertible_to<index_t>;
};

/// What encode_clip() and decode_clip() ask of an autoencoder: AutoencoderKL, AutoencoderTiny, Autoencoder or your own.
/// encode() gives moments, decode() takes latents without the scaling factor.
template <class A, class T, class B>
concept PictureAutoencoder = LatentConfig<decltype(std::declval<const A&>().config)> &&
    requires(const A& autoencoder, const Tensor<T, B>& x) {
    { autoencoder.encode(x) } -> std::same_as<Tensor<T, B>>;
    { autoencoder.decode(x) } -> std::same_as<Tensor<T, B>>;
};

/// An AutoencoderKL or an AutoencoderTiny: what a Stable Diffusion has.
template <Scalar T, Backend B = Cpu>
struct Autoencoder {
    /// What both kinds have.
    struct Config {
        index_t latent_channels = 4;
        double scaling_factor = 0.18215;
        index_t span = 8;

        /// How many pixels a latent spans in each direction.
        [[nodiscard]] index_t pixels_per_latent() const { return span; }
    };

    Config config;
    std::variant<AutoencoderKL<T, B>, AutoencoderTiny<T, B>> network;

    template <class A>
    requires std::constructible_from<decltype(network), A>
    Autoencoder(A autoencoder) // NOLINT(google-explicit-constructor)
        : config{autoencoder.config.latent_channels, autoencoder.config.scaling_factor,
                 autoencoder.config.pixels_per_latent()},
          network(std::move(autoencoder)) {}

    /// Calls use(network) with the AutoencoderKL or AutoencoderTiny that it is.
    template <class Use>
    decltype(auto) with(const Use& use) const {
        return std::visit(use, network);
    }

    static void members(auto& self, const auto& visit) {
        std::visit([&](auto& own) { std::remove_cvref_t<decltype(own)>::members(own, visit); },
                   self.network);
    }

    /// Moments of pictures in -1..1, [n, height, width, 3]: [n, h, w, 2 * latent channels].
    template <class V>
    [[nodiscard]] V encode(const V& pictures) const {
        return with([&](const auto& own) { return own.encode(pictures); });
    }

    /// Pictures [n, height, width, 3] of latents [n, h, w, latent channels].
    template <class V>
    [[nodiscard]] V decode(const V& latents) const {
        return with([&](const auto& own) { return own.decode(latents); });
    }
};

} // namespace reel
