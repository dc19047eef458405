#pragma once
// Writes that may fail without ending the job whose result they show. No other library.

#include <algorithm>
#include <cstddef>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/core/stopped.hpp>

namespace reel {

/// Gathers what could not be written, so that a long job loses no more than that.
///
///     FailedWrites failed;
///     failed.attempt([&] { write_gif("preview.gif", clip, fps); });
///     ...                                          // everything else
///     failed.report();
class FailedWrites {
public:
    /// Does it. Returns whether that went well; an Error is kept for report(), anything else passes.
    template <class Write>
    bool attempt(const Write& write) {
        try {
            write();
            return true;
        } catch (const Stopped&) {
            throw;
        } catch (const Error& error) {
            messages_.emplace_back(error.what());
            return false;
        }
    }

    [[nodiscard]] const std::vector<std::string>& messages() const { return messages_; }

    /// Writes a line for each, which begins with `start`. Returns whether there was any.
    bool tell(std::ostream& lines, std::string_view start) const {
        for (const std::string& message : messages_) {
            lines << start << message << '\n';
        }
        return !messages_.empty();
    }

    /// What failed: the first few, and the number of the others; "" where nothing did.
    [[nodiscard]] std::string summary() const {
        constexpr std::size_t named = 3;
        std::string all;
        for (std::size_t i = 0; i < std::min(named, messages_.size()); ++i) {
            all += concat_text(i == 0 ? "" : "; ", messages_[i]);
        }
        if (messages_.size() > named) {
            all += concat_text("; and ", messages_.size() - named, " more");
        }
        return all;
    }

    /// Call last. Throws Error with the summary(), if anything failed.
    void report() const { require(messages_.empty(), "all else is done and written, but: ", summary()); }

private:
    std::vector<std::string> messages_;
};

} // namespace reel
