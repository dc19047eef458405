#pragma once
// Which libraries multiply on the CPU, for programs to say it.

#include <string>

#include <reel/core/build_info.hpp>
#include <reel/core/error.hpp>
#ifdef REEL_ONEDNN
#include <oneapi/dnnl/dnnl.hpp>
#endif

namespace reel {

/// Such as "products by oneDNN 3.7.2 and Eigen 3.4.0", by the library that was loaded; without oneDNN, what it would
/// bring.
[[nodiscard]] inline std::string products_text() {
    const std::string eigen = "Eigen " + eigen_version();
#ifdef REEL_ONEDNN
    const dnnl_version_t* const version = dnnl::version();
    return concat_text("products by oneDNN ", version->major, ".", version->minor, ".", version->patch, " and ", eigen);
#else
    return "products by " + eigen +
           " alone; large ones are up to twice as fast built with oneDNN (Debian: libdnnl-dev)";
#endif
}

} // namespace reel
