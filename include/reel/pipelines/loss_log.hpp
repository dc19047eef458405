#pragma once
// losses.csv: what every update of a tuning gave. Needs POSIX; no other library.

#include <array>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/pipelines/tune_report.hpp>

namespace reel {

/// What a log's lines hold beside step, loss, gradient norm and learning rate.
enum class LossColumns {
    seconds, ///< how long the update took; numbers have 9 digits
    exact    ///< nothing; numbers are read back to the last bit, and two runs of the same write the same bytes
};

/// One line per update, written whole each time.
class LossLog {
public:
    /// One update.
    struct Row {
        TuneReport report;
        double seconds = 0; ///< 0 where the columns have none
    };

    explicit LossLog(LossColumns columns = LossColumns::seconds) : columns_(columns) {}

    void add(const TuneReport& report, double seconds) { rows_.push_back({report, seconds}); }

    [[nodiscard]] const std::vector<Row>& rows() const { return rows_; }

    void write(const std::filesystem::path& path) const {
        std::string text = std::string(header()) + "\n";
        for (const Row& row : rows_) {
            text += line_of(row);
        }
        write_file(path, text);
    }

    /// Adds what write() wrote, up to and including `last_step`; a missing file has no lines. Throws Error that names
    /// the file for one with other columns.
    void resume(const std::filesystem::path& path, index_t last_step = std::numeric_limits<index_t>::max()) {
        std::ifstream file(path);
        std::string line;
        std::getline(file, line);
        while (std::getline(file, line)) {
            Row row;
            TuneReport& report = row.report;
            const int fields = std::sscanf(line.c_str(), "%td,%lf,%lf,%lf,%lf", &report.step, &report.loss,
                                           &report.grad_norm, &report.learning_rate, &row.seconds);
            require(fields == (timed() ? 5 : 4), path.string(), ": cannot read \"", line.substr(0, 80), "\"; expected ",
                    header());
            if (report.step <= last_step) {
                rows_.push_back(row);
            }
        }
    }

    /// The mean over the last tenth of the steps (at least one): single steps look at one noise level each, and
    /// scatter. NaN without steps.
    [[nodiscard]] double final_loss() const {
        if (rows_.empty()) {
            return std::numeric_limits<double>::quiet_NaN();
        }
        const std::size_t count = std::max<std::size_t>(1, rows_.size() / 10);
        const auto first = rows_.end() - static_cast<std::ptrdiff_t>(count);
        return std::accumulate(first, rows_.end(), 0.0,
                               [](double sum, const Row& row) { return sum + row.report.loss; }) /
               static_cast<double>(count);
    }

private:
    [[nodiscard]] bool timed() const { return columns_ == LossColumns::seconds; }
    [[nodiscard]] const char* header() const {
        return timed() ? "step,loss,grad_norm,learning_rate,seconds" : "step,loss,grad_norm,learning_rate";
    }

    /// The shortest text that is read back as the same number.
    [[nodiscard]] static std::string exact_text(double value) {
        std::array<char, 40> text{};
        return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
    }

    [[nodiscard]] std::string line_of(const Row& row) const {
        const TuneReport& report = row.report;
        if (timed()) {
            std::array<char, 160> line{};
            std::snprintf(line.data(), line.size(), "%td,%.9g,%.9g,%.9g,%.3f\n", report.step, report.loss,
                          report.grad_norm, report.learning_rate, row.seconds);
            return line.data();
        }
        return std::to_string(report.step) + "," + exact_text(report.loss) + "," + exact_text(report.grad_norm) + "," +
               exact_text(report.learning_rate) + "\n";
    }

    LossColumns columns_;
    std::vector<Row> rows_;
};

} // namespace reel
