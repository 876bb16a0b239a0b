"""The shape of the source: imports go one way, every public name is listed and documented, files stay short."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "isthmus"
MODULES = {
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}

# Each part imports only parts from the rows above its own, and nothing else of Isthmus.
ROWS = [
    ["files"],
    ["processes"],
    ["distributions", "data"],
    ["nets", "heads", "priors", "corruption", "linear", "mixtures", "inference"],
    ["model"],
    ["boltzmann"],
    ["objectives"],
    ["training"],
    ["evaluation"],
    ["estimators"],
    ["coding"],
    ["report", "export", "explorer"],
    ["reproduce"],
    ["cli"],
    ["__main__"],
]
RANK = {part: rank for rank, row in enumerate(ROWS) for part in row}
# Some parts promise more: they can be read and used without the rest.
ONLY = {"data": {"files"}, "linear": {"distributions"}, "mixtures": {"distributions"}, "inference": {"distributions"}}

each_module = pytest.mark.parametrize("module", MODULES)


def part_of(module: str) -> str | None:
    """`isthmus.heads.gaussian` -> `heads`; None for the package itself and what is not ours."""
    names = module.split(".")
    return names[1] if names[0] == "isthmus" and len(names) > 1 else None


def run_time_nodes(node: ast.AST):
    """Every node below, but for what stands under `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
            children = child.orelse
        else:
            yield child
            children = [child]
        for inner in children:
            yield from run_time_nodes(inner)


def imports(module: str, tree: ast.AST) -> list[tuple[str, list[str]]]:
    """What a module imports, wherever in it: (absolute module, names taken from it)."""
    package = module.split(".") if MODULES[module].name == "__init__.py" else module.split(".")[:-1]
    found = []
    for node in run_time_nodes(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, []) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            found.append((".".join([*base, *filter(None, [node.module])]), [alias.name for alias in node.names]))
    return found


def imported_parts(module: str, tree: ast.AST) -> set[str]:
    """Parts of Isthmus that a module imports; '' stands for a public name of the package itself."""
    parts = set()
    for target, names in imports(module, tree):
        if target == "isthmus":
            parts |= {name if name in RANK else "" for name in names if name != "__version__"}
        elif part := part_of(target):
            parts.add(part)
    return parts - {part_of(module)}


@each_module
def test_imports_go_one_way(module):
    part, parts = part_of(module), imported_parts(module, TREES[module])
    if part is None:
        assert parts == set()
        return
    assert part in RANK, f"put {part!r} into ROWS"
    assert {p for p in parts if RANK.get(p, len(ROWS)) >= RANK[part]} == set()
    assert part not in ONLY or parts <= ONLY[part]


def test_the_import_rule_sees_an_import_the_wrong_way():
    for line in (
        "from ..training import fit",
        "from .. import training",
        "import isthmus.training.loop",
        "def f():\n    from isthmus.training import fit",
    ):
        assert imported_parts("isthmus.objectives.base", ast.parse(line)) == {"training"}
    assert imported_parts("isthmus.objectives.base", ast.parse("from isthmus import VAE")) == {""}
    unseen = "if TYPE_CHECKING:\n    from ..training import fit"
    assert imported_parts("isthmus.objectives.base", ast.parse(unseen)) == set()


def public_names(tree: ast.Module) -> list[str] | None:
    """A module's `__all__`, or None where it has none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["__all__"]:
            return ast.literal_eval(node.value)
    return None


def documented_names(module: str, tree: ast.Module) -> set[str]:
    """Names with a docstring (a constant: or a comment, or a page), or imported from a module that lists them."""
    names, lines = set(), MODULES[module].read_text(encoding="utf-8").splitlines()
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and (
            is_text(after)
            or has_page(node.value)
            or "  # " in lines[node.lineno - 1]
            or lines[node.lineno - 2].startswith("# ")
        ):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    for target, imported in imports(module, tree):
        names |= {name for name in imported if name in (public_names(TREES.get(target, ast.Module([], []))) or [])}
    return names


def has_page(node: ast.AST | None) -> bool:
    """A table, which says itself what it is about."""
    return isinstance(node, ast.Call) and {"title", "about"} <= {keyword.arg for keyword in node.keywords}


def is_text(node: ast.AST | None) -> bool:
    """A string that stands alone, as it documents the constant above it."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@each_module
def test_public_names_are_listed_exist_and_are_documented(module):
    tree = TREES[module]
    assert ast.get_docstring(tree), "a module says in one line what it is"
    if all(map(is_text, tree.body)) or module.endswith("__main__"):
        return  # nothing in it to list
    names = public_names(tree)
    assert names is not None, "a module lists its public names in __all__"
    assert len(names) == len(set(names))
    assert [name for name in names if not hasattr(import_module(module), name)] == []
    if part_of(module):  # the package itself loads its names lazily from modules that are checked here
        assert set(names) - documented_names(module, tree) == set()


def test_the_package_s_names_are_public_where_they_live():
    import isthmus

    assert set(isthmus.__all__) == set(isthmus._MODULE)
    assert set(isthmus.__all__) <= set(dir(isthmus))
    for name, part in isthmus._MODULE.items():
        assert name in import_module(f"isthmus.{part}").__all__
    with pytest.raises(AttributeError, match="VEA"):
        isthmus.VEA  # noqa: B018


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks"])
def test_files_are_short(folder):
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / folder).rglob("*.py")}
    assert {name: length for name, length in lengths.items() if length > 300} == {}


UNSAFE_MODULES = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


def unsafe(tree: ast.AST) -> list[int]:
    """Lines that use `assert` (gone under `python -O`) or read pickles, which run whatever a file says."""
    lines = []
    for node in ast.walk(tree):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        keywords = {k.arg: ast.unparse(k.value) for k in node.keywords} if isinstance(node, ast.Call) else {}
        imported = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        imported += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if (
            isinstance(node, ast.Assert)
            or {name.split(".")[0] for name in imported}
            & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
            or (called == "torch.load" and keywords.get("weights_only") != "True")
            or keywords.get("allow_pickle", "False") != "False"
        ):
            lines.append(node.lineno)
    return lines


@each_module
def test_no_assert_and_no_pickle(module):
    assert unsafe(TREES[module]) == []


@pytest.mark.parametrize(
    "line",
    ["assert x", "import pickle", "from joblib import load", "torch.load(f)", "torch.load(f, weights_only=False)",
     "np.load(f, allow_pickle=True)", "import os, dill"],
)  # fmt: skip
def test_the_safety_rule_sees(line):
    assert unsafe(ast.parse(line)) == [1]


def run(code: str) -> str:
    """What a fresh Python prints for this code."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_isthmus_loads_no_torch():
    heavy = "{'torch', 'numpy', 'sklearn', 'matplotlib', 'rich'}"
    assert run(f"import sys, isthmus; dir(isthmus); print({heavy} & set(sys.modules))") == "set()\n"


def test_imports_have_no_side_effects():
    """Importing all of it prints nothing, leaves random numbers, dtype and threads alone, and loads no matplotlib."""
    code = f"""
import random, sys, numpy, torch
import rich.style  # draws a random number when it is imported

def state():
    return (random.getstate(), str(numpy.random.get_state()), torch.get_rng_state().tolist(), torch.get_default_dtype(),
            torch.get_num_threads(), torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled())

before = state()
for name in {[name for name in MODULES if not name.endswith("__main__")]}:
    __import__(name)
print(before == state(), "matplotlib" in sys.modules)
"""
    assert run(code) == "True False\n"
