"What each page of the site does in a browser, on a page with the marks that Quarto leaves"
import re, shutil, subprocess
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
REPO = 'https://github.com/gan-nb/gan_nb'
NBS = Path(__file__).resolve().parent.parent/'nbs'

def page(source):
    "The parts of a page of Quarto's that matter here"
    actions = f'<ul><li><a href="{source}" class="toc-action"><i class="bi bi-github"></i>View source</a></li></ul>'
    return f'''<!DOCTYPE html><html><body class="nav-sidebar floating quarto-light"><main class="content">
        <header id="title-block-header"><h1 class="title">Losses</h1></header>
        <p>See <a href="{REPO}/blob/main/gan_nb/losses.py#L10">source</a>.</p></main>
        <div id="quarto-margin-sidebar"><nav id="TOC"><div class="toc-actions">{actions}</div></nav></div>
        {(NBS/'run_here.html').read_text(encoding='utf-8')}</body></html>'''

def links(tmp_path, source):
    "The line under the title, as a browser shows it: text -> address"
    (tmp_path/'page.html').write_text(page(source), encoding='utf-8')
    command = [CHROMIUM, '--headless', '--no-sandbox', '--disable-gpu', '--dump-dom', f'file://{tmp_path}/page.html']
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    line = re.search(r'</header>\s*<p class="run-here">(.*?)</p>', dom, re.S)
    return line and {text: url for url, text in re.findall(r'<a href="([^"]+)">([^<]+)</a>', line[1])}

@pytest.mark.skipif(not CHROMIUM, reason='no Chromium on this machine: apt-get install chromium')
def test_each_page_offers_to_run(tmp_path):
    for name in ('06_losses.ipynb', 'tutorials/dirac.ipynb'):
        path = f'gan-nb/gan_nb/blob/main/nbs/{name}'
        assert (NBS/name).exists()
        assert links(tmp_path, f'https://github.com/{path}') == {
            'Open in Colab': f'https://colab.research.google.com/github/{path}',
            'View on GitHub': f'https://github.com/{path}'}
    # A page that comes from no notebook stays as it is.
    assert links(tmp_path, f'{REPO}/issues/new') is None
