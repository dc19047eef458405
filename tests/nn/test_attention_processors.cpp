#include <doctest/doctest.h>

#include <set>

#include <reel/autograd/losses.hpp>

#include "nn/exchanged_parts.hpp"

using namespace reel;
using namespace exchanged;

namespace {

template <class T>
double bound() {
    return sizeof(T) == 8 ? 1e-12 : (sizeof(T) == 4 ? 1e-4 : 0.15);
}

/// Whole, in pieces, recorded, and whole again with the layer's own attention.
template <class T, class Processor>
void check_processor(const char* layers, const Processor& processor, Couples couples, bool changes) {
    Cpu cpu(2);
    auto model = transformer<T, DefaultParts>(cpu);
    const auto x = randoms<T>(cpu, {8, 6, 5, 16}, 1);
    const auto text = randoms<T>(cpu, {2, 7, 12}, 2);
    cpu.piece_bytes = never;
    const auto plain = model(x, text, 4);
    CHECK(set_attn_processor(model, layers, processor, couples) == 2); // the model has two blocks
    const auto whole = model(x, text, 4);
    CHECK((difference(whole, plain) > bound<T>()) == changes);
    CHECK(difference(whole, model(Variable<T>(x), Variable<T>(text), 4).value()) == 0);
    for (const std::size_t bytes : {tiny, 16 * tiny}) {
        cpu.piece_bytes = bytes;
        CHECK(difference(whole, model(x, text, 4)) < bound<T>());
    }
    set_default_attn_processor(model);
    cpu.piece_bytes = never;
    CHECK(difference(plain, model(x, text, 4)) == 0);
}

const auto by_probabilities = [](const auto& attention) { return attention.attend_with(attention.probabilities()); };
const auto sharper = [](const auto& attention) {
    return attention.attend(attention.query * 3.0, attention.key, attention.value);
};
/// Prompt-to-prompt's idea: the second clip of a call attends where the first does.
const auto as_first_clip = [](const auto& attention) {
    const auto p = attention.probabilities();
    const index_t frames = p.shape(0) / attention.piece.clips;
    const auto first = p.slice(0, frames);
    return attention.attend_with(concat_rows({first, first}));
};

} // namespace

TEST_CASE_TEMPLATE("processors give the same whole, in pieces and recorded", T, float, double, bfloat16) {
    for (const char* layers : {"attn1", "attn2", "attn_temp"}) {
        CAPTURE(layers);
        check_processor<T>(
            layers, [](const auto& attention) { return attention.attend(); }, Couples::everything, false);
        check_processor<T>(layers, by_probabilities, Couples::everything, false);
        check_processor<T>(layers, by_probabilities, Couples::nothing, false);
        check_processor<T>(layers, sharper, Couples::nothing, true);
        check_processor<T>(layers, sharper, Couples::clip, true);
    }
    check_processor<T>("attn2", as_first_clip, Couples::everything, true);
}

TEST_CASE("gradients go through a processor") {
    Cpu cpu(1);
    auto model = transformer<double, DefaultParts>(cpu);
    const auto x = randoms<double>(cpu, {6, 3, 2, 16}, 1);
    const auto text = randoms<double>(cpu, {2, 7, 12}, 2);
    const auto gradients = [&] {
        const auto leaf = Variable<double>::leaf(x);
        const auto words = Variable<double>::leaf(text);
        backward(sum(square(model(leaf, words, 3))));
        return std::pair{leaf.grad(), words.grad()};
    };
    const auto [of_x, of_text] = gradients();
    for (const char* layers : {"attn1", "attn2", "attn_temp"}) {
        set_attn_processor(model, layers, by_probabilities);
    }
    const auto [again_x, again_text] = gradients();
    CHECK(difference(of_x, again_x) < 1e-9);
    CHECK(difference(of_text, again_text) < 1e-9);
}

TEST_CASE("probabilities sum to 1, are 0 for keys that are not there, and those of words are columns") {
    Cpu cpu(1);
    auto model = transformer<double, DefaultParts>(cpu);
    const auto x = randoms<double>(cpu, {8, 3, 2, 16}, 1);
    const auto text = randoms<double>(cpu, {2, 7, 12}, 2);
    std::map<std::string, Tensor<double>> maps;
    const auto keep = [&](const LayerAttention<Tensor<double>>& attention) {
        maps[attention.name] = attention.probabilities();
        return attention.attend();
    };
    set_attn_processor(
        model, [](const std::string&) { return true; }, keep);
    static_cast<void>(model(x, text, 4));
    CHECK(maps.size() == 6);
    CHECK(maps.at("transformer_blocks.1.attn2").shape() == Shape{8, 2, 6, 7});
    CHECK(maps.at("transformer_blocks.0.attn1").shape() == Shape{8, 2, 6, 12}); // of the first and the former frame
    CHECK(maps.at("transformer_blocks.0.attn_temp").shape() == Shape{2 * 6, 2, 4, 4});
    for (const auto& [name, map] : maps) {
        CAPTURE(name);
        for (const double total : sum(map, -1).to_host()) {
            CHECK(total == doctest::Approx(1));
        }
    }
    const auto own = maps.at("transformer_blocks.0.attn1").to_host();
    CHECK(own[6] == 0); // frame 0 sees the first frame once
    CHECK(own[3 * 2 * 6 * 12 + 6] > 0);
    CHECK_THROWS_WITH_AS(static_cast<void>(model(Variable<double>(x), Variable<double>(text), 4)),
                         "transformer_blocks.0.attn1: its attention processor takes tensors only, so that this UNet "
                         "cannot be trained through it",
                         Error);
}

TEST_CASE("a processor knows where it is, and in pieces too") {
    Cpu cpu(1);
    auto model = transformer<float, DefaultParts>(cpu);
    const auto x = randoms<float>(cpu, {8, 6, 5, 16}, 1);
    const auto text = randoms<float>(cpu, {2, 7, 12}, 2);
    std::set<std::pair<index_t, index_t>> seen; // clip, frame
    index_t largest = 0;
    const auto look = [&](const LayerAttention<Tensor<float>>& attention) {
        const ClipPiece& piece = attention.piece;
        CHECK((piece.frames == 4 || piece.frames == 3)); // a claim is tried on clips of 3
        const index_t frames = attention.query.shape(0) / piece.clips;
        largest = std::max(largest, attention.query.shape(0));
        for (index_t i = 0; i < piece.clips * frames; ++i) {
            seen.insert({piece.first_clip + i / frames, piece.first_frame + i % frames});
        }
        return attention.attend();
    };
    const auto run = [&](std::size_t bytes, Couples couples) {
        set_attn_processor(model, "0.attn2", look, couples);
        cpu.piece_bytes = bytes;
        static_cast<void>(model(x, text, 4)); // tries a claim
        seen.clear();
        largest = 0;
        static_cast<void>(model(x, text, 4));
        CHECK(seen.size() == 8);
    };
    run(never, Couples::nothing);
    CHECK(largest == 8);
    run(tiny, Couples::nothing);
    CHECK(largest == 1);
    run(tiny, Couples::clip);
    CHECK(largest == 4);
    run(tiny, Couples::everything);
    CHECK(largest == 8);
}

TEST_CASE("a wrong claim of a processor is found, and names the layer") {
    Cpu cpu(1);
    auto model = transformer<double, DefaultParts>(cpu);
    const auto x = randoms<double>(cpu, {8, 6, 5, 16}, 1);
    const auto text = randoms<double>(cpu, {2, 7, 12}, 2);
    const auto mean_of_frames = [](const auto& attention) {
        const auto y = attention.attend();
        return y * (1.0 / static_cast<double>(y.shape(0)));
    };
    cpu.piece_bytes = tiny;
    CHECK_THROWS_AS(set_attn_processor(model, "attn3", mean_of_frames), Error);
    set_attn_processor(model, "1.attn2", mean_of_frames, Couples::clip);
    CHECK_THROWS_WITH_AS(static_cast<void>(model(x, text, 4)), doctest::Contains("is said to couple clip"), Error);
    set_attn_processor(model, "1.attn2", mean_of_frames, Couples::nothing);
    CHECK_THROWS_WITH_AS(static_cast<void>(model(x, text, 4)),
                         doctest::Contains("transformer_blocks.1.attn2: its processor"), Error);
    set_attn_processor(model, "1.attn2", mean_of_frames);
    CHECK_NOTHROW(static_cast<void>(model(x, text, 4)));
    set_attn_processor(model, "1.attn2", [](const auto& attention) { return attention.query.slice(0, 1); });
    CHECK_THROWS_WITH_AS(static_cast<void>(model(x, text, 4)), doctest::Contains("its attention processor gave"),
                         Error);
}
