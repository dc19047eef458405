#pragma once

/// Random numbers: `Philox` for new work, `TorchCpuGenerator` for runs that repeat a PyTorch program's.
#include <reel/core/philox.hpp>
#include <reel/core/torch_generator.hpp>
