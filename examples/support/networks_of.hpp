#pragma once
// Networks of one scalar type on one backend, for the file that is compiled for it. What comes in and goes out lies in
// the CPU's memory, the rest in the backend's.

#include <map>
#include <utility>

#include <reel/io/files/sha256.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/initialize.hpp>
#include <reel/pipelines/widened_unet.hpp>

#include "networks.hpp"

namespace editing {

/// A tensor of the CPU in the backend's memory: itself, where that is the CPU's.
template <reel::Backend B>
[[nodiscard]] reel::Tensor<float, B> on_backend(B& backend, const Tensor& x) {
    if constexpr (std::same_as<B, Cpu>) {
        return x;
    } else {
        const auto count = static_cast<std::size_t>(x.size());
        return reel::Tensor<float, B>::from_host(backend, x.shape(), std::span<const float>(x.data(), count));
    }
}

/// The other way.
template <reel::Backend B>
[[nodiscard]] Tensor on_cpu(Cpu& cpu, const reel::Tensor<float, B>& x) {
    if constexpr (std::same_as<B, Cpu>) {
        return x;
    } else if (!x.defined()) {
        return {};
    } else {
        Tensor copy(cpu, x.shape());
        x.backend().copy_to_host(copy.data(), x.data(), static_cast<std::size_t>(x.size()) * sizeof(float));
        return copy;
    }
}

/// Of 16 bits, in float; of float, itself.
template <reel::Scalar T, reel::Backend B>
[[nodiscard]] reel::Tensor<float, B> widened(const reel::Tensor<T, B>& x) {
    if constexpr (std::same_as<T, float>) {
        return x;
    } else {
        return reel::cast<float>(x);
    }
}

/// Bytes of a module's parameters that lie in files' maps.
template <class M>
[[nodiscard]] std::size_t bytes_in_maps(const M& network) {
    std::size_t bytes = 0;
    reel::for_each_parameter(network, [&](const std::string&, const auto& parameter) {
        if (!parameter.defined() || parameter.waits()) {
            return;
        }
        if (const auto& value = parameter.value(); !value.owns_memory()) {
            bytes += static_cast<std::size_t>(value.size()) * sizeof(*value.data());
        }
    });
    return bytes;
}

template <reel::Scalar T, reel::Backend B>
class TuningRunOf final : public TuningRun {
public:
    TuningRunOf(Cpu& cpu, B& backend, reel::StableDiffusion<T, B>& model, const Tensor& moments, const Tensor& text,
                const reel::TuneOptions& options)
        : cpu_(cpu), backend_(backend), unet_(model.unet),
          tuner_(model.unet, model.training_scheduler, on_backend(backend, moments),
                 reel::detail::stored_as<T>(on_backend(backend, text)), model.vae.config.scaling_factor, options) {}

    [[nodiscard]] index_t step_count() const override { return tuner_.step_count(); }
    [[nodiscard]] reel::Shape latent_shape() const override { return tuner_.latent_shape(); }
    [[nodiscard]] Tensor latents() const override { return on_cpu(cpu_, tuner_.latents()); }
    reel::TuneReport update(const Draw& draw) override {
        return tuner_.update([&](index_t number) {
            const reel::TrainingNoise<float, Cpu> drawn = draw(number);
            return reel::TrainingNoise<float, B>{on_backend(backend_, drawn.posterior),
                                                 on_backend(backend_, drawn.noise), drawn.timestep};
        });
    }
    void save_checkpoint(const std::filesystem::path& output, const reel::CheckpointIdentity& identity) override {
        reel::save_checkpoint(tuner_, unet_, output, identity);
    }
    void load_checkpoint(const std::filesystem::path& folder, const reel::CheckpointIdentity& identity) override {
        reel::load_checkpoint(tuner_, unet_, backend_, folder, identity);
    }

private:
    Cpu& cpu_;
    B& backend_;
    reel::UNet3DConditionModel<T, B>& unet_;
    reel::Tuner<T, B> tuner_;
};

template <reel::Scalar T, reel::Backend B>
class NetworksOf final : public Networks {
public:
    /// Both must outlive it. They are the same object where B is Cpu.
    NetworksOf(Cpu& cpu, B& backend, reel::StableDiffusion<T, B> model)
        : cpu_(cpu), backend_(backend), model_(std::move(model)) {}

    [[nodiscard]] Tensor predict(const Tensor& sample, std::span<const double> timesteps, const Tensor& text,
                                 index_t frames) const override {
        return on_cpu(cpu_, reel::WidenedUnet(model_.unet)(on_backend(backend_, sample), timesteps,
                                                           on_backend(backend_, text), frames));
    }
    [[nodiscard]] Tensor text(std::span<const std::int32_t> ids) const override {
        return on_cpu(cpu_, widened(model_.text_encoder(ids)));
    }
    [[nodiscard]] Tensor encode(const reel::Frames& clip, const AfterFrame& after_frame) const override {
        const reel::Shape shape{clip.count, clip.height, clip.width, 3};
        return on_cpu(cpu_, widened(reel::encode_clip(model_.vae, reel::pixels_from_bytes<T>(backend_, shape, clip.rgb),
                                                      after_frame)));
    }
    [[nodiscard]] Tensor decode(const Tensor& latents, const AfterFrame& after_frame) const override {
        const reel::Tensor<T, B> stored = reel::detail::stored_as<T>(on_backend(backend_, latents));
        return on_cpu(cpu_, widened(reel::decode_clip(model_.vae, stored, after_frame)));
    }

    [[nodiscard]] std::string fingerprint() const override {
        reel::Sha256 hash;
        const auto add = [&](const std::string& name, const auto& parameter) {
            if (!reel::is_temporal_parameter(name)) {
                hash.update(std::as_bytes(std::span(name)));
                const auto& value = parameter.value();
                const auto first = value.reshape({-1}).slice(0, std::min<index_t>(value.size(), 64)).to_host();
                hash.update(std::as_bytes(std::span(first)));
            }
        };
        reel::for_each_parameter(model_.unet, add);
        reel::for_each_parameter(model_.vae, add);
        reel::for_each_parameter(model_.text_encoder, add);
        return hash.hex();
    }
    [[nodiscard]] std::size_t mapped_bytes(Part part) const override {
        switch (part) {
        case Part::encoder:
            return bytes_in_maps(model_.vae.encoder);
        case Part::decoder:
            return bytes_in_maps(model_.vae.decoder);
        case Part::unet:
            return bytes_in_maps(model_.unet);
        case Part::text_layers:
            break;
        }
        std::size_t bytes = 0;
        for (const auto& layer : model_.text_encoder.layers) {
            bytes += bytes_in_maps(layer);
        }
        return bytes;
    }
    void initialize(const reel::Replay& replay) override { reel::initialize_from(replay, model_.unet, backend_); }

    void prepare_training(const std::vector<std::string>& modules, std::optional<reel::CheckpointMode> checkpointing,
                          bool keep) override {
        reel::set_trainable_modules(model_.unet, modules);
        model_.unet.gradient_checkpointing = checkpointing;
        if (keep) {
            for_each_trained([&](const std::string& name, auto& parameter) {
                const auto found = originals_.try_emplace(name, parameter.exact()).first;
                parameter.set_master(found->second.clone());
            });
        }
    }
    [[nodiscard]] std::unique_ptr<TuningRun> tune(const Tensor& moments, const Tensor& text,
                                                  const reel::TuneOptions& options) override {
        return std::make_unique<TuningRunOf<T, B>>(cpu_, backend_, model_, moments, text, options);
    }
    void stop_training() override {
        for_each_trained([](const std::string&, auto& parameter) { parameter.train(false); });
    }
    [[nodiscard]] reel::StateDict trained() const override {
        reel::StateDict tensors;
        reel::for_each_parameter(model_.unet, [&](const std::string& name, const auto& parameter) {
            if (parameter.requires_grad()) {
                tensors.emplace(name, reel::to_file_tensor(parameter.exact(), parameter.spec(), reel::DType::f32));
            }
        });
        return tensors;
    }
    void set_trained(const reel::StateDict& trained, const std::string& where) override {
        std::size_t used = 0;
        reel::for_each_parameter(model_.unet, [&](const std::string& name, auto& parameter) {
            if (const auto found = trained.find(name); found != trained.end()) {
                originals_.try_emplace(name, parameter.exact());
                parameter.set_master(
                    reel::tensor_from_file<float>(found->second, parameter.spec(), backend_, name, where).clone());
                ++used;
            }
        });
        reel::require(used == trained.size(), where, ": does not fit the model");
    }
    void restore() override {
        stop_training();
        reel::for_each_parameter(model_.unet, [&](const std::string& name, auto& parameter) {
            if (const auto found = originals_.find(name); found != originals_.end()) {
                parameter.set_master(found->second);
            }
        });
    }

    void save_tuned(const std::filesystem::path& source, const std::filesystem::path& output) const override {
        reel::save_tuned_pipeline(model_.unet, source, output);
    }

private:
    void for_each_trained(const auto& visit) {
        reel::for_each_parameter(model_.unet, [&](const std::string& name, auto& parameter) {
            if (parameter.requires_grad()) {
                visit(name, parameter);
            }
        });
    }

    Cpu& cpu_;
    B& backend_;
    reel::StableDiffusion<T, B> model_;
    std::map<std::string, reel::Tensor<float, B>> originals_; ///< of the parameters that a tuning has changed
};

/// load_stable_diffusion() on a backend, as Model. Both must outlive the model.
template <reel::Scalar T, reel::Backend B>
[[nodiscard]] Model load_as(Cpu& cpu, B& backend, const ModelSource& source) {
    auto parts = reel::load_stable_diffusion<T>(backend, source.folder, source.seed, source.unet_folder);
    if (source.pictures) {
        parts.unet = reel::load_unet_2d<T>(backend, source.folder / "unet");
    }
    Model model{parts.folder, parts.tokenizer, parts.training_scheduler, parts.sampling, nullptr, {}, {}};
    model.unet.config = parts.unet.config;
    model.vae.config = parts.vae.config;
    model.networks = std::make_unique<NetworksOf<T, B>>(cpu, backend, std::move(parts));
    model.unet.networks = model.networks.get();
    return model;
}

} // namespace editing
