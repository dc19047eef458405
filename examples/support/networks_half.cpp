#include "networks_of.hpp"

namespace editing {

Model load_half_model(Cpu& cpu, const ModelSource& source) {
    return load_as<reel::half>(cpu, cpu, source);
}

} // namespace editing
