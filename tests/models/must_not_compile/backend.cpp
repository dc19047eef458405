// Compiled once complete and once without each part: the first error must name the part.
#include <reel/ops/elementwise.hpp>

struct Place {
#ifndef WITHOUT_ALLOCATE
    void* allocate(std::size_t) {
        return nullptr;
    }
#endif
    void deallocate(void*, std::size_t) noexcept {}
#ifndef WITHOUT_COPIES
    void copy(void*, const void*, std::size_t) {}
#endif
    void copy_from_host(void*, const void*, std::size_t) {}
    void copy_to_host(void*, const void*, std::size_t) {}
#ifndef WITHOUT_FOR_EACH_INDEX
    template <class F>
    void for_each_index(reel::index_t, F, reel::index_t = 1) {}
#endif
#ifndef WITHOUT_SYNCHRONIZE
    void synchronize() {}
#endif
};

int main() {
    Place place;
    const auto x = reel::Tensor<float, Place>::zeros(place, {2});
    return reel::add(x, x).rank();
}
