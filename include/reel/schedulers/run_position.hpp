#pragma once

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/core/scalar.hpp>

namespace reel {

/// The timesteps of a run and which step comes next, for samplers whose steps build on those before. The position, not
/// the timestep, names a step: a run may visit a timestep twice.
class RunPosition {
public:
    void restart(std::vector<index_t> timesteps) {
        timesteps_ = std::move(timesteps);
        next_ = 0;
        started_ = false;
    }

    [[nodiscard]] const std::vector<index_t>& timesteps() const { return timesteps_; }
    [[nodiscard]] std::size_t size() const { return timesteps_.size(); }

    /// Position of the step to be taken. A run may begin at any of its timesteps (a sample that is only partly noise)
    /// and then goes on in order. Throws Error, starting with the scheduler's name, before set_timesteps(), after the
    /// last step, and for a timestep that is not the next one.
    [[nodiscard]] std::size_t find(std::string_view scheduler, index_t timestep) const {
        require(!timesteps_.empty(), scheduler, ": call set_timesteps() first");
        if (!started_) {
            const auto found = std::find(timesteps_.begin(), timesteps_.end(), timestep);
            require(found != timesteps_.end(), scheduler, ": timestep ", timestep, " is not one of the ",
                    timesteps_.size(), " timesteps of this run");
            return static_cast<std::size_t>(found - timesteps_.begin());
        }
        require(next_ < timesteps_.size(), scheduler, ": the run of ", timesteps_.size(),
                " steps is over; call set_timesteps() for another");
        require(timestep == timesteps_[next_], scheduler, ": timestep ", timestep, ", but step ", next_ + 1, " of ",
                timesteps_.size(), " is at timestep ", timesteps_[next_],
                ": steps follow one another in the order of timesteps(); call set_timesteps() to begin anew");
        return next_;
    }

    /// Whether no step has been taken yet.
    [[nodiscard]] bool at_start() const { return !started_; }

    /// To be called when the step at `position` has succeeded.
    void advance(std::size_t position) {
        next_ = position + 1;
        started_ = true;
    }

private:
    std::vector<index_t> timesteps_;
    std::size_t next_ = 0;
    bool started_ = false;
};

} // namespace reel
