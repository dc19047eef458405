#pragma once

#include <limits>
#include <map>
#include <optional>

#include <reel/optim/adamw.hpp>
#include <reel/optim/blockwise_quantization.hpp>

namespace reel {

namespace functors {

/// One AdamW update of one block, whose moments lie in 8 bits. Two passes: the largest moments must be known before
/// any is stored, and to compute them again costs less than to keep them.
template <class T>
struct AdamW8bitUpdate {
    T decay; ///< as in AdamWUpdate
    T beta1;
    T beta2;
    T rate;
    T widening;
    T epsilon;
    DynamicMapView<T> m_map; ///< signed
    DynamicMapView<T> v_map; ///< unsigned
    const T* g;
    T* p;
    std::uint8_t* m;
    T* m_absmax;
    std::uint8_t* v;
    T* v_absmax;
    index_t count;
    index_t block_size;

    constexpr T next_m(index_t i, T scale) const {
        const T old = m_map.values[m[i]] * scale;
        return old + (T(1) - beta1) * (g[i] - old);
    }
    constexpr T next_v(index_t i, T scale) const {
        return beta2 * (v_map.values[v[i]] * scale) + (T(1) - beta2) * g[i] * g[i];
    }
    constexpr void operator()(index_t block) const {
        using std::sqrt;
        const index_t begin = block * block_size;
        const index_t end = begin + block_size < count ? begin + block_size : count;
        const T m_scale = m_absmax[block];
        const T v_scale = v_absmax[block];
        T m_largest = T(0);
        T v_largest = T(0);
        for (index_t i = begin; i < end; ++i) {
            const T new_m = next_m(i, m_scale);
            const T new_v = next_v(i, v_scale);
            const T magnitude = new_m < T(0) ? -new_m : new_m;
            m_largest = magnitude > m_largest ? magnitude : m_largest;
            v_largest = new_v > v_largest ? new_v : v_largest;
            p[i] = decay * p[i] - rate * new_m / (sqrt(new_v) * widening + epsilon);
        }
        const T m_factor = inverse_absmax(m_largest);
        const T v_factor = inverse_absmax(v_largest);
        for (index_t i = begin; i < end; ++i) {
            m[i] = m_map.code(next_m(i, m_scale) * m_factor);
            v[i] = v_map.code(next_v(i, v_scale) * v_factor);
        }
        m_absmax[block] = m_largest;
        v_absmax[block] = v_largest;
    }
};

} // namespace functors

/// Defaults are those of bitsandbytes 0.35, which Tune-A-Video uses. (0.45 and later take blocks of 256.)
struct AdamW8bitOptions {
    AdamWOptions adamw{};
    index_t block_size = 2048;
    index_t min_8bit_size = 4096; ///< parameters of fewer elements keep their moments in full

    static constexpr index_t never = std::numeric_limits<index_t>::max(); ///< a min_8bit_size: this is AdamW
};

/// What AdamW8bit remembers of one parameter that is large enough.
template <Real T, Backend B = Cpu>
struct AdamW8bitState {
    BlockwiseTensor<T, B> exp_avg;    ///< signed
    BlockwiseTensor<T, B> exp_avg_sq; ///< unsigned
    index_t step = 0;                 ///< updates so far
};

/// AdamW with both moments in 8 bits: two bytes for each element and two numbers for each block, where AdamW has eight
/// (Dettmers et al. 2022, "8-bit Optimizers via Block-wise Quantization", arXiv:2110.02861). An update is AdamW's, on
/// what the bytes stand for, in T; then the new moments are rounded. Weights and gradients are T throughout.
template <Real T, Backend B = Cpu>
class AdamW8bit {
public:
    using State = AdamW8bitState<T, B>;
    using States = std::map<std::string, State, std::less<>>;

    /// Throws Error naming an option that makes no sense.
    explicit AdamW8bit(const AdamW8bitOptions& options = {}) : options_(options), small_(options.adamw) {
        require(options.block_size > 0, "AdamW8bit: block_size is ", options.block_size, "; expected 1 or more");
        require(options.min_8bit_size >= 0, "AdamW8bit: min_8bit_size is ", options.min_8bit_size,
                "; expected 0 or more");
    }

    [[nodiscard]] const AdamW8bitOptions& options() const { return options_; }

    /// As AdamW::step(), with the same errors.
    void step(std::span<const NamedParameter<T, B>> parameters, double learning_rate) {
        std::set<std::string_view> names;
        std::vector<NamedParameter<T, B>> small;
        for (const auto& parameter : parameters) {
            require(names.insert(parameter.name).second, "AdamW: two parameters named \"", parameter.name, "\"");
            if (is_small(parameter)) {
                small.push_back(parameter);
            } else {
                check(parameter);
            }
        }
        small_.step(small, learning_rate); // checks the rate, too
        for (const auto& parameter : parameters) {
            if (parameter.gradient.defined() && !is_small(parameter)) {
                update(parameter, learning_rate);
            }
        }
    }
    void step(const std::vector<NamedParameter<T, B>>& parameters, double learning_rate) {
        step(std::span<const NamedParameter<T, B>>(parameters), learning_rate);
    }

    /// The parameters whose moments are kept in full.
    [[nodiscard]] const AdamW<T, B>& small() const { return small_; }

    /// State by parameter name, of the others that were updated at least once.
    [[nodiscard]] const States& states() const { return states_; }

    /// Continues from saved states. Throws Error naming the parameter when a state is incomplete, in blocks of another
    /// size, or of a parameter that this optimizer would keep in full.
    void restore(typename AdamW<T, B>::States small, States states) {
        for (const auto& [name, state] : states) {
            const Shape& shape = state.exp_avg.codes.shape();
            const Shape blocks{BlockwiseTensor<T, B>::block_count(shape.size(), options_.block_size)};
            require(state.exp_avg_sq.codes.shape() == shape && state.exp_avg.absmax.shape() == blocks &&
                        state.exp_avg_sq.absmax.shape() == blocks && state.step >= 1,
                    "AdamW8bit: the state of \"", name, "\" does not fit: codes ", shape, " and ",
                    state.exp_avg_sq.codes.shape(), ", scales ", state.exp_avg.absmax.shape(), " and ",
                    state.exp_avg_sq.absmax.shape(), ", step ", state.step, "; expected equal codes and ", blocks[0],
                    " scales (blocks of ", options_.block_size, ")");
            require(shape.size() >= options_.min_8bit_size, "AdamW8bit: the state of \"", name, "\" has 8 bits, but ",
                    "parameters of ", shape.size(), " elements are kept in full (min_8bit_size)");
        }
        for (const auto& [name, state] : small) {
            require(state.exp_avg.size() < options_.min_8bit_size, "AdamW8bit: the state of \"", name,
                    "\" is kept in full, but parameters of ", state.exp_avg.size(), " elements are kept in 8 bits");
        }
        small_.restore(std::move(small));
        states_ = std::move(states);
    }

    /// What all state takes.
    [[nodiscard]] std::size_t state_bytes() const {
        std::size_t bytes = 0;
        for (const auto& entry : small_.states()) {
            bytes += 2 * sizeof(T) * static_cast<std::size_t>(entry.second.exp_avg.size());
        }
        for (const auto& entry : states_) {
            bytes += entry.second.exp_avg.bytes() + entry.second.exp_avg_sq.bytes();
        }
        return bytes;
    }

private:
    struct Maps {
        DynamicMap<T, B> m;
        DynamicMap<T, B> v;
    };

    [[nodiscard]] bool is_small(const NamedParameter<T, B>& parameter) const {
        return !parameter.value.defined() || parameter.value.size() < options_.min_8bit_size;
    }

    void check(const NamedParameter<T, B>& parameter) const {
        if (!parameter.gradient.defined()) {
            return;
        }
        require(parameter.value.shape() == parameter.gradient.shape(), "AdamW: the gradient of \"", parameter.name,
                "\" has shape ", parameter.gradient.shape(), ", but the parameter ", parameter.value.shape());
        const auto found = states_.find(parameter.name);
        require(found == states_.end() || found->second.exp_avg.codes.shape() == parameter.value.shape(),
                "AdamW: the restored state of \"", parameter.name, "\" has shape ",
                found == states_.end() ? Shape{} : found->second.exp_avg.codes.shape(), ", but the parameter ",
                parameter.value.shape());
    }

    void update(const NamedParameter<T, B>& parameter, double learning_rate) {
        B& backend = parameter.value.backend();
        if (!maps_) {
            maps_.emplace(Maps{DynamicMap<T, B>(backend, true), DynamicMap<T, B>(backend, false)});
        }
        State& state = states_[parameter.name];
        if (!state.exp_avg.codes.defined()) {
            const Shape& shape = parameter.value.shape();
            state.exp_avg = BlockwiseTensor<T, B>::zeros(backend, shape, options_.block_size);
            state.exp_avg_sq = BlockwiseTensor<T, B>::zeros(backend, shape, options_.block_size);
        }
        ++state.step;
        const AdamWOptions& options = options_.adamw;
        const auto steps = static_cast<double>(state.step);
        const double rate = learning_rate / (1 - std::pow(options.beta1, steps));
        const double widening = 1 / std::sqrt(1 - std::pow(options.beta2, steps));
        const double decay = 1 - learning_rate * options.weight_decay;
        backend.for_each_index(
            state.exp_avg.absmax.size(),
            functors::AdamW8bitUpdate<T>{static_cast<T>(decay), static_cast<T>(options.beta1),
                                         static_cast<T>(options.beta2), static_cast<T>(rate), static_cast<T>(widening),
                                         static_cast<T>(options.epsilon), maps_->m.view(), maps_->v.view(),
                                         parameter.gradient.data(), parameter.value.data(), state.exp_avg.codes.data(),
                                         state.exp_avg.absmax.data(), state.exp_avg_sq.codes.data(),
                                         state.exp_avg_sq.absmax.data(), parameter.value.size(), options_.block_size},
            index_t{1});
    }

    AdamW8bitOptions options_;
    AdamW<T, B> small_;
    States states_;
    std::optional<Maps> maps_; ///< made with the first state
};

} // namespace reel
