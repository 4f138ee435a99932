"The installed commands, as a shell runs them: exit status, what is printed, what is left on the disk"
import json, os, re, resource, shutil, signal, subprocess, sys, time
from pathlib import Path

import pytest
from PIL import Image

from gan_nb.recipes import recipes

ENV = {k: v for k, v in os.environ.items() if k != 'IN_TEST'} | dict(OMP_NUM_THREADS='1')
SMALL = ['--size', '8', '--batch-size', '8']

def command(name):
    path = shutil.which(name, path=Path(sys.executable).parent) or shutil.which(name)
    assert path, f'{name} is not installed: pip install -e .'
    return path

def run(name, *args, cwd, **kw):
    return subprocess.run([command(name), *map(str, args)], cwd=cwd, env=ENV, capture_output=True, text=True,
                          timeout=120, **kw)

def refused(r, text):
    "One line, status 2, no traceback"
    assert r.returncode == 2, (r.returncode, r.stderr)
    assert len(r.stderr.strip().splitlines()) == 1 and text in r.stderr, r.stderr

@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    "A finished run of ten steps"
    folder = tmp_path_factory.mktemp('trained')
    r = run('gan_train', *SMALL, '--steps', 10, '--out', 'run', cwd=folder)
    assert r.returncode == 0, r.stderr
    return folder/'run', r.stdout

def test_a_finished_run_says_where_to_look(trained):
    path, out = trained
    assert 'run/samples.png' in out and 'gan_sample run' in out and 'gan_train --resume run' in out
    assert Image.open(path/'samples.png').size[0] > 64
    config = json.loads((path/'config.json').read_text())
    assert (
        config['data']['source'] == 'digits'
        and config['trainer']['seed'] == 0
        and config['recipe']['name'] == 'rpgan_mlp'
    )
    assert [json.loads(l)['step'] for l in (path/'log.jsonl').read_text().splitlines()] == [10]

def test_the_default_folder_is_never_used_twice(tmp_path):
    for want in ('runs/digits-gan', 'runs/digits-gan-2'):
        r = run('gan_train', *SMALL, '--recipe', 'gan', '--steps', 1, cwd=tmp_path)
        assert r.returncode == 0 and (tmp_path/want/'samples.png').exists(), r.stderr

def test_the_same_seed_gives_the_same_file(trained, tmp_path):
    for name, seed in (('a', 1), ('b', 1), ('c', 2)):
        assert run('gan_sample', trained[0], '-n', 64, '--seed', seed, '--out', f'{name}.png',
                   cwd=tmp_path).returncode == 0
    a, b, c = ((tmp_path/f'{n}.png').read_bytes() for n in 'abc')
    assert a == b != c

EVERY = """
import sys
from dataclasses import replace
from pathlib import Path
from fastcore.script import _run_cli
from gan_nb.all import *

def call(command, *args):
    sys.argv = [command.__name__, *map(str, args)]
    _run_cli(command.__wrapped__, False, ['source'] if command is gan_train else None)

for name, r in recipes().items():
    where, data = Path(name), 'ring' if name == 'rpgan_points' else 'digits'
    wide = [k for k in ('generator', 'discriminator') if 'width' in getattr(r, k)]
    narrow = ['--set', 'width=8'] + [a for k in wide for a in ('--set', f'{k}.width=8')]
    call(gan_train, data, '--size', 8, '--batch-size', 8, '--recipe', name, *narrow, '--steps', 50, '--out', where)
    call(gan_train, '--resume', where, '--steps', 52)
    call(gan_sample, where, '-n', 16)
    t = load_run(where)
    t.check()
    assert t.steps_done == 52 and t.sample(16, seed=0).isfinite().all(), name
    print('fine:', name)
"""

def test_every_recipe_trains_resumes_and_samples(tmp_path):
    """Fifty steps with narrow networks, two more after a resume, a picture: through the commands' own parsers, in one
    process"""
    r = subprocess.run([sys.executable, '-c', EVERY], cwd=tmp_path, env=ENV, capture_output=True, text=True,
                       timeout=600)
    assert r.returncode == 0, r.stderr
    fine = re.findall('^fine: (.*)$', r.stdout, re.M)
    assert fine == list(recipes()) and all((tmp_path/n/'samples_seed0.png').exists() for n in fine), r.stdout

def test_help_is_worth_reading(tmp_path):
    for name, words in (('gan_train', ('digits', '--resume', 'Ctrl-C', '48x80')),
                        ('gan_sample', ('run folder', '--seed', '-n'))):
        r = run(name, '--help', cwd=tmp_path)
        assert r.returncode == 0 and all(w in r.stdout for w in words), r.stdout

def make(folder):
    (folder/'empty').mkdir()
    (folder/'fake').mkdir()
    (folder/'fake/text.png').write_text('not a picture')
    (folder/'notes.zip').write_text('not a zip')

@pytest.mark.parametrize('args, text', [
    (['missing/'], 'missing'), (['empty'], 'empty'), (['fake'], 'text.png'), (['notes.zip'], 'notes.zip'),
    (['digitz'], 'digits'),
    (['--size', '7'], 'the smallest that works is 8'), (['--size', 'big'], 'write 64'), (['--channels', '5'], '5'),
    (['--recipe', 'dcgn'], 'dcgan'), (['--recipe', 'dcgan', '--set', 'widht=3'], "did you mean 'width'?"),
    (['--set', 'opt_G.lr=fast'], 'lr'),
    (['--steps', '-3'], 'steps'), (['--device', 'abacus'], 'abacus'), (['--resume', 'empty'], 'config.json'),
    (['--resume', 'nowhere'], 'nowhere')])
def test_wrong_input_is_one_line_and_leaves_nothing(args, text, tmp_path):
    make(tmp_path)
    before = sorted(tmp_path.rglob('*'))
    refused(run('gan_train', *args, cwd=tmp_path), text)
    assert sorted(tmp_path.rglob('*')) == before

def test_sampling_from_what_is_no_run(tmp_path):
    refused(run('gan_sample', 'nowhere', cwd=tmp_path), 'nowhere')
    refused(run('gan_sample', tmp_path, cwd=tmp_path), 'config.json')

def test_no_room_for_the_first_checkpoint(tmp_path):
    "A limit on the size of a file stands for a full disk: the run ends before its first step, and its folder is gone"
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    r = run('gan_train', *SMALL, '--steps', 5, '--out', 'run', cwd=tmp_path, preexec_fn=limit)
    refused(r, 'cannot be written')
    assert not list(tmp_path.iterdir())

def test_a_full_disk(tmp_path):
    "A real one, of 4 MB, which has room for some checkpoints and not for all"
    if os.geteuid() or subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', tmp_path],
                                      capture_output=True).returncode:
        pytest.skip('needs the right to mount a tmpfs')
    try:
        (tmp_path/'filler').write_bytes(bytes(4 * 2**20 - 200_000))
        refused(run('gan_train', *SMALL, '--steps', 5, '--out', 'run', cwd=tmp_path), 'cannot be written')
        assert [p.name for p in tmp_path.iterdir()] == ['filler']
    finally: subprocess.run(['umount', tmp_path])

def hears():
    "A process begun in the background or under nohup would not hear them"
    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): signal.signal(s, signal.SIG_DFL)

@pytest.mark.parametrize('number, status', [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_saves_and_says_how_to_go_on(number, status, tmp_path):
    p = subprocess.Popen([command('gan_train'), *SMALL, '--steps', '100000', '--sample-every', '5', '--out', 'run'],
                         cwd=tmp_path, env=ENV,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hears)
    for _ in range(600):
        if list(tmp_path.glob('run/samples/*.png')): break
        time.sleep(.1)
    p.send_signal(number)
    out, err = p.communicate(timeout=30)
    assert p.returncode == status, (p.returncode, err)
    assert 'Traceback' not in err and 'gan_train --resume run' in out
    step = int(re.search(r'stopped at step (\d+)', out)[1])
    assert (tmp_path/f'run/checkpoints/step_{step:08}/state.json').exists() and (tmp_path/'run/samples.png').exists()
    r = run('gan_train', '--resume', 'run', '--steps', step + 2, cwd=tmp_path)
    assert r.returncode == 0 and (tmp_path/f'run/checkpoints/step_{step + 2:08}').exists(), r.stderr

def test_a_run_is_repeatable_and_resumes_to_the_bit(tmp_path):
    "Twelve steps in one process, or six and six in two: the same files"
    steps = [*SMALL, '--recipe', 'dcgan']
    assert run('gan_train', *steps, '--steps', 12, '--out', 'one', cwd=tmp_path).returncode == 0
    assert run('gan_train', *steps, '--steps', 6, '--out', 'two', cwd=tmp_path).returncode == 0
    assert run('gan_train', '--resume', 'two', '--steps', 12, cwd=tmp_path).returncode == 0
    a, b = (sorted((tmp_path/r/'checkpoints/step_00000012').glob('*.safetensors')) for r in ('one', 'two'))
    assert [p.name for p in a] == [p.name for p in b]
    for x, y in zip(a, b): assert x.read_bytes() == y.read_bytes(), x.name

def test_an_engine_that_cannot_be_had_is_one_line(tmp_path):
    r = run('gan_train', *SMALL, '--steps', 2, '--engine', 'graph', '--device', 'cpu', '--out', 'run', cwd=tmp_path)
    assert (
        r.returncode == 0 and r.stderr.count('warning: ') == 1 and "engine='graph': needs a CUDA device" in r.stderr
    ), r.stderr

def test_a_folder_of_odd_pictures(tmp_path):
    "Grey and colour, of several sizes, not square, with a broken one that is skipped by name"
    photos = tmp_path/'photos'
    photos.mkdir()
    for i, (mode, size) in enumerate([('L', (30, 50)), ('RGB', (64, 64)), ('RGBA', (9, 200)), ('P', (48, 24))]):
        Image.new(mode, size, i).save(photos/f'{i}.png')
    (photos/'broken.jpg').write_bytes(b'\xff\xd8\xff nothing')
    refused(run('gan_train', photos, '--size', '12x20', '--steps', 2, '--out', 'run', cwd=tmp_path), 'broken.jpg')
    r = run('gan_train', photos, '--size', '12x20', '--steps', 2, '--out', 'run', '--on-error', 'skip', '--batch-size',
            '4', cwd=tmp_path)
    assert r.returncode == 0 and 'broken.jpg' in r.stderr, r.stderr
    assert run('gan_train', '--resume', 'run', '--steps', 3, cwd=tmp_path).returncode == 0
