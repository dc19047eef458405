#pragma once

#include <string_view>
#include <type_traits>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/core/scalar.hpp>

namespace reel {

/// Which model call of a run a timestep means. Timesteps may repeat (Heun asks the model twice at one), so the place in
/// the run, not the timestep alone, says which step it is. A run may begin at any of its steps (a sample that is only
/// partly noise). Samplers whose steps build on those before it are `ordered`: from there, calls must follow in order.
/// Others go on in order too, but may go anywhere.
class CallPosition {
public:
    /// `stages`: model calls per step; a run begins at a multiple of it.
    CallPosition(index_t stages, bool ordered) : stages_(stages), ordered_(ordered) {}

    void reset() {
        next_ = 0;
        started_ = false;
    }

    /// Index of the call that `timestep` means. Throws Error starting with `scheduler` when `timesteps` is empty, has
    /// no such timestep, and, for ordered samplers, after the last step and for a timestep that is not the next one.
    template <class Timestep>
    [[nodiscard]] index_t find(std::string_view scheduler, const std::vector<Timestep>& timesteps,
                               std::type_identity_t<Timestep> timestep) const {
        require(!timesteps.empty(), scheduler, ": call set_timesteps() first");
        const auto count = static_cast<index_t>(timesteps.size());
        if (next_ < count && timesteps[static_cast<std::size_t>(next_)] == timestep) {
            return next_;
        }
        if (started_ && ordered_) {
            require(next_ < count, scheduler, ": the run is over; call set_timesteps() for another");
            fail(scheduler, ": timestep ", timestep, ", but model call ", next_ + 1, " of ", count, " is at timestep ",
                 timesteps[static_cast<std::size_t>(next_)],
                 ": steps follow one another in the order of timesteps(); call set_timesteps() to begin anew");
        }
        for (index_t i = 0; i < count; i += stages_) {
            if (timesteps[static_cast<std::size_t>(i)] == timestep) {
                return i;
            }
        }
        fail(scheduler, ": timestep ", timestep, " is not one of this run's ", count, " timesteps",
             stages_ > 1 ? " at which a step may begin" : "");
    }

    /// Whether a step has been taken since reset().
    [[nodiscard]] bool started() const { return started_; }

    /// To be called when the step at `call` has succeeded.
    void done(index_t call) {
        next_ = call + 1;
        started_ = true;
    }

private:
    index_t stages_;
    bool ordered_;
    index_t next_ = 0;
    bool started_ = false;
};

} // namespace reel
