#include "io/temporary_folder.hpp"

#include <reel/io/weights/torch_checkpoint.hpp>
#include <reel/io/weights/torch_writer.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace reel_test;
using reel::HostTensor;
using reel::StateDict;
using reel::TorchCheckpoint;

namespace {

const std::filesystem::path golden = "io/golden/weights";
using Shape = std::vector<std::int64_t>;

/// What make_weights_golden.py's ramp() gives: -1, -0.5, 0, ...
std::vector<float> ramp(int count) {
    std::vector<float> values;
    for (int i = 0; i < count; ++i) {
        values.push_back(static_cast<float>(i) / 2 - 1);
    }
    return values;
}

/// Its elements at these places.
std::vector<float> ramp_at(const std::vector<int>& places) {
    std::vector<float> values;
    for (const int place : places) {
        values.push_back(static_cast<float>(place) / 2 - 1);
    }
    return values;
}

std::string error_of(const std::filesystem::path& path) {
    return message_of<reel::Error>([&] { (void)reel::read_torch_checkpoint(path); });
}

void check_all_types(const StateDict& tensors) {
    for (const char* name : {"float64", "float32", "float16", "bfloat16"}) {
        CHECK(reel::name_of(tensors.at(name).dtype) == name);
        CHECK(tensors.at(name).shape == Shape{2, 3});
        CHECK(tensors.at(name).to_vector<float>() == ramp(6));
    }
    CHECK(tensors.at("int64").to_vector<std::int64_t>() == std::vector<std::int64_t>{0, 1, 2, 3, 4, 5});
    CHECK(tensors.at("int32").to_vector<std::int32_t>() == std::vector<std::int32_t>{0, 1, 2, 3, 4, 5});
    CHECK(tensors.at("uint8").to_vector<std::uint8_t>() == std::vector<std::uint8_t>{0, 1, 2, 3, 4, 5});
    CHECK(tensors.at("int16").bytes()[10] == std::byte{5});
    CHECK(tensors.at("int8").bytes()[5] == std::byte{5});
    CHECK(tensors.at("bool").dtype == reel::DType::boolean);
    CHECK(tensors.at("bool").bytes()[4] == std::byte{0});
    CHECK(tensors.at("bool").bytes()[5] == std::byte{1});
}

void check_state_dict(const StateDict& tensors, const std::string& prefix) {
    CHECK(tensors.at(prefix + "conv.weight").shape == Shape{3, 2, 3, 3});
    CHECK(tensors.at(prefix + "conv.weight").to_vector<float>() == ramp(54));
    CHECK(tensors.at(prefix + "norm.running_var").to_vector<float>() == ramp(3));
    CHECK(tensors.at(prefix + "norm.num_batches_tracked").shape.empty());
    CHECK(tensors.at(prefix + "norm.num_batches_tracked").to_vector<std::int64_t>() == std::vector<std::int64_t>{0});
}

/// Reads a damaged file and touches all of its bytes.
std::string read_all(const std::filesystem::path& path) {
    unsigned sum = 0;
    return message_of<reel::Error>([&] {
        for (const auto& [name, tensor] : reel::read_torch_checkpoint(path, false).tensors) {
            for (const std::byte byte : tensor.bytes()) {
                sum += static_cast<unsigned>(byte);
            }
        }
    });
}

} // namespace

TEST_CASE("checkpoints of PyTorch give their tensors in every type and pickle protocol") {
    check_all_types(reel::read_torch_checkpoint(golden / "types.pt").tensors);
    for (const char* name : {"state_dict.bin", "protocol3.bin", "protocol4.bin", "protocol5.bin"}) {
        const TorchCheckpoint checkpoint = reel::read_torch_checkpoint(golden / name);
        CHECK(checkpoint.tensors.size() == 7);
        CHECK(checkpoint.others.empty());
        check_state_dict(checkpoint.tensors, "");
    }
}

TEST_CASE("views are made dense, whatever their strides and offset") {
    const TorchCheckpoint checkpoint = reel::read_torch_checkpoint(golden / "views.pt");
    const auto check = [&](const char* name, const Shape& shape, const std::vector<float>& values) {
        const HostTensor& tensor = checkpoint.tensors.at(name);
        CHECK(tensor.shape == shape);
        CHECK(tensor.to_vector<float>() == values);
    };
    check("base", {4, 6}, ramp(24));
    check("row", {6}, ramp_at({12, 13, 14, 15, 16, 17}));
    check("column", {4}, ramp_at({1, 7, 13, 19}));
    check("block", {2, 3}, ramp_at({8, 9, 10, 14, 15, 16}));
    check("every_other", {2, 2}, ramp_at({0, 3, 12, 15}));
    check("expanded", {3, 6}, ramp_at({0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5}));
    check("scalar", {}, ramp_at({23}));
    check("empty", {0, 6}, {});
    check("parameter", {6}, ramp_at({6, 7, 8, 9, 10, 11}));
    check("transposed", {6, 4},
          ramp_at({0, 6, 12, 18, 1, 7, 13, 19, 2, 8, 14, 20, 3, 9, 15, 21, 4, 10, 16, 22, 5, 11, 17, 23}));
    // Dense tensors lie in the file's map, one storage for all.
    CHECK(checkpoint.tensors.at("row").data == checkpoint.tensors.at("base").data + std::size_t{12} * 4);
    CHECK(checkpoint.tensors.at("row").file_backed);
    CHECK_FALSE(checkpoint.tensors.at("column").file_backed);
}

TEST_CASE("a bare tensor, as the reference saves inverted latents, has the empty name") {
    const TorchCheckpoint checkpoint = reel::read_torch_checkpoint(golden / "ddim_latent-2.pt");
    REQUIRE(checkpoint.tensors.size() == 1);
    CHECK(checkpoint.bare_tensor("x").shape == Shape{1, 4, 2, 3, 3});
    CHECK(checkpoint.bare_tensor("x").to_vector<float>() == ramp(72));
    CHECK(contains(message_of<reel::Error>(
                       [&] { (void)reel::read_torch_checkpoint(golden / "types.pt").bare_tensor("types.pt"); }),
                   "types.pt: expected a file with one bare tensor, found 10"));
}

TEST_CASE("nested containers join their keys, and what is no tensor is listed") {
    const TorchCheckpoint checkpoint = reel::read_torch_checkpoint(golden / "nested.pt");
    check_state_dict(checkpoint.tensors, "state_dict.");
    CHECK(checkpoint.tensors.at("list.0").to_vector<float>() == ramp(2));
    CHECK(checkpoint.tensors.at("list.2.0").to_vector<float>() == ramp(3));
    CHECK(checkpoint.tensors.at("7").to_vector<float>() == ramp(1));
    CHECK(checkpoint.tensors.size() == 10);
    CHECK(checkpoint.others == std::vector<std::string>{"epoch", "note", "rate", "big", "minus", "shape.0", "shape.1",
                                                        "list.1", "list.2.1"});
}

TEST_CASE("the format from before PyTorch 1.6 is read too") {
    const TorchCheckpoint checkpoint = reel::read_torch_checkpoint(golden / "legacy.pt");
    check_all_types(checkpoint.tensors);
    CHECK(checkpoint.tensors.at("transposed").shape == Shape{6, 4});
    CHECK(checkpoint.tensors.at("transposed").to_vector<float>()[1] == 2.0F);
}

TEST_CASE("tensors with Python attributes, parameters with state and buffers are tensors") {
    for (const char* file : {"attributes.pt", "attributes_legacy.pt"}) {
        for (const auto objects : {reel::TorchObjects::refuse, reel::TorchObjects::skip}) {
            const StateDict tensors = reel::read_torch_checkpoint(golden / file, true, objects).tensors;
            REQUIRE(tensors.size() == 5);
            CHECK(tensors.at("tensor").shape == Shape{2, 3});
            CHECK(tensors.at("tensor").to_vector<float>() == ramp(6));
            CHECK(tensors.at("parameter").to_vector<float>() == ramp(4));
            CHECK(tensors.at("buffer").to_vector<float>() == ramp(5));
            CHECK(tensors.at("marked_buffer").to_vector<float>() == ramp(6));
            CHECK(tensors.at("view").to_vector<float>() == ramp_at({1, 7, 13, 19, 2, 8, 14, 20}));
        }
    }
}

TEST_CASE("a tensor that cannot be read is refused, never left out, also where objects are passed over") {
    for (const auto& [file, part] : {std::pair{"refused_subclass.pt", "Own\""},
                                     {"refused_sparse.pt", "\"torch._utils._rebuild_sparse_tensor\""},
                                     {"refused_complex.pt", "\"torch.ComplexFloatStorage\""},
                                     {"refused_float8.pt", "refused_float8.pt: "}}) {
        for (const auto objects : {reel::TorchObjects::refuse, reel::TorchObjects::skip}) {
            const std::string message = message_of<reel::Error>(
                [&, file = file] { (void)reel::read_torch_checkpoint(golden / file, true, objects); });
            CAPTURE(message);
            CHECK(contains(message, part));
        }
    }
}

TEST_CASE("a pickle that wants more than tensors is refused by the name of what it wants") {
    const std::vector<std::pair<const char*, const char*>> refused{
        {"refused_system.pt", "\"posix.system\""},
        {"refused_eval.pt", ".eval\""},
        {"refused_date.pt", "\"datetime.date\""},
        {"refused_numpy.pt", "\"numpy"},
        {"refused_module.pt", "\"torch.nn.modules.linear.Linear\""},
        {"refused_set.pt", "EMPTY_SET"},
        {"refused_complex.pt", "\"torch.ComplexFloatStorage\""},
        {"refused_float8.pt", "_rebuild_tensor_v3\""},
        {"refused_legacy.pt", "\"posix.system\""},
    };
    for (const auto& [file, part] : refused) {
        const std::string message = error_of(golden / file);
        CAPTURE(message);
        CHECK(contains(message, file));
        CHECK(contains(message, part));
        CHECK(contains(message, "nothing was executed"));
    }
}

TEST_CASE("what we write reads back, a bare tensor and Zip64 included") {
    TemporaryFolder folder;
    StateDict tensors = reel::read_torch_checkpoint(golden / "types.pt").tensors;
    tensors["views"] = reel::read_torch_checkpoint(golden / "views.pt").tensors.at("transposed");
    tensors["empty"] = HostTensor::make<float>({0, 3}, {});
    tensors["scalar"] = HostTensor::make<double>({}, {-3});
    for (const std::uint64_t zip_limit : {std::uint64_t{0xffffffff}, std::uint64_t{20}, std::uint64_t{1000}}) {
        reel::write_torch_checkpoint(folder / "a.bin", reel::tensor_sources(tensors), zip_limit);
        const TorchCheckpoint again = reel::read_torch_checkpoint(folder / "a.bin");
        REQUIRE(again.tensors.size() == tensors.size());
        check_all_types(again.tensors);
        for (const auto& [name, tensor] : tensors) {
            const HostTensor& other = again.tensors.at(name);
            CHECK(other.dtype == tensor.dtype);
            CHECK(other.shape == tensor.shape);
            CHECK(std::equal(tensor.bytes().begin(), tensor.bytes().end(), other.bytes().begin(), other.bytes().end()));
            CHECK(reinterpret_cast<std::uintptr_t>(other.data) % 64 == 0);
        }
    }
    reel::write_torch_tensor(folder / "a.pt", tensors.at("bfloat16"));
    CHECK(reel::read_torch_checkpoint(folder / "a.pt").bare_tensor("a").to_vector<float>() == ramp(6));
    // Equal input, equal bytes.
    reel::write_torch_checkpoint(folder / "b.bin", tensors);
    reel::write_torch_checkpoint(folder / "c.bin", tensors);
    CHECK(read_text(folder / "b.bin") == read_text(folder / "c.bin"));
    CHECK_THROWS_AS(reel::write_torch_checkpoint(folder / "none/b.bin", tensors), reel::Error);
    CHECK(folder.count() == 4);
}

TEST_CASE("many tensors need the Zip64 directory") {
    TemporaryFolder folder;
    std::vector<reel::TensorSource> sources;
    for (int i = 0; i < 70'000; ++i) {
        sources.push_back({std::to_string(i), reel::DType::u8, {1}, [i] {
                               return HostTensor::make<std::uint8_t>({1}, {static_cast<std::uint8_t>(i)});
                           }});
    }
    reel::write_torch_checkpoint(folder / "a.bin", sources);
    const TorchCheckpoint checkpoint = reel::read_torch_checkpoint(folder / "a.bin");
    CHECK(checkpoint.tensors.size() == 70'000);
    CHECK(checkpoint.tensors.at("69999").bytes()[0] == std::byte{69999 % 256});
}

TEST_CASE("files that are no checkpoint say what they are") {
    TemporaryFolder folder;
    put_text(folder / "lfs.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
    CHECK(contains(error_of(folder / "lfs.bin"), "git lfs pull"));
    put_text(folder / "text.bin", "just some text");
    CHECK(contains(error_of(folder / "text.bin"), "not a PyTorch checkpoint"));
    {
        reel::ZipWriter zip(folder / "script.pt");
        zip.add("a/data.pkl", std::string_view("\x80\x02}."));
        zip.add("a/constants.pkl", std::string_view("\x80\x02)."));
        zip.finish();
    }
    CHECK(contains(error_of(folder / "script.pt"), "TorchScript"));
    {
        reel::ZipWriter zip(folder / "other.zip");
        zip.add("a.txt", std::string_view("x"));
        zip.finish();
    }
    CHECK(contains(error_of(folder / "other.zip"), "no data.pkl"));
    {
        reel::ZipWriter zip(folder / "big.pt");
        zip.add("a/data.pkl", std::string_view("\x80\x02}."));
        zip.add("a/byteorder", std::string_view("big"));
        zip.finish();
    }
    CHECK(contains(error_of(folder / "big.pt"), "big-endian"));
}

TEST_CASE("a changed byte of a tensor is found by its checksum") {
    TemporaryFolder folder;
    std::string content = read_text(golden / "ddim_latent-2.pt");
    const float marker[] = {-1.0F, -0.5F, 0.0F, 0.5F};
    const std::size_t at = content.find(std::string(reinterpret_cast<const char*>(marker), sizeof(marker)));
    REQUIRE(at != std::string::npos);
    content[at] = 1;
    put_text(folder / "a.pt", content);
    CHECK(contains(error_of(folder / "a.pt"), "checksum"));
    CHECK(reel::read_torch_checkpoint(folder / "a.pt", false).tensors.size() == 1);
}

TEST_CASE("a checkpoint cut at any length is an error") {
    TemporaryFolder folder;
    for (const char* name : {"views.pt", "protocol4.bin", "legacy.pt"}) {
        const std::string whole = read_text(golden / name);
        REQUIRE(whole.size() > 1000);
        for (std::size_t size = 0; size < whole.size(); ++size) {
            put_text(folder / "cut", std::string_view(whole).substr(0, size));
            REQUIRE_FALSE(error_of(folder / "cut").empty());
        }
    }
}

TEST_CASE("a damaged checkpoint is an error or reads within its bounds") {
    TemporaryFolder folder;
    std::mt19937 random(2);
    for (const char* name : {"views.pt", "nested.pt", "legacy.pt"}) {
        const std::string whole = read_text(golden / name);
        int errors = 0;
        for (int round = 0; round < 2000; ++round) {
            std::string damaged = whole;
            for (auto flips = 1 + random() % 6; flips != 0; --flips) {
                const std::size_t at = random() % damaged.size();
                damaged[at] = static_cast<char>(damaged[at] ^ (1 << (random() % 8)));
            }
            put_text(folder / "damaged", damaged);
            errors += read_all(folder / "damaged").empty() ? 0 : 1;
        }
        CHECK(errors > 100);
    }
}
