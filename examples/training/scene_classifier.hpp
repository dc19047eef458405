#pragma once
// Tells what a picture of the drawn world shows: the act, whether its object is there, and the object's colour.

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <reel/autograd/losses.hpp>
#include <reel/core/progress.hpp>
#include <reel/core/random.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/models/state_dict.hpp>
#include <reel/nn/initialize.hpp>
#include <reel/nn/layers.hpp>
#include <reel/ops/activation.hpp>
#include <reel/optim/adamw.hpp>
#include <reel/optim/ema.hpp>

#include "options.hpp"
#include "world/world.hpp"

namespace training {

using reel::index_t;

/// What a picture shows, or is said to.
struct Content {
    world::Act act = world::Act::swinging;
    bool with_object = false;
    world::Colour colour = world::Colour::red; ///< means nothing without the object

    /// One of act_count * 2: the act, without the object or with it.
    [[nodiscard]] std::int32_t kind() const { return 2 * static_cast<std::int32_t>(act) + (with_object ? 1 : 0); }
    /// One of colour_count + 1, the last for no object.
    [[nodiscard]] std::int32_t colour_kind() const {
        return with_object ? static_cast<std::int32_t>(colour) : world::colour_count;
    }
};

/// Pictures with what they show. Bytes [count, size, size, 3].
struct LabelledPictures {
    std::vector<std::uint8_t> rgb;
    std::vector<Content> contents;
};

/// Number of pictures from scenes `seed_of(n)`, each at one moment, in pairs: without the object and with it.
template <class SeedOf>
[[nodiscard]] LabelledPictures draw_pairs(reel::Cpu& cpu, index_t count, int size, const SeedOf& seed_of) {
    const std::size_t bytes = std::size_t{3} * static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
    LabelledPictures result{std::vector<std::uint8_t>(bytes * static_cast<std::size_t>(count)),
                            std::vector<Content>(static_cast<std::size_t>(count))};
    cpu.for_each_task(count, [&](index_t i) {
        const std::uint64_t seed = seed_of(static_cast<std::uint64_t>(i / 2));
        const world::Scene scene = world::random_scene(seed);
        const double time = reel::Philox(seed, 0x74696d65).uniform(0);
        const auto at = static_cast<std::size_t>(i);
        result.contents[at] = {scene.act, i % 2 == 1, scene.colour};
        world::draw(scene, time, i % 2 == 1, size, std::span(result.rgb).subspan(at * bytes, bytes));
    });
    return result;
}

/// A convolution that halves the sides, a norm and SiLU.
struct Halving {
    reel::Conv2d<float> conv;
    reel::GroupNorm<float> norm;

    Halving(index_t in, index_t out) : conv(in, out, 3, reel::ConvOptions::same_pad(1, 2)), norm(8, out, 1e-5) {}

    static void members(auto& self, const auto& visit) {
        visit("conv", self.conv);
        visit("norm", self.norm);
    }

    template <class V>
    [[nodiscard]] V operator()(const V& x) const {
        return norm(conv(x), x.shape(0), true);
    }
};

/// Halvings down to 4x4, then two linear heads: what is done, and in which colour.
class SceneClassifier {
public:
    using Tensor = reel::Tensor<float>;
    using Variable = reel::Variable<float>;

    /// For pictures of `size` x `size`. Throws Error unless that is 8, 16, 32, ... .
    explicit SceneClassifier(int size)
        : size_(size), kind_(16 * last_width, 2 * world::act_count), colour_(16 * last_width, world::colour_count + 1) {
        int side = size;
        index_t in = 3;
        index_t out = 24;
        for (; side > 4 && side % 2 == 0; side /= 2) {
            stages_.emplace_back(in, side == 8 ? last_width : out);
            in = out;
            out = std::min<index_t>(2 * out, last_width);
        }
        reel::require(side == 4 && size > 4, "SceneClassifier: pictures of ", size, " pixels a side; expected 8, 16, ",
                      "32, 64, ...");
    }

    static void members(auto& self, const auto& visit) {
        visit("stages", self.stages_);
        visit("kind", self.kind_);
        visit("colour", self.colour_);
    }

    [[nodiscard]] int size() const { return size_; }

    /// Logits of kind and of colour of pictures in -1..1 [n, size, size, 3].
    template <class V>
    [[nodiscard]] std::pair<V, V> operator()(const V& pixels) const {
        V x = pixels;
        for (const Halving& stage : stages_) {
            x = stage(x);
        }
        x = reshape(x, {x.shape(0), 16 * last_width});
        return {kind_(x), colour_(x)};
    }

    /// What pictures show, by the largest logits. A colour may be named where no object is seen: it is the likeliest
    /// if there were one.
    [[nodiscard]] std::vector<Content> recognise(const Tensor& pixels) const {
        std::vector<Content> contents;
        constexpr index_t batch = 64;
        for (index_t first = 0; first < pixels.shape(0); first += batch) {
            const auto [kind, colour] = (*this)(pixels.slice(first, std::min(first + batch, pixels.shape(0))));
            const std::vector<float> kinds = kind.to_host();
            const std::vector<float> colours = colour.to_host();
            for (std::size_t i = 0; i < static_cast<std::size_t>(kind.shape(0)); ++i) {
                const auto best = largest(kinds.data() + i * 2 * world::act_count, 2 * world::act_count);
                const auto paint =
                    largest(colours.data() + i * (world::colour_count + 1), static_cast<int>(world::colour_count));
                contents.push_back(
                    {static_cast<world::Act>(best / 2), best % 2 == 1, static_cast<world::Colour>(paint)});
            }
        }
        return contents;
    }

private:
    static constexpr index_t last_width = 96;

    [[nodiscard]] static int largest(const float* values, int count) {
        return static_cast<int>(std::max_element(values, values + count) - values);
    }

    int size_;
    std::vector<Halving> stages_;
    reel::Linear<float> kind_;
    reel::Linear<float> colour_;
};

/// Bytes as pixels in -1..1.
[[nodiscard]] inline reel::Tensor<float> unit_pixels(reel::Cpu& cpu, std::span<const std::uint8_t> rgb, int size) {
    std::vector<float> values(rgb.size());
    reel::normalize_u8(rgb, values);
    return reel::Tensor<float>::from_host(
        cpu, {static_cast<index_t>(rgb.size()) / (index_t{3} * size * size), size, size, 3}, values);
}

/// Shares of pictures where a classifier is right.
struct Accuracy {
    double kind = 0;   ///< act, and whether the object is there
    double colour = 0; ///< of those with an object
};

[[nodiscard]] inline Accuracy accuracy(const std::vector<Content>& found, const std::vector<Content>& truth) {
    double kinds = 0;
    double objects = 0;
    double colours = 0;
    for (std::size_t i = 0; i < truth.size(); ++i) {
        kinds += found[i].kind() == truth[i].kind() ? 1 : 0;
        objects += truth[i].with_object ? 1 : 0;
        colours += truth[i].with_object && found[i].colour == truth[i].colour ? 1 : 0;
    }
    return {kinds / static_cast<double>(truth.size()), colours / std::max(objects, 1.0)};
}

/// Training of a SceneClassifier on pictures drawn for it, until it is right on `wanted` of others.
struct ClassifierTraining {
    index_t max_steps = 1500;
    index_t batch_size = 64;
    index_t check_every = 100;
    double learning_rate = 2e-3;
    double wanted = 0.99;
    double noise = 0.05; ///< of the pictures, so that what an autoencoder smoothes is no clue
    std::uint64_t seed = 0;
};

/// Held-out pictures come from seeds that are neither trained on nor those of clips; `set` 0 decides when training
/// ends, others are for reports.
[[nodiscard]] inline LabelledPictures held_out_pictures(reel::Cpu& cpu, index_t count, int size, std::uint64_t set) {
    return draw_pairs(cpu, count, size, [&](std::uint64_t n) { return (2 + set) * 1'000'000 + n; });
}

/// Trains on pairs of pictures (the seeds with the top bit set). The weights are left as their averages. Throws Error
/// when the steps do not suffice.
inline void train(reel::Cpu& cpu, SceneClassifier& classifier, const ClassifierTraining& options) {
    using Tensor = SceneClassifier::Tensor;
    using Variable = SceneClassifier::Variable;
    const int size = classifier.size();
    reel::initialize(classifier, cpu, options.seed);
    SceneClassifier averaged(size);
    reel::for_each_parameter(classifier, [](const std::string&, auto& parameter) { parameter.train(true); });
    reel::AdamW<float> optimizer({.learning_rate = options.learning_rate, .weight_decay = 1e-3});
    reel::EMAModel<float> averages(0.98);
    const LabelledPictures unseen = held_out_pictures(cpu, 512, size, 0);
    const Tensor unseen_pixels = unit_pixels(cpu, unseen.rgb, size);
    reel::Progress bar("train classifier", static_cast<std::size_t>(options.max_steps));
    Accuracy reached;
    for (index_t step = 0; step < options.max_steps; ++step) {
        program::check_stop();
        reel::for_each_parameter(classifier, [](const std::string&, auto& parameter) { parameter.zero_grad(); });
        const LabelledPictures batch = draw_pairs(cpu, options.batch_size, size, [&](std::uint64_t n) {
            const reel::Philox random(options.seed ^ 0x636c617373U, static_cast<std::uint64_t>(step));
            return world::training_seed((std::uint64_t{random.bits(2 * n)} << 32) | random.bits(2 * n + 1));
        });
        const Tensor pixels = unit_pixels(cpu, batch.rgb, size);
        Tensor noise(cpu, pixels.shape());
        reel::fill_normal(cpu, noise, options.seed, static_cast<std::uint64_t>(step));
        std::vector<std::int32_t> kinds;
        std::vector<std::int32_t> colours;
        for (const Content& content : batch.contents) {
            kinds.push_back(content.kind());
            colours.push_back(content.colour_kind());
        }
        const auto [kind, colour] =
            classifier(Variable(reel::axpby(1.0F, pixels, static_cast<float>(options.noise), noise)));
        const Variable loss = reel::add(reel::cross_entropy_loss(kind, std::span<const std::int32_t>(kinds)),
                                        reel::cross_entropy_loss(colour, std::span<const std::int32_t>(colours)));
        reel::backward(loss);
        std::vector<reel::NamedParameter<float>> parameters;
        reel::for_each_parameter(classifier, [&](const std::string& name, const auto& parameter) {
            parameters.push_back({name, parameter.value(), parameter.grad()});
        });
        const double share = static_cast<double>(step) / static_cast<double>(options.max_steps);
        const double warm = std::min(1.0, static_cast<double>(step + 1) / 30);
        optimizer.step(parameters, options.learning_rate * warm * (1 - 0.9 * share));
        averages.step(parameters);
        bar.step();
        if ((step + 1) % options.check_every == 0 || step + 1 == options.max_steps) {
            reel::for_each_parameter(averaged, [&](const std::string& name, auto& parameter) {
                parameter.set(averages.averages().find(name)->second.clone());
            });
            reached = accuracy(averaged.recognise(unseen_pixels), unseen.contents);
            bar.note(reel::concat_text("right on ", 100 * reached.kind, " %, colour ", 100 * reached.colour, " %"));
            if (reached.kind >= options.wanted && reached.colour >= options.wanted) {
                classifier = std::move(averaged);
                return;
            }
        }
    }
    reel::fail("the classifier is right on ", 100 * reached.kind,
               " % of drawn pictures (colour: ", 100 * reached.colour, " %) after ", options.max_steps,
               " steps, not on ", 100 * options.wanted, " %; give it more with --classifier_steps");
}

/// Writes and reads the weights, with the size of the pictures.
inline void save(const SceneClassifier& classifier, const std::filesystem::path& path) {
    reel::write_safetensors(path, reel::parameter_sources(classifier, reel::DType::f32),
                            {{"format", "pt"}, {"size", std::to_string(classifier.size())}});
}

inline void load(reel::Cpu& cpu, SceneClassifier& classifier, const std::filesystem::path& path) {
    const reel::Safetensors file = reel::read_safetensors_file(path);
    const auto size = file.metadata.find("size");
    reel::require(size != file.metadata.end() && size->second == std::to_string(classifier.size()), path.string(),
                  ": not a classifier of pictures of ", classifier.size(), " pixels a side");
    reel::load_parameters(classifier, cpu, file.tensors, path.string());
}

} // namespace training
