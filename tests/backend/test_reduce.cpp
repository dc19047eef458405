#include <doctest/doctest.h>

#include <reel/ops/reduce.hpp>

#include "backend/compare.hpp"
#include "backend/plain_backend.hpp"

using namespace reel;

namespace {

template <class T, class B>
std::vector<T> sums(B& backend, const std::vector<T>& values, index_t rows, index_t columns) {
    return sum_rows(Tensor<T, B>::from_host(backend, {rows, columns}, values)).to_host();
}

} // namespace

TEST_CASE_TEMPLATE("Cpu column sums equal the generic ones, for any number of threads", T, float, double) {
    Plain plain;
    for (const auto& [rows, columns] : std::vector<std::pair<index_t, index_t>>{
             {1, 7}, {3, 1}, {512, 5}, {513, 40}, {5000, 33}, {0, 4}, {20000, 3}}) {
        CAPTURE(rows);
        CAPTURE(columns);
        const auto values = near::randoms(rows * columns, 1);
        const auto expected = sums(plain, values, rows, columns);
        Cpu one(1);
        const auto alone = sums(one, near::as<T>(values), rows, columns);
        CHECK(near::relative_error(alone, expected) < near::bound<T>);
        for (const int threads : {2, 3}) {
            Cpu cpu(threads);
            CHECK(sums(cpu, near::as<T>(values), rows, columns) == alone);
            CHECK(cpu.memory().statistics().in_use == 0);
        }
    }
}
