#pragma once
// Networks of one scalar type on one backend, for the file that is compiled for it. Needs reel::io and reel::text.

#include <map>
#include <utility>

#include <reel/io/files/sha256.hpp>
#include <reel/pipelines/any/networks.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/initialize.hpp>
#include <reel/pipelines/load_stable_diffusion.hpp>
#include <reel/pipelines/tuning_run.hpp>
#include <reel/pipelines/widened_unet.hpp>

namespace reel {

namespace detail {

/// Of 16 bits, in float; of float, itself.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<float, B> widened(const Tensor<T, B>& x) {
    if constexpr (std::same_as<T, float>) {
        return x;
    } else {
        return cast<float>(x);
    }
}

/// Bytes of a module's parameters that lie in files' maps.
template <class M>
[[nodiscard]] std::size_t bytes_in_maps(const M& network) {
    std::size_t bytes = 0;
    for_each_parameter(network, [&](const std::string&, const auto& parameter) {
        if (!parameter.defined() || parameter.waits()) {
            return;
        }
        if (const auto& value = parameter.value(); !value.owns_memory()) {
            bytes += static_cast<std::size_t>(value.size()) * sizeof(*value.data());
        }
    });
    return bytes;
}

/// A Tuner with the noise of its draws.
template <Scalar T, Backend B>
class TuningOf final : public AnyTuning {
public:
    TuningOf(StableDiffusion<T, B>& model, const Tensor<float, B>& moments, const Tensor<float, B>& text,
             const TuneOptions& options, const TuningNoise& noise)
        : timesteps_(model.training_scheduler.schedule().size()), noise_(noise),
          tuner_(model.unet, model.training_scheduler, moments, stored_as<T>(text), model.vae.config.scaling_factor,
                 options) {}

    [[nodiscard]] index_t step_count() const override { return tuner_.step_count(); }
    [[nodiscard]] AnyTensor latents() const override { return tuner_.latents(); }
    TuneReport update() override {
        return tuner_.update(
            [&](index_t draw) { return noise_of(tuner_.backend(), noise_, tuner_.latent_shape(), draw, timesteps_); });
    }
    void save_checkpoint(const std::filesystem::path& output, const CheckpointIdentity& identity) override {
        reel::save_checkpoint(tuner_, tuner_.unet(), output, identity);
    }
    void load_checkpoint(const std::filesystem::path& folder, const CheckpointIdentity& identity) override {
        reel::load_checkpoint(tuner_, tuner_.unet(), tuner_.backend(), folder, identity);
    }

private:
    index_t timesteps_;
    TuningNoise noise_;
    Tuner<T, B> tuner_;
};

template <Scalar T, Backend B>
class NetworksOf final : public Networks<B> {
public:
    NetworksOf(B& backend, StableDiffusion<T, B> model)
        : backend_(backend),
          model_(std::move(model)), facts_{.folder = model_.folder,
                                           .latent_channels = model_.unet.config.in_channels,
                                           .pixels_per_latent = model_.vae.config.pixels_per_latent(),
                                           .sample_size = model_.unet.config.sample_size,
                                           .training_timesteps = model_.training_scheduler.schedule().size(),
                                           .sampling = model_.sampling} {}

    [[nodiscard]] B& backend() const override { return backend_; }
    [[nodiscard]] const PipelineFacts& facts() const override { return facts_; }
    [[nodiscard]] const CLIPTokenizer& tokenizer() const override { return *model_.tokenizer; }
    [[nodiscard]] double scaling_factor() const override { return model_.vae.config.scaling_factor; }

    [[nodiscard]] Tensor<float, B> predict(const Tensor<float, B>& sample, std::span<const double> timesteps,
                                           const Tensor<float, B>& text, index_t frames) const override {
        return WidenedUnet(model_.unet)(sample, timesteps, text, frames);
    }
    [[nodiscard]] Tensor<float, B> text(std::span<const std::int32_t> ids) const override {
        return widened(model_.text_encoder(ids));
    }
    [[nodiscard]] Tensor<float, B> encode(const Frames& clip,
                                          const typename Networks<B>::AfterFrame& after_frame) const override {
        const Shape shape{clip.count, clip.height, clip.width, 3};
        return widened(encode_clip(model_.vae, pixels_from_bytes<T>(backend_, shape, clip.rgb), after_frame));
    }
    [[nodiscard]] Tensor<float, B> decode(const Tensor<float, B>& latents,
                                          const typename Networks<B>::AfterFrame& after_frame) const override {
        return widened(decode_clip(model_.vae, stored_as<T>(latents), after_frame));
    }

    [[nodiscard]] std::string fingerprint() const override {
        Sha256 hash;
        const auto add = [&](const std::string& name, const auto& parameter) {
            if (!is_temporal_parameter(name)) {
                hash.update(std::as_bytes(std::span(name)));
                const auto& value = parameter.value();
                const auto first = value.reshape({-1}).slice(0, std::min<index_t>(value.size(), 64)).to_host();
                hash.update(std::as_bytes(std::span(first)));
            }
        };
        for_each_parameter(model_.unet, add);
        for_each_parameter(model_.vae, add);
        for_each_parameter(model_.text_encoder, add);
        return hash.hex();
    }
    [[nodiscard]] std::size_t mapped_bytes(PipelinePart part) const override {
        switch (part) {
        case PipelinePart::encoder:
            return bytes_in_maps(model_.vae.encoder);
        case PipelinePart::decoder:
            return bytes_in_maps(model_.vae.decoder);
        case PipelinePart::unet:
            return bytes_in_maps(model_.unet);
        case PipelinePart::text_layers:
            break;
        }
        std::size_t bytes = 0;
        for (const auto& layer : model_.text_encoder.layers) {
            bytes += bytes_in_maps(layer);
        }
        return bytes;
    }
    void initialize(const Replay& replay) override { initialize_from(replay, model_.unet, backend_); }

    void prepare_training(const TuneOptions& options, bool reference_checkpointing, bool keep) override {
        set_trainable_modules(model_.unet, options.trainable_modules);
        model_.unet.gradient_checkpointing.reset();
        if (options.gradient_checkpointing || reference_checkpointing) {
            model_.unet.gradient_checkpointing =
                reference_checkpointing ? CheckpointMode::inputs_only : CheckpointMode::exact;
        }
        if (keep) {
            for_each_trained([&](const std::string& name, auto& parameter) {
                const auto found = originals_.try_emplace(name, parameter.exact()).first;
                parameter.set_master(found->second.clone());
            });
        }
    }
    [[nodiscard]] std::unique_ptr<AnyTuning> tune(const Tensor<float, B>& moments, const Tensor<float, B>& text,
                                                  const TuneOptions& options, const TuningNoise& noise) override {
        return std::make_unique<TuningOf<T, B>>(model_, moments, text, options, noise);
    }
    void stop_training() override {
        for_each_trained([](const std::string&, auto& parameter) { parameter.train(false); });
    }
    [[nodiscard]] StateDict trained() const override {
        StateDict tensors;
        for_each_parameter(model_.unet, [&](const std::string& name, const auto& parameter) {
            if (parameter.requires_grad()) {
                tensors.emplace(name, to_file_tensor(parameter.exact(), parameter.spec(), DType::f32));
            }
        });
        return tensors;
    }
    void set_trained(const StateDict& trained, const std::string& where) override {
        std::size_t used = 0;
        for_each_parameter(model_.unet, [&](const std::string& name, auto& parameter) {
            if (const auto found = trained.find(name); found != trained.end()) {
                originals_.try_emplace(name, parameter.exact());
                parameter.set_master(
                    tensor_from_file<float>(found->second, parameter.spec(), backend_, name, where).clone());
                ++used;
            }
        });
        require(used == trained.size(), where, ": does not fit the model");
    }
    void restore() override {
        stop_training();
        for_each_parameter(model_.unet, [&](const std::string& name, auto& parameter) {
            if (const auto found = originals_.find(name); found != originals_.end()) {
                parameter.set_master(found->second);
            }
        });
    }
    void save_tuned(const std::filesystem::path& output) const override {
        save_tuned_pipeline(model_.unet, model_.folder, output);
    }

private:
    void for_each_trained(const auto& visit) {
        for_each_parameter(model_.unet, [&](const std::string& name, auto& parameter) {
            if (parameter.requires_grad()) {
                visit(name, parameter);
            }
        });
    }

    B& backend_;
    StableDiffusion<T, B> model_;
    PipelineFacts facts_;
    std::map<std::string, Tensor<float, B>> originals_; ///< of the parameters that a tuning has changed
};

} // namespace detail

template <Scalar T, Backend B>
std::unique_ptr<Networks<B>> load_networks(B& backend, const PipelineSource& source) {
    auto parts =
        load_stable_diffusion<T>(backend, source.folder, source.seed, source.unet_folder, source.text_cleaning);
    if (source.pictures) {
        parts.unet = load_unet_2d<T>(backend, source.folder / "unet");
    }
    return std::make_unique<detail::NetworksOf<T, B>>(backend, std::move(parts));
}

} // namespace reel
