// NumPy's arrays, against what numpy wrote (golden/part_npz.py).

#include <doctest/doctest.h>

#include <fstream>

#include <reel/io/weights/tensor_file.hpp>

#include "io/temporary_folder.hpp"

namespace {

using reel::DType;
using reel::HostTensor;
using reel_test::contains;
using reel_test::message_of;
using reel_test::TemporaryFolder;
using Extents = std::vector<std::int64_t>;

std::string refused(const std::function<void()>& action) {
    const std::string message = message_of<reel::Error>(action);
    CHECK(!message.empty());
    CHECK(message.find('\n') == std::string::npos);
    return message;
}

template <class T>
std::vector<T> elements(const HostTensor& x) {
    std::vector<T> values(x.byte_count() / sizeof(T));
    std::memcpy(values.data(), x.data, x.byte_count());
    return values;
}

/// A .npy with that header, and so many bytes behind it.
std::string npy(const std::string& header, std::size_t bytes, char version = 1) {
    std::string file = "\x93NUMPY";
    file += {version, 0, static_cast<char>(header.size()), 0};
    return file + (version == 1 ? "" : std::string(2, '\0')) + header + std::string(bytes, '\0');
}

} // namespace

TEST_CASE("what numpy.savez wrote is read: every type, Fortran's order, all versions") {
    const reel::StateDict arrays = reel::read_tensors("golden/arrays.npz");
    CHECK(arrays.size() == 17);
    std::vector<double> quarters(24);
    for (std::size_t i = 0; i < 24; ++i) {
        quarters[i] = static_cast<double>(i) / 4;
    }
    const auto check_quarters = [&](const char* name, DType dtype) {
        CAPTURE(name);
        const HostTensor& x = arrays.at(name);
        CHECK(x.dtype == dtype);
        CHECK(x.shape == Extents{2, 3, 4});
        CHECK(x.to_vector<double>() == quarters);
    };
    check_quarters("float64", DType::f64);
    check_quarters("float16", DType::f16);
    for (const char* name : {"float32", "fortran", "version2", "version3"}) {
        check_quarters(name, DType::f32);
    }
    const auto check_counted = [&]<class T>(const char* name, T first) {
        CAPTURE(name);
        const auto found = elements<T>(arrays.at(name));
        REQUIRE(found.size() == 24);
        for (std::size_t i = 0; i < 24; ++i) {
            CHECK(found[i] == static_cast<T>(first + static_cast<T>(i)));
        }
    };
    check_counted("int64", std::int64_t{-5});
    check_counted("int32", std::int32_t{-5});
    check_counted("int16", std::int16_t{-5});
    check_counted("int8", std::int8_t{-5});
    check_counted("uint8", std::uint8_t{0});
    const HostTensor& flags = arrays.at("bool");
    CHECK(flags.dtype == DType::boolean);
    for (std::size_t i = 0; i < 24; ++i) {
        CHECK(std::to_integer<int>(flags.bytes()[i]) == (i % 3 == 0 ? 1 : 0));
    }
    CHECK(arrays.at("scalar").shape.empty());
    CHECK(arrays.at("scalar").to_vector<float>() == std::vector{1.5F});
    CHECK(arrays.at("row").to_vector<float>() == std::vector<float>{0, 1, 2, 3, 4});
    CHECK(arrays.at("empty").shape == Extents{0, 3});
    CHECK(arrays.at("fortran_matrix").shape == Extents{3, 2});
    CHECK(elements<std::int16_t>(arrays.at("fortran_matrix")) == std::vector<std::int16_t>{0, 3, 1, 4, 2, 5});
    CHECK(arrays.at("a/b.c").to_vector<double>() == std::vector{2.5});
}

TEST_CASE("what reel writes has numpy's bytes, and is read again") {
    const TemporaryFolder folder;
    const reel::MappedFile golden("golden/arrays.npz");
    const auto entries = reel::read_zip(golden.bytes(), golden.path());
    const reel::StateDict arrays = reel::read_npz("golden/arrays.npz");
    std::size_t compared = 0;
    for (const auto& [name, tensor] : arrays) {
        if (!name.starts_with("fortran") && !name.starts_with("version")) {
            CAPTURE(name);
            const auto bytes = reel::npy_bytes(tensor);
            const auto expected = reel::zip_content(entries, name + ".npy", "golden");
            CHECK(std::ranges::equal(bytes, expected));
            ++compared;
        }
    }
    CHECK(compared == 13);

    reel::StateDict written = arrays;
    written.emplace("bfloat16", HostTensor::make<reel::bfloat16>({2}, {reel::bfloat16(1.5F), reel::bfloat16(-2.0F)}));
    for (const char* name : {"x.npz", "x.safetensors"}) {
        CAPTURE(name);
        reel::write_tensors(folder / name, written);
        const reel::StateDict again = reel::read_tensors(folder / name);
        REQUIRE(again.size() == written.size());
        for (const auto& [key, tensor] : arrays) {
            CAPTURE(key);
            CHECK(again.at(key).dtype == tensor.dtype);
            CHECK(again.at(key).shape == tensor.shape);
            CHECK(std::ranges::equal(again.at(key).bytes(), tensor.bytes()));
        }
        CHECK(again.at("bfloat16").to_vector<float>() == std::vector{1.5F, -2.0F});
    }
    CHECK(reel::read_npz(folder / "x.npz").at("bfloat16").dtype == DType::f32);
    reel::write_tensors(folder / "one.npy", {{"any", arrays.at("row")}});
    CHECK(reel::read_tensors(folder / "one.npy").at("").to_vector<float>() == std::vector<float>{0, 1, 2, 3, 4});
    CHECK(contains(refused([&] { reel::write_tensors(folder / "two.npy", arrays); }), "one array fits into a .npy"));
    CHECK(!std::filesystem::exists(folder / "two.npy"));
}

TEST_CASE("files that are no arrays, or others than tensors, get one sentence") {
    const TemporaryFolder folder;
    const auto read = [&](const std::string& bytes) {
        reel_test::put_text(folder / "x.npy", bytes);
        const std::string message = refused([&] { static_cast<void>(reel::read_tensors(folder / "x.npy")); });
        CHECK(contains(message, "x.npy"));
        return message;
    };
    const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
    reel_test::put_text(folder / "good.npy", npy(good, 8));
    CHECK(reel::read_tensors(folder / "good.npy").at("").shape == Extents{2});
    const std::string reordered = "{\"shape\": (2, 1), \"fortran_order\": True, \"descr\": \"<f4\"}";
    reel_test::put_text(folder / "good.npy", npy(reordered, 8, 3));
    CHECK(reel::read_tensors(folder / "good.npy").at("").shape == Extents{2, 1});

    CHECK(contains(read("no array"), "not an array of numpy's"));
    CHECK(contains(read("\x93NUMPY\x01"), "not an array of numpy's"));
    CHECK(contains(read(npy(good, 8, 9)), "version 9"));
    CHECK(contains(read(npy(good, 8).substr(0, 30)), "cut off"));
    CHECK(contains(read(npy(good, 7)), "shape [2] of float32 is 8 bytes, but 7 are there"));
    CHECK(contains(read(npy(good, 9)), "but 9 are there"));
    const auto with = [&](const std::string& from, const std::string& to) {
        std::string header = good;
        header.replace(header.find(from), from.size(), to);
        return read(npy(header, 8));
    };
    CHECK(contains(with("<f4", ">f4"), "an array of \">f4\"; expected float64"));
    CHECK(contains(with("<f4", "<c8"), "<c8"));
    CHECK(contains(with("<f4", "|O"), "\"|O\""));
    CHECK(contains(with("<f4", "<U2"), "<U2"));
    CHECK(contains(with("'<f4'", "[('x', '<f4')]"), "records"));
    CHECK(contains(with("(2,)", "(-2,)"), "shape is not one of numpy's"));
    CHECK(contains(with("(2,)", "(9223372036854775807, 4)"), "x.npy"));
    CHECK(contains(with("(2,)", "(99999999999999999999,)"), "shape is not one of numpy's"));
    CHECK(contains(with("(2,)", "2"), "'(' is missing"));
    CHECK(contains(with("False", "maybe"), "neither True nor False"));
    CHECK(contains(with("'shape': (2,)", "'shapes': (2,)"), "a key \"shapes\""));
    CHECK(contains(with("'shape': (2,)", "'descr': '<f4'"), "twice \"descr\""));
    CHECK(contains(with(", 'shape': (2,)", ""), "lacks descr, fortran_order or shape"));
    CHECK(contains(with("'<f4'", "'<f4"), "missing"));
    CHECK(contains(read(npy("", 8)), "'{' is missing"));

    const auto refused_npz = [&] { return refused([&] { static_cast<void>(reel::read_tensors(folder / "x.npz")); }); };
    reel_test::put_text(folder / "x.npz", npy(good, 8));
    CHECK(contains(refused_npz(), "x.npz: not an archive of numpy's"));
    {
        reel::ZipWriter archive(folder / "x.npz");
        archive.add("notes.txt", "text");
        archive.finish();
    }
    CHECK(contains(refused_npz(), "holds \"notes.txt\"; expected arrays"));
    {
        reel::ZipWriter archive(folder / "x.npz");
        archive.add("x.npy", npy(good, 7));
        archive.finish();
    }
    CHECK(contains(refused_npz(), "x.npz: x.npy: shape [2]"));
}
