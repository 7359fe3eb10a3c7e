"""Modules joined to one script: each in a scope of its own, none of it markup."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from emotions.files.html.one_script import one_script
from tests.conftest import needs
from tests.javascript import NODE


def test_modules_find_each_other_and_keep_their_names(tmp_path: Path) -> None:
    needs(bool(NODE), "node is needed as a command")
    (tmp_path / "vendor").mkdir()
    (tmp_path / "a.js").write_text(
        "const $ = 1;\nexport const one = () => $;\nexport async function two() { return 2; }\n"
    )
    (tmp_path / "vendor" / "b.js").write_text("const c = 3;export{c as default};\n")
    (tmp_path / "main.js").write_text(
        'import { one, two } from "./a.js";\nimport three from "./vendor/b.js";\nconst $ = 9;\n'
        'two().then((found) => console.log(JSON.stringify([one(), found, three, $, "</script>"])));\n'
    )
    script = one_script([tmp_path / name for name in ("a.js", "vendor/b.js", "main.js")], tmp_path)
    assert "</script" not in script
    done = subprocess.run([NODE, "--input-type=module", "-e", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [1, 2, 3, 9, "</script>"]
