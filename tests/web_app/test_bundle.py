"""Joining modules into one. What the joined app does is proved by tests/e2e, which loads it."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from service.web.bundle import UnsupportedModule, bundle_modules, bundle_stylesheets
from service.web.routes import ROOT


def run(node: str, script: str) -> str:
    """Return what a module prints."""
    command = [node, "--input-type=module", "--eval", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


ENTRY = """
import { greet, COUNT as count } from "./greeting.js";
import { Counter } from "/lib/index.js";
import texts from "./texts.json" with { type: "json" };
// import { ignored } from "./comment.js";
const counter = new Counter(count);
console.log(JSON.stringify([greet("A"), counter.next(), texts, `// ${/[/"]/.test("/")}`]));
"""
FILES = {
    "app/main.js": ENTRY,
    "app/greeting.js": """
import { exclaim } from "../lib/mark.js";
/** The same name as in another module. */
const hidden = "Hello";
export const COUNT = 2;
export function greet(name) {
  return `${hidden}, ${exclaim(name)}`;
}
""",
    "app/texts.json": json.dumps({"quote": 'a "b" </script>', "lines": "one\ntwo\u2028"}),
    "lib/index.js": 'export { Counter } from "./counter.js";\nexport { exclaim as shout } from "./mark.js";\n',
    "lib/counter.js": """
import {
  shout,
} from "./shout.js";
const hidden = 1;
export class Counter {
  #value;
  constructor(value) {
    this.#value = value;
  }
  next() {
    return (this.#value += hidden) + shout("!");
  }
}
export async function unused() {}
""",
    "lib/shout.js": "export const shout = (text) => text;\n",
    "lib/mark.js": "export function exclaim(text) {\n  return text + '!';\n}\n",
    "lib/types.js": "/** @typedef {string} Name */\nexport {};\n",
    "app/not-imported.js": "throw new Error();\n",
}


class TestModules:
    def test_the_bundle_does_what_the_modules_do(self, node: str) -> None:
        printed = json.loads(run(node, bundle_modules(FILES, "app/main.js")))
        assert ["Hello, A!", "3!", {"quote": 'a "b" </script>', "lines": "one\ntwo\u2028"}, "// true"] == printed

    def test_comments_and_modules_that_nothing_imports_are_left_out(self) -> None:
        bundle = bundle_modules(FILES, "app/main.js")
        assert "The same name" not in bundle
        assert "throw" not in bundle

    def test_every_process_builds_the_same_bundle(self) -> None:
        """The order is that of the imports: the order of a set of strings differs from process to process."""
        order = [f"app/{letter}.js" for letter in "hagbfced"]
        files = {path: f'export const name = "{path}";\n' for path in order}
        files["app/main.js"] = "".join(f'import {{ name as n{n} }} from "/{path}";\n' for n, path in enumerate(order))
        assert order == re.findall(r'const name\s*=\s*"([^"]+)"', bundle_modules(files, "app/main.js"))

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("export let value = 1;", "export let value"),
            ("export default class {}", "export default class"),
            ('import value from "./a.js";', "import value"),
            ('import * as all from "./a.js";', "import \\* as all"),
            ('import "./a.js";', 'import "./a.js"'),
            ('export * from "./a.js";', "export \\*"),
            ('import { a } from "./missing.js";', "app/missing.js is imported"),
            ('import { a } from "./main.js";', "app/main.js → app/"),
            ('import { a } from "./a.js";', "app/b.js takes a from app/a.js"),
            ('export { a as b } from "./a.js";', "app/b.js takes a from app/a.js"),
            ("export const a = 1, b = 2;", "app/main.js takes b from app/b.js"),
        ],
    )
    def test_what_would_not_do_the_same_is_refused(self, source: str, message: str) -> None:
        files = {"app/main.js": 'import { b } from "./b.js";\n', "app/b.js": f"{source}\n", "app/a.js": "export {};\n"}
        with pytest.raises(UnsupportedModule, match=message):
            bundle_modules(files, "app/main.js")

    @pytest.mark.parametrize("source", ['console.log(() => import("./a.js"));', "console.log(import.meta.url);"])
    def test_what_depends_on_the_path_of_a_module_is_refused(self, source: str) -> None:
        with pytest.raises(UnsupportedModule, match="its path is not that of the bundle"):
            bundle_modules({"main.js": f'/** @type {{import("./a.js").A}} */\n{source}\n'}, "main.js")

    def test_an_entry_with_exports_is_refused(self) -> None:
        with pytest.raises(UnsupportedModule, match="exports value"):
            bundle_modules({"main.js": "export const value = 1;\n"}, "main.js")


MAIN = """
import { counted } from "./shared.js";
const load = () => import("./later.js");
counted();
const failed = await load().catch(() => "failed");
const { greet } = await load();
console.log(JSON.stringify([failed, greet(), (await load()).greet === greet]));
"""
SHARED = """
let count = 0;
/** @type {() => import("./types.js").Count} */
export const counted = () => (count += 1);
"""
LATER = """
import { counted } from "./shared.js";
import { own } from "./own.js";
const again = () => import("./own.js");
export const greet = () => own(counted());
"""
FILES_LOADED_LATER = {
    "app/main.js": MAIN,
    "app/shared.js": SHARED,
    "app/later.js": LATER,
    "app/own.js": "export const own = (count) => `Hello ${count}`;\n",
}


class TestModulesThatAreLoadedLater:
    def test_they_are_in_a_second_script_that_uses_the_modules_of_the_first(self, node: str, tmp_path: Path) -> None:
        """If it cannot be loaded, the next call tries again, under another URL."""
        scripts: list[str] = []

        def publish(script: str) -> str:
            scripts.append(script)
            (tmp_path / "later.mjs").write_text(f"if (import.meta.url.endsWith('?0')) throw 0;\n{script}")
            return f"{tmp_path}/later.mjs"

        bundle = bundle_modules(FILES_LOADED_LATER, "app/main.js", publish)
        assert ["failed", "Hello 2", True] == json.loads(run(node, bundle))
        assert "Hello" not in bundle
        assert "count+=1" not in scripts[0]

    def test_they_may_not_import_the_entry(self) -> None:
        files = {
            "main.js": 'const load = () => import("./later.js");\n',
            "later.js": 'import { load } from "./main.js";\n',
        }
        with pytest.raises(UnsupportedModule, match=r"later\.js takes load from main\.js"):
            bundle_modules(files, "main.js", lambda script: "later")


def test_stylesheets_have_no_relative_urls() -> None:
    """The joined sheet has another URL than each of them."""
    page = (ROOT / "app/index.html").read_text()
    files = {file.relative_to(ROOT).as_posix(): file.read_text() for file in (ROOT / "app/css").glob("*.css")}
    assert "url(" not in bundle_stylesheets(files, page)
