#include "networks_of.hpp"

namespace editing {

Model load_bfloat16_model(Cpu& cpu, const ModelSource& source) {
    return load_as<reel::bfloat16>(cpu, cpu, source);
}

} // namespace editing
