#pragma once
// What reel uses of std::ranges' algorithms, by the same names: the libc++ of clang 14 has none of them, and std's take
// a compiler longer to read.

#include <algorithm>
#include <functional>
#include <iterator>
#include <type_traits>
#include <utility>

namespace reel::ranges {

/// A range whose iterators outlive the call: one that has a name, or a view such as std::span.
template <class R>
concept Borrowed = std::is_lvalue_reference_v<R> || std::is_trivially_copyable_v<R>;

namespace detail {

/// less(projection(a), projection(b))
template <class Less, class Projection>
auto by(Less& less, Projection& projection) {
    return [&](const auto& a, const auto& b) {
        return std::invoke(less, std::invoke(projection, a), std::invoke(projection, b));
    };
}

} // namespace detail

template <class R, class Predicate, class Projection = std::identity>
requires Borrowed<R>
[[nodiscard]] auto find_if(R&& range, Predicate predicate, Projection projection = {}) {
    return std::find_if(std::begin(range), std::end(range),
                        [&](const auto& x) -> bool { return std::invoke(predicate, std::invoke(projection, x)); });
}

template <class R, class Predicate>
requires Borrowed<R>
[[nodiscard]] auto find_if_not(R&& range, Predicate predicate) {
    return ranges::find_if(range, std::not_fn(predicate));
}

template <class R, class T, class Projection = std::identity>
requires Borrowed<R>
[[nodiscard]] auto find(R&& range, const T& value, Projection projection = {}) {
    return ranges::find_if(
        range, [&](const auto& x) { return x == value; }, projection);
}

template <class R, class Predicate, class Projection = std::identity>
[[nodiscard]] bool any_of(R&& range, Predicate predicate, Projection projection = {}) {
    return ranges::find_if(range, predicate, projection) != std::end(range);
}

template <class R, class Predicate, class Projection = std::identity>
[[nodiscard]] bool none_of(R&& range, Predicate predicate, Projection projection = {}) {
    return !ranges::any_of(range, predicate, projection);
}

template <class R, class Predicate, class Projection = std::identity>
[[nodiscard]] bool all_of(R&& range, Predicate predicate, Projection projection = {}) {
    return ranges::none_of(range, std::not_fn(predicate), projection);
}

template <class R, class Predicate>
[[nodiscard]] auto count_if(R&& range, Predicate predicate) {
    return std::count_if(std::begin(range), std::end(range),
                         [&](const auto& x) -> bool { return std::invoke(predicate, x); });
}

template <class R, class T>
[[nodiscard]] auto count(R&& range, const T& value) {
    return std::count(std::begin(range), std::end(range), value);
}

template <class A, class B>
[[nodiscard]] bool equal(const A& a, const B& b) {
    return std::equal(std::begin(a), std::end(a), std::begin(b), std::end(b));
}

/// The first places at which they differ: {.in1, .in2}.
template <class A, class B>
[[nodiscard]] auto mismatch(const A& a, const B& b) {
    struct Places {
        decltype(std::begin(a)) in1;
        decltype(std::begin(b)) in2;
    };
    const auto [in1, in2] = std::mismatch(std::begin(a), std::end(a), std::begin(b), std::end(b));
    return Places{in1, in2};
}

template <class R>
requires Borrowed<R>
[[nodiscard]] auto adjacent_find(R&& range) {
    return std::adjacent_find(std::begin(range), std::end(range));
}

template <class R, class Less = std::less<>, class Projection = std::identity>
requires Borrowed<R>
[[nodiscard]] auto max_element(R&& range, Less less = {}, Projection projection = {}) {
    return std::max_element(std::begin(range), std::end(range), detail::by(less, projection));
}

template <class R, class Less = std::less<>, class Projection = std::identity>
requires Borrowed<R>
[[nodiscard]] auto min_element(R&& range, Less less = {}, Projection projection = {}) {
    return std::min_element(std::begin(range), std::end(range), detail::by(less, projection));
}

/// Of a range that is not empty.
template <class R>
[[nodiscard]] auto max(const R& range) {
    return *ranges::max_element(range);
}

/// {least, greatest} of a range that is not empty.
template <class R>
[[nodiscard]] auto minmax(const R& range) {
    return std::pair(*ranges::min_element(range), *ranges::max_element(range));
}

/// The first place whose projection is not less than a value, of a range in that order.
template <class R, class T, class Less = std::less<>, class Projection = std::identity>
requires Borrowed<R>
[[nodiscard]] auto lower_bound(R&& range, const T& value, Less less = {}, Projection projection = {}) {
    return std::lower_bound(std::begin(range), std::end(range), value, [&](const auto& x, const T& limit) {
        return std::invoke(less, std::invoke(projection, x), limit);
    });
}

/// The first place whose projection is greater than a value, of a range in that order.
template <class R, class T, class Less = std::less<>, class Projection = std::identity>
requires Borrowed<R>
[[nodiscard]] auto upper_bound(R&& range, const T& value, Less less = {}, Projection projection = {}) {
    return std::upper_bound(std::begin(range), std::end(range), value, [&](const T& limit, const auto& x) {
        return std::invoke(less, limit, std::invoke(projection, x));
    });
}

template <class R, class Less = std::less<>, class Projection = std::identity>
void sort(R&& range, Less less = {}, Projection projection = {}) {
    std::sort(std::begin(range), std::end(range), detail::by(less, projection));
}

template <class R, class Less = std::less<>, class Projection = std::identity>
void stable_sort(R&& range, Less less = {}, Projection projection = {}) {
    std::stable_sort(std::begin(range), std::end(range), detail::by(less, projection));
}

template <class R>
void reverse(R&& range) {
    std::reverse(std::begin(range), std::end(range));
}

template <class R, class Out>
void copy(R&& range, Out out) {
    std::copy(std::begin(range), std::end(range), out);
}

template <class R, class T>
void fill(R&& range, const T& value) {
    std::fill(std::begin(range), std::end(range), value);
}

template <class R, class T>
void replace(R&& range, const T& from, const T& to) {
    std::replace(std::begin(range), std::end(range), from, to);
}

template <class R, class Predicate, class T>
void replace_if(R&& range, Predicate predicate, const T& to) {
    std::replace_if(std::begin(range), std::end(range), predicate, to);
}

template <class R, class Out, class Map>
void transform(R&& range, Out out, Map map) {
    std::transform(std::begin(range), std::end(range), out, map);
}

template <class A, class B, class Out, class Map>
void transform(const A& a, const B& b, Out out, Map map) {
    std::transform(std::begin(a), std::end(a), std::begin(b), out, map);
}

template <class R>
[[nodiscard]] auto distance(const R& range) {
    return std::distance(std::begin(range), std::end(range));
}

} // namespace reel::ranges
