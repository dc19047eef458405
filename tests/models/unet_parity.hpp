#pragma once
// The inflated UNet against the golden files, for both scalar types: each is compiled in a file of its own.

#include "golden_models.hpp"

namespace reel_test {

using reel::CheckpointMode;
using reel::Cpu;
using reel::index_t;
using reel::Shape;
using reel::Tensor;
using reel::UNet3DConditionModel;
using reel::Variable;

/// Inputs of a UNet call as a golden file names them, after `prefix`.
template <class T>
struct UNetInputs {
    Tensor<T> sample;
    std::vector<double> timesteps;
    Tensor<T> text;
    index_t frames;

    UNetInputs(Cpu& cpu, const Golden& golden, const std::string& prefix)
        : sample(golden.clip<T>(cpu, prefix + "sample")), timesteps(golden.values(prefix + "timestep")),
          text(golden.tensor<T>(cpu, prefix + "encoder_hidden_states")), frames(golden.at(prefix + "sample").shape[2]) {
    }

    [[nodiscard]] Tensor<T> run(const UNet3DConditionModel<T>& unet) const {
        return unet(sample, timesteps, text, frames);
    }
    [[nodiscard]] Variable<T> record(const UNet3DConditionModel<T>& unet) const {
        return unet(Variable<T>(sample), timesteps, Variable<T>(text), frames);
    }
};

template <class T>
void check_whole_unet(double bound) {
    Cpu one(1);
    Cpu two(2);
    const Golden golden("unet");
    Agreement agreement("whole UNet, " + scalar_name<T>(), bound);
    Agreement agreement_with_itself("two threads, " + scalar_name<T>(), 64 * std::numeric_limits<T>::epsilon());
    for (const std::string model : {"sd1", "sd2"}) {
        auto unet = golden_unet<T>(one, model);
        const auto on_two = golden_unet<T>(two, model);
        for (const std::string letter : {"a", "b", "c", "d"}) {
            const std::string key = model + "." + letter + ".";
            CAPTURE(key);
            const UNetInputs<T> in(one, golden, key);
            const Tensor<T> out = in.run(unet);
            agreement.check(key + "output", relative_error(clip_order(out, in.frames), golden.at(key + "output")));
            CHECK(same_bits(in.record(unet).value(), out));
            // A matrix product may group its terms by the number of threads.
            agreement_with_itself.check(key + "two threads",
                                        difference(UNetInputs<T>(two, golden, key).run(on_two), out));
        }
        // Recording, with and without checkpointing, changes no value either.
        const UNetInputs<T> in(one, golden, model + ".b.");
        const Tensor<T> out = in.run(unet);
        static_cast<void>(reel::set_trainable_modules(unet, {"attn1.to_q", "attn2.to_q", "attn_temp"}));
        CHECK(in.record(unet).requires_grad());
        CHECK(same_bits(in.record(unet).value(), out));
        unet.gradient_checkpointing = CheckpointMode::exact;
        CHECK(same_bits(in.record(unet).value(), out));
    }
}

/// Frames that differ only within one clip leave the other clip's prediction alone, as guidance needs.
template <class T>
void check_clips_are_independent() {
    Cpu cpu(1);
    const Golden golden("unet");
    const auto unet = golden_unet<T>(cpu, "sd2");
    const UNetInputs<T> in(cpu, golden, "sd2.b.");
    const Tensor<T> both = in.run(unet);
    for (index_t clip = 0; clip < 2; ++clip) {
        const Tensor<T> alone = unet(in.sample.slice(clip * in.frames, (clip + 1) * in.frames), in.timesteps,
                                     in.text.slice(clip, clip + 1), in.frames);
        CHECK(difference(alone, both.slice(clip * in.frames, (clip + 1) * in.frames)) <
              64 * std::numeric_limits<T>::epsilon());
    }
}

/// One timestep per clip.
template <class T>
void check_timestep_per_clip() {
    Cpu cpu(1);
    const Golden golden("unet");
    const auto unet = golden_unet<T>(cpu, "sd1");
    const UNetInputs<T> in(cpu, golden, "sd1.b.");
    const std::vector<double> timesteps{21, 700};
    const Tensor<T> both = unet(in.sample, timesteps, in.text, in.frames);
    for (index_t clip = 0; clip < 2; ++clip) {
        const std::vector<double> timestep{timesteps[static_cast<std::size_t>(clip)]};
        const Tensor<T> expected = unet(in.sample, timestep, in.text, in.frames);
        const index_t first = clip * in.frames;
        CHECK(difference(both.slice(first, first + in.frames), expected.slice(first, first + in.frames)) <
              64 * std::numeric_limits<T>::epsilon());
    }
    CHECK(difference(unet(in.sample, std::vector<double>{700}, in.text, in.frames), both) > 1e-3);
}

template <class T>
void check_class_embeddings(double bound) {
    Cpu cpu(1);
    const Golden golden("unet");
    Agreement agreement("class embeddings, " + scalar_name<T>(), bound);
    const UNetInputs<T> in(cpu, golden, "class.");
    for (const std::string kind : {"table", "timestep", "identity"}) {
        const std::string prefix = "class." + kind + ".";
        auto config = golden_unet<T>(cpu, "sd1").config;
        config.class_embedding = kind == "table"      ? reel::ClassEmbedding::table
                                 : kind == "timestep" ? reel::ClassEmbedding::timestep
                                                      : reel::ClassEmbedding::identity;
        config.num_class_embeds = kind == "table" ? 5 : 0;
        UNet3DConditionModel<T> unet(config);
        set_parameters(unet, cpu, reel::load_weights(model_folder("sd1", "unet"), reel::diffusers_weight_names));
        set_parameters(unet, cpu, Golden("sd1_temporal").tensors());
        set_parameters(unet, cpu, golden.tensors(), prefix);
        const Tensor<T> classes =
            kind == "identity" ? golden.tensor<T>(cpu, prefix + "class_labels")
                               : unet.template embed_classes<Tensor<T>>(cpu, golden.values(prefix + "class_labels"));
        const Tensor<T> out = unet(in.sample, in.timesteps, in.text, in.frames, classes);
        agreement.check(kind, relative_error(clip_order(out, in.frames), golden.at(prefix + "output")));
        CHECK_THROWS_WITH_AS(static_cast<void>(in.run(unet)),
                             "UNet3DConditionModel: this model wants a class embedding; give it as the last argument",
                             reel::Error);
        if (kind == "table") {
            CHECK_THROWS_AS(static_cast<void>(unet.template embed_classes<Tensor<T>>(cpu, std::vector{5.0, 0.0})),
                            reel::Error);
            CHECK_THROWS_WITH_AS(static_cast<void>(unet.template embed_classes<Tensor<T>>(cpu, std::vector{0.5, 0.0})),
                                 "embed_classes: label 0.5 is not an index", reel::Error);
        }
    }
}

/// A fresh inflation adds its output bias and nothing else; its other start values do not matter.
template <class T>
void check_fresh_inflation(double bound) {
    Cpu cpu(1);
    const Golden golden("unet");
    Agreement agreement("fresh inflation, " + scalar_name<T>(), bound);
    for (const std::uint64_t seed : {0, 33}) {
        auto unet = reel::load_unet<T>(cpu, model_folder("sd1", "unet"), seed);
        set_parameters(unet, cpu, golden.tensors(), "fresh.init.");
        const UNetInputs<T> in(cpu, golden, "sd1.a.");
        agreement.check("seed " + std::to_string(seed),
                        relative_error(clip_order(in.run(unet), in.frames), golden.at("fresh.output")));
    }
}

/// A folder that Tune-A-Video saved.
template <class T>
void check_tuned_folder(double bound) {
    Cpu cpu(1);
    const Golden golden("tuned/check");
    Agreement agreement("folder saved by Tune-A-Video, " + scalar_name<T>(), bound);
    const auto unet = reel::load_unet<T>(cpu, "golden/tuned/unet");
    const UNetInputs<T> in(cpu, golden, "unet.");
    agreement.check("tuned", relative_error(clip_order(in.run(unet), in.frames), golden.at("unet.output")));
}

template <class T>
void check_unet_errors() {
    Cpu cpu(1);
    const Golden golden("unet");
    const auto unet = golden_unet<T>(cpu, "sd1");
    const UNetInputs<T> in(cpu, golden, "sd1.b.");
    const auto refused = [&](const std::string& message, const auto& sample, const std::vector<double>& timesteps,
                             const auto& text, index_t frames) {
        CHECK_THROWS_WITH_AS(static_cast<void>(unet(sample, timesteps, text, frames)), message.c_str(), reel::Error);
    };
    refused("UNet3DConditionModel: sample [6, 63, 4]; expected [clips * frames, height, width, 4]",
            in.sample.reshape({6, 63, 4}), in.timesteps, in.text, in.frames);
    refused("UNet3DConditionModel: 6 pictures in clips of 4 frames", in.sample, in.timesteps, in.text, 4);
    refused("UNet3DConditionModel: text [1, 77, 24]; expected [2, tokens, 24]", in.sample, in.timesteps,
            in.text.slice(0, 1), in.frames);
    refused("UNet3DConditionModel: 3 timesteps for 2 clips", in.sample, {1, 2, 3}, in.text, in.frames);
    CHECK_THROWS_WITH_AS(static_cast<void>(unet(in.sample, in.timesteps, in.text, in.frames, in.text)),
                         "UNet3DConditionModel: a class embedding is given, but this model takes none", reel::Error);
}

// ---- blocks ----

template <class T>
class BlockCase {
public:
    BlockCase(Cpu& cpu, const Golden& golden, const nlohmann::json& description)
        : cpu_(cpu), golden_(golden), json_(description) {}

    [[nodiscard]] std::string name() const { return json_["name"]; }
    [[nodiscard]] bool has(const std::string& input) const { return json_["inputs"].contains(input); }
    [[nodiscard]] Tensor<T> clip(const std::string& input) const { return golden_.clip<T>(cpu_, stored(input)); }
    [[nodiscard]] Tensor<T> tensor(const std::string& input) const { return golden_.tensor<T>(cpu_, stored(input)); }
    [[nodiscard]] std::vector<double> values(const std::string& input) const { return golden_.values(stored(input)); }
    [[nodiscard]] const reel::HostTensor& expected(const std::string& output) const {
        return golden_.at(json_["outputs"][output]);
    }
    /// What follows "to" in a name such as upsample.to9x13, if anything does.
    [[nodiscard]] std::optional<std::pair<index_t, index_t>> size() const {
        const std::string text = name();
        const std::size_t at = text.find(".to");
        if (at == std::string::npos) {
            return std::nullopt;
        }
        return std::pair<index_t, index_t>{std::stoi(text.substr(at + 3)),
                                           std::stoi(text.substr(text.find('x', at) + 1))};
    }

private:
    [[nodiscard]] std::string stored(const std::string& input) const { return json_["inputs"][input]; }

    Cpu& cpu_;
    const Golden& golden_;
    const nlohmann::json& json_;
};

/// Indices in a path such as "down_blocks.2.attentions.0.transformer_blocks.0", in order.
inline std::vector<std::size_t> indices_of(const std::string& path) {
    std::vector<std::size_t> result;
    for (std::size_t dot = path.find('.'); dot != std::string::npos; dot = path.find('.', dot + 1)) {
        if (dot + 1 < path.size() && path[dot + 1] >= '0' && path[dot + 1] <= '9') {
            result.push_back(static_cast<std::size_t>(std::stoi(path.substr(dot + 1))));
        }
    }
    return result;
}

template <class T>
void check_block(const UNet3DConditionModel<T>& unet, const BlockCase<T>& c, const nlohmann::json& description,
                 Cpu& cpu, Agreement& agreement) {
    constexpr index_t frames = 3;
    constexpr index_t clips = 2;
    const std::string kind = description["kind"];
    const std::vector<std::size_t> at = indices_of(description["module"]);
    const bool on_the_way_up = description["module"].get<std::string>().starts_with("up_");
    const auto compare = [&](const Tensor<T>& found, const std::string& output = "output") {
        agreement.check(c.name() + " " + output, relative_error(found, c.expected(output)));
    };
    const auto compare_clip = [&](const Tensor<T>& found, const std::string& output = "output") {
        compare(clip_order(found, frames), output);
    };
    const auto activated = [&] { return reel::activate(reel::Silu{}, c.tensor("temb")); };
    const auto context = [&] {
        const Tensor<T> text = c.has("encoder_hidden_states") ? c.tensor("encoder_hidden_states") : Tensor<T>{};
        return reel::BlockContext<Tensor<T>>{activated(), text, frames, std::nullopt};
    };
    const auto skips = [&] { // the one to be joined first comes last
        std::vector<Tensor<T>> all;
        for (int i = 0; c.has("skip" + std::to_string(i)); ++i) {
            all.insert(all.begin(), c.clip("skip" + std::to_string(i)));
        }
        return all;
    };
    const auto layer = [&]() -> const reel::BasicTransformerBlock<T>& {
        return unet.down_blocks[at[0]].attentions[at[1]].transformer_blocks[at[2]];
    };
    if (kind == "ResnetBlock") {
        const auto& resnet =
            on_the_way_up ? unet.up_blocks[at[0]].resnets[at[1]] : unet.down_blocks[at[0]].resnets[at[1]];
        compare_clip(resnet(c.clip("sample"), activated(), clips));
    } else if (kind == "SpatialTransformer") {
        const auto& transformer = unet.down_blocks[at[0]].attentions[at[1]];
        compare_clip(transformer(c.clip("sample"), c.tensor("encoder_hidden_states"), frames));
    } else if (kind == "SparseCausalAttention") {
        const Tensor<T> x = c.tensor("hidden_states");
        compare(layer().attn1(x, x, {.key_batches = reel::sparse_causal_keys(clips, frames), .lists = 2}));
    } else if (kind == "CrossAttention") {
        compare(layer().attn2(c.tensor("hidden_states"), c.tensor("encoder_hidden_states"), {}));
    } else if (kind == "TemporalAttention") { // [B * H * W, F, C] there, [B * F, H * W, C] here
        const Tensor<T> stored = c.tensor("hidden_states");
        const index_t pixels = stored.shape(0) / clips;
        const index_t channels = stored.shape(2);
        const Tensor<T> x = reel::permute(stored.reshape({clips, pixels, frames, channels}), {0, 2, 1, 3})
                                .reshape({clips * frames, pixels, channels});
        const Tensor<T> y = layer().temporal->attn_temp(x, x, {.frames = frames});
        compare(reel::permute(y.reshape({clips, frames, pixels, channels}), {0, 2, 1, 3})
                    .reshape({clips * pixels, frames, channels}));
    } else if (kind == "FeedForward") {
        compare(layer().ff(c.tensor("hidden_states")));
    } else if (kind == "BasicTransformerBlock") {
        // The golden case gives every frame a text of its own, so the parts are called one by one; the block's own
        // call, with one text per clip, is what the SpatialTransformer cases see.
        const auto& block = layer();
        Tensor<T> x = c.tensor("hidden_states");
        Tensor<T> normal = block.norm1(x);
        x = reel::add(block.attn1(normal, normal, {.key_batches = reel::sparse_causal_keys(clips, frames), .lists = 2}),
                      x);
        x = reel::add(block.attn2(block.norm2(x), c.tensor("encoder_hidden_states"), {}), x);
        x = reel::add(block.ff(block.norm3(x)), x);
        compare(reel::add((*block.temporal)(x, frames), x));
    } else if (kind == "Downsample") {
        compare_clip(unet.down_blocks[at[0]].downsamplers[at[1]](c.clip("sample")));
    } else if (kind == "Upsample") {
        const auto& upsample = unet.up_blocks[at[0]].upsamplers[at[1]];
        const auto size = c.size();
        compare_clip(size ? upsample(c.clip("sample"), size->first, size->second) : upsample(c.clip("sample")));
    } else if (kind == "DownBlock" || kind == "CrossAttnDownBlock") {
        std::vector<Tensor<T>> left;
        const Tensor<T> out = unet.down_blocks[at[0]](c.clip("sample"), context(), left);
        compare_clip(out);
        for (std::size_t i = 0; i < unet.down_blocks[at[0]].resnets.size(); ++i) {
            compare_clip(left.at(i), "skip" + std::to_string(i));
        }
        CHECK(left.size() == unet.down_blocks[at[0]].resnets.size() + unet.down_blocks[at[0]].downsamplers.size());
        CHECK(same_bits(left.back(), out));
    } else if (kind == "MidBlock") {
        compare_clip(unet.mid_block(c.clip("sample"), context()));
    } else if (kind == "UpBlock" || kind == "CrossAttnUpBlock") {
        std::vector<Tensor<T>> waiting = skips();
        if (const auto size = c.size()) { // of the skip that the next block takes
            waiting.insert(waiting.begin(), Tensor<T>::zeros(cpu, {clips * frames, size->first, size->second, 1}));
        }
        compare_clip(unet.up_blocks[at[0]](c.clip("sample"), context(), waiting));
        CHECK(waiting.size() == (c.size() ? 1 : 0));
    } else if (kind == "TimeEmbedding") {
        const auto sinusoids = reel::timestep_embedding<T>(
            cpu, c.values("timestep"), unet.config.block_out_channels.front(), true, unet.config.freq_shift);
        compare(sinusoids, "sinusoids");
        compare(unet.time_embedding(sinusoids));
    } else {
        FAIL("unknown kind of block: ", kind);
    }
}

template <class T>
void check_blocks(double bound) {
    Cpu cpu(1);
    const Golden golden("unet_blocks");
    const nlohmann::json cases = reel::read_json("golden/unet_blocks.json");
    const std::map<std::string, UNet3DConditionModel<T>> unets{{"sd1", golden_unet<T>(cpu, "sd1")},
                                                               {"sd2", golden_unet<T>(cpu, "sd2")}};
    Agreement agreement("UNet blocks, " + scalar_name<T>(), bound);
    CHECK(cases.size() == 46);
    for (const auto& description : cases) {
        check_block(unets.at(description["model"]), BlockCase<T>(cpu, golden, description), description, cpu,
                    agreement);
    }
}

} // namespace reel_test
