// A libcuda.so.1 for the tests of `doctor`, where there is no GPU: it answers as the environment says.

#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace {

int setting(const char* name, int otherwise) {
    const char* const text = std::getenv(name);
    return text == nullptr ? otherwise : std::atoi(text);
}

bool initialized = false;
bool retained = false;
bool current = false;
int context = 0;

constexpr int not_initialized = 3;
constexpr int invalid_value = 1;
constexpr int invalid_context = 201;

} // namespace

extern "C" {

int cuDriverGetVersion(int* version) {
    *version = setting("TEST_CUDA_VERSION", 12080);
    return *version == 0 ? 34 : 0;
}

int cuInit(unsigned flags) {
    const int error = setting("TEST_CUDA_INIT", 0);
    initialized = flags == 0 && error == 0;
    return error;
}

int cuDeviceGetCount(int* count) {
    *count = setting("TEST_CUDA_DEVICES", 1);
    return initialized ? 0 : not_initialized;
}

int cuDeviceGet(int* device, int ordinal) {
    *device = 10 + ordinal; // a handle, not the number
    return initialized ? 0 : not_initialized;
}

int cuDeviceGetName(char* name, int size, int device) {
    if (device < 10 || size < 16) {
        return invalid_value;
    }
    std::strcpy(name, "Test GPU 0");
    name[9] = static_cast<char>('0' + device - 10);
    return 0;
}

int cuDeviceGetAttribute(int* value, int attribute, int device) {
    const int capability = setting("TEST_CUDA_CAPABILITY", 90);
    *value = attribute == 75 ? capability / 10 : attribute == 76 ? capability % 10 : -1;
    return device >= 10 ? 0 : invalid_value;
}

int cuDeviceTotalMem_v2(std::size_t* bytes, int device) {
    *bytes = 80'000'000'000;
    return device >= 10 ? 0 : invalid_value;
}

int cuDevicePrimaryCtxRetain(void** result, int device) {
    const int error = device >= 10 ? setting("TEST_CUDA_CONTEXT", 0) : invalid_value;
    retained = error == 0;
    *result = &context;
    return error;
}

int cuCtxPushCurrent_v2(void* pushed) {
    current = retained && pushed == &context;
    return current ? 0 : invalid_context;
}

int cuMemGetInfo_v2(std::size_t* free_bytes, std::size_t* bytes) {
    *free_bytes = 71'000'000'000;
    *bytes = 80'000'000'000;
    return current ? 0 : invalid_context;
}

int cuCtxPopCurrent_v2(void** popped) {
    *popped = &context;
    return current ? (current = false, 0) : invalid_context;
}

int cuDevicePrimaryCtxRelease_v2(int device) {
    return device >= 10 && retained && !current ? (retained = false, 0) : invalid_context;
}
}
