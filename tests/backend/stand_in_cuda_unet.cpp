#include "backend/cuda_unet.hpp"

#include <reel/pipelines/control/attend_and_excite.hpp>
#include <reel/pipelines/control/mutual_self_attention.hpp>
#include <reel/pipelines/control/plug_and_play.hpp>
#include <reel/pipelines/control/prompt_to_prompt.hpp>
#include <reel/pipelines/control/token_flow.hpp>

namespace cuda_test {

/// A step of an edit that looks at its clip, in double: [control][value].
template <class B>
std::vector<std::vector<double>> controlled_steps(B& backend) {
    using X = Tensor<double, B>;
    auto unet = small_unet<double>(backend);
    const UNetRun<double, B> run(backend);
    const X source = run.text.slice(0, 1);
    const reel::Trajectory<double, B> clip{{run.sample.slice(0, 3), run.sample.slice(3, 6)}, {21}};
    const X start = numbers<double>(backend, {3, 8, 8, 4}, 3);
    const X both = reel::concat_rows({start, start});
    const double timestep = 21;
    std::vector<std::vector<double>> results;
    const auto step = [&](auto control) {
        X x = reel::with_control(unet, control, [&] {
            const reel::SourceBranch branch(unet, clip, source, control);
            return branch(both, std::span<const double>(&timestep, 1), run.text, 3);
        });
        if constexpr (requires { control.local_blend(1, x, x); }) {
            x = control.local_blend(1, x.slice(3, 6), clip.latents[0]);
        }
        results.push_back(x.to_host());
    };
    reel::TokenAlignment tokens(7);
    for (std::size_t i = 0; i < 6; ++i) {
        tokens.take(i, i < 3 ? i : i + 1);
    }
    tokens.weight[2] = 2;
    step(reel::PromptToPrompt<double, B>(backend, tokens, {.blend_threshold = 0.5}, {2}, {3}));
    step(reel::MutualSelfAttention<double, B>({.start_step = 0}));
    using Plug = reel::PlugAndPlay<double, B>;
    const reel::PlugAndPlayOptions all{.features = "up_blocks.0", .attention_from = "up_blocks"};
    step(Plug(all));
    step(reel::TokenFlow<double, B, Plug>(
        [](const reel::ControlStep&) {
            return std::vector<reel::index_t>{0, 2};
        },
        Plug(all)));
    const reel::AttendAndExcite<double, B> excite(unet, source, {2, 3});
    results.push_back(excite(0, clip, start).to_host());
    return results;
}

TEST_CASE("an edit that looks at its clip gives on Cuda what it gives on Cpu") {
    reel::Cpu cpu(1);
    Cuda cuda;
    const auto expected = controlled_steps(cpu);
    const auto found = controlled_steps(cuda);
    for (std::size_t i = 0; i < expected.size(); ++i) {
        CHECK(near::relative_error(found[i], expected[i]) < 1e-12);
    }
    CHECK(cuda.memory().statistics().in_use == 0);
}

} // namespace cuda_test
