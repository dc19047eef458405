// A sampler of one's own in ten lines, tried on a model that is exact: a mixture of Gaussians.
// The same struct goes wherever a scheduler does: reel::sample_clip(unet, sampler, ...), or, chosen at run time,
// reel::AnyScheduler<float>("TenLines", TenLines{}).

#include <algorithm>
#include <cstdio>

#include <reel/core/random.hpp>
#include <reel/core/ranges.hpp>
#include <reel/schedulers/any_scheduler.hpp>
#include <reel/schedulers/ddim.hpp>
#include <reel/schedulers/dpm_solver_multistep.hpp>
#include <reel/schedulers/gaussian_mixture.hpp>

#include "options.hpp"

using reel::index_t;

/// Take the predicted clean sample, and noise it again to the next level with the predicted noise.
struct TenLines : reel::VariancePreserving {
    std::vector<index_t> steps;
    void set_timesteps(index_t n) { steps = reel::spaced_timesteps(reel::TimestepSpacing::linspace, 1000, n, 0); }
    const std::vector<index_t>& timesteps() const { return steps; }
    template <class X, class Noise>
    X step(const X& output, index_t t, const X& x, Noise&& /*noise*/) const {
        const X clean = mix(clean_mixture(reel::PredictionType::epsilon, schedule().level(t)), x, output);
        return t == steps.back() ? clean : add_noise(clean, output, *std::next(reel::ranges::find(steps, t)));
    }
};
static_assert(reel::check_scheduler<TenLines>());

namespace {

const std::vector<reel::GaussianComponent> clusters{{.weight = 0.5, .mean = {0, 2}, .deviation = 0.2},
                                                    {.weight = 0.3, .mean = {-2, -1}, .deviation = 0.4},
                                                    {.weight = 0.2, .mean = {2, -1}, .deviation = 0.1}};

/// The loop that every sampler takes part in.
reel::Tensor<float> sample(reel::AnyScheduler<float>& sampler, const reel::GaussianMixture<float>& model,
                           const reel::Tensor<float>& noise, index_t steps) {
    const reel::NoiseSchedule schedule;
    sampler.set_timesteps(steps);
    reel::Tensor<float> x = scale(noise, static_cast<float>(sampler.init_noise_sigma()));
    for (const double t : sampler.timesteps()) {
        const auto output = model.predict(reel::PredictionType::epsilon, sampler.scale_model_input(x, t),
                                          reel::interpolated_level(schedule, t));
        x = sampler.step(output, t, x);
    }
    return x;
}

/// Which share of the points is nearest to each cluster, and how far from it they lie, in its deviations.
void report(const std::string& name, index_t steps, const reel::Tensor<float>& points) {
    std::vector<double> count(clusters.size(), 0);
    std::vector<double> square(clusters.size(), 0);
    const std::vector<float> values = points.to_host();
    for (std::size_t i = 0; i < values.size(); i += 2) {
        const auto distance = [&](const reel::GaussianComponent& c) {
            return std::hypot(static_cast<double>(values[i]) - c.mean[0],
                              static_cast<double>(values[i + 1]) - c.mean[1]);
        };
        const auto nearest =
            static_cast<std::size_t>(reel::ranges::min_element(clusters, {}, distance) - clusters.begin());
        count[nearest] += 1;
        square[nearest] += std::pow(distance(clusters[nearest]) / clusters[nearest].deviation, 2) / 2;
    }
    std::printf("%-28s %4d  ", name.c_str(), static_cast<int>(steps));
    for (std::size_t k = 0; k < clusters.size(); ++k) {
        std::printf("  %5.3f (%4.2f)", count[k] / static_cast<double>(points.shape(0)),
                    std::sqrt(square[k] / count[k]));
    }
    std::printf("\n");
}

struct Options {
    int points = 4000;
    std::uint64_t seed = 1;
    static void options(auto& self, const auto& visit) {
        visit(reel::Option{"points", "to sample", reel::from_to(1, 1e6)}, self.points);
        visit(reel::Option{"seed", "of the noise"}, self.seed);
    }
};

void compare(const Options& o) {
    reel::Cpu cpu;
    const reel::GaussianMixture<float> model(cpu, clusters);
    reel::Tensor<float> noise(cpu, {o.points, 2});
    fill_normal(cpu, noise, o.seed, 0);
    std::vector<reel::AnyScheduler<float>> samplers;
    samplers.emplace_back("TenLines", TenLines{});
    samplers.emplace_back("DDIMScheduler", reel::DDIMScheduler({.clip_sample = false}));
    samplers.emplace_back("DPMSolverMultistepScheduler", reel::DPMSolverMultistepScheduler<float>());
    std::printf("sampler                     steps    share of the points (spread, in the cluster's own) ...\n");
    std::printf("%-28s       ", "the data");
    for (const auto& cluster : clusters) {
        std::printf("  %5.3f (1.00)", cluster.weight);
    }
    std::printf("\n");
    for (auto& sampler : samplers) {
        for (const index_t steps : {10, 50, 200}) {
            report(sampler.name(), steps, sample(sampler, model, noise, steps));
        }
    }
}

} // namespace

int main(int argc, char** argv) {
    return program::run(
        {"custom_sampler", "Compares a sampler of ten lines with others, where the right answer is known."}, argc, argv,
        Options{}, compare);
}
