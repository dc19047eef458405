#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <reel/autograd/reduce.hpp>
#include <reel/models/unet.hpp>
#include <reel/pipelines/control/source_branch.hpp>
#include <reel/pipelines/control/word_loss.hpp>

namespace reel {

/// A step at which latents are changed again and again, until the words have this much attention.
struct ExciteUntil {
    double at = 0;    ///< share of the run's steps
    double reach = 0; ///< attention, in 0..1
};

/// How latents are led to words. The values are those of the paper's authors, but for `steps`, which is half of the run
/// there: an edit decides earlier what goes where.
struct AttendAndExciteOptions {
    double steps = 0.25;   ///< share of the run's steps, from its beginning, before which latents are changed
    double step_size = 20; ///< alpha of the first step; of step i of n it is times sqrt(1 - i / (2 (n - 1)))
    std::vector<ExciteUntil> until{{0, 0.05}, {0.2, 0.5}, {0.4, 0.8}};
    index_t most = 20;      ///< changes at such a step
    double sharpness = 100; ///< of the softmax over words
};

namespace detail {

/// The control under which attention to the prompt is listened to, and its slope put in going back. Everything else is
/// left to itself.
template <Scalar T, Backend B>
class ListenToWords {
public:
    explicit ListenToWords(const Shape& latents) {
        const auto quarter = [](index_t n) { return (n + 3) / 4; };
        maps.frames = latents[0];
        maps.height = quarter(latents[1]);
        maps.width = quarter(latents[2]);
    }

    [[nodiscard]] static bool controls(const std::string&) { return true; }
    [[nodiscard]] static bool controls_features(const std::string&) { return true; }
    template <class V>
    [[nodiscard]] V features(const LayerFeatures<V>& block) {
        return block.features;
    }

    template <class V>
    [[nodiscard]] V operator()(const LayerAttention<V>& layer) {
        if (!layer.name.ends_with("attn2") || layer.query.shape(1) != maps.height * maps.width) {
            return layer.attend();
        }
        const V probabilities = layer.probabilities();
        V result = layer.attend_with(probabilities);
        const V seen = mean(probabilities, 1);
        if constexpr (is_tensor<V>) {
            listen(seen);
            return result;
        } else {
            listen(seen.value());
            const Tensor<T, B> value = result.value();
            return record(value, {std::move(result), seen}, [slope = slope_](Node<T, B>& node) {
                if (node.needs(0)) {
                    node.send(0, node.gradient);
                }
                if (node.needs(1)) {
                    node.send(1, *slope);
                }
            });
        }
    }

    /// Ends listening: what the loss of the maps is. Its slope goes back from where they came from.
    [[nodiscard]] WordLoss loss(B& backend, const std::vector<index_t>& words, double sharpness) {
        require(layers_ > 0, "attend-and-excite: none of the UNet's layers that look at words has ", maps.height, " x ",
                maps.width, " pixels, a quarter of the latents' sides");
        listening_ = false;
        for (double& value : maps.values) {
            value /= static_cast<double>(layers_);
        }
        WordLoss result = word_loss(maps, words, sharpness);
        std::vector<compute_t<T>> values;
        for (const double slope : result.slope) {
            values.push_back(static_cast<compute_t<T>>(slope / static_cast<double>(layers_)));
        }
        *slope_ = stored_as<T>(Tensor<compute_t<T>, B>::from_host(
            backend, {maps.frames, maps.height * maps.width, maps.tokens}, std::span(std::as_const(values))));
        return result;
    }

    TokenMaps maps; ///< sums over layers while listening

private:
    void listen(const Tensor<T, B>& seen) {
        if (!listening_) {
            return;
        }
        maps.tokens = seen.shape(2);
        maps.values.resize(static_cast<std::size_t>(seen.size()));
        const auto values = seen.to_host();
        for (std::size_t i = 0; i < values.size(); ++i) {
            maps.values[i] += static_cast<double>(values[i]);
        }
        ++layers_;
    }

    bool listening_ = true;
    index_t layers_ = 0;
    std::shared_ptr<Tensor<T, B>> slope_ = std::make_shared<Tensor<T, B>>();
};

} // namespace detail

/// Attend-and-excite (Chefer et al. 2023, arXiv:2301.13826, algorithm 1): before a step the latents are led to where
/// each of some words has a place that looks at it, by the gradient of word_loss() through the UNet; each frame by its
/// own loss. Without it a word may leave no trace. The maps are those of 1/32 of the picture. A change costs a call
/// without guidance, forwards and back; with checkpointing, which is on meanwhile, less memory for one more.
template <Scalar T, Backend B, class Parts = DefaultParts>
class AttendAndExcite {
public:
    using C = compute_t<T>;
    using Unet = UNet3DConditionModel<T, B, Parts>;

    /// `text` [1, tokens, channels]: the edited prompt's. `words`: tokens of it, see tokens_of_word(). The UNet must
    /// outlive this.
    AttendAndExcite(Unet& unet, Tensor<C, B> text, std::vector<index_t> words, AttendAndExciteOptions options = {})
        : unet_(unet), text_(std::move(text)), words_(std::move(words)), options_(std::move(options)) {}

    /// The latents [frames, h, w, channels] before a step, from 0, of a run with the clip's levels, as sampling is to
    /// go on from them: changed in the run's first part, then themselves. Processors that are in the UNet do not see
    /// it. Throws Error where the UNet has parameters that train, or no layer of that size.
    [[nodiscard]] Tensor<C, B> operator()(index_t step, const Trajectory<C, B>& clip, Tensor<C, B> latents) const {
        const index_t steps = clip.steps();
        if (!ControlStep{.step = step, .steps = steps}.within(options_.steps) || step >= steps) {
            return latents;
        }
        const double timestep = clip.timesteps[static_cast<std::size_t>(steps - 1 - step)];
        const std::optional<double> reach = reach_at(step, steps);
        for (index_t i = 0; i < (reach ? options_.most : 1); ++i) {
            const auto [loss, gradient] = loss_and_gradient(timestep, latents);
            latents = axpby(C(1), latents, static_cast<C>(-step_size(step, steps)), gradient);
            if (reach && *std::max_element(loss.begin(), loss.end()) <= 1 - *reach) {
                break;
            }
        }
        return latents;
    }

    /// Of every frame the loss, and the gradient of their sum by the latents.
    [[nodiscard]] std::pair<std::vector<double>, Tensor<C, B>> loss_and_gradient(double timestep,
                                                                                 const Tensor<C, B>& latents) const {
        require(!trains(unet_), "attend-and-excite: the UNet has parameters that train, which would get gradients; "
                                "freeze them first: set_trainable_modules(unet, {})");
        const struct Checkpointed {
            Unet& unet;
            std::optional<CheckpointMode> before = std::exchange(unet.gradient_checkpointing, CheckpointMode::exact);
            ~Checkpointed() { unet.gradient_checkpointing = before; }
        } checkpointed{unet_};
        detail::ListenToWords<T, B> listener(latents.shape());
        return with_control(unet_, listener, [&] {
            B& backend = latents.backend();
            const auto sample = Variable<T, B>::leaf(cast<T>(latents));
            const std::span<const double> at(&timestep, 1);
            auto prediction = unet_(sample, at, Variable<T, B>(cast<T>(text_)), latents.shape(0));
            WordLoss loss = listener.loss(backend, words_, options_.sharpness);
            // The prediction itself is not wanted: what goes back from it is nothing, and gets the slopes on its way.
            const auto nothing = Tensor<T, B>::zeros(backend, prediction.shape());
            backward(std::move(prediction), nothing);
            return std::pair{std::move(loss.of_frames), cast<C>(sample.grad())};
        });
    }

private:
    [[nodiscard]] double step_size(index_t step, index_t steps) const {
        const double way = static_cast<double>(step) / static_cast<double>(std::max<index_t>(steps - 1, 1));
        return options_.step_size * std::sqrt(1 - way / 2);
    }
    [[nodiscard]] std::optional<double> reach_at(index_t step, index_t steps) const {
        for (const ExciteUntil& until : options_.until) {
            if (step == std::llround(until.at * static_cast<double>(steps))) {
                return until.reach;
            }
        }
        return std::nullopt;
    }

    Unet& unet_;
    Tensor<C, B> text_;
    std::vector<index_t> words_;
    AttendAndExciteOptions options_;
};

} // namespace reel
