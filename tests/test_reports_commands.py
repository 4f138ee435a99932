"""What people reported of other libraries' commands, and what attacks brought to light: each test is named after the
symptom"""
import os, re, shutil, signal, subprocess, sys, time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_nb.runs import checkpoints
from gan_nb.core import seed_everything
from gan_nb.data import digits
from gan_nb.r3 import R3Generator
from gan_nb.features import Features
from gan_nb.metrics import all_scores, fid
from gan_nb.explore import principal_directions
from test_cli import ENV, SMALL, command, refused, run

ROOT = Path(__file__).parent.parent
posix = pytest.mark.skipif(os.name == 'nt', reason='needs POSIX signals and file descriptors')

# Exact with everything on

KILLED = """if 1:
    import os, sys
    from fastcore.script import _run_cli
    from gan_nb import cli
    at, count, replace = int(os.environ['KILL_AT']), 0, os.replace
    def dying(*args):
        global count
        count += 1
        if count == at: os.kill(os.getpid(), 9)
        return replace(*args)
    os.replace = dying
    _run_cli(cli.gan_train.__wrapped__, False, ['source'])
"""

CLOCKS = re.compile(rb'"(seconds|memory)": [0-9.e+]+')

def contents(folder):
    "Every file of a run but for its clocks: name -> bytes"
    found = {}
    for p in sorted(Path(folder).rglob('*')):
        if p.is_dir() or p.name in ('.lock', 'report.html') or 'tensorboard' in p.parts: continue
        found[str(p.relative_to(folder))] = (
            CLOCKS.sub(b'', p.read_bytes()) if p.suffix in ('.json', '.jsonl') else p.read_bytes()
        )
    return found

@posix
@pytest.mark.parametrize('args', [('--recipe', 'dcgan64', '--set', 'width=4', '--set', 'latent_dim=4'),
                                  ('--set', 'width=8')], ids=['dropout', 'dense'])
def test_killed_with_scores_on_ends_as_the_undisturbed_run(args, tmp_path):
    """Of killed runs with --score-every most ended with other random states, another best, other checkpoints; with
    dropout, with other weights"""
    args = [*SMALL, *args, '--steps', 200, '--save-every', 30, '--sample-every', 40, '--score-every', 50, '--out']
    r = run('gan_train', *args, 'whole', cwd=tmp_path)
    assert r.returncode == 0, r.stderr
    for i, at in enumerate((9, 14, 23, 31)):
        more = ['--resume', 'killed'] if checkpoints(tmp_path/'killed') else [*map(str, args), 'killed']
        if more[0] == '--resume': more += ['--save-every', '30', '--sample-every', '40', '--score-every', '50']
        subprocess.run([sys.executable, '-c', KILLED, *more], cwd=tmp_path, env=ENV | dict(KILL_AT=str(at)),
                       capture_output=True, timeout=120)
        if not checkpoints(tmp_path/'killed'): shutil.rmtree(tmp_path/'killed', ignore_errors=True)
    r = run('gan_train', '--resume', 'killed', '--save-every', 30, '--sample-every', 40, '--score-every', 50,
            cwd=tmp_path)
    assert r.returncode == 0, r.stderr
    a, b = contents(tmp_path/'killed'), contents(tmp_path/'whole')
    assert a.keys() == b.keys()
    assert [name for name in a if a[name] != b[name]] == []

# Pipes and signals

@posix
def test_a_reader_that_leaves_does_not_end_a_run(tmp_path):
    "`| head -1` ended training with '[Errno 32] Broken pipe'; a closed stdout was an AttributeError"
    train = f'{command("gan_train")} {" ".join(SMALL)} --steps 60 --out'
    shell = lambda line: subprocess.run(['bash', '-c', f'set -o pipefail; {line}'], cwd=tmp_path, env=ENV,
                                        capture_output=True, text=True, timeout=120)
    for line in (f'{train} a | head -n 1', f'{train} b >&-', f'{command("gan_sample")} b >&-',
                 f'{command("gan_eval")} b -n 40 >&- 2>&-'):
        r = shell(line)
        assert r.returncode == 0 and 'Traceback' not in r.stderr and 'Broken pipe' not in r.stderr, (line, r)
    assert all((tmp_path/d/'report.html').exists() for d in 'ab') and (tmp_path/'b/metrics.json').exists()

@posix
@pytest.mark.parametrize('after', [.05, .6, 2.5], ids=lambda s: f'after {s} s')
def test_a_signal_at_any_instant_ends_with_one_line(after, tmp_path):
    "TERM while importing printed nothing, Ctrl-C 43 lines; a TERM at the instant of another ended with -15"
    p = subprocess.Popen([command('gan_train'), *SMALL, '--steps', '1000000', '--out', 'run'], cwd=tmp_path, env=ENV,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(after)
    for _ in range(2): p.send_signal(signal.SIGTERM)
    out, err = p.communicate(timeout=60)
    assert 'Traceback' not in err
    if p.returncode != -15: assert p.returncode == 143 and 'stopped' in out + err, (p.returncode, out, err)
    else: assert after < .1                                                       # Python itself had not begun

# Arguments

def test_scores_of_a_handful_of_images(tmp_path):
    "gan_eval of 1 or 3 images: 'ddof=1 needs more than 1 samples'"
    x = Features.pixels()(torch.zeros(3, 1, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match='at least 6 images on both sides, got 3 and 3'): all_scores(x, x)

def test_float_images_in_another_range_are_not_taken_for_ours():
    "Images in [0, 1] and in 0..255 were taken as [-1, 1]: an FID of 40 and of 61 where it is 0"
    x = digits(8).images.float()
    with pytest.raises(ValueError, match='must lie in'): Features.pixels()(x)
    with pytest.warns(UserWarning, match='give 2'): Features.pixels()(x/255)
    assert fid(Features.pixels()(digits(8).images), Features.pixels()(x/127.5 - 1)).value < 1e-6

def test_a_walk_that_cannot_be_written_leaves_no_samples(tmp_path):
    assert run('gan_train', *SMALL, '--steps', 2, '--out', 'run', cwd=tmp_path).returncode == 0
    before = sorted(p.name for p in (tmp_path/'run').iterdir())
    refused(run('gan_sample', 'run', '--walk', 'walk.mkv', cwd=tmp_path), '.gif or .mp4')
    assert sorted(p.name for p in (tmp_path/'run').iterdir()) == before
    # a temporary file of a process that was killed goes with the next command
    code = "import sys; from gan_nb.files import temporary; temporary(sys.argv[1]).write_bytes(b'half')"
    subprocess.run([sys.executable, '-c', code, tmp_path/'run/samples.png'], check=True)
    assert run('gan_sample', 'run', '--out', 'x.png', cwd=tmp_path).returncode == 0
    assert not list((tmp_path/'run').glob('.*.tmp-*'))
    # a shorter goal for a run under way, and a longer one for a finished one
    r = run('gan_train', '--resume', 'run', '--steps', 4, cwd=tmp_path)
    assert r.returncode == 0 and 'stay at their end' in r.stderr, r.stderr

def test_a_refused_run_leaves_no_folder(tmp_path):
    "gp_gan --batch-size 1: a page of traceback, and a run folder"
    refused(run('gan_train', '--size', 8, '--recipe', 'gp_gan', '--batch-size', 1, '--set', 'generator.width=[8, 8]',
                cwd=tmp_path), 'batch_size of at least 2')
    assert not list(tmp_path.iterdir())

# Watching

def test_principal_directions_look_at_the_first_layer():
    "For an R3 generator they were those of its images, as it owns weights itself"
    seed_everything(0)
    G = R3Generator(8, 1, latent_dim=8, width=16, blocks=1)
    u, share = principal_directions(G, 2)
    _, s, V = torch.linalg.svd(G.weigh.weight.detach())
    for k in range(2): assert abs(u[k] @ V[k]) > .9, (k, u[k] @ V[k])

def test_transparent_samples_are_not_black_in_the_report(tmp_path):
    from gan_nb.video import read_png
    Image.new('RGBA', (4, 4), (0, 0, 0, 0)).save(tmp_path/'clear.png')
    assert np.asarray(read_png(tmp_path/'clear.png')).min() == 255
