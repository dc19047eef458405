#pragma once

#include <reel/schedulers/k_dpm_2_discrete.hpp>

namespace reel {

/// DPM-Solver-2 with as much fresh noise as DDPM draws (Katherine Crowson's k-diffusion); see MidpointScheduler.
template <Real T = float, Backend B = Cpu>
using KDPM2AncestralDiscreteScheduler = MidpointScheduler<true, T, B>;

} // namespace reel
