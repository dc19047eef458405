// Runs a fuzz target over files: what any compiler can do, and the tests do with the corpus. Arguments are files and
// folders; one that takes longer than 10 s, on a busy machine, is an error.

#include "fuzz/fuzz.hpp"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

namespace {

double seconds_of(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string content{std::istreambuf_iterator<char>(file), {}};
    const auto begin = std::chrono::steady_clock::now();
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(content.data()), content.size());
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

} // namespace

int main(int count, char** arguments) {
    std::vector<std::filesystem::path> files;
    for (int i = 1; i < count; ++i) {
        if (std::filesystem::is_directory(arguments[i])) {
            for (const auto& entry : std::filesystem::directory_iterator(arguments[i])) {
                files.push_back(entry.path());
            }
        } else {
            files.emplace_back(arguments[i]);
        }
    }
    int slow = 0;
    for (const auto& file : files) {
        if (const double seconds = seconds_of(file); seconds > 10) {
            std::cerr << file.string() << ": took " << seconds << " s\n";
            ++slow;
        }
    }
    std::cout << files.size() << " inputs, " << slow << " slow\n";
    return files.empty() || slow != 0 ? 1 : 0;
}
