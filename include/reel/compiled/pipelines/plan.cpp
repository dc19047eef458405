#include <reel/core/ranges.hpp>
#include <reel/pipelines/plan.hpp>

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <limits>
#include <utility>

#include <reel/core/available_memory.hpp>
#include <reel/core/stopped.hpp>
#include <reel/core/system/memory_use.hpp>

namespace reel {

namespace {

/// Nothing reaches std::cerr and std::cout while it lives: a job says the same at every rehearsal.
class Quiet {
public:
    Quiet() : errors_(std::cerr.rdbuf(nullptr)), words_(std::cout.rdbuf(nullptr)) {}
    Quiet(const Quiet&) = delete;
    Quiet& operator=(const Quiet&) = delete;
    ~Quiet() {
        std::cerr.rdbuf(errors_);
        std::cerr.clear();
        std::cout.rdbuf(words_);
        std::cout.clear();
    }

private:
    std::streambuf* errors_;
    std::streambuf* words_;
};

[[nodiscard]] std::string size_text(std::size_t bytes) {
    char text[32];
    const double megabytes = static_cast<double>(bytes) / 1e6;
    std::snprintf(text, sizeof text, megabytes < 9999.5 ? "%.0f MB" : "%.3g GB",
                  megabytes < 9999.5 ? megabytes : megabytes / 1e3);
    return text;
}

[[nodiscard]] std::string seconds_text(double seconds) {
    char text[32];
    std::snprintf(text, sizeof text, seconds < 9.95 ? "%.2f s" : "%.0f s", seconds);
    return text;
}

/// A folder for the files that a rehearsal writes, removed with them.
class PrivateFolder {
public:
    PrivateFolder() : path_((std::filesystem::temp_directory_path() / "reel-plan-XXXXXX").string()) {
        require(::mkdtemp(path_.data()) != nullptr, "cannot make a folder in ",
                std::filesystem::temp_directory_path().string(), ", where --plan tries how files are written; ",
                "name another one with the variable TMPDIR");
    }
    PrivateFolder(const PrivateFolder&) = delete;
    PrivateFolder& operator=(const PrivateFolder&) = delete;
    ~PrivateFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

[[nodiscard]] TuneAVideoConfig with_output(TuneAVideoConfig config, const std::string& folder) {
    config.output_dir = folder;
    return config;
}

/// A change of the configuration, as one would give it on the command line.
struct Change {
    std::string options;
    TuneAVideoConfig config;
    std::size_t bytes = 0;
};

[[nodiscard]] Change with_checkpointing(TuneAVideoConfig config) {
    config.gradient_checkpointing = true;
    return {"--gradient_checkpointing true", std::move(config)};
}

[[nodiscard]] Change with_frames(TuneAVideoConfig config, int frames) {
    config.train_data.n_sample_frames = frames;
    config.validation_data.video_length = frames;
    return {concat_text("--n_sample_frames ", frames), std::move(config)};
}

/// Sides of `share` parts in `parts`, rounded down to what the model takes.
[[nodiscard]] Change with_size(TuneAVideoConfig config, int share, int parts, int step) {
    const auto scaled = [&](int side) { return std::max(step, side * share / parts / step * step); };
    config.train_data.width = scaled(config.train_data.width);
    config.train_data.height = scaled(config.train_data.height);
    config.validation_data.width = scaled(config.validation_data.width);
    config.validation_data.height = scaled(config.validation_data.height);
    return {concat_text("--width ", config.train_data.width, " --height ", config.train_data.height),
            std::move(config)};
}

/// Looks for what a job can do with less memory.
class Search {
public:
    Search(const Rehearse& rehearse, const std::string& folder, std::size_t limit)
        : rehearse_(rehearse), folder_(folder), limit_(limit) {}

    /// Fills in what the changed job takes; false when that is no job that can be done.
    [[nodiscard]] bool rehearse(Change& change) const {
        const Quiet quiet;
        try {
            Rehearsal memory_alone(0);
            trim_heap();
            change.bytes = rehearse_(with_output(change.config, folder_), memory_alone).total.peak_resident_bytes;
            return true;
        } catch (const Stopped&) {
            throw;
        } catch (const Error&) {
            return false;
        }
    }

    [[nodiscard]] bool fits(const Change& change) const { return change.bytes <= limit_; }

    /// The largest n in [1, below) for which change_to(n) fits, or else what change_to(1) takes.
    template <class ChangeTo>
    [[nodiscard]] std::optional<Change> largest(int below, const ChangeTo& change_to) const {
        std::optional<Change> best;
        std::optional<Change> least;
        int low = 0; // fits, as far as is known
        int high = below;
        while (high - low > 1) {
            const int middle = (low + high) / 2;
            Change change = change_to(middle);
            if (!rehearse(change)) {
                low = middle; // sizes that the model does not take are small ones
                continue;
            }
            (fits(change) ? low : high) = middle;
            (fits(change) ? best : least) = std::move(change);
        }
        return best ? best : least;
    }

private:
    const Rehearse& rehearse_;
    const std::string& folder_;
    std::size_t limit_;
};

/// What can be changed one by one, and if none of that is enough, all together.
[[nodiscard]] std::vector<Change> changes(const TuneAVideoConfig& config, bool tunes, const Search& search) {
    std::vector<Change> found;
    const auto add = [&](std::optional<Change> change) {
        if (change) {
            found.push_back(std::move(*change));
        }
    };
    const auto fewer_frames = [&](const TuneAVideoConfig& from) {
        return search.largest(from.train_data.n_sample_frames, [&](int n) { return with_frames(from, n); });
    };
    const auto smaller = [&](const TuneAVideoConfig& from) {
        const int side = std::max(from.train_data.width, from.train_data.height);
        const int step = side >= 128 ? 64 : 8;
        return search.largest(side / step, [&](int n) { return with_size(from, n * step, side, step); });
    };
    std::optional<Change> checkpointed;
    if (tunes && !config.gradient_checkpointing) {
        checkpointed = with_checkpointing(config);
        if (!search.rehearse(*checkpointed)) {
            checkpointed.reset();
        }
        add(checkpointed);
    }
    add(fewer_frames(config));
    add(smaller(config));
    if (ranges::none_of(found, [&](const Change& change) { return search.fits(change); })) {
        const TuneAVideoConfig& base = checkpointed ? checkpointed->config : config;
        std::string words = checkpointed ? checkpointed->options + " " : std::string();
        const auto join = [&](std::optional<Change> change) {
            if (change) {
                change->options = words + change->options;
            }
            return change;
        };
        if (checkpointed) {
            add(join(fewer_frames(base)));
            add(join(smaller(base)));
        }
        if (ranges::none_of(found, [&](const Change& change) { return search.fits(change); })) {
            const Change few = with_frames(base, std::min(2, base.train_data.n_sample_frames));
            words += few.options + " ";
            add(join(smaller(few.config)));
        }
    }
    return found;
}

/// Bytes that are too few, and whose they are.
struct Shortage {
    std::size_t needed;
    std::size_t limit;
    const char* whose;
};

void print_advice(std::FILE* out, const TuneAVideoConfig& config, bool tunes, const Rehearse& rehearse,
                  const std::string& folder, const Shortage& memory) {
    const Search search(rehearse, folder, memory.limit - memory.limit / 20); // predictions err, by some hundredths
    std::fprintf(out, "does not fit: %s needed, %s %s; with a twentieth to spare:\n", size_text(memory.needed).c_str(),
                 size_text(memory.limit).c_str(), memory.whose);
    bool any = false;
    for (const Change& change : changes(config, tunes, search)) {
        const bool fits = search.fits(change);
        any = any || fits;
        std::fprintf(out, "  with %s: %s, %s\n", change.options.c_str(), size_text(change.bytes).c_str(),
                     fits ? "fits" : "does not fit");
    }
    if (!any) {
        std::fprintf(out, "  nothing that options change is enough: use a smaller model or a larger machine\n");
    }
}

} // namespace

void require_cpu(const PlanOptions& options, BackendKind backend) {
    const char* const asked = options.plan ? "--plan" : "--memory_limit";
    require(!options.asked() || backend == BackendKind::cpu, asked,
            ": what a job takes is known beforehand on the CPU alone; leave --backend ", option_text(backend),
            " away, or ", asked);
}

MemoryProbe probe_of(Cpu& cpu, const Rehearsal& rehearsal, const std::size_t& mapped) {
    MemoryProbe probe = reel::probe_of(cpu.memory());
    probe.more_seconds = [&rehearsal] { return rehearsal.more_seconds(); };
    probe.more_resident = [&cpu, &mapped] { return cpu.memory().statistics().held_peak + mapped; };
    return probe;
}

std::optional<int> look_ahead(const PlanOptions& options, const TuneAVideoConfig& config, bool tunes,
                              const Rehearse& rehearse) {
    if (!options.asked()) {
        return std::nullopt;
    }
    const auto available = available_memory();
    const PrivateFolder folder;
    Rehearsal rehearsal(options.plan ? 0.5 : 0);
    Prediction found = rehearse(with_output(config, folder.path()), rehearsal);
    if (options.plan) {
        // Once more, without the measuring and what that leaves in memory.
        const Quiet quiet;
        trim_heap();
        found = rehearse(with_output(config, folder.path()), rehearsal);
    }
    const std::size_t needed = found.total.peak_resident_bytes;
    const std::size_t limit =
        options.memory_limit != 0 ? options.memory_limit : available.value_or(std::numeric_limits<std::size_t>::max());
    const char* whose = options.memory_limit != 0 ? "allowed (--memory_limit)" : "available";
    if (options.plan) {
        std::printf("%-14s %10s %12s %12s\n", "stage", "time", "tensors", "memory");
        const auto line = [](const StageRecord& stage) {
            std::printf("%-14s %10s %12s %12s\n", stage.name.c_str(), seconds_text(stage.seconds).c_str(),
                        size_text(stage.peak_backend_bytes).c_str(), size_text(stage.peak_resident_bytes).c_str());
        };
        for (const StageRecord& stage : found.stages) {
            line(stage);
        }
        line(found.total);
    }
    if (needed > limit) {
        print_advice(options.plan ? stdout : stderr, config, tunes, rehearse, folder.path(), {needed, limit, whose});
        return job_does_not_fit;
    }
    if (!options.plan) {
        return std::nullopt;
    }
    if (limit != std::numeric_limits<std::size_t>::max()) {
        std::printf("fits: %s %s\n", size_text(limit).c_str(), whose);
    }
    return 0;
}

} // namespace reel
