#include <reel/metrics/clip_similarity.hpp>

#include "io/temporary_folder.hpp"
#include "support/golden.hpp"

using namespace reel_test;
using reel::Cpu;
using reel::Frames;
using reel::Tensor;
using namespace reel::metrics;
using nlohmann::json;

namespace {

const std::filesystem::path folder = "metrics/golden/clip";

/// clip() of make_clip_golden.py.
Frames golden_clip() {
    Frames clip = reel::make_frames(3, 40, 52);
    for (int f = 0; f < clip.count; ++f) {
        for (int y = 0; y < clip.height; ++y) {
            for (int x = 0; x < clip.width; ++x) {
                for (int c = 0; c < 3; ++c) {
                    const double wave =
                        128 + 90 * std::sin(0.31 * x + 0.9 * f + c) * std::cos(0.23 * y - 0.4 * f * (c + 1));
                    clip.pixel(f, y, x)[c] = static_cast<std::uint8_t>(std::floor(wave));
                }
            }
        }
    }
    return clip;
}

const reel::StateDict& expected() {
    static const reel::StateDict tensors = reel::read_safetensors(folder / "expected.safetensors");
    return tensors;
}

ClipPreprocessing preprocessing() {
    return read_clip_preprocessing(reel::ConfigReader::from_file(folder / "preprocessor_config.json"));
}

/// The folder with the tokenizer whose ids the golden file has.
void copy_scorer(const std::filesystem::path& target) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        std::filesystem::copy(entry.path(), target);
    }
    for (const auto& entry : std::filesystem::directory_iterator("golden/sd1_tiny/tokenizer")) {
        std::filesystem::copy(entry.path(), target);
    }
}

std::string error_of(const auto& action) {
    return message_of<reel::Error>([&] { static_cast<void>(action()); });
}

} // namespace

TEST_CASE("preprocessing equals CLIPImageProcessor's") {
    Cpu cpu(1);
    const auto pixels = clip_pixels<double>(cpu, golden_clip(), preprocessing());
    CHECK(pixels.shape() == reel::Shape{3, 32, 32, 3});
    const auto first = pixels.slice(0, 1).to_host();
    const auto golden = numbers(expected().at("pixels0"));
    double largest = 0;
    for (std::size_t i = 0; i < first.size(); ++i) {
        largest = std::max(largest, std::abs(first[i] - golden[i]));
    }
    MESSAGE("largest difference of a pixel: ", largest); // a level is 0.0142 and more
    CHECK(largest < 1e-5);
    const auto all = pixels.to_host();
    std::vector<double> sums(9);
    for (std::size_t i = 0; i < all.size(); ++i) {
        sums[i / (32 * 32 * 3) * 3 + i % 3] += all[i];
    }
    const auto golden_sums = numbers(expected().at("pixel_sums"));
    for (std::size_t i = 0; i < 9; ++i) {
        CHECK(std::abs(sums[i] - golden_sums[i]) < 1e-2);
    }
    // An upright picture is cropped at the top and bottom.
    Frames upright = reel::make_frames(1, 64, 32);
    std::fill_n(upright.pixel(0, 16, 0), 32 * 32 * 3, std::uint8_t{200});
    CHECK(clip_crop(upright, preprocessing()).rgb == std::vector<std::uint8_t>(32 * 32 * 3, 200));
}

TEST_CASE("both towers and the metrics agree with transformers") {
    Cpu cpu(1);
    TemporaryFolder copy;
    copy_scorer(copy.path());
    const auto scorer = ClipScorer<float>::load(cpu, copy.path());
    Agreement agreement("CLIP, float", 1e-5);
    const auto seen = scorer.model.vision(clip_pixels<float>(cpu, golden_clip(), scorer.preprocessing));
    agreement.check("last_hidden_state", relative_error(seen.last_hidden_state, expected().at("last_hidden_state")));
    agreement.check("pooled", relative_error(seen.pooled, expected().at("pooled")));
    agreement.check("image_features",
                    relative_error(scorer.model.visual_projection(seen.pooled), expected().at("image_features")));
    const auto stored = numbers(expected().at("input_ids"));
    const std::vector<std::int32_t> ids(stored.begin(), stored.end());
    agreement.check("text_features",
                    relative_error(scorer.model.text_features(ids, 2), expected().at("text_features")));

    const auto consistency = numbers(expected().at("consistency"));
    const auto alignment = numbers(expected().at("alignment"));
    const std::vector<std::string> prompts{"a man is skiing", "wonder woman is swinging a tennis racket"};
    for (std::size_t i = 0; i < prompts.size(); ++i) {
        const ClipMeasures m = scorer.measure(golden_clip(), prompts[i]);
        CHECK(std::abs(m.neighbours - consistency[0]) < 1e-5);
        CHECK(std::abs(m.pairs - consistency[1]) < 1e-5);
        CHECK(std::abs(m.text - alignment[i]) < 1e-3);
    }
    const Frames one = reel::make_frames(1, 40, 40);
    CHECK(std::isnan(scorer.measure(one, "x").pairs));
    CHECK(std::isnan(scorer.measure(one, "x").neighbours));
    CHECK(contains(error_of([&] {
                       return scorer.model.vision(Tensor<float>::zeros(cpu, {1, 31, 32, 3}));
                   }),
                   "expected [pictures, 32, 32, 3]"));
}

TEST_CASE("means of cosines, by hand") {
    const Embeddings frames{2, {1, 0, 0.6, 0.8, 0, 1}};
    CHECK(neighbour_consistency(frames) == doctest::Approx((0.6 + 0.8) / 2));
    CHECK(pair_consistency(frames) == doctest::Approx((0.6 + 0.8 + 0) / 3));
    CHECK(text_alignment(frames, {2, {1, 0}}) == doctest::Approx(160.0 / 3));
    Cpu cpu(1);
    const auto rows = Tensor<double>::from_host(cpu, {2, 2}, {3, 4, 0, -2});
    CHECK(unit_rows(rows).values == std::vector<double>{0.6, 0.8, 0, -1});
    CHECK(contains(error_of([&] { return unit_rows(Tensor<double>::zeros(cpu, {1, 3})); }), "row 0 has the length 0"));
    CHECK(contains(error_of([&] { return cosine(frames, 3, frames, 0); }), "cosine: rows 3 and 0"));
}

TEST_CASE("a prompt ends at the first of its largest ids") {
    const std::vector<std::int32_t> ids{7, 3, 9, 9, 7, 9, 1, 1};
    CHECK(reel::end_positions(ids, 2) == std::vector<std::size_t>{2, 1});
    CHECK_THROWS_AS(static_cast<void>(reel::end_positions(ids, 3)), reel::Error);
}

TEST_CASE("CLIP's configurations: defaults, older forms, and what is not supported") {
    const auto read = [](const json& config) { return reel::read_clip_config({config, "config.json"}); };
    const auto base = read(json::parse(R"({"model_type": "clip", "text_config": null, "vision_config": {}})"));
    CHECK(base.text.hidden_size == 512);
    CHECK(base.vision.hidden_size == 768);
    CHECK(base.vision.tokens() == 50);
    CHECK(base.projection_dim == 512);
    CHECK(reel::parameter_count(reel::CLIPModel<float>(base)) == 151'277'313); // ViT-B/32
    const auto large = read(json::parse(R"({"model_type": "clip", "projection_dim": 768,
        "text_config_dict": {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12},
        "vision_config": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
                          "num_attention_heads": 16, "patch_size": 14}})"));
    CHECK(reel::parameter_count(reel::CLIPModel<float>(large)) == 427'616'513); // ViT-L/14
    const auto message = [&](const char* text) { return error_of([&] { return read(json::parse(text)); }); };
    CHECK(contains(message(R"({"vision_config": {"patch_sise": 14}})"), "did you mean \"patch_size\"?"));
    CHECK(
        contains(message(R"({"vision_config": {"hidden_act": "relu"}})"), "vision_config: \"hidden_act\" is \"relu\""));
    CHECK(contains(message(R"({"vision_config": {"patch_size": 0}})"), "\"patch_size\" is 0, expected 1 to 224"));
    CHECK(contains(message(R"({"vision_config": {"num_attention_heads": 5}})"), "is not a multiple"));
    CHECK(contains(message(R"({"text_config": 3})"), "\"text_config\" is no JSON object"));
    CHECK(contains(message(R"({"model_type": "siglip"})"), "\"model_type\" is \"siglip\""));
}

TEST_CASE("preprocessor_config.json: old and new forms, and what is not supported") {
    const auto read = [](const char* text) { return read_clip_preprocessing({json::parse(text), "p.json"}); };
    const auto old = read(R"({"crop_size": 224, "size": 224, "do_center_crop": true, "do_normalize": true,
        "do_resize": true, "feature_extractor_type": "CLIPFeatureExtractor", "resample": 3,
        "image_mean": [0.5, 0.4, 0.3], "image_std": [0.1, 0.2, 0.3]})");
    CHECK(old.size == 224);
    CHECK(old.mean[2] == 0.3);
    CHECK(old.deviation[1] == 0.2);
    const auto recent = read(R"({"crop_size": {"height": 336, "width": 336}, "size": {"shortest_edge": 340},
        "rescale_factor": 0.00392156862745098, "do_rescale": true, "image_processor_type": "CLIPImageProcessor"})");
    CHECK(recent.crop == 336);
    CHECK(recent.size == 340);
    const auto message = [&](const char* text) { return error_of([&] { return read(text); }); };
    CHECK(contains(message(R"({"resample": 2})"), "\"resample\" is 2"));
    CHECK(contains(message(R"({"do_center_crop": false})"), "\"do_center_crop\" is false"));
    CHECK(contains(message(R"({"crop_size": 225})"), "crop_size 225 and size 224"));
    CHECK(contains(message(R"({"crop_size": {"height": 224, "width": 200}})"), "\"width\" is 200"));
    CHECK(contains(message(R"({"rescale_factor": 1.0})"), "only 1/255"));
    CHECK(contains(message(R"({"image_mean": [1]})"), "has 1 entries"));
    CHECK(contains(message(R"({"image_std": [1, 0, 1]})"), "not above 0"));
}

TEST_CASE("a CLIP folder with something missing or not fitting is an error that names it") {
    Cpu cpu(1);
    TemporaryFolder copy;
    copy_scorer(copy.path());
    const auto message = [&] { return error_of([&] { return ClipScorer<float>::load(cpu, copy.path()); }); };
    put_text(copy / "preprocessor_config.json", R"({"size": 64, "crop_size": 64})");
    CHECK(contains(message(), "crops to 64 pixels, config.json expects 32"));
    std::filesystem::remove(copy / "preprocessor_config.json");
    CHECK(contains(message(), "preprocessor_config.json"));
    // The text encoder of a Stable Diffusion folder is no whole CLIP.
    std::filesystem::copy_file("golden/sd1_tiny/text_encoder/pytorch_model.bin", copy / "pytorch_model.bin",
                               std::filesystem::copy_options::overwrite_existing);
    CHECK(contains(message(), "tensors are missing"));
}
