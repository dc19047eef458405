#pragma once
// Networks of one scalar type, for the .cpp that is compiled for it.

#include <map>
#include <utility>

#include <reel/io/sha256.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/widened_unet.hpp>

#include "networks.hpp"
#include "plan.hpp"

namespace editing {

/// Of 16 bits, in float; of float, itself.
template <reel::Scalar T>
[[nodiscard]] Tensor widened(const reel::Tensor<T, Cpu>& x) {
    if constexpr (std::same_as<T, float>) {
        return x;
    } else {
        return reel::cast<float>(x);
    }
}

template <reel::Scalar T>
class TuningRunOf final : public TuningRun {
public:
    TuningRunOf(Cpu& cpu, reel::StableDiffusion<T, Cpu>& model, const Tensor& moments, const Tensor& text,
                const reel::TuneOptions& options)
        : cpu_(cpu), unet_(model.unet),
          tuner_(model.unet, model.training_scheduler, moments, reel::detail::stored_as<T>(text),
                 model.vae.config.scaling_factor, options) {}

    [[nodiscard]] index_t step_count() const override { return tuner_.step_count(); }
    [[nodiscard]] reel::Shape latent_shape() const override { return tuner_.latent_shape(); }
    [[nodiscard]] Tensor latents() const override { return tuner_.latents(); }
    reel::TuneReport update(const Draw& draw) override { return tuner_.update(draw); }
    void save_checkpoint(const std::filesystem::path& output, const reel::CheckpointIdentity& identity) override {
        reel::save_checkpoint(tuner_, unet_, output, identity);
    }
    void load_checkpoint(const std::filesystem::path& folder, const reel::CheckpointIdentity& identity) override {
        reel::load_checkpoint(tuner_, unet_, cpu_, folder, identity);
    }

private:
    Cpu& cpu_;
    reel::UNet3DConditionModel<T, Cpu>& unet_;
    reel::Tuner<T, Cpu> tuner_;
};

template <reel::Scalar T>
class NetworksOf final : public Networks {
public:
    NetworksOf(Cpu& cpu, reel::StableDiffusion<T, Cpu> model) : cpu_(cpu), model_(std::move(model)) {}

    [[nodiscard]] Tensor predict(const Tensor& sample, std::span<const double> timesteps, const Tensor& text,
                                 index_t frames) const override {
        return reel::WidenedUnet(model_.unet)(sample, timesteps, text, frames);
    }
    [[nodiscard]] Tensor text(std::span<const std::int32_t> ids) const override {
        return widened<T>(model_.text_encoder(ids));
    }
    [[nodiscard]] Tensor encode(const reel::Frames& clip, const AfterFrame& after_frame) const override {
        const reel::Shape shape{clip.count, clip.height, clip.width, 3};
        return widened<T>(
            reel::encode_clip(model_.vae, reel::pixels_from_bytes<T>(cpu_, shape, clip.rgb), after_frame));
    }
    [[nodiscard]] Tensor decode(const Tensor& latents, const AfterFrame& after_frame) const override {
        return widened<T>(reel::decode_clip(model_.vae, reel::detail::stored_as<T>(latents), after_frame));
    }

    [[nodiscard]] std::string fingerprint() const override {
        reel::Sha256 hash;
        const auto add = [&](const std::string& name, const auto& parameter) {
            if (!reel::is_temporal_parameter(name)) {
                hash.update(std::as_bytes(std::span(name)));
                const auto& value = parameter.value();
                const auto count = static_cast<std::size_t>(std::min<index_t>(value.size(), 64));
                hash.update(std::as_bytes(std::span(value.data(), count)));
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
            return plan::mapped_bytes(model_.vae.encoder);
        case Part::decoder:
            return plan::mapped_bytes(model_.vae.decoder);
        case Part::unet:
            return plan::mapped_bytes(model_.unet);
        case Part::text_layers:
            break;
        }
        std::size_t bytes = 0;
        for (const auto& layer : model_.text_encoder.layers) {
            bytes += plan::mapped_bytes(layer);
        }
        return bytes;
    }
    void initialize(const reel::Replay& replay) override { replay.initialize(model_.unet, cpu_); }

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
        return std::make_unique<TuningRunOf<T>>(cpu_, model_, moments, text, options);
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
                    reel::tensor_from_file<float>(found->second, parameter.spec(), cpu_, name, where).clone());
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
    reel::StableDiffusion<T, Cpu> model_;
    std::map<std::string, Tensor> originals_; ///< of the parameters that a tuning has changed
};

/// load_stable_diffusion(), as Model.
template <reel::Scalar T>
[[nodiscard]] Model load_as(Cpu& cpu, const ModelSource& source) {
    auto parts = reel::load_stable_diffusion<T>(cpu, source.folder, source.seed, source.unet_folder);
    if (source.pictures) {
        parts.unet = reel::load_unet_2d<T>(cpu, source.folder / "unet");
    }
    Model model{parts.folder, parts.tokenizer, parts.training_scheduler, parts.sampling, nullptr, {}, {}};
    model.unet.config = parts.unet.config;
    model.vae.config = parts.vae.config;
    model.networks = std::make_unique<NetworksOf<T>>(cpu, std::move(parts));
    model.unet.networks = model.networks.get();
    return model;
}

} // namespace editing
