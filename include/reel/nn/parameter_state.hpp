#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include <reel/nn/later_value.hpp>

namespace reel::detail {

template <Scalar T, Backend B>
struct ParameterState;

/// How a parameter comes from others, and what came of it last.
template <Scalar T, Backend B>
struct Derivation {
    using State = ParameterState<T, B>;

    std::vector<std::shared_ptr<State>> inputs;
    std::function<Variable<T, B>(const std::vector<Variable<T, B>>&)> make;

    /// The value, kept as long as no input trains or gets another. Any thread may ask while none trains.
    [[nodiscard]] const Variable<T, B>& value() {
        const std::lock_guard lock(mutex_);
        std::vector<std::uint64_t> versions;
        bool changing = false;
        for (const auto& input : inputs) {
            versions.push_back(input->all_versions());
            changing = changing || input->records();
        }
        if (changing || versions != versions_ || !value_.defined()) {
            std::vector<Variable<T, B>> constants;
            for (const auto& input : inputs) {
                constants.push_back(Variable<T, B>(input->read().value()));
            }
            value_ = make(constants);
            versions_ = std::move(versions);
        }
        return value_;
    }

    /// Made again, for gradients to reach what it is made from.
    [[nodiscard]] Variable<T, B> recorded() {
        std::vector<Variable<T, B>> variables;
        bool records = false;
        for (const auto& input : inputs) {
            variables.push_back(input->recorded());
            records = records || input->records();
        }
        return records ? make(variables) : value();
    }

private:
    std::mutex mutex_;
    Variable<T, B> value_;
    std::vector<std::uint64_t> versions_;
};

/// What a Parameter holds, at an address that stays: others may be derived from it.
template <Scalar T, Backend B>
struct ParameterState {
    Variable<T, B> variable;
    std::shared_ptr<LaterValue<T, B>> later;        ///< instead of variable, or null
    std::shared_ptr<Derivation<T, B>> derived;      ///< instead of both, or null
    Tensor<compute_t<T>, B> master;                 ///< of a 16-bit parameter that trains
    std::function<Tensor<compute_t<T>, B>()> exact; ///< of a 16-bit parameter that does not, or empty
    bool trains = false;
    std::uint64_t version = 0; ///< how often it got another value

    [[nodiscard]] bool defined() const {
        if (derived) {
            for (const auto& input : derived->inputs) {
                if (!input->defined()) {
                    return false;
                }
            }
            return true;
        }
        return later || variable.defined();
    }

    /// True when it trains, or something that it is derived from.
    [[nodiscard]] bool records() const {
        if (derived) {
            for (const auto& input : derived->inputs) {
                if (input->records()) {
                    return true;
                }
            }
        }
        return trains;
    }

    [[nodiscard]] std::uint64_t all_versions() const {
        std::uint64_t sum = version;
        if (derived) {
            for (const auto& input : derived->inputs) {
                sum += input->all_versions();
            }
        }
        return sum;
    }

    /// With its value; of a derived one, as a constant.
    [[nodiscard]] const Variable<T, B>& read() const {
        return derived ? derived->value() : (later ? later->made() : variable);
    }

    /// As a variable to compute with: recorded when it comes from what trains.
    [[nodiscard]] Variable<T, B> recorded() const { return derived ? derived->recorded() : read(); }
};

} // namespace reel::detail
