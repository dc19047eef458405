#pragma once
// What every program does around its work: options, errors on one line, exit statuses, signals.

#include <algorithm>
#include <csignal>
#include <exception>
#include <filesystem>
#include <initializer_list>
#include <iostream>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <reel/core/number_text.hpp>
#include <reel/core/option_checks.hpp>
#include <reel/core/ranges.hpp>
#include <reel/core/stopped.hpp>

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

using reel::Stopped;

namespace detail {

inline volatile std::sig_atomic_t stop_signal = 0;

inline void note_stop(int signal) {
    stop_signal = signal;
    std::signal(signal, SIG_DFL); // who asks again is not kept waiting
}

/// Lines of at most 95 bytes.
[[nodiscard]] inline std::string wrapped(std::string_view text) {
    std::string lines;
    std::size_t start = 0;
    for (const char c : text) {
        if (c == ' ' && lines.size() - start > 82) {
            lines += '\n';
            start = lines.size();
        } else {
            lines += c;
        }
    }
    return lines;
}

/// The value of one word.
template <class T>
[[nodiscard]] T value_of(const reel::Option& option, const std::string& name, std::string word) {
    if constexpr (reel::NamedEnum<T>) {
        const auto& known = names_of(T{});
        const bool none = reel::ranges::any_of(known, [](const auto& entry) { return entry.name == "no"; });
        reel::require(!none || (word != "fp32" && word != "float32"), name, ": expected no, fp16 or bf16, found \"",
                      word,
                      "\" (did you mean \"no\"?)"); // as other trainers spell it
        return reel::choice_of<T>(word, name);
    } else if constexpr (std::same_as<T, std::string>) {
        return word;
    } else if constexpr (std::same_as<T, bool>) {
        const int flag = word.empty() ? 1 : CLI::detail::to_flag_value(word) > 0 ? 1 : 0;
        return flag == 1;
    } else {
        if (option.range.of == "bytes") {
            const std::string given = word;
            try {
                static_cast<void>(CLI::AsSizeValue(true)(word)); // 4GB becomes a number
            } catch (const CLI::Error&) {
                reel::fail(name, ": expected a size such as 4GB, found \"", given, "\"");
            }
        }
        T value{};
        reel::require(reel::is_number(word, value), name, ": expected ",
                      std::is_unsigned_v<T>   ? "a whole number, 0 or more"
                      : std::is_integral_v<T> ? "a whole number"
                                              : "a number",
                      ", found \"", word, "\"");
        return value;
    }
}

template <class T>
inline constexpr bool is_list = false;
template <class T>
inline constexpr bool is_list<std::vector<T>> = true;

/// Sets an option's value from its words on the command line.
template <class T>
void take(const reel::Option& option, const std::string& name, const std::vector<std::string>& words, T& value) {
    if constexpr (is_list<T>) {
        value.clear();
        for (const std::string& word : words) {
            value.push_back(value_of<typename T::value_type>(option, name, word));
        }
    } else if constexpr (requires { value.has_value(); }) {
        value = value_of<typename T::value_type>(option, name, words.front());
    } else {
        value = value_of<T>(option, name, words.empty() ? "" : words.front());
    }
}

} // namespace detail

/// Throws reel::Stopped once SIGINT, SIGTERM or SIGHUP has come. Called between the steps of a long loop, so that what
/// is being written is finished or removed before the program ends.
inline void check_stop() {
    if (detail::stop_signal != 0) {
        throw reel::Stopped(detail::stop_signal);
    }
}
/// The same, for what is called after an update.
inline constexpr auto check_stop_after = [](const auto&) { check_stop(); };

/// An option's name on the command line.
[[nodiscard]] inline std::string option_name(std::string_view key) {
    return "--" + std::string(key);
}

/// Every option of a struct as "--name", with the value it has now as its default. Ranges: reel::check_options(options,
/// program::option_name).
template <reel::Options O>
void add_options(CLI::App& app, O& options) {
    reel::for_each_option(options, [&]<class T>(const reel::Option& about, T& value, const std::string& path) {
        const std::string name = option_name(path);
        CLI::Option* const option = app.add_option(
            name,
            [about, name, &value](const std::vector<std::string>& words) {
                try {
                    detail::take(about, name, words, value);
                } catch (const reel::Error& error) {
                    throw UsageError(std::string(error.what()) + "; see --help");
                }
                return true;
            },
            detail::wrapped(about.text));
        option->default_str(reel::option_text(value));
        if constexpr (std::same_as<T, bool>) {
            // CLI11 gives an option without a value its default: then it is to be true.
            option->expected(0, 1)->type_name("BOOLEAN=" + reel::option_text(value))->default_str("");
        } else if constexpr (detail::is_list<T>) {
            option->expected(1, CLI::detail::expected_max_vector_size)->allow_extra_args()->type_name("...");
            if constexpr (!std::same_as<typename T::value_type, std::string>) {
                option->delimiter(',');
            }
        } else if constexpr (reel::NamedEnum<T>) {
            std::string names;
            for (const auto& entry : names_of(value)) {
                names += (names.empty() ? "" : "|") + std::string(entry.name);
            }
            option->type_name(names);
        } else {
            option->type_name(std::same_as<T, double>                                                  ? "FLOAT"
                              : std::is_integral_v<T> || std::same_as<T, std::optional<std::uint64_t>> ? "INT"
                                                                                                       : "TEXT");
        }
    });
}

/// For options of CLI11's own whose type has no sign: CLI11 2.1 reads -1 as the largest number.
[[nodiscard]] inline std::string not_negative(const std::string& value) {
    return value.starts_with("-") ? "Value " + value + " is negative" : std::string();
}

/// Ranges, and what must fit together. Throws UsageError that names the option.
template <reel::Options O>
void check(const O& options) {
    try {
        reel::check_options(options, option_name);
    } catch (const reel::Error& error) {
        throw UsageError(std::string(error.what()) + "; see --help");
    }
}

/// Parses the command line. Returns an exit status when there is nothing more to do (--help); throws UsageError.
[[nodiscard]] inline std::optional<int> parse(CLI::App& app, int argc, char** argv) {
    app.get_formatter()->column_width(38);
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

/// Says that options must be given, or not: those that are missing are an error of the command line.
inline void require_given(CLI::App& app, std::initializer_list<const char*> names, bool required = true) {
    for (const char* name : names) {
        app.get_option(name)->required(required);
    }
}

/// The first value of an option before all others are parsed, so that they can override what it leads to; "" when it is
/// not there.
[[nodiscard]] inline std::string first_value(int argc, char** argv, const std::string& name) {
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        if (word.starts_with(name + "=")) {
            return word.substr(name.size() + 1);
        }
        if (word == name && i + 1 < argc) {
            return argv[i + 1];
        }
    }
    return {};
}

/// first_value() of one command line.
[[nodiscard]] inline auto values_in(int argc, char** argv) {
    return [argc, argv](std::string_view name) { return first_value(argc, argv, std::string(name)); };
}

/// Whether one of some options is on the command line, as "--name" or "--name=value".
[[nodiscard]] inline bool any_given(int argc, char** argv, std::initializer_list<std::string_view> names) {
    return std::any_of(argv + 1, argv + argc, [&](const std::string_view word) {
        return reel::ranges::find(names, word.substr(0, word.find('='))) != names.end();
    });
}

/// any_given() of one option.
[[nodiscard]] inline auto given_in(int argc, char** argv) {
    return [argc, argv](std::string_view name) { return any_given(argc, argv, {name}); };
}

/// Runs a program's body. What it throws becomes one line on stderr and an exit status.
template <class Body>
int run(const char* name, const Body& body) {
    // A file that outgrows a limit should fail as a write does, not kill the program.
    std::signal(SIGXFSZ, SIG_IGN);
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGINT, detail::note_stop);
    std::signal(SIGTERM, detail::note_stop);
    if (std::signal(SIGHUP, detail::note_stop) == SIG_IGN) { // nohup: the terminal may go
        std::signal(SIGHUP, SIG_IGN);
    }
    try {
        const int status = body();
        std::cout.flush();
        reel::require(std::cout.good(), "cannot write to the standard output");
        return status;
    } catch (const UsageError& error) {
        std::cerr << name << ": error: " << error.what() << '\n';
        return wrong_command_line;
    } catch (const reel::Stopped& stopped) {
        std::cerr << name << ": " << stopped.what() << '\n';
        return 128 + stopped.signal;
    } catch (const std::bad_alloc&) {
        std::cerr << name << ": error: out of memory; use fewer frames or a smaller size\n";
    } catch (const std::exception& error) {
        std::cerr << name << ": error: " << error.what() << '\n';
    }
    return failed;
}

/// What a program whose options are one struct says of itself.
struct About {
    const char* name;
    const char* text;                              ///< what it does, for --help
    std::initializer_list<const char*> required{}; ///< options that must be given
};

/// Reads the command line into `options`, checks them and calls `work(options)`; see run() above.
template <reel::Options O, class Work>
int run(const About& about, int argc, char** argv, O options, const Work& work) {
    return run(about.name, [&] {
        CLI::App app(about.text);
        add_options(app, options);
        require_given(app, about.required);
        if (const auto status = parse(app, argc, argv)) {
            return *status;
        }
        check(options);
        work(std::move(options));
        return 0;
    });
}

/// What the programs that change one thing of the method, and edit a clip, have in common.
struct ClipEdit {
    std::string model{};
    std::string video{};
    std::string prompt{};
    std::string edit{};
    std::string output{};

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(reel::Option{"model", "a Stable Diffusion: a diffusers folder, or a file with a tokenizer/ beside it"},
              self.model);
        visit(reel::Option{"video", "the clip"}, self.video);
        visit(reel::Option{"prompt", "what it shows"}, self.prompt);
        visit(reel::Option{"edit", "what it shall show"}, self.edit);
        visit(reel::Option{"output", "what to write"}, self.output);
    }

    /// Where there is no folder to write into, the work would be in vain.
    void check(const reel::KeyLocator& locate) const {
        const std::filesystem::path folder = std::filesystem::path(output).parent_path();
        std::error_code ignored;
        reel::require(folder.empty() || std::filesystem::is_directory(folder, ignored), locate("output"), " ", output,
                      ": there is no folder ", folder.string(), "; make it first");
    }
};

/// All of them.
inline constexpr std::initializer_list<const char*> clip_edit_options{"--model", "--video", "--prompt", "--edit",
                                                                      "--output"};

} // namespace program
