"""The notebook of the docs runs from its first cell to its last."""

import os
from pathlib import Path

import pytest

nbformat = pytest.importorskip('nbformat')
nbclient = pytest.importorskip('nbclient')
NOTEBOOK = Path(__file__).resolve().parents[1] / 'docs' / 'quick_start.ipynb'


def test_runs_and_shows_what_it_did(tmp_path, monkeypatch):
    here = str(NOTEBOOK.parents[1])
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(
        [here, os.environ.get('PYTHONPATH', '')]))
    notebook = nbformat.read(NOTEBOOK, 4)
    kept = [outputs_of(cell) for cell in notebook.cells]
    nbclient.NotebookClient(notebook, timeout=300, resources=dict(
        metadata=dict(path=str(tmp_path)))).execute()
    # a picture where there is one in the docs, and no other names in the picture
    assert [outputs_of(cell) for cell in notebook.cells] == kept
    assert sum('image/png' in kinds for kinds in kept) == 4


def outputs_of(cell) -> list[str]:
    """Kinds of what a cell shows, and text that it prints."""
    shown = []
    for output in cell.get('outputs', ()):
        if output.output_type == 'stream' and output.name == 'stdout':
            shown.append(output.text)
        shown += [kind for kind in output.get('data', ()) if kind == 'image/png']
    return shown
