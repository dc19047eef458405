// Every command in README.md and docs/ is run, in a folder with everything that the pages speak of, made short by the
// tables below. A command that they do not know, and a block that does not say what it holds, fails.

#include <regex>
#include <set>

#include "scratch.hpp"

using namespace docs;
using reel_test::contains;

namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

const Settings few_steps{{"--num_inference_steps", "2"}};
const Settings few_edits{{"--n_sample_frames", "2"}, {"--width", "32"},        {"--height", "32"},
                         {"--max_train_steps", "2"}, {"--num_inv_steps", "2"}, {"--num_inference_steps", "2"}};

/// What a program's commands get: an option's value is replaced, or the option added.
const std::map<std::string, Settings> small{
    {"insert_object", few_edits},
    {"tune_video", {}},
    {"run_study", {}},
    {"video_tools", {}},
    {"convert_checkpoint", {}},
    {"make_demo", {}},
    {"doctor", {}},
    {"draw_world", {}},
    {"text_to_image", few_steps},
    {"evaluate_text_to_image",
     {{"--num_inference_steps", "2"}, {"--classifier_steps", "2"}, {"--captions", "4"}, {"--pretending", "1"}}},
    {"evaluate_insertion",
     {{"--clips", "1"},
      {"--max_train_steps", "1"},
      {"--steps", "2"},
      {"--n_sample_frames", "2"},
      {"--delta_steps", "2"},
      {"--mask_draws", "1"}}},
    {"compare_samplers", {{"--steps", "4,5"}, {"--reference_steps", "6"}}},
    {"train_text_to_image",
     {{"--resolution", "16"},
      {"--vae_channels", "4,4,4"},
      {"--vae_groups", "2"},
      {"--vae_steps", "2"},
      {"--vae_decay_steps", "1"},
      {"--vae_batch_size", "2"},
      {"--unet_channels", "4,4,4"},
      {"--unet_groups", "2"},
      {"--unet_heads", "1"},
      {"--text_width", "6"},
      {"--text_layers", "1"},
      {"--max_train_steps", "2"},
      {"--lr_decay_steps", "1"},
      {"--train_batch_size", "2"}}},
    {"cmake", {}},
    {"g++", {}},
    {"export", {}},
    {"my_program", {}},
    {"with_subdirectory", {}},
    {"plain", {}},
};

/// Words of commands that are replaced: what takes gigabytes, or another machine.
const std::vector<std::pair<std::string, std::string>> replaced{
    {" --mixed_precision bf16", ""},                            // not every processor has it
    {" --full_size", ""},                                       // 4.3 GB
    {"mpirun -n 8 ", ""},                                       // one process does
    {"mpirun -n 2 --bind-to none ", ""},                        // parallel_programs has ranks
    {"mpirun -n 2 ", ""},
    {"/shared/study", "shared/study"},                          // a disk that machines share
    {"--output out/model --data", "--output out/other --data"}, // another model than the line before
    {"-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_BUILD_TYPE=Debug"},
    {"g++ -std=c++20 -O3 -march=native", REEL_COMPILER " -std=c++20 -O0"},
    {"first.cpp -o first", "-fsyntax-only -DREEL_COMPILED first.cpp"}, // a minute; consumer_readme links it
    {"libpng zlib)", "libpng zlib || echo not_found.cpp)"},            // else the compiler would go on without
};

/// Commands that end with another status than 0, and what they say then.
const std::map<std::string, std::string> says{
    {"doctor", "reel"},                                       // a machine without a GPU is said to be one
    {"evaluate_text_to_image", "the classifier is right on"}, // after minutes of training it would be
};

/// Commands that no test can run, and why. Each option in them must occur in one of `known`: files of the repository,
/// or what a program's --help says. So must CMake's definitions and targets.
struct NotRun {
    std::string begin;
    std::vector<std::string> known;
    std::string why;
};
const std::vector<std::string> cmake_files{"CMakeLists.txt", "bench/CMakeLists.txt", "docs/CMakeLists.txt",
                                           "include/reel/compiled/CMakeLists.txt"};
const std::vector<NotRun> not_run{
    {"apt-get install", {}, "needs the network and root"},
    {"examples/demo.sh", {"insert_object --help"}, "installs and builds; the demonstration has a test of its own"},
    {"tests/run.sh", {}, "runs this test"},
    {"./first ", {}, "consumer_readme runs it, compiled to be fast"},
    {"tests/platforms.sh", {"tests/platforms.sh"}, "makes whole systems: root, the network and hours"},
    {"tests/fuzz/run.sh",
     {"tests/fuzz/run.sh"},
     "needs clang and takes minutes; fuzz_* run the targets over their corpus"},
    {"tests/faults/run.sh",
     {"tests/faults/run.sh", "tests/faults/failing_calls.c"},
     "takes minutes; programs_ends, programs_stopping, study and training end programs in the tests"},
    {"tests/peers/fetch.sh", {"tests/peers/fetch.sh"}, "needs the network; peers_* run what it fetched"},
    {"tests/sanitizers.sh", {"tests/sanitizers.sh"}, "takes hours"},
    {"custom_loss", {"custom_loss --help"}, "example_custom_loss runs it"},
    {"custom_backend", {"custom_backend --help"}, "example_custom_backend runs it"},
    {"bench/compare", {"bench/compare"}, "minutes, and PyTorch"},
    {"bench/stop_study.sh",
     {"run_study --help"},
     "runs a whole study several times; programs_study stops smaller ones"},
    {"build-bench/bench/full_size", {"bench/full_size.cpp"}, "the benchmarks are not built with the tests"},
    {"build-bench/bench/bench_ops --benchmark_filter=", {}, "the same; the option is Google Benchmark's"},
    {"cmake -S . -B build", cmake_files, "as the tests were built"},
    {"cmake --build build", cmake_files, "as the tests were built"},
    {"doxygen docs/Doxyfile", {}, "the test docs_api does it"},
};

/// What a block may hold: `sh` and `cmake` are run below, `cpp` in docs_code, `text` is what programs print.
const std::set<std::string> languages{"cpp", "cmake", "sh", "text"};

/// Blocks in other languages, by page, and what checks them.
const std::map<std::string, std::string> elsewhere{
    {"docs/study.md yaml", "programs_study plans it"},
    {"docs/io.md python", "needs numpy: tests/golden/part_npz.py writes what io reads so"},
    {"docs/pipelines.md python", "needs PyTorch and the Python Tune-A-Video: tests/golden/check_saved_folder.py"},
};

[[nodiscard]] std::string trimmed(const std::string& text) {
    const std::size_t begin = std::min(text.find_first_not_of(' '), text.size());
    return text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
}

/// The commands of a block, continued lines joined, without what follows " #".
[[nodiscard]] std::vector<std::string> commands_of(const std::string& text) {
    std::vector<std::string> commands;
    std::string command;
    for (const std::string& line : split_lines(std::regex_replace(text, std::regex(R"(\\\n\s*)"), ""))) {
        command = trimmed(line.substr(0, line.find(" # ")));
        if (!command.empty()) {
            commands.push_back(command);
        }
    }
    return commands;
}

/// What a command asks of a program: its options; of CMake, definitions and targets.
[[nodiscard]] std::vector<std::string> demands_of(const std::string& command) {
    std::vector<std::string> demands;
    const bool cmake = command.starts_with("cmake ");
    const std::regex option(cmake ? R"( -D([A-Za-z_]+)=| --target ([a-z_]+)( [a-z_]+)?)" : R"( (--[A-Za-z_]+))");
    for (std::sregex_iterator i(command.begin(), command.end(), option), end; i != end; ++i) {
        for (std::size_t group = 1; group < i->size(); ++group) {
            if (i->length(group) > 0) {
                demands.push_back(trimmed((*i)[group]));
            }
        }
    }
    return demands;
}

/// The program that a command runs, without its folder.
[[nodiscard]] std::string program_of(const std::string& command) {
    const std::string word = command.substr(0, command.find(' '));
    return word.substr(word.find_last_of('/') + 1);
}

/// The command with the program's settings; "" for a program that the table does not know.
[[nodiscard]] std::string shortened(std::string command) {
    for (const auto& [from, to] : replaced) {
        if (const std::size_t at = command.find(from); at != std::string::npos) {
            command.replace(at, from.size(), to);
        }
    }
    std::string end;
    if (command.ends_with(" &")) {
        command.resize(command.size() - 2);
        end = " &";
    }
    const auto found = small.find(program_of(command));
    if (found == small.end() && !command.starts_with(REEL_COMPILER)) {
        return {};
    }
    for (const auto& [option, value] : found == small.end() ? Settings{} : found->second) {
        const std::regex given(" " + option + R"( ("[^"]*"|\S+))");
        if (std::regex_search(command, given)) {
            command = std::regex_replace(command, given, " " + option + " " + value);
        } else {
            command += " " + option + " " + value;
        }
    }
    return command + end;
}

void check_demands(const std::string& command, const NotRun& rule) {
    std::string known;
    for (const std::string& source : rule.known) {
        const std::string text =
            source.ends_with(" --help")
                ? reel_test::run_well({programs + "/" + source.substr(0, source.find(' ')), "--help"}).out
                : reel_test::read_text(root / source);
        REQUIRE(!text.empty());
        known += text;
    }
    for (const std::string& demand : demands_of(command)) {
        INFO(command, "\n", demand, " is not known");
        CHECK((rule.known.empty() || contains(known, demand)));
    }
}

void run_block(const Block& block, const Scratch& scratch) {
    std::string script = "set -e\nexport HOME=\"$PWD/home\" PATH=\"$PWD/build/examples:$PATH\" CXX=" REEL_COMPILER "\n";
    std::string waits;
    std::string last;
    for (const std::string& command : commands_of(block.text)) {
        const auto rule = std::ranges::find_if(not_run, [&](const NotRun& r) { return command.starts_with(r.begin); });
        if (rule != not_run.end()) {
            check_demands(command, *rule);
            continue;
        }
        last = shortened(command);
        INFO(block.page, ":", block.line, ": a command that tests/docs/test_commands.cpp does not know: ", command);
        REQUIRE(!last.empty());
        script += last + "\n";
        if (last.ends_with(" &")) {
            script += "waiting=\"$waiting $!\"\n";
            waits = "for process in $waiting; do wait $process; done\n";
        }
    }
    if (last.empty()) {
        return;
    }
    const reel_test::Ended ended =
        reel_test::run({"sh", "-c", "cd \"$1\" && eval \"$2\"", "sh", scratch.path(), script + waits});
    INFO(block.page, ":", block.line, "\n", script, "\n", ended.out, "\n", ended.err);
    const auto expected = says.find(program_of(last));
    CHECK((ended.status == 0 ||
           (ended.status == 1 && expected != says.end() && contains(ended.out + ended.err, expected->second))));
}

/// A fragment of CMake in a project that has a program.
void configure(const Block& block, const Scratch& scratch) {
    scratch.write("fragment/main.cpp", "int main() {}\n");
    scratch.write("fragment/CMakeLists.txt", "cmake_minimum_required(VERSION 3.22)\nproject(fragment LANGUAGES CXX)\n"
                                             "add_executable(my_program main.cpp)\n" +
                                                 block.text);
    const reel_test::Ended ended =
        reel_test::run({"sh", "-c",
                        "cd \"$1\" && cmake --install build --prefix home/.local > /dev/null && "
                        "cmake -S fragment -B fragment/build -DCMAKE_PREFIX_PATH=\"$PWD/home/.local\"",
                        "sh", scratch.path()});
    INFO(block.page, ":", block.line, "\n", block.text, "\n", ended.out, "\n", ended.err);
    CHECK(ended.status == 0);
}

} // namespace

TEST_CASE("every block says what it holds") {
    std::size_t blocks = 0;
    for (const std::string& page : pages_of(root)) {
        for (const Block& block : blocks_of(root, page)) {
            INFO(page, ":", block.line, ": ```", block.language);
            CHECK((languages.contains(block.language) || elsewhere.contains(page + " " + block.language)));
            ++blocks;
        }
    }
    CHECK(blocks > 60);
}

TEST_CASE("the commands of the pages") {
    for (const std::string& page : pages_of(root)) {
        const std::vector<Block> blocks = blocks_of(root, page);
        const auto is_run = [](const Block& block) { return block.language == "sh" || block.language == "cmake"; };
        if (std::ranges::none_of(blocks, is_run)) {
            continue;
        }
        const Scratch scratch;
        for (const Block& block : blocks) {
            if (!block.file.empty()) {
                scratch.write(block.file, block.text);
            } else if (block.language == "sh") {
                run_block(block, scratch);
            } else if (block.language == "cmake") {
                configure(block, scratch);
            }
        }
    }
}
