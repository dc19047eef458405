// What ranks do all at once, by MPI, and what they send for it.

#include <doctest/doctest.h>

#include <cstdint>
#include <numeric>
#include <vector>

#include <reel/parallel/tensors.hpp>

#include "ranks.hpp"

using reel::Communicator;
using reel::Cpu;
using reel::index_t;
using reel::Tensor;
using reel_test::world;

namespace {

/// What a collective sent.
template <class Work>
[[nodiscard]] std::size_t sent_by(const Communicator& ranks, const Work& work) {
    const std::size_t before = ranks.bytes_sent();
    work();
    return ranks.bytes_sent() - before;
}

/// Rank r's values: no two alike, and sums depend on their order.
[[nodiscard]] std::vector<float> values_of(int rank, std::size_t count) {
    std::vector<float> values;
    for (std::size_t i = 0; i < count; ++i) {
        values.push_back(1.0F / static_cast<float>(3 + i + 7 * static_cast<std::size_t>(rank)));
    }
    return values;
}

} // namespace

TEST_CASE("shares are neighbours, cover everything once, and differ by one at most") {
    for (const index_t items : {0, 1, 2, 3, 7, 12}) {
        for (int ranks = 1; ranks <= 5; ++ranks) {
            index_t next = 0;
            for (int rank = 0; rank < ranks; ++rank) {
                const reel::Share share = reel::share_of(items, rank, ranks);
                CHECK(share.first == next);
                CHECK(share.count() >= items / ranks);
                CHECK(share.count() <= items / ranks + 1);
                next = share.last;
            }
            CHECK(next == items);
        }
    }
    CHECK(reel::share_of(2, 0, 4).count() == 1);
    CHECK(reel::share_of(2, 1, 4).count() == 1);
    CHECK(reel::share_of(2, 3, 4).empty());
    CHECK_THROWS_AS(static_cast<void>(reel::share_of(2, 2, 2)), reel::Error);
}

TEST_CASE("collectives give what they say, and send as many bytes as they say") {
    const Communicator& ranks = world();
    const int rank = ranks.rank();
    const int size = ranks.size();
    const auto others = static_cast<std::size_t>(size - 1);
    constexpr std::size_t count = 13;

    std::vector<float> values = values_of(rank, count);
    const int root = size - 1;
    CHECK(sent_by(ranks, [&] { ranks.broadcast(std::span<float>(values), root); }) ==
          (rank == root ? others * count * sizeof(float) : 0));
    CHECK(values == values_of(root, count));

    std::vector<float> expected = values_of(0, count);
    for (int other = 1; other < size; ++other) {
        const std::vector<float> more = values_of(other, count);
        for (std::size_t i = 0; i < count; ++i) {
            expected[i] += more[i];
        }
    }
    std::vector<float> sums = values_of(rank, count);
    const auto mine = static_cast<std::size_t>(ranks.share(count).count());
    CHECK(sent_by(ranks, [&] { ranks.all_reduce(std::span<float>(sums)); }) ==
          (size == 1 ? 0 : (count - mine + others * mine) * sizeof(float)));
    CHECK(sums == expected); // to the bit

    std::vector<std::int64_t> rows(2 * count, -1);
    for (index_t row = ranks.share(count).first; row < ranks.share(count).last; ++row) {
        rows[static_cast<std::size_t>(2 * row)] = row;
        rows[static_cast<std::size_t>(2 * row + 1)] = -2 * row;
    }
    CHECK(sent_by(ranks, [&] { ranks.all_gather(std::span<std::int64_t>(rows), count); }) ==
          others * mine * 2 * sizeof(std::int64_t));
    for (std::size_t row = 0; row < count; ++row) {
        CHECK(rows[2 * row] == static_cast<std::int64_t>(row));
        CHECK(rows[2 * row + 1] == -2 * static_cast<std::int64_t>(row));
    }

    std::vector<int> blocks;
    for (int other = 0; other < size; ++other) {
        blocks.insert(blocks.end(), {rank, other, 100 * rank + other});
    }
    std::vector<int> received(blocks.size());
    CHECK(sent_by(ranks, [&] { ranks.all_to_all(std::span<const int>(blocks), std::span<int>(received)); }) ==
          others * 3 * sizeof(int));
    for (int other = 0; other < size; ++other) {
        const auto at = 3 * static_cast<std::size_t>(other);
        CHECK(received[at] == other);
        CHECK(received[at + 1] == rank);
        CHECK(received[at + 2] == 100 * other + rank);
    }

    const std::vector<double> own(5, rank);
    std::vector<double> former(5, -1);
    CHECK(sent_by(ranks, [&] { ranks.shift(std::span<const double>(own), std::span<double>(former)); }) ==
          (rank + 1 < size ? 5 * sizeof(double) : 0));
    CHECK(former == std::vector<double>(5, rank - 1)); // -1: the first got nothing
    ranks.barrier();
}

TEST_CASE("a group is divided by colours") {
    const Communicator& ranks = world();
    const Communicator part = ranks.split(ranks.rank() % 2);
    CHECK(part.size() == (ranks.size() + (ranks.rank() % 2 == 0 ? 1 : 0)) / 2);
    CHECK(part.rank() == ranks.rank() / 2);
    std::vector<int> sum{ranks.rank()};
    part.all_reduce(std::span<int>(sum));
    int expected = 0;
    for (int other = ranks.rank() % 2; other < ranks.size(); other += 2) {
        expected += other;
    }
    CHECK(sum.front() == expected);
    CHECK(Communicator().alone());
    CHECK(Communicator().split(3).alone());
}

TEST_CASE_TEMPLATE("tensors are summed, those of 16 bits in float", T, double, float, reel::bfloat16, reel::half) {
    const Communicator& ranks = world();
    Cpu cpu(1);
    // 1, 2^-9, 2^-9, ...: rounded after each sum, a bfloat16 would stay 1
    const float term = ranks.first() ? 1.0F : 1.0F / 512;
    const auto x = Tensor<T>::full(cpu, {2, 3}, T(term));
    reel::all_reduce(ranks, x);
    float sum = 1;
    for (int other = 1; other < ranks.size(); ++other) {
        sum += 1.0F / 512;
    }
    for (const T value : x.to_host()) {
        CHECK(static_cast<float>(value) == static_cast<float>(T(sum)));
    }
}

TEST_CASE("rows that ranks make are the same on all, also where a rank has none") {
    const Communicator& ranks = world();
    Cpu cpu(1);
    for (const index_t rows : {1, 2, 5}) {
        index_t made = 0;
        const auto x = reel::rows_over_ranks(
            ranks, cpu, rows,
            [&](index_t first, index_t last) {
                made += last - first;
                Tensor<float> part(cpu, {last - first, 2, 3});
                std::iota(part.data(), part.data() + part.size(), static_cast<float>(first * 6));
                return part;
            },
            "rows");
        CHECK(made == ranks.share(rows).count());
        REQUIRE(x.shape() == reel::Shape{rows, 2, 3});
        for (index_t i = 0; i < x.size(); ++i) {
            CHECK(x.data()[i] == static_cast<float>(i));
        }
    }
}

TEST_CASE("ranks that do different things are told so") {
    const Communicator& ranks = world();
    if (ranks.size() < 2) {
        return;
    }
    const Communicator part = ranks.split(0); // which does not work any more afterwards
    std::vector<char> values(ranks.rank() == 0 ? 4 : 8);
    std::string text;
    try {
        part.broadcast(std::span<char>(values), 0, "what was asked");
    } catch (const reel::Error& error) {
        text = error.what();
    }
    CHECK((text.find("what was asked: rank 0 sent 4 bytes, not 8: the ranks do different things") !=
           std::string::npos) == (ranks.rank() > 0));
    if (ranks.rank() > 0) {
        CHECK_THROWS_AS(part.barrier(), reel::Error);
    }
}
