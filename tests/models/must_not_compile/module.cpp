// Compiled once complete and once for each mistake: the first error must say what is missing.
#include <reel/nn/module.hpp>

struct Gate {
    reel::Parameter<float> weight{{.shape = {2}}};
    int count = 0;
#ifndef WITHOUT_MEMBERS
    static void members(auto& self, const auto& visit) {
        visit("weight", self.weight);
#ifdef VISITS_A_NUMBER
        visit("count", self.count);
#endif
    }
#endif
};

int main() {
    const Gate gate;
#ifdef COUNTED
    return static_cast<int>(reel::parameter_count(gate));
#else
    reel::for_each_parameter(gate, [](const std::string&, const auto&) {});
#endif
}
