// What PyTorch's C++ tests expect of Adam (test/cpp/api/optim_baseline.h): a net of 2, 3 and 1 sigmoids in double whose
// output falls for 1001 steps of length 1. AdamW without weight decay is Adam; the numbers differ from
// it by 1.5e-4 at most, as if epsilon were added before the second moment's bias is corrected, so the tolerance is
// theirs, too. Needs no data; goldens of today's AdamW, to 1e-14, are in tests/optim.

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <reel/optim/adamw.hpp>

using namespace reel;

namespace {

/// Weights 3x2, 3, 1x3, 1, one after the other.
using Weights = std::array<double, 13>;

/// The gradient of the outputs' sum over three inputs.
Weights gradient(const Weights& w) {
    Weights g{};
    const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
    for (const auto& [x, y] : {std::pair(0.1, 0.2), std::pair(0.3, 0.4), std::pair(0.5, 0.6)}) {
        std::array<double, 3> hidden{};
        double sum = w[12];
        for (std::size_t i = 0; i < 3; ++i) {
            hidden[i] = sigmoid(w[2 * i] * x + w[2 * i + 1] * y + w[6 + i]);
            sum += w[9 + i] * hidden[i];
        }
        const double out = sigmoid(sum);
        const double down = out * (1 - out);
        g[12] += down;
        for (std::size_t i = 0; i < 3; ++i) {
            g[9 + i] += down * hidden[i];
            const double inner = down * w[9 + i] * hidden[i] * (1 - hidden[i]);
            g[2 * i] += inner * x;
            g[2 * i + 1] += inner * y;
            g[6 + i] += inner;
        }
    }
    return g;
}

Tensor<double> part(Cpu& cpu, const Weights& all, std::size_t begin, const Shape& shape) {
    return Tensor<double>::from_host(
        cpu, shape,
        std::vector<double>(all.begin() + begin, all.begin() + begin + static_cast<std::size_t>(shape.size())));
}

} // namespace

TEST_CASE("PyTorch's baseline of Adam") {
    // By the step after which they are taken.
    const std::map<int, Weights> expected{
        {0,
         {0.7889791973017408, 0.5023527440741749, 0.8586918159203789, 0.6579591153929213, 0.747610883848348,
          1.697537897359327, 0.8914325948147117, 0.7020467393446147, 1.6891939505415117, -1.0508020464078212,
          -1.3941340315784612, -1.2843369730699878, -1.0711376814874036}},
        {100,
         {8.232343369651838, 7.970643300186943, 6.643546447481872, 6.470927350729255, 6.1699929180461135,
          7.150644529115176, 8.417513698774671, 6.597182008001362, 7.231731333798338, -6.7296200590850805,
          -7.097441464483235, -6.7533081426144665, -6.435644769127909}},
        {1000,
         {8.232728644466773, 7.971029911310943, 6.64384565701621, 6.471228028886431, 6.170273310651826,
          7.150926520006559, 8.417903429548836, 6.5974869789301245, 7.23201797707385, -6.729914394552445,
          -7.097737106893246, -6.753591316396183, -6.435922417839901}},
    };
    Cpu cpu(1);
    Weights w{-0.2109, -0.4976, -0.1413, -0.3420, -0.2524, 0.6976, -0.1085,
              -0.2979, 0.6892,  -0.0508, -0.3941, -0.2843, -0.0711};
    const std::vector<std::pair<std::size_t, Shape>> parts{{0, {3, 2}}, {6, {3}}, {9, {1, 3}}, {12, {1}}};
    std::vector<NamedParameter<double>> parameters;
    for (const auto& [begin, shape] : parts) {
        parameters.push_back({std::to_string(begin), part(cpu, w, begin, shape), {}});
    }
    AdamW<double> optimizer({.learning_rate = 1, .weight_decay = 0});
    int compared = 0;
    for (int step = 0; step <= 1000; ++step) {
        const Weights g = gradient(w);
        for (std::size_t i = 0; i < parts.size(); ++i) {
            parameters[i].gradient = part(cpu, g, parts[i].first, parts[i].second);
        }
        optimizer.step(parameters);
        for (std::size_t i = 0; i < parts.size(); ++i) {
            const auto values = parameters[i].value.to_host();
            std::copy(values.begin(), values.end(), w.begin() + parts[i].first);
        }
        if (const auto found = expected.find(step); found != expected.end()) {
            CAPTURE(step);
            for (std::size_t i = 0; i < w.size(); ++i) {
                CHECK(std::abs(w[i] - found->second[i]) <= 5e-4 + 1e-3 * std::abs(found->second[i])); // as there
                ++compared;
            }
        }
    }
    CHECK(compared == 39);
}
