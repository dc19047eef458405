// Structs of options: one list gives files, manifests and checks.

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <reel/io/config/options.hpp>
#include <reel/pipelines/tune_config.hpp>

#include "io/temporary_folder.hpp"

using namespace reel_test;

namespace {

enum class Shape { round, square };

inline constexpr std::array shape_names{reel::NamedValue{"round", Shape::round},
                                        reel::NamedValue{"square", Shape::square}};

[[nodiscard]] constexpr const auto& names_of(Shape) {
    return shape_names;
}

struct Brush {
    double radius = 1.5;
    Shape shape = Shape::round;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(reel::Option{"brush_radius", "in pixels", reel::above_to(0, 100)}, self.radius);
        visit(reel::Option{"brush_shape", "of its tip"}, self.shape);
    }
};

/// Every type of value that an option may have.
struct Paint {
    std::string file = "out.png";
    std::vector<std::string> layers{"sky"};
    std::vector<double> weights{0.5, 1};
    std::optional<std::string> title;
    std::optional<std::uint64_t> seed;
    int width = 64;
    bool wet = false;
    Brush brush;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(reel::Option{"file", "to write", {}, "path"}, self.file);
        visit(reel::Option{"layers", "from the back", {}, "layer"}, self.layers);
        visit(reel::Option{"weights", "of layers", reel::at_least(0)}, self.weights);
        visit(reel::Option{"title", "below"}, self.title);
        visit(reel::Option{"seed", "of splashes"}, self.seed);
        visit(reel::Option{"width", "pixels", reel::picture_side}, self.width);
        visit(reel::Option{"wet", "or dry"}, self.wet);
        visit(reel::OptionGroup{"brush"}, self.brush);
    }

    void check(const reel::KeyLocator& locate) const {
        reel::require(layers.size() <= weights.size(), locate("weights"), ": expected one for every layer");
    }
};

Paint read(const std::string& text) {
    reel::YamlReader reader(reel::parse_yaml(text, "p.yaml"), "p.yaml");
    Paint paint;
    reel::read_options(reader, paint);
    reader.finish();
    return paint;
}

std::string refused(const std::string& text) {
    return message_of<reel::Error>([&] { static_cast<void>(read(text)); });
}

std::string out_of_range(const auto& change) {
    Paint paint;
    change(paint);
    return message_of<reel::Error>(
        [&] { reel::check_options(paint, [](std::string_view key) { return "p: " + std::string(key); }); });
}

} // namespace

TEST_CASE("options are read from YAML by name, and what is absent stays") {
    const Paint paint = read("file: a.png\nlayers: [sea, sky]\nweights: [1, .25]\ntitle: dusk\nseed: 7\nwet: yes\n"
                             "brush:\n  brush_shape: square\n");
    CHECK(paint.file == "a.png");
    CHECK(paint.layers == std::vector<std::string>{"sea", "sky"});
    CHECK(paint.weights == std::vector<double>{1, 0.25});
    CHECK(paint.title == "dusk");
    CHECK(paint.seed == 7);
    CHECK(paint.width == 64);
    CHECK(paint.wet);
    CHECK(paint.brush.shape == Shape::square);
    CHECK(paint.brush.radius == 1.5);
    CHECK_FALSE(read("title: null\nbrush: {}\n").title.has_value());
}

TEST_CASE("what cannot be read says file, line, key and what was expected") {
    CHECK(refused("widt: 3\nbrush: {}\n") == "p.yaml:1: widt: unknown key (did you mean \"width\"?)");
    CHECK(refused("file: x\nbrush:\n  brush_shape: sqare\n") ==
          "p.yaml:3: brush.brush_shape: expected one of round, square, found \"sqare\" (did you mean \"square\"?)");
    CHECK(contains(refused("width: wide\nbrush: {}\n"), "p.yaml:1: width: expected an integer"));
    CHECK(contains(refused("brush:\n  brush_size: 3\n"), "p.yaml:2: brush.brush_size: unknown key"));
    CHECK(contains(refused("weights: 3\nbrush: {}\n"), "weights: expected a list, each item a number"));
}

TEST_CASE("ranges are checked, with the place in the message") {
    CHECK(out_of_range([](Paint&) {}).empty());
    CHECK(out_of_range([](Paint& p) { p.width = 60; }) ==
          "p: width: expected a multiple of 8 from 8 to 16384 (pixels), found 60");
    CHECK(out_of_range([](Paint& p) { p.brush.radius = 0; }) ==
          "p: brush.brush_radius: expected a number above 0 and at most 100, found 0");
    CHECK(contains(out_of_range([](Paint& p) { p.brush.radius = std::nan(""); }), "found nan"));
    CHECK(contains(out_of_range([](Paint& p) { p.weights = {1, -1}; }), "p: weights: expected at least 0, found -1"));
    CHECK(contains(out_of_range([](Paint& p) { p.file.clear(); }), "p: file: expected a path, found nothing"));
    CHECK(contains(out_of_range([](Paint& p) { p.layers.clear(); }), "expected at least one layer, found none"));
    CHECK(contains(out_of_range([](Paint& p) { p.layers = {""}; }), "expected layers, found an empty one"));
    CHECK(contains(out_of_range([](Paint& p) { p.title = "${x}"; }), "p: title: holds an interpolation"));
    CHECK(contains(out_of_range([](Paint& p) { p.weights = {}; }), "p: weights: expected one for every layer"));
    CHECK(reel::from_below(0, 1).text() == "a number from 0 and below 1");
    CHECK(reel::above(0).text() == "a number above 0");
    CHECK_FALSE(reel::from_below(0, 1).contains(1));
    CHECK(reel::from_to(0, 1).contains(1));
    CHECK_FALSE(reel::above(0).contains(0));
}

TEST_CASE("options as JSON and as YAML hold every value; what is written reads back") {
    Paint paint;
    paint.seed = 18446744073709551615ULL;
    paint.brush.shape = Shape::square;
    const nlohmann::json json = reel::options_json(paint);
    CHECK(json == nlohmann::json{{"file", "out.png"},
                                 {"layers", {"sky"}},
                                 {"weights", {0.5, 1.0}},
                                 {"title", nullptr},
                                 {"seed", 18446744073709551615ULL},
                                 {"width", 64},
                                 {"wet", false},
                                 {"brush", {{"brush_radius", 1.5}, {"brush_shape", "square"}}}});
    const std::string text = reel::options_yaml(paint);
    CHECK(contains(text, "brush:\n  brush_radius: 1.5\n  brush_shape: \"square\"\n"));
    CHECK(contains(text, "weights:\n  - 0.5\n  - 1.0\n"));
    CHECK(reel::options_json(read(text)) == json);
    CHECK(reel::option_names<Brush>() == std::vector<std::string>{"brush_radius", "brush_shape"});
}

TEST_CASE("every option of an edit has a name of its own and a text, and its default is in range") {
    std::set<std::string> names;
    const auto look = [&](const reel::Option& option, const auto&, const std::string& path) {
        CHECK(names.insert(path).second);
        CHECK_FALSE(option.text.empty());
    };
    const reel::EditOptions edit;
    reel::for_each_option(edit, look);
    const reel::SamplingOptions sampling;
    reel::for_each_option(sampling, look);
    const reel::TuneOptions tuning;
    reel::for_each_option(tuning, look);
    reel::check_options(edit);
    reel::check_options(sampling);
    reel::check_options(tuning);
    CHECK(names.size() == 36 + 16 + 6 + 22);
}

TEST_CASE("an edit's options that contradict each other are refused") {
    const auto error = [](const auto& change) {
        reel::EditOptions edit;
        change(edit);
        return message_of<reel::Error>([&] {
            const auto option = [](std::string_view key) { return "--" + std::string(key); };
            reel::check_options(edit, option);
            edit.check_steps({.num_inference_steps = 3, .num_inv_steps = 4}, option);
        });
    };
    using E = reel::EditOptions;
    CHECK(error([](E&) {}).empty());
    CHECK(error([](E& e) { e.delta.weakest = 0.8; }) ==
          "--delta_weakest: expected at most --delta_strongest, 0.75, found 0.8");
    CHECK(contains(error([](E& e) {
                       e.start = reel::EditStart::noise;
                       e.mask = reel::MaskKind::difference;
                       e.mask_options.noise = reel::MaskNoise::inversion;
                   }),
                   "--mask_noise inversion: with --start noise nothing is inverted"));
    CHECK(contains(error([](E& e) { e.mask = reel::MaskKind::delta; }),
                   "--mask delta: --num_inv_steps is 4 and --num_inference_steps 3; they must be equal"));
    CHECK(contains(error([](E& e) { e.user_mask.polygons = {"0,0,1,0,1,1"}; }),
                   "--mask_polygon: --num_inv_steps is 4 and --num_inference_steps 3; they must be equal"));
    CHECK(contains(error([](E& e) { e.user_mask.grow = 1; }), "--mask_grow: there is no mask to work on"));
    CHECK(contains(error([](E& e) { e.guidance_interval = {}; }), "--guidance_interval: expected at least one number"));
    for (const std::vector<double>& wrong : {std::vector<double>{0.5}, {0.6, 0.4}, {0.5, 0.5}, {0, 0.5, 1}}) {
        CHECK(contains(error([&](E& e) { e.guidance_interval = wrong; }),
                       "--guidance_interval: expected two shares of the steps, the first below the second"));
    }
    CHECK(contains(error([](E& e) { e.guidance_interval = {-0.1, 0.5}; }), "--guidance_interval"));
    CHECK(contains(error([](E& e) {
                       e.guidance_interval = {0, 0.5};
                       e.control.excite_words = {"racket"};
                   }),
                   "--guidance_interval: what steers an edit by its attention looks at guidance's halves"));
}
