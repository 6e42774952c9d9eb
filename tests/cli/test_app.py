"""`dcpclip app`, as a Space calls it; the page itself is in apis/test_web_page.py."""

import re
import runpy
import socket
import sys
from pathlib import Path

import pytest
import yaml

from mmseg_dcpclip.cli import main

SPACE = Path(__file__).resolve().parents[2] / 'spaces'


def test_the_space_serves_what_it_is_told(monkeypatch):
    gradio = pytest.importorskip('gradio', reason='gradio is not installed: [app]')
    from mmseg_dcpclip.apis import web
    served = []

    def interrupted(page, **options):
        served.append((page, options))
        raise KeyboardInterrupt

    monkeypatch.setattr(web, 'launch_page', interrupted)
    monkeypatch.setattr(sys, 'argv', ['app.py', '--config', 'dcpclip_mini_frozen',
                                      '--config', 'dcpclip_mini_cls_frozen'])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SPACE / 'app.py'), run_name='__main__')
    assert ended.value.code == 130
    (page, options), = served
    assert isinstance(page, gradio.Blocks)
    assert options['server_name'] == '0.0.0.0' and not options['share']
    model, = (b for b in page.blocks.values() if getattr(b, 'elem_id', '') == 'model')
    assert [value for _, value in model.choices] == [
        'dcpclip_mini_frozen, training-free', 'dcpclip_mini_cls_frozen, training-free']


def test_the_spaces_settings_fit():
    head = (SPACE / 'README.md').read_text(encoding='utf-8').split('---')[1]
    settings = yaml.safe_load(head)
    assert settings['sdk'] == 'gradio' and (SPACE / settings['app_file']).is_file()
    extras = (SPACE.parent / 'setup.cfg').read_text().partition('\napp =')[2]
    low, high = re.search(r'gradio>=(\d+),<(\d+)', extras).groups()
    assert int(low) <= int(settings['sdk_version'].split('.')[0]) < int(high)


def test_a_port_in_use_is_said_before_anything_is_loaded(capsys):
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(['app', '--config', 'gone.py', '--port', str(port)]) == 1
    assert f'127.0.0.1:{port} cannot be used' in capsys.readouterr().err
