#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <span>
#include <string_view>
#include <vector>

#include <reel/schedulers/schedule/prediction.hpp>

namespace reel {

/// How the noise added per training timestep, beta, grows. The names are diffusers'.
enum class BetaSchedule {
    linear,            ///< beta from start to end
    scaled_linear,     ///< sqrt(beta) from sqrt(start) to sqrt(end): Stable Diffusion's
    squaredcos_cap_v2, ///< from a squared cosine, beta at most 0.999 (Nichol & Dhariwal 2021, arXiv:2102.09672)
    sigmoid,           ///< sigmoid over [-6, 6], scaled to start and end
    exp,               ///< alpha_bar = exp(-12 t / N), beta at most 0.999
    laplace            ///< logarithm of the signal-to-noise ratio drawn as from a Laplace distribution
                       ///< (Hang et al. 2024, arXiv:2407.03297), beta at most 0.999
};

inline constexpr std::array beta_schedule_names{
    NamedValue{"linear", BetaSchedule::linear},
    NamedValue{"scaled_linear", BetaSchedule::scaled_linear},
    NamedValue{"squaredcos_cap_v2", BetaSchedule::squaredcos_cap_v2},
    NamedValue{"sigmoid", BetaSchedule::sigmoid},
    NamedValue{"exp", BetaSchedule::exp},
    NamedValue{"laplace", BetaSchedule::laplace},
};

/// What a noise schedule is made of. Names and defaults are diffusers'.
struct NoiseScheduleConfig {
    index_t num_train_timesteps = 1000;
    double beta_start = 0.0001;
    double beta_end = 0.02;
    BetaSchedule beta_schedule = BetaSchedule::linear;
    std::vector<double> trained_betas{}; ///< when not empty, the betas themselves: one per training timestep
    bool rescale_betas_zero_snr = false; ///< no signal at the last timestep (Lin et al. 2023, arXiv:2305.08891)

    friend bool operator==(const NoiseScheduleConfig&, const NoiseScheduleConfig&) = default;
};

namespace detail {

/// PyTorch's float32 linspace, bit for bit: filled from both ends, each element by one fused multiply-add.
[[nodiscard]] inline std::vector<float> torch_linspace(double start, double end, index_t count) {
    const auto first = static_cast<float>(start);
    const auto last = static_cast<float>(end);
    std::vector<float> values(static_cast<std::size_t>(count), first);
    if (count == 1) {
        return values;
    }
    const float step = (last - first) / static_cast<float>(count - 1);
    for (index_t i = 0; i < count; ++i) {
        values[static_cast<std::size_t>(i)] = i < count / 2 ? std::fma(step, static_cast<float>(i), first)
                                                            : std::fma(-step, static_cast<float>(count - 1 - i), last);
    }
    return values;
}

/// Running product of 1 - beta: accumulated in double, stored in float32, as PyTorch does it.
[[nodiscard]] inline std::vector<float> running_signal(const std::vector<float>& betas) {
    std::vector<float> products;
    products.reserve(betas.size());
    double product = 1;
    for (const float beta : betas) {
        const float alpha = 1.0F - beta;
        product *= static_cast<double>(alpha);
        products.push_back(static_cast<float>(product));
    }
    return products;
}

/// alpha_bar (up to a factor) of the schedules that are defined by it, at a time from 0 to 1.
[[nodiscard]] inline double signal_at(BetaSchedule schedule, double time) {
    if (schedule == BetaSchedule::exp) {
        return std::exp(-12 * time);
    }
    if (schedule == BetaSchedule::laplace) {
        const double middle = 0.5 - time;
        const double log_ratio = -0.5 * std::copysign(1.0, middle) * std::log(1 - 2 * std::abs(middle) + 1e-6);
        const double ratio = std::exp(log_ratio);
        return std::sqrt(ratio / (1 + ratio)); // the root is diffusers'
    }
    const double cosine = std::cos((time + 0.008) / 1.008 * std::numbers::pi / 2);
    return cosine * cosine;
}

[[nodiscard]] inline std::vector<float> make_betas(const NoiseScheduleConfig& config) {
    const index_t count = config.num_train_timesteps;
    std::vector<float> betas;
    if (!config.trained_betas.empty()) {
        require(static_cast<index_t>(config.trained_betas.size()) == count, "noise schedule: trained_betas has ",
                config.trained_betas.size(), " values, but num_train_timesteps is ", count);
        std::transform(config.trained_betas.begin(), config.trained_betas.end(), std::back_inserter(betas),
                       [](double beta) { return static_cast<float>(beta); });
        return betas;
    }
    switch (config.beta_schedule) {
    case BetaSchedule::linear:
        return torch_linspace(config.beta_start, config.beta_end, count);
    case BetaSchedule::scaled_linear:
        betas = torch_linspace(std::sqrt(config.beta_start), std::sqrt(config.beta_end), count);
        for (float& beta : betas) {
            beta *= beta;
        }
        return betas;
    case BetaSchedule::squaredcos_cap_v2:
    case BetaSchedule::exp:
    case BetaSchedule::laplace:
        for (index_t i = 0; i < count; ++i) {
            const auto whole = static_cast<double>(count);
            const double now = signal_at(config.beta_schedule, static_cast<double>(i) / whole);
            const double next = signal_at(config.beta_schedule, static_cast<double>(i + 1) / whole);
            betas.push_back(static_cast<float>(std::min(1 - next / now, 0.999)));
        }
        return betas;
    case BetaSchedule::sigmoid:
        betas = torch_linspace(-6, 6, count);
        for (float& beta : betas) {
            const float sigmoid = 1.0F / (1.0F + std::exp(-beta));
            beta = sigmoid * static_cast<float>(config.beta_end - config.beta_start) +
                   static_cast<float>(config.beta_start);
        }
        return betas;
    }
    fail("BetaSchedule: no such value: ", static_cast<int>(config.beta_schedule));
}

/// Shifts and stretches sqrt(alpha_bar) so that its last value is 0 and its first stays: algorithm 1 of
/// arXiv:2305.08891, in float32 as diffusers computes it.
[[nodiscard]] inline std::vector<float> rescale_to_zero_snr(const std::vector<float>& betas) {
    std::vector<float> signal = running_signal(betas);
    for (float& value : signal) {
        value = std::sqrt(value);
    }
    const float first = signal.front();
    const float last = signal.back();
    const float stretch = first / (first - last);
    for (float& value : signal) {
        const float root = (value - last) * stretch;
        value = root * root;
    }
    std::vector<float> rescaled{1.0F - signal[0]};
    for (std::size_t i = 1; i < signal.size(); ++i) {
        rescaled.push_back(1.0F - signal[i] / signal[i - 1]);
    }
    return rescaled;
}

} // namespace detail

/// The noise of every training timestep: beta_t is added at t, and alpha_bar_t = prod_{i<=t} (1 - beta_i) is the share
/// of the signal's variance left. Kept in float32 with PyTorch's rounding, because that is what models were trained
/// with; computed with in double.
class NoiseSchedule {
public:
    NoiseSchedule() : NoiseSchedule(NoiseScheduleConfig{}) {}

    /// Throws Error naming the value when the configuration gives no schedule: betas must lie in (0, 1), the last one
    /// in (0, 1].
    explicit NoiseSchedule(const NoiseScheduleConfig& config) {
        constexpr index_t limit = 1'000'000;
        require(config.num_train_timesteps >= 1 && config.num_train_timesteps <= limit,
                "noise schedule: num_train_timesteps is ", config.num_train_timesteps, ", expected 1 to ", limit);
        require(!config.trained_betas.empty() || (config.beta_start >= 0 && config.beta_end >= 0),
                "noise schedule: beta_start is ", config.beta_start, " and beta_end is ", config.beta_end,
                ", expected numbers from 0 to 1");
        betas_ = detail::make_betas(config);
        check("");
        if (config.rescale_betas_zero_snr) {
            betas_ = detail::rescale_to_zero_snr(betas_);
            check(" after rescaling to zero terminal SNR");
        }
        alphas_cumprod_ = detail::running_signal(betas_);
    }

    /// Number of training timesteps.
    [[nodiscard]] index_t size() const { return static_cast<index_t>(betas_.size()); }
    [[nodiscard]] std::span<const float> betas() const { return betas_; }
    [[nodiscard]] std::span<const float> alphas_cumprod() const { return alphas_cumprod_; }

    /// alpha_bar of a timestep. Throws Error outside [0, size()).
    [[nodiscard]] double alpha_bar(index_t timestep) const {
        require(timestep >= 0 && timestep < size(), "noise schedule: timestep ", timestep,
                " is outside the training timesteps 0 to ", size() - 1);
        return static_cast<double>(alphas_cumprod_[static_cast<std::size_t>(timestep)]);
    }

    /// Signal and noise of a timestep. Throws Error outside [0, size()).
    [[nodiscard]] NoiseLevel level(index_t timestep) const { return NoiseLevel::from_alpha_bar(alpha_bar(timestep)); }

private:
    void check(std::string_view when) const {
        for (std::size_t i = 0; i < betas_.size(); ++i) {
            const bool fits = betas_[i] > 0 && (betas_[i] < 1 || (betas_[i] == 1 && i + 1 == betas_.size()));
            require(fits, "noise schedule: beta ", i, " is ", betas_[i], when,
                    ", expected a number between 0 and 1; check beta_start, beta_end and trained_betas");
        }
    }

    std::vector<float> betas_;
    std::vector<float> alphas_cumprod_;
};

} // namespace reel
