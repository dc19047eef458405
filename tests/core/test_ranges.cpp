// ranges:: against std::ranges, where that is.

#include <doctest/doctest.h>

#include <ranges>
#include <string>
#include <string_view>
#include <vector>

#include <reel/core/ranges.hpp>

namespace {

struct Named {
    std::string name;
    int value;
};

} // namespace

TEST_CASE("ranges: places are those of std::ranges, with projections, where equals meet and where there is nothing") {
    const std::vector<std::vector<int>> all{{}, {3}, {1, 1, 2, 3, 3, 5}, {5, 3, 3, 1}, {2, 2, 2}};
    for (const std::vector<int>& x : all) {
        CAPTURE(x.size());
        for (int value = 0; value < 7; ++value) {
            CHECK(reel::ranges::find(x, value) == std::ranges::find(x, value));
            CHECK(reel::ranges::count(x, value) == std::ranges::count(x, value));
            const auto above = [&](int n) { return n > value; };
            CHECK(reel::ranges::find_if(x, above) == std::ranges::find_if(x, above));
            CHECK(reel::ranges::find_if_not(x, above) == std::ranges::find_if_not(x, above));
            CHECK(reel::ranges::any_of(x, above) == std::ranges::any_of(x, above));
            CHECK(reel::ranges::all_of(x, above) == std::ranges::all_of(x, above));
            CHECK(reel::ranges::none_of(x, above) == std::ranges::none_of(x, above));
            CHECK(reel::ranges::count_if(x, above) == std::ranges::count_if(x, above));
            std::vector<int> sorted = x;
            reel::ranges::sort(sorted);
            CHECK(std::ranges::is_sorted(sorted));
            CHECK(reel::ranges::lower_bound(sorted, value) == std::ranges::lower_bound(sorted, value));
            CHECK(reel::ranges::upper_bound(sorted, value) == std::ranges::upper_bound(sorted, value));
        }
        CHECK(reel::ranges::max_element(x) == std::ranges::max_element(x));
        CHECK(reel::ranges::min_element(x) == std::ranges::min_element(x));
        CHECK(reel::ranges::adjacent_find(x) == std::ranges::adjacent_find(x));
        CHECK(reel::ranges::distance(x) == std::ranges::distance(x));
        for (const std::vector<int>& y : all) {
            CHECK(reel::ranges::equal(x, y) == std::ranges::equal(x, y));
            const auto found = reel::ranges::mismatch(x, y);
            const auto expected = std::ranges::mismatch(x, y);
            CHECK(found.in1 == expected.in1);
            CHECK(found.in2 == expected.in2);
        }
        if (!x.empty()) {
            CHECK(reel::ranges::max(x) == std::ranges::max(x));
            const auto [least, most] = reel::ranges::minmax(x);
            CHECK(least == std::ranges::min(x));
            CHECK(most == std::ranges::max(x));
        }
    }
    std::vector<Named> named{{"c", 2}, {"a", 1}, {"b", 2}, {"d", 0}};
    CHECK(reel::ranges::find(named, "b", &Named::name)->value == 2);
    CHECK(reel::ranges::any_of(
        named, [](int v) { return v == 0; }, &Named::value));
    CHECK(reel::ranges::max_element(named, {}, &Named::value)->name == "c");
    CHECK(reel::ranges::min_element(named, std::greater<>(), &Named::value)->name == "c");
    reel::ranges::stable_sort(named, {}, &Named::value);
    CHECK(named[2].name == "c");
    CHECK(named[3].name == "b");
    CHECK(reel::ranges::lower_bound(named, 2, {}, &Named::value)->name == "c");
    CHECK(reel::ranges::upper_bound(named, 1, {}, &Named::value)->name == "c");
    reel::ranges::sort(named, std::greater<>(), &Named::name);
    CHECK(named.front().name == "d");
}

TEST_CASE("ranges: what changes a range") {
    std::vector<int> x{1, 2, 3, 2};
    reel::ranges::replace(x, 2, 7);
    CHECK(x == std::vector{1, 7, 3, 7});
    reel::ranges::replace_if(
        x, [](int n) { return n < 5; }, 0);
    CHECK(x == std::vector{0, 7, 0, 7});
    reel::ranges::reverse(x);
    CHECK(x == std::vector{7, 0, 7, 0});
    std::vector<int> y(4);
    reel::ranges::transform(x, y.begin(), [](int n) { return n + 1; });
    CHECK(y == std::vector{8, 1, 8, 1});
    reel::ranges::transform(x, y, y.begin(), [](int a, int b) { return a * b; });
    CHECK(y == std::vector{56, 0, 56, 0});
    reel::ranges::copy(x, y.begin());
    CHECK(y == x);
    reel::ranges::fill(y, 9);
    CHECK(y == std::vector{9, 9, 9, 9});
}
