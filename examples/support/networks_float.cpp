#include "networks_of.hpp"

namespace editing {

Model load_float_model(Cpu& cpu, const ModelSource& source) {
    return load_as<float>(cpu, cpu, source);
}

} // namespace editing
