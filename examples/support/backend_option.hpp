#pragma once
// --backend

#include <string>

#include <CLI/CLI.hpp>

#include "networks.hpp"

namespace editing {

inline void add_backend_option(CLI::App& app, std::string& backend) {
    app.add_option("--backend", backend, "where the networks run: cpu, or cuda for an NVIDIA GPU")
        ->check(CLI::IsMember(backend_names()));
}

} // namespace editing
