#pragma once
// Runs a study: does what is left to be done, shares it with other processes, and writes the report.

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <iostream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <reel/core/stopwatch.hpp>

#include "files.hpp"
#include "lock_folder.hpp"
#include "manifest.hpp"
#include "model_check.hpp"
#include "options.hpp"
#include "report.hpp"
#include "worker.hpp"

namespace study {

/// How a study is run; what it is made of is its manifest's.
struct RunSettings {
    reel::ModelOptions parts{};
    std::string clip_model;
    reel::BackendKind backend = reel::BackendKind::cpu;
    int threads = 0;
    int preview_every = 0;
    double patience = 120; ///< seconds after which a silent process of another machine is dead
    bool retry_failed = false;
    bool plan = false; ///< only say what would be done
    bool allow_nonfinite = false;
};

/// A piece of work that one process does.
struct Item {
    enum class Kind { tuning, inversion, edit };
    enum class State { open, done, failed };
    Kind kind;
    std::size_t index;  ///< in the plan
    std::size_t tuning; ///< that it belongs to
    std::size_t needs;  ///< item that has to be done before; its own number where there is none
    std::string lock;   ///< also the name of the file that tells of its failure
    State state = State::open;
    std::string error{};
};

class Runner {
public:
    Runner(RunSettings settings, Study study)
        : settings_(std::move(settings)), study_(std::move(study)), folders_{study_.output},
          worker_({.model = study_.model,
                   .parts = settings_.parts,
                   .clip_model = settings_.clip_model,
                   .seed = study_.seed,
                   .threads = settings_.threads,
                   .preview_every = settings_.preview_every,
                   .mixed_precision = study_.mixed_precision,
                   .backend = settings_.backend,
                   .lora = study_.lora,
                   .allow_nonfinite = settings_.allow_nonfinite},
                  folders_) {
        worker_.check(study_);
        plan_ = make_plan(study_, {worker_.fingerprint(), worker_.model().inpaints});
        list_items();
    }

    int run() {
        if (settings_.plan) {
            print_plan(plan_, folders_.root);
            return 0;
        }
        reel::make_output_folder(folders_.root / "failures");
        check_model(folders_.root, worker_);
        if (settings_.retry_failed) {
            for (const Item& item : items_) {
                std::error_code ignored;
                std::filesystem::remove(failure(item), ignored);
            }
        }
        locks_.emplace(folders_.root / "locks", std::min(5.0, settings_.patience / 4), settings_.patience);
        while (const Item::State* left = next()) {
            if (*left == Item::State::open && !worked_) {
                std::this_thread::sleep_for(std::chrono::milliseconds(200)); // others are at work
            }
            program::check_stop();
        }
        report();
        return conclude();
    }

private:
    using Kind = Item::Kind;
    using State = Item::State;

    void list_items() {
        std::vector<std::size_t> tuning_items;
        std::vector<std::size_t> inversion_items(plan_.inversions.size());
        const auto add = [&](Kind kind, std::size_t index, std::size_t tuning, std::optional<std::size_t> needs,
                             const std::string& lock) {
            items_.push_back({kind, index, tuning, needs.value_or(items_.size()), lock});
            return items_.size() - 1;
        };
        for (std::size_t t = 0; t < plan_.tunings.size(); ++t) {
            const std::size_t first = add(Kind::tuning, t, t, std::nullopt, "tuning-" + plan_.tunings[t].name);
            for (std::size_t i = 0; i < plan_.inversions.size(); ++i) {
                if (plan_.inversions[i].tuning == t) {
                    inversion_items[i] = add(Kind::inversion, i, t, first, "inversion-" + plan_.inversions[i].name);
                }
            }
            for (std::size_t e = 0; e < plan_.edits.size(); ++e) {
                if (plan_.inversions[plan_.edits[e].inversion].tuning == t) {
                    add(Kind::edit, e, t, inversion_items[plan_.edits[e].inversion], "cell-" + plan_.edits[e].name);
                }
            }
        }
    }

    [[nodiscard]] std::filesystem::path failure(const Item& item) const {
        return folders_.root / "failures" / (item.lock + ".json");
    }

    [[nodiscard]] bool is_done(const Item& item) const {
        switch (item.kind) {
        case Kind::tuning:
            return worker_.is_tuned(plan_.tunings[item.index]);
        case Kind::inversion:
            return worker_.is_inverted(plan_.inversions[item.index]);
        case Kind::edit:
            break;
        }
        return worker_.is_edited(plan_.edits[item.index]);
    }

    /// Finds out what became of an item, here or elsewhere.
    void refresh(Item& item) {
        if (item.state != State::open) {
            return;
        }
        const Item& before = items_[item.needs];
        std::error_code ignored;
        if (is_done(item)) {
            item.state = State::done;
        } else if (std::filesystem::exists(failure(item), ignored)) {
            item.state = State::failed;
            item.error = ResultFile(failure(item)).text("error");
        } else if (before.state == State::failed) {
            item.state = State::failed;
            item.error = before.error;
        }
    }

    /// Does one item that is free, of the clip that is loaded where there is one. Null when nothing is left to be done,
    /// by anybody.
    [[nodiscard]] const State* next() {
        const State* left = nullptr;
        worked_ = false;
        for (const bool any_clip : {false, true}) {
            for (Item& item : items_) {
                refresh(item);
                if (item.state != State::open) {
                    continue;
                }
                left = &item.state;
                const bool ready = &items_[item.needs] == &item || items_[item.needs].state == State::done;
                if (!ready || (!any_clip && item.tuning != current_tuning_) || !locks_->take(item.lock)) {
                    continue;
                }
                worked_ = true;
                refresh(item); // somebody may have done it just before
                if (item.state == State::open) {
                    work(item);
                }
                locks_->release(item.lock);
                return left;
            }
        }
        return left;
    }

    void work(Item& item) {
        const reel::Stopwatch watch;
        current_tuning_ = item.tuning;
        const CheckStop check_stop = [&] {
            program::check_stop();
            locks_->check(item.lock);
        };
        try {
            switch (item.kind) {
            case Kind::tuning:
                worker_.tune(plan_.tunings[item.index], check_stop);
                break;
            case Kind::inversion:
                worker_.invert(plan_, plan_.inversions[item.index], check_stop);
                break;
            case Kind::edit:
                worker_.edit(plan_, plan_.edits[item.index], check_stop);
                break;
            }
            item.state = State::done;
        } catch (const reel::Stopped&) {
            throw;
        } catch (const LockLost& error) {
            std::cerr << "run_study: " << error.what() << '\n';
            return;
        } catch (const std::bad_alloc&) {
            item.error = "out of memory; use fewer frames or a smaller size";
        } catch (const std::exception& error) {
            item.error = error.what();
        }
        if (item.state != State::done && others_work(item)) {
            return;
        }
        if (item.state != State::done) {
            item.state = State::failed;
            reel::write_json(failure(item), {{"error", item.error}});
        }
        report_progress(item, watch.seconds());
    }

    /// Whether an item that failed here is another process's by now: this one was taken for dead, and what it missed
    /// may be what the other has tidied up. Then the failure is none.
    [[nodiscard]] bool others_work(Item& item) {
        try {
            locks_->check(item.lock);
            return false;
        } catch (const LockLost& error) {
            std::cerr << "run_study: " << error.what() << "; here it ended with: " << item.error << '\n';
            item.error.clear();
            return true;
        }
    }

    /// A line on the screen: what was done, and, once every kind of work was timed, how long the
    /// rest may take if nobody helps.
    void report_progress(const Item& item, double seconds) {
        auto& [sum, count] = times_[item.kind];
        sum += seconds;
        ++count;
        double rest = 0;
        bool known = true;
        std::map<Kind, std::size_t> left;
        for (Item& other : items_) {
            refresh(other);
            left[other.kind] += other.state == State::open ? 1 : 0;
        }
        for (const auto& [kind, number] : left) {
            const auto& [total, times] = times_[kind];
            known = known && (number == 0 || times > 0);
            rest += times == 0 ? 0 : total / times * static_cast<double>(number);
        }
        constexpr std::array words{"tuned", "inverted", "sampled"};
        std::cout << (item.error.empty() ? words[static_cast<std::size_t>(item.kind)] : "FAILED") << ' '
                  << item.lock.substr(item.lock.find('-') + 1) << " in " << reel::format_duration(seconds) << "; "
                  << left[Kind::edit] << " of " << plan_.edits.size() << " cells left";
        if (left[Kind::edit] > 0 && known) {
            std::cout << ", about " << reel::format_duration(rest);
        }
        std::cout << (item.error.empty() ? "" : "\n  " + reel::terminal_text(item.error)) << std::endl;
    }

    /// Whoever finds everything done writes the report, unless it says all this already.
    void report() {
        std::vector<Outcome> outcomes(plan_.edits.size());
        nlohmann::json state = {{"title", study_.title}, {"varied", study_.varied}, {"reel", reel::version}};
        for (const Item& item : items_) {
            if (item.kind == Kind::edit) {
                const Edit& edit = plan_.edits[item.index];
                Outcome& outcome = outcomes[item.index];
                outcome.edit = &edit;
                outcome.error = item.error;
                if (item.state == State::done) {
                    outcome.measures = ResultFile(folders_.edit(edit) / "metrics.json").json();
                }
                state["cells"].push_back({edit.name, edit.cell.sampler.name, item.error, outcome.measures});
            }
        }
        std::set<std::string> names{"report"};
        for (const Item& item : items_) {
            names.insert(item.lock);
        }
        const std::string text = reel::json_text(state, "study");
        const std::string digest = reel::sha256_hex(std::as_bytes(std::span(text)));
        const auto written = [&] {
            std::error_code ignored;
            const auto last = finished_result(folders_.root / "study.json");
            return last && std::filesystem::exists(folders_.root / "report.html", ignored) &&
                   last->value("results", nlohmann::json()) == digest;
        };
        while (!written()) {
            if (locks_->take("report")) {
                if (!written()) {
                    remove_temporaries(); // of processes that were killed
                    std::error_code ignored;
                    std::filesystem::remove(folders_.root / "study.json", ignored); // until all of them are there
                    write_reports(study_, plan_, folders_, outcomes);
                    reel::write_json(folders_.root / "study.json",
                                     {{"title", study_.title}, {"cells", plan_.edits.size()}, {"results", digest}});
                    std::cout << "wrote " << reel::terminal_text((folders_.root / "report.html").string()) << std::endl;
                }
                locks_->release("report");
            } else {
                std::this_thread::sleep_for(std::chrono::milliseconds(100));
                program::check_stop();
            }
        }
        locks_->remove(names);
    }

    /// Of the files that one process alone writes at a time, under its lock.
    void remove_temporaries() const {
        std::error_code ignored;
        for (const auto& folder : {folders_.root, folders_.root / "failures"}) {
            std::vector<std::filesystem::path> found;
            for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
                if (entry.path().filename().string().starts_with(".reel-")) {
                    found.push_back(entry.path());
                }
            }
            for (const auto& path : found) {
                std::filesystem::remove(path, ignored);
            }
        }
    }

    /// The exit status; failures are said once more.
    [[nodiscard]] int conclude() const {
        std::size_t failed = 0;
        for (const Item& item : items_) {
            failed += item.kind == Kind::edit && item.state == State::failed ? 1 : 0;
        }
        std::cout << plan_.edits.size() - failed << " of " << plan_.edits.size()
                  << " cells: " << reel::terminal_text((folders_.root / "report.html").string()) << '\n';
        if (failed > 0) {
            std::cerr << "run_study: error: " << failed << " of " << plan_.edits.size()
                      << " cells failed; summary.md says why, --retry_failed tries them again\n";
        }
        return worker_.failed_writes().tell(std::cerr, "run_study: warning: ") || failed > 0 ? program::failed : 0;
    }

    RunSettings settings_;
    Study study_;
    Folders folders_;
    Worker worker_;
    Plan plan_;
    std::vector<Item> items_;
    std::optional<LockFolder> locks_;
    std::map<Kind, std::pair<double, int>> times_;
    std::size_t current_tuning_ = 0;
    bool worked_ = false;
};

} // namespace study
