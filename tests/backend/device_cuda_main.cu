#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <iostream>

#include <reel/backend/cuda/runtime.cuh>

int main(int count, char** words) {
    if (const std::string problem = reel::cuda::device_problem(); !problem.empty()) {
        std::cout << "skipped: no CUDA device: " << problem << '\n';
        return 0;
    }
    return doctest::Context(count, words).run();
}
