#include <core_headers.hpp>

reel::index_t second_unit();

int main() {
    reel::Cpu cpu(1);
    return reel::Tensor<float>::zeros(cpu, {2, 3}).size() == second_unit() ? 0 : 1;
}
