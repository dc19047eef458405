#include <core_headers.hpp>

reel::index_t second_unit() {
    reel::Cpu cpu(1);
    return reel::Tensor<double>::zeros(cpu, {3, 2}).size();
}
