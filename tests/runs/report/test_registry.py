"""User-defined panels: placed below the package's; a failing panel does not break the report."""

import pytest

from runs.folder.contents import LoadedRun
from runs.folder.rundir import RunDir
from runs.report import PANELS, esc, panel, register_panel
from runs.report.build import render_report
from tests.runs.synthetic_run import make_run


@pytest.fixture
def run(tmp_path):
    yield LoadedRun.read(RunDir.open(make_run(bars=30).write(tmp_path / "run")))
    for name in ("mine", "boom"):
        PANELS.remove(name)


def test_an_own_panel_stands_last_and_a_failing_one_says_so(run, capsys):
    @register_panel("boom")
    def boom(found):
        raise KeyError("<no column>")

    @register_panel("mine")
    def mine(found):
        return panel("Mine", esc(len(found.equity)), name="mine")

    page = render_report(run)
    assert page.index('id="tearsheet"') < page.index('id="boom"') < page.index('id="mine"')
    assert "This panel failed: KeyError: &#x27;&lt;no column&gt;&#x27;" in page
    assert "the panel 'boom' failed: KeyError" in capsys.readouterr().err
    with pytest.raises(ValueError, match="taken"):
        register_panel("equity")(mine)
