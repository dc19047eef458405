#!/usr/bin/env python3
"""Compares diffusers_schedulers.json with diffusers' test files: check_scheduler_table.py FOLDER-OF-THEIR-REPOSITORY

Every expected sum and mean of a test that the table names must be one of the numbers that this test holds in an
assertion, with a tolerance that is no tighter than the table's. Says how many assertions of whole runs are not in it.
"""
import ast
import json
import pathlib
import sys


def assertions(path, test_class):
    """(test, number, tolerance) of every `assert abs(x - number) < tolerance`."""
    for group in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(group, ast.ClassDef) or (test_class and group.name != test_class):
            continue
        for test in group.body:
            for node in ast.walk(test):
                if (isinstance(node, ast.Assert) and isinstance(node.test, ast.Compare) and isinstance(node.test.left, ast.Call)
                        and getattr(node.test.left.func, "id", "") == "abs" and isinstance(node.test.left.args[0], ast.BinOp)
                        and isinstance(node.test.left.args[0].right, ast.Constant)):
                    yield test.name, node.test.left.args[0].right.value, node.test.comparators[0].value


def main():
    folder = pathlib.Path(sys.argv[1]) / "tests/schedulers"
    table = json.loads((pathlib.Path(__file__).parent / "diffusers_schedulers.json").read_text())
    held, others, wrong = 0, 0, []
    for family in table:
        theirs = list(assertions(folder / family["file"], family.get("test_class")))
        named = {test for row in family["rows"] for test in row["tests"]}
        others += len({t for t in theirs if t[0] not in named})
        for row in family["rows"]:
            for test in row["tests"]:
                for value, tolerance in (row[q] for q in ("sum", "mean") if q in row):
                    if any(t == test and abs(v - value) < 1e-12 and at_most >= tolerance for t, v, at_most in theirs):
                        held += 1
                    else:
                        wrong.append(f"{family['file']}, {test}: {value} within {tolerance}")
    print(f"diffusers: {held} of the table's numbers are theirs, {len(wrong)} are not; {others} of their assertions are not in it")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
