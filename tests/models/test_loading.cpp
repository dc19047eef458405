#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>

#include <reel/models/random_weights.hpp>

#include "golden_models.hpp"
#include "io/temporary_folder.hpp"

using namespace reel_test;
using reel::Cpu;
using reel::DType;
using reel::HostTensor;
using reel::StateDict;
using reel::Tensor;
using UNet = reel::UNet3DConditionModel<float>;

namespace {

const std::string sd2_unet = "golden/sd2_tiny/unet";

/// A folder with the config of another and weights of its own.
class ModelFolder : public TemporaryFolder {
public:
    explicit ModelFolder(const std::filesystem::path& config_of) {
        std::filesystem::copy(config_of / "config.json", *this / "config.json");
    }
    void weights(const StateDict& tensors, const std::string& name = "diffusion_pytorch_model.safetensors") const {
        reel::write_safetensors(*this / name, tensors);
    }
    [[nodiscard]] std::string unet_message() const {
        return message_of<reel::Error>([&] {
            Cpu cpu(1);
            static_cast<void>(reel::load_unet<float>(cpu, path()));
        });
    }
};

StateDict sd2_tensors() {
    return reel::load_weights(sd2_unet, reel::diffusers_weight_names);
}

/// Whether two modules hold the same parameters with the same bits.
template <class M>
bool same_parameters(const M& a, const M& b) {
    std::map<std::string, Tensor<float>> values;
    reel::for_each_parameter(a, [&](const std::string& name, const auto& p) { values.emplace(name, p.value()); });
    std::size_t count = 0;
    bool same = true;
    reel::for_each_parameter(b, [&](const std::string& name, const auto& p) {
        ++count;
        same = same && values.contains(name) && same_bits(values.at(name), p.value());
    });
    return same && count == values.size();
}

} // namespace

TEST_CASE("a weights file must hold exactly the model's tensors, in their shapes") {
    const ModelFolder folder(sd2_unet);
    const std::string file = (folder / "diffusion_pytorch_model.safetensors").string();
    const StateDict good = sd2_tensors();
    SUBCASE("all") {
        folder.weights(good);
        CHECK(folder.unet_message().empty());
    }
    SUBCASE("one missing") {
        StateDict tensors = good;
        tensors.erase("conv_in.bias");
        folder.weights(tensors);
        const std::string text = folder.unet_message();
        CHECK(contains(text, file + ": 1 of the model's "));
        CHECK(contains(text, "tensors are missing: \"conv_in.bias\""));
    }
    SUBCASE("many missing") {
        folder.weights({{"conv_in.bias", good.at("conv_in.bias")}});
        CHECK(contains(folder.unet_message(), "\" and "));
        CHECK(contains(folder.unet_message(), " more"));
    }
    SUBCASE("one misnamed") {
        StateDict tensors = good;
        auto moved = tensors.extract("conv_in.bias");
        moved.key() = "conv_in.offset";
        tensors.insert(std::move(moved));
        folder.weights(tensors);
        CHECK(contains(folder.unet_message(),
                       "missing: \"conv_in.bias\"; the file has, unexpectedly, \"conv_in.offset\""));
    }
    SUBCASE("one unexpected") {
        StateDict tensors = good;
        tensors.emplace("conv_in.scale", HostTensor::make<float>({1}, {1}));
        folder.weights(tensors);
        CHECK(folder.unet_message() ==
              file + ": tensor \"conv_in.scale\" is not part of the model that config.json describes");
    }
    SUBCASE("one misshapen") {
        StateDict tensors = good;
        tensors["conv_in.bias"] = HostTensor::make<float>({9}, std::vector<float>(9));
        folder.weights(tensors);
        CHECK(folder.unet_message() == file + ": tensor \"conv_in.bias\" has shape [9], the model expects [8]");
    }
    SUBCASE("one with its axes exchanged") {
        StateDict tensors = good;
        tensors["conv_in.weight"] = HostTensor::make<float>({8, 3, 3, 4}, std::vector<float>(288));
        folder.weights(tensors);
        CHECK(folder.unet_message() ==
              file + ": tensor \"conv_in.weight\" has shape [8, 3, 3, 4], the model expects [8, 4, 3, 3]");
    }
    SUBCASE("one of integers") {
        StateDict tensors = good;
        tensors["conv_in.bias"] = HostTensor::make<std::int64_t>({8}, std::vector<std::int64_t>(8));
        folder.weights(tensors);
        CHECK(folder.unet_message() ==
              file + ": tensor \"conv_in.bias\" is of type int64, expected a floating-point type");
    }
    SUBCASE("a git-lfs pointer") {
        put_text(file, "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 3438354725\n");
        CHECK(contains(folder.unet_message(), file));
        CHECK(contains(folder.unet_message(), "git-lfs"));
    }
    SUBCASE("cut in the middle") {
        folder.weights(good);
        std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2);
        CHECK(contains(folder.unet_message(), file));
        CHECK(contains(folder.unet_message(), "truncated"));
    }
    SUBCASE("no weights") {
        CHECK(contains(folder.unet_message(), "no weights found"));
    }
    SUBCASE("no config") {
        folder.weights(good);
        std::filesystem::remove(folder / "config.json");
        CHECK(contains(folder.unet_message(), "config.json"));
    }
    SUBCASE("a config that is no JSON") {
        folder.weights(good);
        put_text(folder / "config.json", "{\"in_channels\": 4,}");
        CHECK(contains(folder.unet_message(), "config.json: not valid JSON at line 1"));
    }
}

TEST_CASE("an inflated checkpoint must hold its temporal parameters, a 2D one must not be taken for inflated") {
    Cpu cpu(1);
    const ModelFolder folder("golden/tuned/unet");
    StateDict tensors = reel::load_weights("golden/tuned/unet", reel::diffusers_weight_names);
    const std::string name = "mid_block.attentions.0.transformer_blocks.0.attn_temp.to_out.0.bias";
    REQUIRE(tensors.contains(name));
    tensors.erase(name);
    folder.weights(tensors);
    CHECK(contains(folder.unet_message(), "missing: \"" + name + "\""));
    CHECK_THROWS_WITH_AS(static_cast<void>(reel::load_unet_2d<float>(cpu, "golden/tuned/unet")),
                         "golden/tuned/unet: holds an inflated UNet, expected a 2D one", reel::Error);
}

TEST_CASE("inflation starts the temporal parameters as the reference does, from a seed") {
    Cpu cpu(1);
    const UNet a = reel::load_unet<float>(cpu, sd2_unet, 5);
    const UNet b = reel::load_unet<float>(cpu, sd2_unet, 5);
    const UNet c = reel::load_unet<float>(cpu, sd2_unet, 6);
    const UNet flat = reel::load_unet_2d<float>(cpu, sd2_unet);
    CHECK(same_parameters(a, b));
    CHECK_FALSE(same_parameters(a, c));
    CHECK_FALSE(flat.config.temporal);
    CHECK(a.config.temporal);
    std::map<std::string, Tensor<float>> base;
    reel::for_each_parameter(flat, [&](const std::string& name, const auto& p) { base.emplace(name, p.value()); });
    std::size_t temporal = 0;
    reel::for_each_parameter(a, [&](const std::string& name, const auto& p) {
        CAPTURE(name);
        const auto values = p.value().to_host();
        const auto all = [&](float value) {
            return std::all_of(values.begin(), values.end(), [&](float x) { return x == value; });
        };
        if (!reel::is_temporal_parameter(name)) {
            CHECK(same_bits(p.value(), base.at(name)));
            return;
        }
        ++temporal;
        if (name.ends_with("norm_temp.weight")) {
            CHECK(all(1));
        } else if (name.ends_with("norm_temp.bias") || name.ends_with("to_out.0.weight")) {
            CHECK(all(0));
        } else {
            const float bound = 1.0F / std::sqrt(static_cast<float>(p.spec().fan_in));
            const auto [low, high] = std::minmax_element(values.begin(), values.end());
            CHECK(*low >= -bound);
            CHECK(*high <= bound);
            CHECK(*low < 0);
            CHECK(*high > 0);
        }
    });
    CHECK(temporal == 7 * 16); // 2 layers on each of 3 levels down, 1 in the middle, 3 on each of 3 levels up
}

TEST_CASE("a saved UNet loads with the same bits") {
    Cpu cpu(1);
    const TemporaryFolder folder;
    for (const std::string model : {"sd1", "sd2"}) {
        const UNet unet = golden_unet<float>(cpu, model);
        for (const bool safetensors : {false, true}) {
            CAPTURE(model);
            CAPTURE(safetensors);
            const auto path = folder / (model + (safetensors ? "_safetensors" : "_bin"));
            reel::save_unet(unet, path, safetensors);
            CHECK(std::filesystem::exists(
                path / (safetensors ? "diffusion_pytorch_model.safetensors" : "diffusion_pytorch_model.bin")));
            const UNet again = reel::load_unet<float>(cpu, path);
            CHECK(same_parameters(unet, again));
            CHECK(reel::write_unet_config(again.config) == reel::write_unet_config(unet.config));
            // The file's own axis order: what was loaded from a 2D file comes out under the same name and shape.
            const auto saved = reel::load_weights(path, reel::diffusers_weight_names);
            for (const auto& [name, tensor] :
                 reel::load_weights(model_folder(model, "unet"), reel::diffusers_weight_names)) {
                CHECK(saved.at(name).shape == tensor.shape);
                CHECK(saved.at(name).to_vector<float>() == tensor.to_vector<float>());
            }
        }
    }
    const UNet flat = reel::load_unet_2d<float>(cpu, sd2_unet);
    reel::save_unet(flat, folder / "flat");
    CHECK(same_parameters(flat, reel::load_unet_2d<float>(cpu, folder / "flat")));
}

TEST_CASE("16-bit weights are the rounded ones, and 64-bit ones exact") {
    Cpu cpu(1);
    const TemporaryFolder folder;
    const UNet unet = golden_unet<float>(cpu, "sd1");
    for (const DType dtype : {DType::f16, DType::bf16, DType::f64}) {
        for (const bool safetensors : {false, true}) {
            CAPTURE(reel::name_of(dtype));
            CAPTURE(safetensors);
            const auto path = folder / (std::string(reel::name_of(dtype)) + (safetensors ? "s" : "b"));
            reel::save_unet(unet, path, safetensors, dtype);
            for (const auto& [name, tensor] : reel::load_weights(path, reel::diffusers_weight_names)) {
                REQUIRE(tensor.dtype == dtype);
            }
            const UNet again = reel::load_unet<float>(cpu, path);
            std::map<std::string, std::vector<float>> values;
            reel::for_each_parameter(
                again, [&](const std::string& name, const auto& p) { values.emplace(name, p.value().to_host()); });
            reel::for_each_parameter(unet, [&](const std::string& name, const auto& p) {
                auto expected = p.value().to_host();
                for (float& x : expected) {
                    x = dtype == DType::f16    ? static_cast<float>(reel::half(x))
                        : dtype == DType::bf16 ? static_cast<float>(reel::bfloat16(x))
                                               : x;
                }
                CHECK(values.at(name) == expected);
            });
        }
    }
    const auto& weight = unet.conv_in.bias;
    CHECK_THROWS_WITH_AS(static_cast<void>(reel::to_file_tensor(weight.value(), weight.spec(), DType::i64)),
                         "weights cannot be saved as int64; expected float32, float16, bfloat16 or float64",
                         reel::Error);
}

TEST_CASE("saving fails with one message and leaves nothing half-written") {
    Cpu cpu(1);
    const TemporaryFolder folder;
    const UNet unet = golden_unet<float>(cpu, "sd1");
    put_text(folder / "file", "not a folder");
    CHECK_THROWS_AS(reel::save_unet(unet, folder / "file"), reel::Error);
    UNet undefined(unet.config);
    CHECK(contains(message_of<reel::Error>([&] { reel::save_unet(undefined, folder / "undefined"); }),
                   "\"conv_in.weight\" has no value yet"));
    CHECK_FALSE(std::filesystem::exists(folder / "undefined" / "diffusion_pytorch_model.bin"));
    CHECK_FALSE(std::filesystem::exists(folder / "undefined" / "config.json"));
}

TEST_CASE("the autoencoder's attention loads under old and new names") {
    Cpu cpu(1);
    const std::string original = model_folder("sd2", "vae");
    const auto expected = reel::load_autoencoder_kl<float>(cpu, original);
    StateDict tensors;
    std::size_t renamed = 0;
    for (const auto& [name, tensor] : reel::load_weights(original, reel::diffusers_weight_names)) {
        std::string later = name;
        for (const auto& [from, to] : {std::pair{".query.", ".to_q."}, std::pair{".key.", ".to_k."},
                                       std::pair{".value.", ".to_v."}, std::pair{".proj_attn.", ".to_out.0."}}) {
            if (const std::size_t at = later.find(from); at != std::string::npos) {
                later.replace(at, std::string_view(from).size(), to);
                ++renamed;
            }
        }
        tensors.emplace(later, tensor);
    }
    CHECK(renamed == 16);
    const ModelFolder folder(original);
    folder.weights(tensors);
    CHECK(same_parameters(expected, reel::load_autoencoder_kl<float>(cpu, folder.path())));
    tensors.emplace("encoder.mid_block.attentions.0.query.weight",
                    tensors.at("encoder.mid_block.attentions.0.to_q.weight"));
    folder.weights(tensors);
    CHECK(contains(
        message_of<reel::Error>([&] { static_cast<void>(reel::load_autoencoder_kl<float>(cpu, folder.path())); }),
        "two tensors give the parameter \"encoder.mid_block.attentions.0.query.weight\""));
}

TEST_CASE("the text encoder's position_ids are ignored, and nothing else is") {
    Cpu cpu(1);
    const std::string original = model_folder("sd1", "text_encoder");
    const auto expected = reel::load_clip_text_model<float>(cpu, original);
    StateDict tensors = reel::load_weights(original, reel::transformers_weight_names);
    std::vector<std::int64_t> positions(77);
    tensors["text_model.embeddings.position_ids"] = HostTensor::make({1, 77}, positions);
    const ModelFolder folder(original);
    folder.weights(tensors, "model.safetensors");
    CHECK(same_parameters(expected, reel::load_clip_text_model<float>(cpu, folder.path())));
    tensors.erase("text_model.embeddings.position_ids");
    folder.weights(tensors, "model.safetensors");
    CHECK(same_parameters(expected, reel::load_clip_text_model<float>(cpu, folder.path())));
    tensors.emplace("text_projection.weight", HostTensor::make<float>({1}, {1}));
    folder.weights(tensors, "model.safetensors");
    CHECK(contains(
        message_of<reel::Error>([&] { static_cast<void>(reel::load_clip_text_model<float>(cpu, folder.path())); }),
        "\"text_projection.weight\" is not part of the model"));
}

TEST_CASE("the text encoder's names may lack their prefix, as transformers writes them from 5.6 on") {
    Cpu cpu(1);
    const std::string original = model_folder("sd1", "text_encoder");
    const auto expected = reel::load_clip_text_model<float>(cpu, original);
    StateDict tensors;
    for (const auto& [name, tensor] : reel::load_weights(original, reel::transformers_weight_names)) {
        REQUIRE(name.starts_with("text_model."));
        tensors.emplace(name.substr(std::string("text_model.").size()), tensor);
    }
    tensors["embeddings.position_ids"] = HostTensor::make<std::int64_t>({1, 77}, std::vector<std::int64_t>(77));
    const ModelFolder folder(original);
    folder.weights(tensors, "model.safetensors");
    CHECK(same_parameters(expected, reel::load_clip_text_model<float>(cpu, folder.path())));
}

TEST_CASE("a UNet with an adapter attached loads with it merged, and nothing else of it is left over") {
    Cpu cpu(1);
    const StateDict plain = reel::load_weights(model_folder("sd1", "unet"), reel::diffusers_weight_names);
    StateDict attached = plain;
    StateDict merged = plain;
    for (const std::string module : {"down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
                                     "down_blocks.0.resnets.0.conv1", "mid_block.attentions.0.proj_in"}) {
        const HostTensor weight = plain.at(module + ".weight");
        std::vector<std::int64_t> down = weight.shape;
        std::vector<std::int64_t> up = weight.shape;
        down[0] = 1;
        std::fill(up.begin() + 1, up.end(), 1);
        std::size_t row = 1;
        for (std::size_t axis = 1; axis < weight.shape.size(); ++axis) {
            row *= static_cast<std::size_t>(weight.shape[axis]);
        }
        const auto rows = static_cast<std::size_t>(weight.shape[0]);
        std::vector<float> values = weight.to_vector<float>();
        for (float& value : values) {
            value += 0.5F * 0.25F; // alpha / 1 times the factors' product
        }
        merged.insert_or_assign(module + ".weight", HostTensor::make<float>(weight.shape, values));
        for (const std::string end : {".weight", ".bias"}) {
            if (auto entry = attached.extract(module + end); !entry.empty()) {
                entry.key() = module + ".base_layer" + end;
                attached.insert(std::move(entry));
            }
        }
        attached.emplace(module + ".lora_A.default.weight",
                         HostTensor::make<float>(down, std::vector<float>(row, 0.25F)));
        attached.emplace(module + ".lora_B.default.weight",
                         HostTensor::make<float>(up, std::vector<float>(rows, 1.0F)));
    }
    const ModelFolder one(model_folder("sd1", "unet"));
    one.weights(attached);
    const auto load = [&](const std::filesystem::path& folder) { return reel::load_unet_2d<float>(cpu, folder); };
    CHECK(contains(message_of<reel::Error>([&] { static_cast<void>(load(one.path())); }), "is still attached"));
    reel::write_json(one / "adapter_config.json", {{"lora_alpha", 0.5}, {"peft_type", "LORA"}});
    const ModelFolder two(model_folder("sd1", "unet"));
    two.weights(merged);
    CHECK(same_parameters(load(one.path()), load(two.path())));
    attached.emplace("conv_in.modules_to_save.default.weight", HostTensor::make<float>({1}, {1}));
    one.weights(attached);
    CHECK(contains(message_of<reel::Error>([&] { static_cast<void>(load(one.path())); }), "is not part of the model"));
}

TEST_CASE("what needs a copy is read from its file when it is used, and nothing else is copied") {
    Cpu cpu(1);
    UNet unet = reel::load_unet<float>(cpu, sd2_unet); // a file of float32
    const auto count = [](const auto& model) {
        std::size_t waiting = 0;
        reel::for_each_parameter(model, [&](const std::string&, const auto& parameter) {
            const bool conv = parameter.spec().layout == reel::ParameterLayout::conv;
            waiting += parameter.waits() ? 1 : 0;
            CHECK((conv || !parameter.waits()));
        });
        return waiting;
    };
    CHECK(count(unet) > 10);
    CHECK(unet.conv_in.weight.waits());
    const double timestep = 1;
    const auto text = Tensor<float>::zeros(cpu, {1, 2, unet.config.cross_attention_dim});
    static_cast<void>(unet(Tensor<float>::zeros(cpu, {1, 8, 8, 4}), std::span<const double>(&timestep, 1), text, 1));
    CHECK(count(unet) == 0);
    CHECK(same_parameters(unet, reel::load_unet<float>(cpu, sd2_unet)));
    CHECK(reel::load_unet<reel::bfloat16>(cpu, sd2_unet).conv_in.bias.waits()); // another type
}

TEST_CASE("training writes to a copy of what is mapped from a file") {
    Cpu cpu(1);
    const UNet original = reel::load_unet<float>(cpu, sd2_unet);
    UNet tuned = original;
    static_cast<void>(reel::set_trainable_modules(tuned, {"attn1.to_q"}));
    reel::for_each_parameter(tuned, [](const std::string&, const auto& parameter) {
        if (parameter.requires_grad()) {
            CHECK(parameter.value().owns_memory());
            parameter.value().fill(7);
        }
    });
    CHECK(same_parameters(original, reel::load_unet<float>(cpu, sd2_unet)));
}

TEST_CASE("trainable_modules choose by the ends of module names, and count") {
    Cpu cpu(1);
    UNet unet = reel::load_unet<float>(cpu, model_folder("sd1", "unet"));
    const auto count = [&](const std::vector<std::string>& modules) {
        return reel::set_trainable_modules(unet, modules);
    };
    // sd1_tiny has transformers of width 8: levels 0, 1 down, 2 in each of levels 2, 3 up; of width 16: level 2 down,
    // the middle, 2 in level 1 up.
    constexpr reel::index_t narrow = 6 * 8 * 8;
    constexpr reel::index_t wide = 4 * 16 * 16;
    constexpr reel::index_t biases = 6 * 8 + 4 * 16;
    CHECK(count({"attn1.to_q"}) == narrow + wide);
    CHECK(count({"attn1.to_q", "attn2.to_q"}) == 2 * (narrow + wide));
    CHECK(count({"attn_temp"}) == 4 * (narrow + wide) + biases);
    CHECK(count({"attn1.to_q", "attn2.to_q", "attn_temp"}) == 6 * (narrow + wide) + biases);
    std::size_t tensors = 0;
    reel::for_each_parameter(unet, [&](const std::string& name, const auto& parameter) {
        tensors += parameter.requires_grad() ? 1 : 0;
        if (name.find("norm_temp") != std::string::npos) {
            CHECK_FALSE(parameter.requires_grad()); // as in the reference: its name ends otherwise
        }
    });
    CHECK(tensors == 70);
    CHECK(count({}) == 0);
    CHECK_FALSE(reel::trains(unet));
    CHECK(contains(message_of<reel::Error>([&] {
                       static_cast<void>(count({"attn1.to_q", "attn3"}));
                   }),
                   "trainable_modules: no module's name ends with \"attn3\""));
}

TEST_CASE("random weights are those of initialize(), written without a model that holds them") {
    Cpu cpu(1);
    const TemporaryFolder folder;
    const auto config = reel::read_unet_config(reel::ConfigReader::from_file(sd2_unet + "/config.json"));
    const UNet empty(config);
    const auto loaded = [&](const std::filesystem::path& path) {
        UNet unet(config);
        reel::load_parameters(unet, cpu, reel::read_safetensors(path), path.string());
        return unet;
    };
    const std::filesystem::path file = folder / "weights.safetensors";
    reel::write_safetensors(file, reel::random_weights(empty, cpu, 5));
    reel::for_each_parameter(empty, [](const std::string&, const auto& p) { CHECK_FALSE(p.defined()); });
    UNet expected(config);
    reel::initialize(expected, cpu, 5);
    CHECK(same_parameters(loaded(file), expected));
    reel::write_safetensors(file, reel::random_weights(empty, cpu, 6));
    CHECK_FALSE(same_parameters(loaded(file), expected));

    reel::write_safetensors(file, reel::random_weights(empty, cpu, 5, DType::f16));
    const StateDict halves = reel::read_safetensors(file);
    const auto of_expected = reel::parameter_sources(expected, DType::f16);
    REQUIRE(halves.size() == of_expected.size());
    for (const reel::TensorSource& source : of_expected) {
        const HostTensor& half = halves.at(source.name);
        CHECK(half.dtype == DType::f16);
        CHECK(std::ranges::equal(half.bytes(), source.load().bytes()));
    }
}
