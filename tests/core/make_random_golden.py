"""Writes random_golden.hpp: numbers of PyTorch's CPU generator, for test_random.cpp.

    python make_random_golden.py > random_golden.hpp        # torch 2.15.0
"""
import math

import torch

torch.set_num_threads(1)


def number(value, dtype):
    if dtype is torch.int64:
        return f"{value}"
    return float(value).hex() + ("F" if dtype is torch.float32 else "")


def emit(name, tensors, dtype=None):
    values = torch.cat([t.flatten() for t in tensors])
    dtype = values.dtype
    kind = {torch.float32: "float", torch.float64: "double", torch.int64: "std::int64_t"}[dtype]
    items = [number(v, dtype) for v in values.tolist()]
    print(f"inline constexpr {kind} {name}[] = {{")
    per_line = 8 if dtype is torch.int64 else 4
    for i in range(0, len(items), per_line):
        print("    " + ", ".join(items[i : i + per_line]) + ",")
    print("};\n")


def seeded(seed, draw):
    torch.manual_seed(seed)
    return draw()


print("#pragma once\n")
print(f"// Written by make_random_golden.py with torch {torch.__version__.split('+')[0]}.")
print("// clang-format off")
print("#include <cstdint>\n")
print("namespace torch_golden {\n")
emit("rand_float", [seeded(33, lambda: torch.rand(9))])
emit("rand_double", [seeded(33, lambda: torch.rand(9, dtype=torch.float64))])
emit("randn_small_float", [seeded(33, lambda: torch.cat([torch.randn(3), torch.randn(15), torch.randn(2)]))])
emit("randn_small_double", [seeded(1, lambda: torch.randn(5, dtype=torch.float64))])
emit("randn_16_float", [seeded(33, lambda: torch.randn(16))])
emit("randn_45_float", [seeded(0, lambda: torch.randn(5, 9))])
emit("randn_37_double", [seeded(123, lambda: torch.randn(37, dtype=torch.float64))])
emit("randint_thousand", [seeded(33, lambda: torch.cat([torch.randint(0, 1000, (1,)) for _ in range(12)]))])
emit("randint_below_2_28", [seeded(7, lambda: torch.randint(-5, 2**28 - 6, (6,)))])
emit("randint_from_2_28", [seeded(7, lambda: torch.randint(-5, 2**28 - 5, (6,)))])
emit("randint_wide", [seeded(7, lambda: torch.randint(-(2**63), 2**63 - 1, (4,)))])


def training_step():
    """What a tuning step draws: noise, a timestep, and so on; odd normals left over must not leak."""
    parts = []
    for _ in range(3):
        parts.append(torch.randn(1, 4, 2, 3, 3))
        parts.append(torch.randint(0, 1000, (1,)).float())
        parts.append(torch.randn(3))
    return torch.cat([p.flatten() for p in parts])


emit("mixed", [seeded(2**32 + 33, training_step)])

# A long draw, as sums: every block of 16 counts.
torch.manual_seed(33)
long = torch.randn(4 * 24 * 64 * 64)
weights = (torch.arange(long.numel(), dtype=torch.float64) % 97) - 48
print(f"inline constexpr double randn_long_sum = {(long.double().sum().item()).hex()};")
print(f"inline constexpr double randn_long_weighted = {(long.double() * weights).sum().item().hex()};")
print(f"inline constexpr double randn_long_squares = {(long.double() ** 2).sum().item().hex()};")
assert math.isfinite(long.sum().item())
print("\n} // namespace torch_golden")
