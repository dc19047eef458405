#include "io/pickle_text.hpp"
#include "io/temporary_folder.hpp"

#include <reel/io/weights/torch_checkpoint.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

using namespace reel_test;
using namespace std::string_literals;

namespace {

/// The error of reading a checkpoint with that pickle and four floats 1, 2, 3, 4 as storage "0".
std::string error_of(const std::string& pickle) {
    TemporaryFolder folder;
    const float values[] = {1, 2, 3, 4};
    reel::ZipWriter zip(folder / "hostile.pt");
    zip.add("x/data.pkl", pickle);
    zip.add("x/data/0", std::as_bytes(std::span(values)));
    zip.finish();
    const std::string message = message_of<reel::Error>([&] {
        for (const auto& [name, value] : reel::read_torch_checkpoint(folder / "hostile.pt").tensors) {
            (void)value.to_vector<float>();
        }
    });
    CHECK((message.empty() || contains(message, "hostile.pt")));
    return message;
}

const std::string long_limit = "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"; // 2^63 - 1

} // namespace

TEST_CASE("a hand-made pickle of a tensor is read") {
    CHECK(error_of(proto + tensor(storage(4), "K\x00"s, "K\x02K\x02\x86", "K\x02K\x01\x86") + ".").empty());
    CHECK(error_of(proto + "}" + text("a") + tensor(storage(4), "K\x01"s, "K\x03\x85", "K\x01\x85") + "s.").empty());
}

TEST_CASE("a tensor must lie in its storage") {
    const auto reach = [](const std::string& offset, const std::string& shape, const std::string& strides) {
        return error_of(proto + tensor(storage(4), offset, shape, strides) + ".");
    };
    const std::string one = "K\x01\x85";
    CHECK(contains(reach("K\x01"s, "K\x04\x85", one), "does not fit its storage of 4"));
    CHECK(contains(reach("K\x00"s, "K\x02\x85", "K\x04\x85"), "does not fit"));
    CHECK(contains(reach(int32(0xffffffff), "K\x02\x85", one), "does not fit"));
    CHECK(contains(reach(long_limit, "K\x02\x85", one), "does not fit"));
    CHECK(contains(reach("K\x00"s, "K\x02\x85", long_limit + "\x85"), "does not fit"));
    CHECK(contains(reach("K\x00"s, "K\x03\x85", long_limit + "\x85"), "does not fit"));
    CHECK(contains(reach("K\x00"s, long_limit + "\x85", "K\x00\x85"s), "too large"));
    CHECK(contains(reach("K\x00"s, int32(0xffffffff) + "\x85", one), "non-negative"));
    CHECK(contains(reach("K\x00"s, "K\x02\x85", int32(0xffffffff) + "\x85"), "non-negative"));
    CHECK(contains(reach("K\x00"s, "K\x02K\x02\x86", one), "with strides"));
    CHECK(contains(reach("N", "K\x02\x85", one), "without a storage"));
    // A stride of zero repeats one element, here 2^30 times.
    CHECK(contains(reach("K\x00"s, int32(1U << 30) + "\x85", "K\x00\x85"s), "expand"));
}

TEST_CASE("a storage must have the bytes it announces") {
    const auto with = [](const std::string& source) {
        return error_of(proto + tensor(source, "K\x00"s, "K\x01\x85", "K\x01\x85") + ".");
    };
    CHECK(contains(with(storage(3)), "should have 12 bytes"));
    CHECK(contains(with(storage(5)), "should have 20 bytes"));
    CHECK(contains(with(storage(0xffffffff)), "storage of -1"));
    CHECK(contains(with(storage_id("storage", "FloatStorage", "../0", "K\x04")), "holds no \"x/data/../0\""));
    CHECK(contains(with(storage_id("module", "FloatStorage", "0", "K\x04")), "no storage"));
    CHECK(contains(with(storage_id("storage", "Size", "0", "K\x04")), "not a supported storage type"));
    CHECK(contains(with(storage_id("storage", "FloatStorage", "0", long_limit)), "announces"));
    CHECK(contains(with("(tQ"), "no storage"));
    CHECK(contains(with("NQ"), "no storage"));
    CHECK(contains(with("N"), "without a storage"));
}

TEST_CASE("opcodes and globals outside the list are refused by name") {
    CHECK(contains(error_of(proto + "cos\nsystem\n" + text("true") + "\x85R."), "\"os.system\""));
    CHECK(contains(error_of("\x80\x04"s + text("os") + text("system") + "\x93."), "\"os.system\""));
    CHECK(contains(error_of(proto + "(ios\nsystem\n."), "INST"));
    CHECK(contains(error_of(proto + "(o."), "OBJ"));
    CHECK(contains(error_of(proto + "ccollections\nOrderedDict\n)\x81."), "NEWOBJ"));
    CHECK(contains(error_of(proto + "\x82\x01."), "EXT1"));
    CHECK(contains(error_of(proto + "\xff."), "unknown (0xff)"));
    CHECK(contains(error_of(proto + "ctorch\nload\n."), "\"torch.load\""));
    CHECK(contains(error_of(proto + "ctorch._utils\n_rebuild_tensor_v2\n)R."), "with 0 arguments"));
    CHECK(contains(error_of(proto + "ccollections\nOrderedDict\nK\x01\x85R."), "with 1 arguments"));
    CHECK(contains(error_of(proto + "ctorch\nFloatStorage\n)R."), "with 0 arguments"));
    CHECK(contains(error_of(proto + "N)R."), "calls something other"));
    CHECK(contains(error_of(proto + "]}b."), "state of something other"));
    CHECK(contains(error_of(proto + "c" + std::string(5000, 'a')), "no end"));
    CHECK(contains(error_of(proto + "c\x1b[31m\nx\n."), "\"?[31m.x\"")); // no control characters on the terminal
}

TEST_CASE("damaged pickles are errors") {
    for (const std::string& pickle : {""s,
                                      proto,
                                      proto + ".",
                                      proto + "t.",
                                      proto + "(.",
                                      proto + "a.",
                                      proto + "]a.",
                                      proto + "]N.",
                                      proto + "s.",
                                      proto + "}Ns.",
                                      proto + "}(Nu.",
                                      proto + "](Nu.",
                                      proto + "}(Ne.",
                                      proto + "h\x01.",
                                      proto + "j" + u32(9) + ".",
                                      proto + "q\x01.",
                                      proto + "\x94.",
                                      proto + "R.",
                                      proto + "b.",
                                      proto + "Q.",
                                      proto + "NN.",
                                      proto + "N(.",
                                      proto + "(\x85.",
                                      proto + "N(\x85.",
                                      proto + "X" + u32(0xffffffff) + ".",
                                      proto + "\x8d" + std::string(8, '\xff'),
                                      proto + "\x8a\x09" + std::string(9, '\x01') + ".",
                                      "\x80\x01N."s,
                                      "\x80\x06N."s,
                                      proto + "N.N",
                                      proto + "K\x01K\x02\x93.",
                                      proto + "c",
                                      proto + "c\n"}) {
        CAPTURE(pickle);
        CHECK_FALSE(error_of(pickle).empty());
    }
}

TEST_CASE("hostile nesting ends in an error, not in a crash or a full memory") {
    std::string deep = proto;
    for (int i = 0; i < 500'000; ++i) {
        deep += "]";
    }
    CHECK(contains(error_of(deep + std::string(499'999, 'a') + "."), "nested deeper"));
    CHECK(contains(error_of(proto + "]q\x01h\x01" + "a."), "nested deeper")); // a list that holds itself
    // Each tuple holds the one before twice: 2^28 leaves.
    std::string doubling = proto + "(Nq\x01";
    for (int i = 0; i < 28; ++i) {
        doubling += "h\x01h\x01\x86q\x01";
    }
    CHECK(contains(error_of(doubling + "t."), "bytes of names and tensors"));
    CHECK(contains(error_of(proto + std::string(5'000'000, 'N') + "."), "values"));
}

TEST_CASE("random pickles are errors or harmless") {
    std::mt19937 random(3);
    const std::string opcodes = "\x80(.NKMJGXUTBC]})tae su qrhjcRQb\x85\x86\x87\x88\x89\x8a\x8c\x8d\x8e\x93\x94\x95";
    for (int round = 0; round < 3000; ++round) {
        std::string pickle = proto;
        for (auto length = random() % 60; length != 0; --length) {
            pickle += random() % 4 == 0 ? static_cast<char>(random() % 256) : opcodes[random() % opcodes.size()];
        }
        const reel::PickleHooks hooks{
            [](std::string_view) { return std::optional<std::string_view>("known"); },
            [](std::string_view, std::span<const std::uint32_t>) { return reel::PickleValue{}; },
            [](const reel::PickleValue&) { return reel::PickleValue{}; }};
        (void)message_of<reel::Error>([&] {
            reel::Pickle machine(std::as_bytes(std::span(pickle)), "random");
            (void)machine.value(machine.run(hooks));
        });
    }
}
