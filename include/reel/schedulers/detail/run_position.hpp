#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include <reel/schedulers/detail/call_position.hpp>

namespace reel {

/// The timesteps of a run and which step comes next, for samplers with whole timesteps whose steps build on those
/// before (see CallPosition).
class RunPosition {
public:
    void restart(std::vector<index_t> timesteps) {
        timesteps_ = std::move(timesteps);
        position_.reset();
    }

    [[nodiscard]] const std::vector<index_t>& timesteps() const { return timesteps_; }
    [[nodiscard]] std::size_t size() const { return timesteps_.size(); }

    /// Position of the step to be taken. Throws Error, starting with the scheduler's name, before set_timesteps(),
    /// after the last step, and for a timestep that is not the next one.
    [[nodiscard]] std::size_t find(std::string_view scheduler, index_t timestep) const {
        return static_cast<std::size_t>(position_.find(scheduler, timesteps_, timestep));
    }

    /// Whether no step has been taken yet.
    [[nodiscard]] bool at_start() const { return !position_.started(); }

    /// To be called when the step at `position` has succeeded.
    void advance(std::size_t position) { position_.done(static_cast<index_t>(position)); }

private:
    std::vector<index_t> timesteps_;
    CallPosition position_{1, true};
};

} // namespace reel
