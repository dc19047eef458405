#include <vector>

#include <doctest/doctest.h>

#include <reel/core/error.hpp>
#include <reel/core/nearest_name.hpp>
#include <reel/core/shape.hpp>

using namespace reel;

TEST_CASE("Error: the parts make the text, and only a failing condition throws") {
    CHECK(concat_text("a ", 1, ' ', 2.5, Shape{3, 4}) == "a 1 2.5[3, 4]");
    CHECK_NOTHROW(require(true, "no"));
    CHECK_THROWS_WITH_AS(require(false, "weight ", 7, " of ", Shape{2}), "weight 7 of [2]", Error);
    CHECK_THROWS_WITH_AS(fail("x=", 1), "x=1", Error);
    CHECK_THROWS_AS(fail("x"), std::runtime_error);
}

TEST_CASE("Shape: extents, axes from the end, size, text") {
    const Shape shape{2, 3, 5};
    CHECK(shape.rank() == 3);
    CHECK(shape[0] == 2);
    CHECK(shape[-1] == 5);
    CHECK(shape[-3] == 2);
    CHECK(shape.size() == 30);
    CHECK(concat_text(shape) == "[2, 3, 5]");
    CHECK(shape == Shape{2, 3, 5});
    CHECK(shape != Shape{2, 3});
    CHECK(shape != Shape{2, 3, 4});
    CHECK(Shape{2, 3} != Shape{2, 3, 1});
    CHECK(shape.with(-1, 7) == Shape{2, 3, 7});
    CHECK(shape.with(0, 0).size() == 0);
    CHECK(shape == Shape{2, 3, 5}); // with() copies

    const std::vector<std::int64_t> extents{4, 1};
    CHECK(Shape(extents.begin(), extents.end()) == Shape{4, 1});
}

TEST_CASE("Shape: rank 0 is a scalar") {
    CHECK(Shape{}.rank() == 0);
    CHECK(Shape{}.size() == 1);
    CHECK(concat_text(Shape{}) == "[]");
    CHECK(Shape{} != Shape{1});
}

TEST_CASE("Shape: what is not a shape is refused") {
    CHECK_THROWS_WITH_AS((Shape{2, -1}), "Shape: extent -1 is negative", Error);
    CHECK_THROWS_WITH_AS((Shape{1, 1, 1, 1, 1, 1, 1}), doctest::Contains("more than 6 axes"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(Shape{2}[1]), "Shape: axis 1 of a shape of rank 1", Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(Shape{2}[-2]), doctest::Contains("rank 1"), Error);
    CHECK_THROWS_AS(static_cast<void>(Shape{}[0]), Error);
    CHECK_THROWS_AS(static_cast<void>(Shape{2}.with(1, 3)), Error);
    CHECK_NOTHROW((Shape{1, 1, 1, 1, 1, 1}));
}

TEST_CASE("nearest_name: finds the slip, and stays silent about strangers") {
    const std::vector<std::string> names{"learning_rate", "max_train_steps", "seed", "n_sample_frames"};
    CHECK(nearest_name("learnig_rate", names) == "learning_rate");
    CHECK(nearest_name("sede", names) == "seed"); // neighbours swapped
    CHECK(nearest_name("n_sample_frame", names) == "n_sample_frames");
    CHECK(nearest_name("guidance_scale", names).empty());
    CHECK(nearest_name("", names).empty());
    CHECK(nearest_name(std::string(10000, 'x'), names).empty());
    CHECK(did_you_mean("sead", names) == " (did you mean \"seed\"?)");
    CHECK(did_you_mean("zzzz", names).empty());
    CHECK(edit_distance("kitten", "sitting") == 3);
    CHECK(edit_distance("", "abc") == 3);
    CHECK(edit_distance("ab", "ba") == 1);
}
