// What PNDM, LCM, TCD, DPM-Solver, DEIS and UniPC promise beside their trajectories: order of steps, noise, refusals,
// configurations.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include <reel/schedulers/config/multistep_config.hpp>

#include "support.hpp"

using namespace reel;
using namespace reel::test;

namespace {

const NoiseScheduleConfig stable_diffusion = stable_diffusion_schedule();

struct CountedNoise {
    Cpu* cpu;
    int* calls;
    Tensor<double> operator()(const Shape& shape) const {
        ++*calls;
        return Tensor<double>::full(*cpu, shape, 0.5);
    }
};

Tensor<double> start(Cpu& cpu) {
    return Tensor<double>::from_host(cpu, {2, 3}, {0.3, -1.1, 0.9, 2.0, -0.2, 0.05});
}

/// A run from the timestep at position `first` on.
template <class S>
Tensor<double> run(Cpu& cpu, S& scheduler, std::size_t first = 0, int* calls = nullptr) {
    int ignored = 0;
    auto x = start(cpu);
    const auto timesteps = scheduler.timesteps();
    for (std::size_t i = first; i < timesteps.size(); ++i) {
        const auto output = sine_model(scheduler.config().prediction_type, x, timesteps[i]);
        x = scheduler.step(output, timesteps[i], x, CountedNoise{&cpu, calls == nullptr ? &ignored : calls});
    }
    return x;
}

template <class S>
S read(const std::string& text) {
    return scheduler_from_config<S>(parse_scheduler_json(text, "a.json"), "a.json");
}

/// Reads a configuration, expecting an Error with this part.
template <class S>
void refuses(const std::string& text, const std::string& part) {
    CAPTURE(text);
    CHECK_THROWS_WITH_AS(static_cast<void>(read<S>(text)), doctest::Contains(part.c_str()), Error);
}

using PNDM = PNDMScheduler<double>;
using Multistep = DPMSolverMultistepScheduler<double>;
using Singlestep = DPMSolverSinglestepScheduler<double>;
using DEIS = DEISMultistepScheduler<double>;
using UniPC = UniPCMultistepScheduler<double>;

} // namespace

TEST_CASE("A sum of weighted tensors is one pass; terms of weight 0 are not read") {
    Cpu cpu(1);
    const auto a = Tensor<float>::from_host(cpu, {3}, {1.0F, 2.0F, 3.0F});
    const auto b = Tensor<float>::from_host(cpu, {3}, {-1.0F, 0.5F, 4.0F});
    const Tensor<float> none;
    using Terms = std::vector<WeightedTensor<float, Cpu>>;
    CHECK(linear_combination<float, Cpu>(Terms{{2, &a}, {0, &none}, {-0.5, &b}, {1, &a}}).to_host() ==
          std::vector<float>{3.5F, 5.75F, 7.0F});
    CHECK_THROWS_WITH_AS(static_cast<void>(linear_combination<float, Cpu>(Terms{{0, &a}})),
                         doctest::Contains("no term"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(linear_combination<float, Cpu>(Terms(9, {1.0, &a}))),
                         doctest::Contains("more than 8"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(linear_combination<float, Cpu>(Terms{{1, &a}, {1, &none}})),
                         doctest::Contains("undefined"), Error);
}

TEST_CASE("Dynamic thresholding takes a quantile per entry of the leading axis") {
    Cpu cpu(1);
    const auto x = Tensor<double>::from_host(cpu, {2, 3}, {0.1, -0.2, 0.3, -4.0, 2.0, 1.0});
    const auto half =
        dynamic_threshold(x, {.thresholding = true, .dynamic_thresholding_ratio = 0.5, .sample_max_value = 10});
    CHECK(half.to_host() == std::vector<double>{0.1, -0.2, 0.3, -1.0, 1.0, 0.5});
    const auto between =
        dynamic_threshold(x, {.thresholding = true, .dynamic_thresholding_ratio = 0.75, .sample_max_value = 10});
    CHECK(between.to_host() == std::vector<double>{0.1, -0.2, 0.3, -1.0, 2.0 / 3, 1.0 / 3});
    const auto bounded = dynamic_threshold(x, {.thresholding = true, .sample_max_value = 1});
    CHECK(bounded.to_host() == std::vector<double>{0.1, -0.2, 0.3, -1.0, 1.0, 1.0});
    CHECK_THROWS_WITH_AS(static_cast<void>(dynamic_threshold(Tensor<double>::full(cpu, {2}, NAN), {})),
                         doctest::Contains("NaN"), Error);
}

TEST_CASE_TEMPLATE("Steps follow one another; a run can be begun anew", S, PNDM, Multistep, Singlestep, DEIS, UniPC) {
    Cpu cpu(1);
    S scheduler;
    const auto x = start(cpu);
    CHECK_THROWS_WITH_AS(static_cast<void>(scheduler.step(x, 1, x)), doctest::Contains("call set_timesteps() first"),
                         Error);
    scheduler.set_timesteps(6);
    const auto first = run(cpu, scheduler);
    CHECK_THROWS_WITH_AS(static_cast<void>(scheduler.step(x, scheduler.timesteps().back(), x)),
                         doctest::Contains("is over"), Error);
    scheduler.set_timesteps(9);
    static_cast<void>(scheduler.step(x, scheduler.timesteps()[0], x));
    CHECK_THROWS_WITH_AS(static_cast<void>(scheduler.step(x, scheduler.timesteps().back(), x)),
                         doctest::Contains("steps follow one another"), Error);
    scheduler.set_timesteps(6);
    CHECK_THROWS_WITH_AS(static_cast<void>(scheduler.step(x, 12345, x)), doctest::Contains("not one of this run's"),
                         Error);
    CHECK(gap(run(cpu, scheduler), first) == 0);
    CHECK_THROWS_WITH_AS(static_cast<void>(scheduler.step(x, 1, Tensor<double>::full(cpu, {4}, 1.0))),
                         doctest::Contains("for a sample of shape [4]"), Error);
    CHECK_THROWS_WITH_AS(scheduler.set_timesteps(0), doctest::Contains("0 steps"), Error);
    CHECK_THROWS_WITH_AS(scheduler.set_timesteps(5000), doctest::Contains("5000 steps"), Error);
}

TEST_CASE_TEMPLATE("A failed step leaves the run where it was", S, Multistep, Singlestep) {
    Cpu cpu(1);
    S scheduler({.algorithm_type = SolverAlgorithm::sde_dpmsolver_pp});
    scheduler.set_timesteps(5);
    const auto whole = run(cpu, scheduler);
    scheduler.set_timesteps(5);
    auto x = start(cpu);
    int calls = 0;
    for (const index_t t : scheduler.timesteps()) {
        const auto output = sine_model(PredictionType::epsilon, x, t);
        if (t != scheduler.timesteps().back()) {
            CHECK_THROWS_WITH_AS(static_cast<void>(scheduler.step(output, t, x)), doctest::Contains("draws noise"),
                                 Error);
        }
        x = scheduler.step(output, t, x, CountedNoise{&cpu, &calls});
    }
    CHECK(calls == 4);
    CHECK(gap(x, whole) == 0);
}

TEST_CASE_TEMPLATE("A run may begin in the middle", S, Multistep, Singlestep, DEIS, UniPC) {
    Cpu cpu(1);
    S scheduler;
    scheduler.set_timesteps(20);
    const auto late = run(cpu, scheduler, 13);
    CHECK(std::isfinite(late.to_host()[0]));
    scheduler.set_timesteps(20);
    CHECK(gap(run(cpu, scheduler, 13), late) == 0);
    PNDM whole;
    whole.set_timesteps(20);
    CHECK_THROWS_WITH_AS(static_cast<void>(run(cpu, whole, 13)), doctest::Contains("not in the middle"), Error);
}

TEST_CASE("Noise is drawn only by steps that use it") {
    Cpu cpu(1);
    const auto count = [&](auto scheduler) {
        int calls = 0;
        scheduler.set_timesteps(10);
        static_cast<void>(run(cpu, scheduler, 0, &calls));
        return calls;
    };
    CHECK(count(PNDM()) == 0);
    CHECK(count(Multistep()) == 0);
    CHECK(count(UniPC()) == 0);
    CHECK(count(Multistep({.algorithm_type = SolverAlgorithm::sde_dpmsolver_pp})) == 9); // the last ends without noise
    CHECK(count(Singlestep({.algorithm_type = SolverAlgorithm::sde_dpmsolver_pp,
                            .final_sigmas_type = FinalSigma::sigma_min})) == 10);
    CHECK(count(LCMScheduler()) == 9);
    CHECK(count(TCDScheduler()) == 9);
    TCDScheduler still;
    still.options.eta = 0;
    CHECK(count(still) == 0);
    still.options.eta = 1.5;
    CHECK_THROWS_WITH_AS(static_cast<void>(count(still)), doctest::Contains("eta is 1.5"), Error);
}

TEST_CASE("Methods that are one method agree") {
    Cpu cpu(1);
    const auto last = [&](auto scheduler) {
        scheduler.set_timesteps(20);
        return run(cpu, scheduler);
    };
    const auto multistep = [](index_t order, SolverType type, SolverAlgorithm algorithm) {
        return Multistep({.schedule = stable_diffusion,
                          .solver_order = order,
                          .algorithm_type = algorithm,
                          .solver_type = type,
                          .final_sigmas_type = FinalSigma::sigma_min});
    };
    const auto deis = last(DEIS({.schedule = stable_diffusion}));
    CHECK(gap(deis, last(multistep(2, SolverType::heun, SolverAlgorithm::dpmsolver))) < 1e-13);
    CHECK(gap(deis, last(multistep(2, SolverType::midpoint, SolverAlgorithm::dpmsolver))) > 1e-6);
    const auto first = last(multistep(1, SolverType::midpoint, SolverAlgorithm::dpmsolver));
    CHECK(gap(first, last(DEIS({.schedule = stable_diffusion, .solver_order = 1}))) < 1e-13);
    CHECK(gap(first, last(multistep(1, SolverType::midpoint, SolverAlgorithm::dpmsolver_pp))) < 1e-13); // both are DDIM
    CHECK(gap(first, last(Singlestep({.schedule = stable_diffusion,
                                      .solver_order = 1,
                                      .final_sigmas_type = FinalSigma::sigma_min}))) < 1e-13);
}

TEST_CASE("Orders of singlestep runs") {
    using Orders = std::vector<int>;
    CHECK(singlestep_orders(3, 6, false, FinalSigma::sigma_min) == Orders{1, 2, 3, 1, 2, 3});
    CHECK(singlestep_orders(3, 6, true, FinalSigma::sigma_min) == Orders{1, 2, 3, 1, 2, 1});
    CHECK(singlestep_orders(3, 5, false, FinalSigma::sigma_min) == Orders{1, 2, 3, 1, 2});
    CHECK(singlestep_orders(3, 5, false, FinalSigma::zero) == Orders{1, 2, 3, 1, 1});
    CHECK(singlestep_orders(2, 4, false, FinalSigma::zero) == Orders{1, 2, 1, 1});
    CHECK(singlestep_orders(1, 2, true, FinalSigma::zero) == Orders{1, 1});
}

TEST_CASE("PNDM takes predicted samples, which diffusers' does not: with data of one value it is exact") {
    Cpu cpu(1);
    const auto clean = Tensor<double>::from_host(cpu, {2}, {0.7, -1.3});
    const auto noise = Tensor<double>::from_host(cpu, {2}, {0.4, 1.9});
    for (const bool skip : {false, true}) {
        PNDM scheduler(
            {.schedule = stable_diffusion, .prediction_type = PredictionType::sample, .skip_prk_steps = skip});
        scheduler.set_timesteps(10);
        auto x = scheduler.add_noise(clean, noise, scheduler.timesteps().front());
        for (const index_t t : scheduler.timesteps()) {
            x = scheduler.step(clean, t, x);
        }
        CHECK(gap(x, scheduler.add_noise(clean, noise, 0)) < 1e-13);
    }
}

TEST_CASE("Noise is added at the run's level, elsewhere at the training timestep's") {
    Cpu cpu(1);
    const auto clean = Tensor<double>::full(cpu, {1}, 1.0);
    const auto noise = Tensor<double>::zeros(cpu, {1});
    Multistep scheduler({.schedule = stable_diffusion, .sigma_spacing = SigmaSpacing::karras});
    scheduler.set_timesteps(10);
    const index_t t = scheduler.timesteps()[4];
    const double signal = level_of_sigma(scheduler.sigmas()[4]).signal;
    CHECK(scheduler.add_noise(clean, noise, t).to_host()[0] == doctest::Approx(signal).epsilon(1e-12));
    CHECK(std::abs(signal - scheduler.schedule().level(t).signal) > 1e-5);
    CHECK(scheduler.add_noise(clean, noise, t + 1).to_host()[0] ==
          doctest::Approx(scheduler.schedule().level(t + 1).signal).epsilon(1e-12));
}

TEST_CASE("Numbers come out where diffusers has none: bh1 without noise at the end, last steps that go nowhere") {
    Cpu cpu(1);
    const auto finite = [&](auto scheduler) {
        scheduler.set_timesteps(20);
        const auto values = run(cpu, scheduler).to_host();
        return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
    };
    CHECK(finite(UniPC({.schedule = stable_diffusion, .solver_order = 3, .solver_type = UniPCSolverType::bh1})));
    CHECK(finite(UniPC({.schedule = stable_diffusion,
                        .solver_order = 3,
                        .lower_order_final = false,
                        .sigma_spacing = SigmaSpacing::karras,
                        .final_sigmas_type = FinalSigma::sigma_min})));
    for (const index_t order : {2, 3}) {
        for (const auto algorithm : {SolverAlgorithm::dpmsolver, SolverAlgorithm::sde_dpmsolver_pp}) {
            CHECK(finite(Multistep({.schedule = stable_diffusion,
                                    .solver_order = order,
                                    .algorithm_type = algorithm,
                                    .solver_type = SolverType::heun,
                                    .lower_order_final = false,
                                    .sigma_spacing = SigmaSpacing::karras,
                                    .final_sigmas_type = FinalSigma::sigma_min})));
        }
    }
}

TEST_CASE("What a method does not have is refused") {
    refuses<PNDM>(R"({"rescale_betas_zero_snr": true})", "rescale_betas_zero_snr is true");
    refuses<PNDM>(R"({"steps_offset": -1})", "steps_offset is -1");
    refuses<PNDM>(R"({"thresholding": true})", "\"thresholding\" is true");
    CHECK_THROWS_WITH_AS(PNDM().set_timesteps(3), doctest::Contains("takes 4 or more"), Error);
    refuses<LCMScheduler>(R"({"original_inference_steps": 2000})", "original_inference_steps is 2000");
    refuses<LCMScheduler>(R"({"clip_sample": true, "clip_sample_range": 0})", "clip_sample_range is 0");
    refuses<LCMScheduler>(R"({"thresholding": true, "dynamic_thresholding_ratio": 1.5})",
                          "dynamic_thresholding_ratio is 1.5");
    refuses<LCMScheduler>(R"({"thresholding": true, "sample_max_value": 0})", "sample_max_value is 0");
    CHECK_THROWS_WITH_AS(LCMScheduler().set_timesteps(51), doctest::Contains("expected 1 to 50"), Error);
    CHECK_THROWS_WITH_AS(TCDScheduler().set_timesteps(20, 0.3), doctest::Contains("what strength leaves"), Error);
    CHECK_THROWS_WITH_AS(TCDScheduler().set_timesteps(20, 1.3), doctest::Contains("strength is 1.3"), Error);
    refuses<Multistep>(R"({"solver_order": 4})", "solver_order is 4; expected 1 to 3");
    refuses<Multistep>(R"({"algorithm_type": "dpmsolver"})", "cannot end without noise");
    refuses<Multistep>(R"({"algorithm_type": "sde-dpmsolver", "solver_order": 3, "final_sigmas_type": "sigma_min"})",
                       "orders 1 and 2 only");
    refuses<Multistep>(R"({"use_lu_lambdas": true, "use_karras_sigmas": true})", "exclude each other");
    refuses<Multistep>(R"({"use_beta_sigmas": true, "use_karras_sigmas": true})", "use_karras_sigmas");
    refuses<Multistep>(R"({"variance_type": "learned_range"})", "also predict variances");
    refuses<Multistep>(R"({"algorithm_type": "dpmsolver+"})", "did you mean \"dpmsolver\"?");
    refuses<Multistep>(R"({"prediction_type": "flow_prediction"})", "flow_prediction");
    refuses<Multistep>(R"({"use_flow_sigmas": true, "use_lu_lambdas": true})", "exclude each other");
    refuses<Multistep>(R"({"use_flow_sigmas": true, "use_beta_sigmas": true})", "exclude each other");
    refuses<Singlestep>(R"({"use_flow_sigmas": true, "flow_shift": 0})", "flow_shift is 0");
    refuses<DEIS>(R"({"use_flow_sigmas": true, "use_karras_sigmas": true})", "exclude each other");
    refuses<UniPC>(R"({"use_flow_sigmas": true, "use_exponential_sigmas": true})", "exclude each other");
    refuses<UniPC>(R"({"use_flow_sigmas": true, "use_dynamic_shifting": true})", "use_dynamic_shifting");
    refuses<UniPC>(R"({"use_flow_sigmas": true, "shift_terminal": 0.1})", "shift_terminal");
    CHECK_THROWS_WITH_AS(Multistep({.schedule = stable_diffusion,
                                    .algorithm_type = SolverAlgorithm::sde_dpmsolver,
                                    .use_flow_sigmas = true,
                                    .final_sigmas_type = FinalSigma::sigma_min})
                             .set_timesteps(50),
                         doctest::Contains("go below sigma_min"), Error);
    refuses<Multistep>(R"({"solver_ordre": 2})", "did you mean \"solver_order\"?");
    CHECK_THROWS_WITH_AS(Multistep({.lambda_min_clipped = 20}).set_timesteps(10),
                         doctest::Contains("leaves out every training timestep"), Error);
    CHECK_THROWS_WITH_AS(
        Multistep({.timestep_spacing = TimestepSpacing::leading, .steps_offset = 2}).set_timesteps(999),
        doctest::Contains("steps_offset 2"), Error);
    refuses<Singlestep>(R"({"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min"})",
                        "there is no sde-dpmsolver");
    refuses<Singlestep>(R"({"algorithm_type": "dpmsolver"})", "cannot end without noise");
    refuses<DEIS>(R"({"solver_order": 0})", "solver_order is 0");
    refuses<UniPC>(R"({"lower_order_final": false})", "step of order 1 only");
    refuses<UniPC>(R"({"predict_x0": false})", "predict_x0 false");
    refuses<UniPC>(R"({"predict_x0": false, "thresholding": true, "final_sigmas_type": "sigma_min"})",
                   "thresholding is of clean samples");
    refuses<UniPC>(R"({"solver_p": {"_class_name": "DDIMScheduler"}})", "solver_p");
}

TEST_CASE("Noise is added at flow sigmas by their own levels, in a run and beside it") {
    Cpu cpu(1);
    Multistep scheduler({.use_flow_sigmas = true});
    scheduler.set_timesteps(4);
    const auto ones = Tensor<double>::full(cpu, {1, 1}, 1.0);
    const auto share = [&](double clean, double noise, index_t timestep) {
        return scheduler.add_noise(scale(ones, clean), scale(ones, noise), timestep).to_host().at(0);
    };
    const double s = scheduler.sigmas()[1];
    const index_t inside = scheduler.timesteps()[1];
    CHECK(inside == static_cast<index_t>(1000 * s));
    CHECK(share(1, 0, inside) == doctest::Approx(1 - s));
    CHECK(share(0, 1, inside) == doctest::Approx(s));
    CHECK(share(1, 0, 250) == doctest::Approx(0.75));
    CHECK(share(0, 1, 250) == doctest::Approx(0.25));
}

TEST_CASE("A configuration that is written is read back") {
    const auto comes_back = [](const auto& scheduler) {
        using S = std::remove_cvref_t<decltype(scheduler)>;
        const auto json = scheduler_to_config(scheduler);
        CHECK(json["_class_name"] == SchedulerFile<S>::class_name);
        CHECK(read<S>(json.dump()).config() == scheduler.config());
    };
    const NoiseScheduleConfig schedule{.beta_start = 0.001, .beta_end = 0.01, .rescale_betas_zero_snr = true};
    const Thresholding threshold{.thresholding = true, .dynamic_thresholding_ratio = 0.9, .sample_max_value = 3};
    const auto type = PredictionType::v_prediction;
    comes_back(PNDM({.schedule = stable_diffusion,
                     .prediction_type = type,
                     .skip_prk_steps = true,
                     .set_alpha_to_one = true,
                     .steps_offset = 1,
                     .timestep_spacing = TimestepSpacing::trailing}));
    comes_back(LCMScheduler({.schedule = schedule,
                             .prediction_type = type,
                             .original_inference_steps = 40,
                             .clip_sample = true,
                             .clip_sample_range = 2,
                             .threshold = threshold,
                             .timestep_scaling = 5}));
    comes_back(TCDScheduler({.schedule = schedule, .prediction_type = type, .original_inference_steps = 40}));
    comes_back(Multistep({.schedule = schedule,
                          .prediction_type = type,
                          .solver_order = 3,
                          .algorithm_type = SolverAlgorithm::sde_dpmsolver_pp,
                          .solver_type = SolverType::heun,
                          .lower_order_final = false,
                          .euler_at_final = true,
                          .use_lu_lambdas = true,
                          .final_sigmas_type = FinalSigma::sigma_min,
                          .lambda_min_clipped = -5.1,
                          .timestep_spacing = TimestepSpacing::trailing,
                          .steps_offset = 1,
                          .threshold = threshold}));
    comes_back(Singlestep({.schedule = schedule,
                           .prediction_type = type,
                           .solver_order = 3,
                           .algorithm_type = SolverAlgorithm::dpmsolver,
                           .solver_type = SolverType::heun,
                           .lower_order_final = true,
                           .sigma_spacing = SigmaSpacing::beta,
                           .final_sigmas_type = FinalSigma::sigma_min,
                           .lambda_min_clipped = -5.1,
                           .threshold = threshold}));
    comes_back(DEIS({.schedule = schedule,
                     .prediction_type = type,
                     .solver_order = 3,
                     .lower_order_final = false,
                     .sigma_spacing = SigmaSpacing::karras,
                     .timestep_spacing = TimestepSpacing::leading,
                     .steps_offset = 1,
                     .threshold = threshold}));
    comes_back(UniPC({.schedule = schedule,
                      .prediction_type = type,
                      .solver_order = 3,
                      .solver_type = UniPCSolverType::bh1,
                      .lower_order_final = false,
                      .disable_corrector = {0, 3},
                      .sigma_spacing = SigmaSpacing::exponential,
                      .sigma_min = 0.1,
                      .sigma_max = 9,
                      .final_sigmas_type = FinalSigma::sigma_min,
                      .timestep_spacing = TimestepSpacing::trailing,
                      .steps_offset = 1,
                      .threshold = threshold}));
    comes_back(Multistep());
    comes_back(UniPC());
    comes_back(Multistep({.use_flow_sigmas = true, .flow_shift = 3}));
    comes_back(Singlestep({.use_flow_sigmas = true, .flow_shift = 3}));
    comes_back(DEIS({.use_flow_sigmas = true, .flow_shift = 3}));
    comes_back(UniPC({.use_flow_sigmas = true, .flow_shift = 3}));
}

TEST_CASE("Another sampler's file makes any of them; -Infinity is what diffusers writes for nothing") {
    const std::string text = R"({"_class_name": "DPMSolverMultistepScheduler", "_diffusers_version": "0.42.1",
        "algorithm_type": "dpmsolver++", "beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085,
        "dynamic_thresholding_ratio": 0.995, "euler_at_final": false, "final_sigmas_type": "zero", "flow_shift": 1.0,
        "lambda_min_clipped": -Infinity, "lower_order_final": true, "num_train_timesteps": 1000,
        "prediction_type": "v_prediction", "rescale_betas_zero_snr": false, "sample_max_value": 1.0,
        "solver_order": 3, "solver_type": "heun", "steps_offset": 1, "thresholding": false,
        "time_shift_type": "exponential", "timestep_spacing": "linspace", "trained_betas": null,
        "use_beta_sigmas": false, "use_dynamic_shifting": false, "use_exponential_sigmas": false,
        "use_flow_sigmas": false, "use_karras_sigmas": false, "use_lu_lambdas": false, "variance_type": null})";
    CHECK(read<Multistep>(text).config() == DPMSolverMultistepConfig{.schedule = stable_diffusion,
                                                                     .prediction_type = PredictionType::v_prediction,
                                                                     .solver_order = 3,
                                                                     .solver_type = SolverType::heun,
                                                                     .steps_offset = 1});
    CHECK(read<UniPC>(text).config() == UniPCMultistepConfig{.schedule = stable_diffusion,
                                                             .prediction_type = PredictionType::v_prediction,
                                                             .solver_order = 3,
                                                             .steps_offset = 1});
    CHECK(read<DEIS>(text).config().solver_order == 3);
    CHECK(read<Singlestep>(text).config().solver_type == SolverType::heun);
    CHECK(read<PNDM>(text).config().steps_offset == 1);
    CHECK(read<LCMScheduler>(text).config() ==
          LCMConfig{.schedule = stable_diffusion, .prediction_type = PredictionType::v_prediction});
    CHECK(read<TCDScheduler>(text).config().schedule == stable_diffusion);
    CHECK(read<DDIMScheduler>(text).config().schedule == stable_diffusion);
    CHECK(read<Multistep>(R"({"_class_name": "UniPCMultistepScheduler", "solver_type": "bh2",
                              "disable_corrector": [], "variance_type": "fixed_small"})")
              .config() == DPMSolverMultistepConfig{});
    CHECK(read<LCMScheduler>("{}").config() == LCMConfig{});
    refuses<Multistep>(R"({"_class_name": "-Infinity"})", "\"_class_name\" is \"-Infinity\"");
    refuses<Multistep>(R"({"beta_start": -Infinity})", "\"beta_start\": expected a number, found null");
    refuses<Multistep>(R"({"beta_start": Infinity})", "not valid JSON");
}
