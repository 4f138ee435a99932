"""The live view, the explorer and the report in a real browser: Chromium, driven by Playwright, against a real
JupyterLab

Pictures of what was seen go to the folder that GAN_NB_SHOTS names, if it is set."""
import io, json, os, re, shutil, socket, subprocess, sys, time, urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

playwright = pytest.importorskip('playwright.sync_api', reason='pip install playwright')
pytest.importorskip('jupyterlab', reason='pip install jupyterlab')
CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
if not CHROMIUM: pytest.skip('no Chromium on this machine: apt-get install chromium', allow_module_level=True)

SETTINGS = {'notification': dict(checkForUpdates=False, fetchNews='false', doNotDisturbMode=True)}
SETUP = """from gan_nb.all import *
data = digits(size=16)
gan = recipe('rpgan_mlp', width=256).trainer(data, device='cpu')
"""

# -- a server, a browser, a notebook

@contextmanager
def lab(folder, **settings):
    "A JupyterLab of its own: its settings, its kernels and its files lie in `folder`"
    (folder/'work').mkdir()
    for name, s in {**SETTINGS, **settings}.items():
        p = folder/f'settings/@jupyterlab/apputils-extension/{name}.jupyterlab-settings'
        p.parent.mkdir(parents=True, exist_ok=True); p.write_text(json.dumps(s))
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
    env = {k: v for k, v in os.environ.items()
           if k != 'IN_TEST'} | dict(OMP_NUM_THREADS='1', IPYTHONDIR=str(folder/'ipython'),
                                     JUPYTERLAB_SETTINGS_DIR=str(folder/'settings'),
           JUPYTERLAB_WORKSPACES_DIR=str(folder/'spaces'),
           **{f'JUPYTER_{n}_DIR': str(folder/n.lower()) for n in ('CONFIG', 'DATA', 'RUNTIME')})
    env['PYTHONPATH'] = os.pathsep.join(filter(None, [str(Path(__file__).parent.parent), env.get('PYTHONPATH')]))
    with open(folder/'lab.log', 'wb') as log:
        p = subprocess.Popen([sys.executable, '-m', 'jupyterlab', '--no-browser', '--allow-root', '--ip=127.0.0.1',
                              f'--port={port}', '--ServerApp.port_retries=0',
                              '--IdentityProvider.token=', f'--ServerApp.root_dir={folder/"work"}'], cwd=folder/'work',
                              env=env, stdout=log, stderr=log)
    url = f'http://127.0.0.1:{port}'
    try:
        wait(lambda: p.poll() is not None or answers(url) is not None, 'JupyterLab does not start', 90)
        assert p.poll() is None, (folder/'lab.log').read_text()
        yield url, folder/'work'
    finally:
        p.terminate()                                      # takes its kernels along
        try: p.wait(30)
        except subprocess.TimeoutExpired: p.kill()

def answers(url):
    try: return json.load(urllib.request.urlopen(f'{url}/api/kernels', timeout=5))
    except OSError: return None

@pytest.fixture(scope='module')
def server(tmp_path_factory):
    with lab(tmp_path_factory.mktemp('lab')) as it: yield it

@pytest.fixture(scope='module')
def browser():
    with playwright.sync_playwright() as p:
        b = p.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox', '--disable-dev-shm-usage'])
        yield b
        b.close()

@pytest.fixture
def page(browser):
    p = browser.new_page(viewport=dict(width=1250, height=900))
    p.set_default_timeout(60_000)
    yield p
    if folder := os.environ.get('GAN_NB_SHOTS'): p.screenshot(path=f'{folder}/last.png')
    p.close()

def wait(true, why, seconds=60):
    "Wait until `true()`, and give what it gave"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if v := true(): return v
        time.sleep(.1)
    raise AssertionError(why)

def run_notebook(page, server, name, *cells):
    "Open a notebook with these cells and run them all, as a reader does"
    url, work = server
    nb = dict(nbformat=4, nbformat_minor=5,
              metadata=dict(kernelspec=dict(name='python3', display_name='Python 3 (ipykernel)', language='python'),
                            language_info=dict(name='python')),
              cells=[dict(cell_type='code', id=f'c{i}', metadata={}, execution_count=None, outputs=[], source=s) for i,
                     s in enumerate(cells)])
    (work/f'{name}.ipynb').write_text(json.dumps(nb))
    page.goto(f'{url}/lab/workspaces/{name}/tree/{name}.ipynb')
    page.locator('.jp-StatusBar-Widget').get_by_text(re.compile(r'\| Idle')).wait_for(timeout=120_000)
    page.locator('.lm-MenuBar-itemLabel', has_text=re.compile('^Run$')).click()
    page.locator('.lm-Menu-itemLabel', has_text='Run All Cells').first.click()
    return work

def shot(where, name, **kw):
    "A picture of an element or a page, for people, with few colours so that it is small"
    data = where.screenshot(**kw)
    if folder := os.environ.get('GAN_NB_SHOTS'):
        Path(folder).mkdir(parents=True, exist_ok=True)
        Image.open(io.BytesIO(data)).convert('RGB').quantize(96, kmeans=2, dither=Image.Dither.NONE).save(
            Path(folder) / f'{name}.png', optimize=True
        )
    return data

def steps(run):
    "The last step in the log of a run, 0 if there is none yet"
    try: return json.loads((run/'log.jsonl').read_text().splitlines()[-1])['step']
    except (OSError, ValueError, IndexError): return 0

# -- the live view

def live(page, server, name, every=.3, then=''):
    "Start a long run with a live view; its folder and its panel"
    work = run_notebook(page, server, name, SETUP + f"gan.fit({4500 if os.environ.get('GAN_NB_SHOTS') else 100_000}, "
                                                    f"[LiveView(every={every}), Checkpoint('{name}', every=10_000)], "
                                                    "log_every=5)" + then, "print('the next cell at step', "
                                                                           "gan.steps_done)")
    panel = page.locator('.gan-nb-live')
    panel.wait_for(timeout=120_000)
    return work/name, panel

def curve(panel): return panel.locator('svg polyline').first.get_attribute('points')
def picture(panel):
    return panel.locator('img').first.evaluate("async im => Array.from(new Uint8Array(await (await "
                                               "fetch(im.src)).arrayBuffer())).join()")
def label(panel): return panel.locator('.widget-label', has_text=re.compile(r'^step')).last.inner_text()

def press_and_look(page, run, panel):
    "All that a person does with the panel"
    wait(lambda: panel.locator('svg').count() == 2, 'no curves')
    before = curve(panel), picture(panel)
    wait(lambda: curve(panel) != before[0] and picture(panel) != before[1], 'the curves do not move, or the grid does '
                                                                            'not change')

    slider, track = panel.locator('.noUi-handle'), panel.locator('.noUi-target')
    slider.press('Home')
    wait(lambda: label(panel) == 'step 1', 'the slider does not go to the first picture')
    first = picture(panel)
    box = track.bounding_box()
    page.mouse.click(box['x'] + box['width'] - 1, box['y'] + box['height']/2)
    wait(lambda: label(panel) != 'step 1' and picture(panel) != first, 'the slider does not come back')

    panel.get_by_role('button', name='Pause').click()
    panel.get_by_role('button', name='Continue').wait_for()
    time.sleep(1)
    held = steps(run)
    time.sleep(1.5)
    assert steps(run) == held, 'it trains on while it is paused'
    panel.get_by_role('button', name='Continue').click()
    wait(lambda: steps(run) > held, 'it does not go on')

    shot(page, f'{run.name}_page')
    panel.get_by_role('button', name='Stop and save').click()
    end = panel.get_by_text(re.compile(r'stopped at step [\d,]+'))
    end.wait_for()
    return int(re.search(r'stopped at step ([\d,]+)', end.inner_text())[1].replace(',', ''))

def test_a_live_view_is_watched_paused_and_stopped(page, server):
    run, panel = live(page, server, 'live')
    if os.environ.get('GAN_NB_SHOTS'):
        wait(lambda: steps(run) > 2500, 'too slow for a picture', 300)
        shot(panel, 'live_view')
    step = press_and_look(page, run, panel)
    page.get_by_text(f'the next cell at step {step}').wait_for()
    assert (run/f'checkpoints/step_{step:08}/state.json').exists(), 'not saved'
    from gan_nb.checkpoint import load_run
    assert load_run(run, device='cpu').steps_done == step
    assert panel.get_by_role('button', name='Pause').is_disabled()

def test_clicks_arrive_without_subshells(page, browser, tmp_path):
    "Where the messages of widgets queue behind the running cell, as in older kernels and other front ends"
    with lab(tmp_path, **{'kernels-settings': dict(commsOverSubshells='disabled')}) as server:
        run, panel = live(page, server, 'queued')
        step = press_and_look(page, run, panel)
        page.get_by_text(f'the next cell at step {step}').wait_for()

def test_closing_the_tab_does_not_stop_the_run(browser, server):
    page = browser.new_page()
    run, panel = live(page, server, 'closed')
    wait(lambda: steps(run) > 50, 'it does not start')
    page.close()
    time.sleep(1)
    seen = steps(run)
    wait(lambda: steps(run) > seen + 100, 'the run ended with the tab')

# -- the explorer

@pytest.fixture(scope='module')
def trained(server):
    "A short run on disk"
    from gan_nb.all import Checkpoint, SampleGrid, digits, recipe, run_report
    run = server[1]/'trained'
    gan = recipe('rpgan_mlp', width=256).trainer(digits(size=16), device='cpu')
    gan.fit(int(os.environ.get('GAN_NB_STEPS', 300)), [Checkpoint(run), SampleGrid(every=50, folder=run/'samples')],
            log_every=10)
    run_report(run)
    return run

def test_the_explorer_shows_another_picture(page, server, trained):
    work = run_notebook(page, server, 'explore', "from gan_nb.all import *\nLatentExplorer(load_run('trained', "
                                                 "device='cpu', data=digits(size=16)))")
    panel = page.locator('.gan-nb-explorer')
    panel.wait_for(timeout=120_000)
    panel.locator('img').nth(1).wait_for()
    seen = [picture(panel)]
    for name, key, times in (('walk', 'ArrowRight', 12), ('direction 1', 'ArrowRight', 12),
                             ('direction 2', 'ArrowLeft', 9), ('truncation', 'ArrowLeft', 3)):
        handle = panel.locator('.widget-slider', has_text=re.compile(name)).locator('.noUi-handle')
        for _ in range(times): handle.press(key)
        wait(lambda: picture(panel) != seen[-1], f'{name} changes nothing')
        time.sleep(.5)                                     # until the last of the keys has arrived
        seen.append(picture(panel))
    panel.get_by_label('averaged generator').click()
    wait(lambda: picture(panel) != seen[-1], 'the averaged generator is the other one')
    panel.get_by_label('averaged generator').click()
    wait(lambda: picture(panel) == seen[-1], 'it does not come back')
    assert '1,797 training images' in panel.inner_text()
    shot(panel, 'explorer')
    panel.get_by_role('button', name='Save').click()
    wait(lambda: (work/'found/latent.png').exists() and (work/'found/latent.json').exists(), 'not saved')
    found = json.loads((work/'found/latent.json').read_text())
    assert len(found['latent']) == 64 and found['walk'] > 0 and found['truncation'] < 1

# -- the report

def test_the_report_opens_from_disk(browser, trained):
    "Without a network, without an error, in light and dark"
    context = browser.new_context(viewport=dict(width=1100, height=900))
    context.set_offline(True)
    page, errors, asked = context.new_page(), [], []
    page.on('console', lambda m: errors.append(m.text) if m.type in ('error', 'warning') else None)
    page.on('pageerror', lambda e: errors.append(str(e)))
    page.on('request', lambda r: asked.append(r.url) if not r.url.startswith('data:') else None)
    page.goto((trained/'report.html').as_uri())
    assert page.locator('.chart svg').count() >= 3

    slider, shown = page.get_by_label('Samples over time'), page.locator('.frame:visible')
    assert shown.count() == 1 and shown.evaluate('im => im.naturalWidth') > 100
    last = shown.get_attribute('src')
    slider.press('Home')
    assert shown.count() == 1 and shown.get_attribute('alt') == 'step 50' and shown.get_attribute('src') != last
    assert page.locator('#what').inner_text() == 'step 50'
    slider.press('ArrowRight')
    assert shown.get_attribute('alt') == 'step 100'
    page.get_by_role('button', name='Play').click()
    wait(lambda: shown.get_attribute('src') == last, 'Play does not reach the end', 20)

    chart = page.locator('.chart').first
    chart.locator('svg').hover()
    assert re.fullmatch(r'step [\d,]+: d_loss [\d.]+, g_loss [\d.]+', chart.locator('output').inner_text())
    colours = []
    for scheme in ('light', 'dark'):
        page.emulate_media(color_scheme=scheme)
        colours.append(page.evaluate("getComputedStyle(document.body).backgroundColor + "
                                     "getComputedStyle(document.querySelector('polyline')).stroke"))
        shot(page, f'report_{scheme}', full_page=True)
    assert colours[0] != colours[1]
    assert errors == [] and asked == [(trained/'report.html').as_uri()]
    page.set_viewport_size(dict(width=390, height=800))
    assert page.evaluate('document.documentElement.scrollWidth') <= 390, 'wider than a telephone'
    shot(page, 'report_narrow', full_page=True)
    context.close()
