"""Joins the app's modules into one script, and its stylesheets into one sheet.

A browser that loads the app for the first time on a slow line would otherwise wait for over a hundred requests. The
modules stay as they are for developers: see `web/routes.py`.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from posixpath import dirname, join, normpath

import rjsmin

from service.common.encoding import dumps, loads

IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]+)";$', re.MULTILINE)
IMPORT_JSON = re.compile(r'^import (\w+) from "([^"]+)" with \{ type: "json" \};$', re.MULTILINE)
REEXPORT = re.compile(r'^export \{([^}]*)\} from "([^"]+)";$', re.MULTILINE)
EXPORT = re.compile(r"^export ((?:async function|function\*?|class|const) (\w+))", re.MULTILINE)
IMPORT_LATER = re.compile(r'\(\) => import\("([^"]+)"\)(?!\.)')
"""A module that is loaded once it is needed. What a comment says of a type has a dot."""
LATER = re.compile(r'\$later\("([^"]+)"\)')
"""What such an import becomes."""
NO_EXPORTS = "export {};\n"
"""Makes a file of nothing but types a module."""
UNSUPPORTED = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)
DYNAMIC = re.compile(r"\bimport(?:\(|\.meta\b)")
"""Depends on the path of the module. Comments, which name types so, are gone when it is looked for."""
NAMES = re.compile(r"(\w+)(?: as (\w+))?")
"""Within the braces of an import or a re-export."""


class UnsupportedModule(ValueError):
    """A module cannot be joined with the others: the message says why."""


Publish = Callable[[str], str]
"""Takes a script, and returns its URL."""


def bundle_modules(files: Mapping[str, str], entry: str, publish: Publish | None = None) -> str:
    """Return one minified module that does what `entry` and all modules that it imports do.

    `files`: modules, and the JSON that they import, by path, such as `app/main.js`. Each module becomes a function that
    returns its exports, called after the modules that it imports; `entry` comes last, as it is. An import reads a name
    once, so an exported `let` is refused, as are cycles, default exports, names that the patterns above do not find
    among the exports of a module, every other form of import and export at the beginning of a line, and
    `import()` and `import.meta`.

    With `publish`, modules may have `() => import("./other.js")`: what is only imported so is joined into a second
    script, which is loaded with the first such call. It uses the modules of the first.

    Raises `UnsupportedModule`.
    """
    if publish:
        files = {path: _with_later_calls(path, source) for path, source in files.items()}
    imports: dict[str, Collection[str]] = {}
    _collect(files, entry, imports)
    order = _order(imports)
    names = {path: f"$module{number}" for number, path in enumerate(order)}
    exports: dict[str, set[str]] = {}
    joined = "".join(_function(path, files, names, exports) for path in order[:-1])
    body, exported = _rewrite(entry, files, names, exports)
    if exported:
        raise UnsupportedModule(f"{entry} is the entry, and exports {', '.join(exported)}.")
    bundle = _minify(joined + body)
    if publish is None or not _called_later(files, imports):
        return bundle
    later = dict(imports)
    while missing := [path for path in _called_later(files, later) if path not in later]:
        _collect(files, missing[0], later)
    added = [path for path in _order(later) if path not in imports]
    names |= {path: f"$module{number}" for number, path in enumerate(added, len(order))}
    functions = "".join(_function(path, files, names, exports) for path in added)
    shared = ", ".join(names[path] for path in order[:-1])
    loaded = ", ".join(f'"{path}": {names[path]}' for path in _called_later(files, later))
    url = publish(f"export const load = ({{ {shared} }}) => {{\n{_minify(functions)}\nreturn {{ {loaded} }};\n}};\n")
    return LOADER.replace("URL", url).replace("SHARED", shared) + bundle


LOADER = """const $later = (() => {
  let loading, attempt = 0;
  return async (path) => {
    loading ??= import(`URL?${attempt++}`).then(({ load }) => load({ SHARED }));
    try {
      return (await loading)[path];
    } catch (error) {
      loading = undefined;
      throw error;
    }
  };
})();
"""
"""Loads the second script. A URL that has failed may fail until the page is loaded again (HTML, 8.1.6.7.1), so another
attempt has another URL."""


def _minify(script: str) -> str:
    minified = str(rjsmin.jsmin(script))
    if found := DYNAMIC.search(minified):
        raise UnsupportedModule(f"A module has {found[0]}: its path is not that of the bundle.")
    return minified


def _order(imports: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Return the modules, each after those that it imports."""
    try:
        return tuple(TopologicalSorter(imports).static_order())
    except CycleError as error:
        raise UnsupportedModule(f"The modules import each other in a circle: {' → '.join(error.args[1])}.") from error


def _with_later_calls(path: str, source: str) -> str:
    return IMPORT_LATER.sub(lambda match: f'() => $later("{_resolve(path, match[1])}")', source)


def _called_later(files: Mapping[str, str], modules: Collection[str]) -> dict[str, None]:
    """Return the modules that these import by such a call, in order."""
    return {match[1]: None for path in modules for match in LATER.finditer(files[path])}


def bundle_stylesheets(sheets: Mapping[str, str], page: str) -> str:
    """Return the sheets that the HTML `page` links, joined in its order. They must not contain relative URLs."""
    return "".join(sheets[path] for path in re.findall(r'<link rel="stylesheet" href="/([^"]+)" />', page))


def _collect(files: Mapping[str, str], path: str, imports: dict[str, Collection[str]]) -> None:
    """Add to `imports` what `path` and the modules below it import, in order: processes must build the same bundle."""
    if path in imports:
        return
    if path not in files:
        raise UnsupportedModule(f"{path} is imported, and does not exist.")
    imports[path] = dict.fromkeys(_imported(path, files[path]))
    for imported in imports[path]:
        _collect(files, imported, imports)


def _imported(path: str, source: str) -> Iterator[str]:
    for pattern in (IMPORT, REEXPORT):
        for match in pattern.finditer(source):
            yield _resolve(path, match[2])


def _resolve(path: str, specifier: str) -> str:
    """Return the path of the module that `path` calls `specifier`: "./dom.js", "/client/index.js"."""
    return specifier.lstrip("/") if specifier.startswith("/") else normpath(join(dirname(path), specifier))


def _function(path: str, files: Mapping[str, str], names: Mapping[str, str], exports: dict[str, set[str]]) -> str:
    body, exported = _rewrite(path, files, names, exports)
    return f"const {names[path]} = (() => {{\n{body}\nreturn {{ {', '.join(exported)} }};\n}})();\n"


def _rewrite(
    path: str, files: Mapping[str, str], names: Mapping[str, str], exports: dict[str, set[str]]
) -> tuple[str, list[str]]:
    """Return the module without `import` and `export`, and the properties of the object that it exports.

    `exports`: the names that the modules before it export, by path; its own are added.
    """
    exported: list[str] = []
    own = exports[path] = set()

    def check(match: re.Match[str]) -> None:
        module = _resolve(path, match[2])
        if missing := {name[1] for name in NAMES.finditer(match[1])} - exports[module]:
            raise UnsupportedModule(f"{path} takes {', '.join(missing)} from {module}, where no such export is found.")

    def declare(match: re.Match[str]) -> str:
        own.add(match[2])
        exported.append(match[2])
        return match[1]

    def export_again(match: re.Match[str]) -> str:
        check(match)
        module = names[_resolve(path, match[2])]
        for name in NAMES.finditer(match[1]):
            own.add(name[2] or name[1])
            exported.append(f"{name[2] or name[1]}: {module}.{name[1]}")
        return ""

    def read(match: re.Match[str]) -> str:
        check(match)
        return f"const {{{match[1].replace(' as ', ': ')}}} = {names[_resolve(path, match[2])]};"

    def embed(match: re.Match[str]) -> str:
        return f"const {match[1]} = {dumps(loads(files[_resolve(path, match[2])]))};"

    body = files[path].replace(NO_EXPORTS, "")
    for pattern, replacement in ((IMPORT, read), (IMPORT_JSON, embed), (EXPORT, declare), (REEXPORT, export_again)):
        body = pattern.sub(replacement, body)
    if unsupported := UNSUPPORTED.search(body):
        raise UnsupportedModule(f"{path} cannot be bundled: {unsupported[0]}")
    return body, exported
