#pragma once
// Captioned pictures for training: the drawn world, or a folder. Picture number i of a stream is a function of the seed
// and i alone, so a training that continues sees what an uninterrupted one does.

#include <algorithm>
#include <fstream>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <reel/backend/cpu/cpu.hpp>
#include <reel/core/progress.hpp>
#include <reel/core/random.hpp>
#include <reel/io/config/json.hpp>
#include <reel/io/files/sha256.hpp>
#include <reel/io/pictures/bicubic.hpp>
#include <reel/io/pictures/png.hpp>

#include "world/world.hpp"

namespace training {

using reel::index_t;

/// A run of pictures, bytes [count, size, size, 3], and their captions.
struct Batch {
    std::vector<std::uint8_t> rgb;
    std::vector<std::string> captions;
};

/// Where pictures come from.
class Dataset {
public:
    Dataset() = default;
    Dataset(const Dataset&) = delete;
    Dataset& operator=(const Dataset&) = delete;
    virtual ~Dataset() = default;

    /// Side of the pictures in pixels.
    [[nodiscard]] virtual int size() const = 0;
    /// How many pictures in a row show one scene, and should be given the same noise.
    [[nodiscard]] virtual index_t per_scene() const { return 1; }
    /// What a training that continues must share.
    [[nodiscard]] virtual std::string identity() const = 0;
    /// Captions to learn a vocabulary from.
    [[nodiscard]] virtual std::vector<std::string> captions() const = 0;
    /// Pictures first, ..., first + count - 1 of the stream that is trained on.
    [[nodiscard]] virtual Batch train_batch(reel::Cpu& cpu, std::uint64_t first, index_t count) const = 0;
    /// Pictures 0, ..., count - 1 of those that are never trained on.
    [[nodiscard]] virtual Batch held_out_batch(reel::Cpu& cpu, index_t count) const = 0;
};

/// The drawn world without end: every scene comes twice, the person pretending and, the same but for it, with the
/// object.
class WorldDataset : public Dataset {
public:
    /// `acts`: one of them is drawn for each scene that is trained on; none: all four, equally often.
    WorldDataset(int side, std::uint64_t seed, std::vector<world::Act> acts = {})
        : side_(side), seed_(seed), acts_(std::move(acts)) {}

    [[nodiscard]] int size() const override { return side_; }
    [[nodiscard]] index_t per_scene() const override { return 2; }
    [[nodiscard]] std::string identity() const override { return "world"; }

    [[nodiscard]] std::vector<std::string> captions() const override {
        std::vector<std::string> all;
        for (std::uint64_t seed = 0; seed < 2000; ++seed) {
            const world::Scene scene = world::random_scene(world::training_seed(seed));
            all.push_back(world::caption(scene, false));
            all.push_back(world::caption(scene, true));
        }
        return all;
    }

    [[nodiscard]] Batch train_batch(reel::Cpu& cpu, std::uint64_t first, index_t count) const override {
        return draw(cpu, first, count, [this](std::uint64_t scene) {
            const reel::Philox random(seed_, scene);
            const std::uint64_t low = random.bits(1);
            Drawn drawn{world::training_seed((std::uint64_t{random.bits(0)} << 32) | low), {}};
            if (!acts_.empty()) {
                drawn.act = acts_[random.bits(2) % acts_.size()];
            }
            return drawn;
        });
    }

    [[nodiscard]] Batch held_out_batch(reel::Cpu& cpu, index_t count) const override {
        constexpr std::uint64_t beyond_clips = 1'000'000; // clips for evaluation have the seeds below
        return draw(cpu, 0, count, [](std::uint64_t scene) { return Drawn{beyond_clips + scene, {}}; });
    }

private:
    struct Drawn {
        std::uint64_t seed;
        std::optional<world::Act> act; ///< instead of the seed's
    };

    template <class DrawnOf>
    [[nodiscard]] Batch draw(reel::Cpu& cpu, std::uint64_t first, index_t count, const DrawnOf& drawn_of) const {
        const std::size_t bytes = std::size_t{3} * static_cast<std::size_t>(side_) * static_cast<std::size_t>(side_);
        Batch batch{std::vector<std::uint8_t>(bytes * static_cast<std::size_t>(count)),
                    std::vector<std::string>(static_cast<std::size_t>(count))};
        cpu.for_each_task(count, [&](index_t i) {
            const std::uint64_t number = first + static_cast<std::uint64_t>(i);
            const auto [seed, act] = drawn_of(number / 2);
            const world::Scene scene = world::random_scene(seed, act);
            const double time = static_cast<double>(reel::Philox(seed, 0x74696d65).bits(0)) * 0x1p-32;
            const bool with_object = number % 2 == 1;
            const auto at = static_cast<std::size_t>(i);
            world::draw(scene, time, with_object, side_, std::span(batch.rgb).subspan(at * bytes, bytes));
            batch.captions[at] = world::caption(scene, with_object);
        });
        return batch;
    }

    int side_;
    std::uint64_t seed_;
    std::vector<world::Act> acts_;
};

/// A folder with metadata.jsonl, one {"file_name": ..., "text": ...} per line (the Hugging Face "imagefolder" layout).
/// PNG pictures, scaled to size x size; all are held in memory. One in twenty is held out.
class ImageFolder : public Dataset {
public:
    ImageFolder(const std::filesystem::path& folder, int side, std::uint64_t seed) : side_(side), seed_(seed) {
        const std::filesystem::path list = folder / "metadata.jsonl";
        std::ifstream file(list);
        reel::require(file.is_open(), list.string(), ": cannot be read; expected one {\"file_name\": \"0001.png\", ",
                      "\"text\": \"a caption\"} per line");
        std::vector<std::pair<std::string, std::string>> entries;
        std::string line;
        for (std::size_t number = 1; std::getline(file, line); ++number) {
            if (line.find_first_not_of(" \t\r") != std::string::npos) {
                entries.push_back(parse(line, reel::concat_text(list.string(), ":", number)));
            }
        }
        identity_ = "metadata.jsonl of SHA-256 " + reel::sha256_file(list);
        reel::require(entries.size() >= 20, list.string(), ": names ", entries.size(),
                      " pictures; expected 20 or more, of which one in twenty is held out");
        reel::Progress bar("read pictures", entries.size());
        for (std::size_t i = 0; i < entries.size(); ++i) {
            const reel::Frames picture = reel::resize_bicubic(reel::read_png(folder / entries[i].first), side, side);
            (i % 20 == 19 ? held_out_ : trained_).push_back({picture.rgb, entries[i].second});
            bar.step();
        }
    }

    [[nodiscard]] int size() const override { return side_; }
    [[nodiscard]] std::string identity() const override { return identity_; }

    [[nodiscard]] std::vector<std::string> captions() const override {
        std::vector<std::string> all;
        for (const Picture& picture : trained_) {
            all.push_back(picture.caption);
        }
        return all;
    }

    /// Every picture once per epoch, each epoch in an order of its own.
    [[nodiscard]] Batch train_batch(reel::Cpu&, std::uint64_t first, index_t count) const override {
        Batch batch;
        for (std::uint64_t i = first; i < first + static_cast<std::uint64_t>(count); ++i) {
            append(batch, trained_[order(i / trained_.size())[i % trained_.size()]]);
        }
        return batch;
    }

    [[nodiscard]] Batch held_out_batch(reel::Cpu&, index_t count) const override {
        Batch batch;
        for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
            append(batch, held_out_[i % held_out_.size()]);
        }
        return batch;
    }

private:
    struct Picture {
        std::vector<std::uint8_t> rgb;
        std::string caption;
    };

    static void append(Batch& batch, const Picture& picture) {
        batch.rgb.insert(batch.rgb.end(), picture.rgb.begin(), picture.rgb.end());
        batch.captions.push_back(picture.caption);
    }

    [[nodiscard]] static std::pair<std::string, std::string> parse(const std::string& line, const std::string& where) {
        const nlohmann::json entry = reel::parse_json(line, where);
        const auto text = [&](const char* key) {
            reel::require(entry.is_object() && entry.contains(key) && entry[key].is_string(), where, ": no string \"",
                          key, "\"; expected {\"file_name\": \"0001.png\", \"text\": \"a caption\"}");
            return entry[key].get<std::string>();
        };
        const std::filesystem::path name = text("file_name");
        reel::require(name.is_relative() && std::find(name.begin(), name.end(), "..") == name.end(), where,
                      ": file_name ", name, " leads out of the folder");
        return {name.string(), text("text")};
    }

    /// A permutation of the pictures, made by sorting random keys.
    [[nodiscard]] const std::vector<std::size_t>& order(std::uint64_t epoch) const {
        if (order_of_ != epoch) {
            const reel::Philox random(seed_, epoch);
            order_.resize(trained_.size());
            std::iota(order_.begin(), order_.end(), std::size_t{0});
            std::sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
                return std::pair(random.bits(a), a) < std::pair(random.bits(b), b);
            });
            order_of_ = epoch;
        }
        return order_;
    }

    int side_;
    std::uint64_t seed_;
    std::string identity_;
    std::vector<Picture> trained_;
    std::vector<Picture> held_out_;
    mutable std::vector<std::size_t> order_;
    mutable std::optional<std::uint64_t> order_of_;
};

} // namespace training
