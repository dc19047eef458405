#pragma once
// What every program does around its work: the command line, errors on one line, exit statuses, signals.

#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <reel/core/error.hpp>
#include <reel/core/nearest_name.hpp>

namespace program {

/// Exit statuses besides 0; a program that was asked to stop exits with 128 and the signal's number, as a shell says
/// it.
inline constexpr int failed = 1;
inline constexpr int wrong_command_line = 2;

/// The command line is wrong.
class UsageError : public reel::Error {
public:
    using reel::Error::Error;
};

/// Thrown by check_stop().
class Stopped : public reel::Error {
public:
    explicit Stopped(int number) : Error("stopped by signal " + std::to_string(number)), signal(number) {}
    const int signal;
};

namespace detail {

inline volatile std::sig_atomic_t stop_signal = 0;

inline void note_stop(int signal) {
    stop_signal = signal;
    std::signal(signal, SIG_DFL); // who asks again is not kept waiting
}

} // namespace detail

/// Throws Stopped once SIGINT or SIGTERM has come. Called between the steps of a long loop, so that what is being
/// written is finished or removed before the program ends.
inline void check_stop() {
    if (detail::stop_signal != 0) {
        throw Stopped(detail::stop_signal);
    }
}

/// For options whose type has no sign: CLI11 2.1 reads -1 as the largest number.
[[nodiscard]] inline std::string not_negative(const std::string& value) {
    return value.starts_with("-") ? "Value " + value + " is negative" : std::string();
}

/// Parses the command line. Returns an exit status when there is nothing more to do (--help); throws UsageError.
[[nodiscard]] inline std::optional<int> parse(CLI::App& app, int argc, char** argv) {
    try {
        app.parse(argc, argv);
        return std::nullopt;
    } catch (const CLI::Success& done) {
        return app.exit(done);
    } catch (const CLI::ExtrasError&) {
        const CLI::App& used = app.get_subcommands().empty() ? app : *app.get_subcommands().back();
        std::vector<std::string> known;
        for (const CLI::Option* option : used.get_options()) {
            known.push_back(option->get_name());
        }
        for (const std::string& extra : used.remaining()) {
            if (extra.starts_with("-")) {
                const std::string name = extra.substr(0, extra.find('='));
                throw UsageError(name + ": unknown option" + reel::did_you_mean(name, known) + "; see --help");
            }
        }
        throw UsageError("\"" + used.remaining().front() + "\" belongs to no option; see --help");
    } catch (const CLI::ParseError& error) {
        std::string message = error.what();
        message = message.substr(0, message.find('\n'));
        throw UsageError(message + "; see --help");
    }
}

/// Runs a program's body. What it throws becomes one line on stderr and an exit status.
template <class Body>
int run(const char* name, const Body& body) {
    // A file that outgrows a limit should fail as a write does, not kill the program.
    std::signal(SIGXFSZ, SIG_IGN);
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGINT, detail::note_stop);
    std::signal(SIGTERM, detail::note_stop);
    try {
        const int status = body();
        std::cout.flush();
        reel::require(std::cout.good(), "cannot write to the standard output");
        return status;
    } catch (const UsageError& error) {
        std::cerr << name << ": error: " << error.what() << '\n';
        return wrong_command_line;
    } catch (const Stopped& stopped) {
        std::cerr << name << ": " << stopped.what() << '\n';
        return 128 + stopped.signal;
    } catch (const std::bad_alloc&) {
        std::cerr << name << ": error: out of memory; use fewer frames or a smaller size\n";
    } catch (const std::exception& error) {
        std::cerr << name << ": error: " << error.what() << '\n';
    }
    return failed;
}

} // namespace program
