"""What may happen to a run and must not end it: killed, resumed elsewhere, two at once, full disks, vanished files,
files from before"""
import json, os, subprocess, sys, time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from gan_nb.runs import checkpoints
from gan_nb.checkpoint import load_run, save_run
from gan_nb.data import digits, load_data
from gan_nb.recipes import recipe, recipes
from test_cli import ENV, SMALL, command, refused, run

ROOT = Path(__file__).parent.parent
linux = pytest.mark.skipif(sys.platform != 'linux', reason='needs /proc and fork')

@pytest.mark.parametrize('form', [1, 2])
def test_a_checkpoint_from_before_still_loads(form):
    "Written by the version that had this format. The folder stays as it is: what was once written is read for ever"
    path = ROOT/f'tests/data/run_format_{form}'
    want = json.loads((path/'expected.json').read_text())
    t = load_run(path, device='cpu', data=load_data(**json.loads((path/'config.json').read_text())['data']))
    close = dict(rtol=1e-4, atol=1e-5)                      # other processors add up in another order
    torch.testing.assert_close(t.sample(4, seed=0), torch.tensor(want['samples']), **close)
    t.fit(20)
    torch.testing.assert_close(t.sample(4, seed=0), torch.tensor(want['after_20_more']), **close)

@linux
def test_faults_in_short(tmp_path):
    "The script that fills the book's table, with small numbers: the same zeros"
    out = tmp_path/'faults.json'
    r = subprocess.run([sys.executable, ROOT/'benchmarks/faults.py', '--kill', '3', '--damaged', '40', '--inputs',
                        '140', '--saves', '100', '--steps', '1000', '--out', out],
                       env=ENV, capture_output=True, text=True, timeout=900)
    assert r.returncode == 0, r.stderr
    f = json.loads(out.read_text())
    k, c, i, t = f['kills'], f['checkpoints'], f['inputs'], f['time']
    assert (k['kills'], k['resumed'], k['damaged'], k['half_lines'], k['same_weights'],
            k['same_losses']) == (3, 3, 0, 0, True, True), k
    assert k['most_steps_lost'] <= k['save_interval'], k
    assert (
        c['noticed'] > 30 and c['unnoticed'] == c['more_than_a_line'] == 0 and c['offered'] == c['previous_loads'] > 20
    ), c
    assert i['tried'] == i['works'] + i['refused'] == 140 and min(i['works'], i['refused']) > 20, (i, r.stderr)
    assert i['more_than_a_line'] == i['left_something'] == i['executed'] == 0 and i['most_memory_mb'] < 1500, i
    assert t['files_early'] == t['files_late'] and t['growth'] < .05, t

CASES = [dict(name=n, stream=s) for n in recipes() for s in (False, True)]
SMALLER = dict(latent_dim=4, batch_size=6, steps=8)

def narrow(r):
    "The same recipe with small networks"
    return replace(r, width=8, **{k: v | ({'width': 8} if 'width' in v else {}) for k,
                                  v in dict(generator=r.generator, discriminator=r.discriminator).items()})

def make(case, folder):
    r = narrow(recipe(case['name'], **SMALLER))
    data = load_data(folder, 12, stream=case['stream'])
    if case['stream']: data.workers = 0
    return r.trainer(data, seed=1, device='cpu', precision='fp32'), data

def train(t, steps, total):
    "`steps` more, as part of `total`; the losses of each"
    t.total_steps, losses = total, []
    for _ in range(steps): losses.append({k: v.item() for k, v in t.step().items()})
    return losses

RESUME = """
import json, sys
sys.path.insert(0, sys.argv[1])
import test_faults as f
from pathlib import Path
where, found = Path(sys.argv[2]), {}
for i, case in enumerate(f.CASES):
    data = f.make(case, where/'digits')[1]
    t = f.load_run(where/f'run_{i}', device='cpu', data=data)
    found[str(i)] = f.train(t, 4, 8)
    f.save_run(t, where/f'run_{i}')
(where/'found.json').write_text(json.dumps(found))
"""

def test_every_recipe_goes_on_to_the_bit_in_another_process(tmp_path):
    "Four steps here and four there are eight: each weight, each moment and each loss, from memory and from a stream"
    d = digits(12)
    # a folder for each class: some recipes ask for labels
    for i in range(20):
        (path := tmp_path/f'digits/{d.labels[i]}').mkdir(parents=True, exist_ok=True)
        Image.fromarray(d.images[i, 0].numpy()).save(path/f'{i}.png')
    want = {}
    for i, case in enumerate(CASES):
        t, _ = make(case, tmp_path/'digits')
        train(t, 4, 8)
        save_run(t, tmp_path/f'run_{i}')
        want[str(i)] = train(t, 4, 8)
        save_run(t, tmp_path/f'whole_{i}')
    r = subprocess.run([sys.executable, '-c', RESUME, ROOT/'tests', tmp_path], env=ENV | dict(PYTHONHASHSEED='7'),
                       capture_output=True, text=True, timeout=300)
    assert r.returncode == 0, r.stderr
    found = json.loads((tmp_path/'found.json').read_text())
    for i, case in enumerate(CASES):
        assert found[str(i)] == want[str(i)], case
        a, b = (checkpoints(tmp_path/f'{k}_{i}')[-1] for k in ('run', 'whole'))
        for f in sorted(p.name for p in b.iterdir()): assert (a/f).read_bytes() == (b/f).read_bytes(), (case, f)

def start(*args, cwd):
    return subprocess.Popen([command('gan_train'), *map(str, args)], cwd=cwd, env=ENV, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)

def wait_for(path, pattern, p):
    for _ in range(900):
        if list(path.glob(pattern)): return
        assert p.poll() is None, p.communicate()
        time.sleep(.1)
    raise AssertionError(f'no {pattern}')

@pytest.fixture
def photos(tmp_path):
    d = digits(8)
    (tmp_path/'photos').mkdir()
    for i in range(12): Image.fromarray(d.images[i, 0].numpy()).save(tmp_path/f'photos/{i}.png')
    return tmp_path/'photos'

def test_two_processes_in_one_folder(tmp_path):
    "The second is sent away by name; after a kill -9 the next may go on"
    p = start(*SMALL, '--steps', 100000, '--save-every', 5, '--out', 'run', cwd=tmp_path)
    wait_for(tmp_path, 'run/checkpoints/step_*5', p)
    refused(run('gan_train', '--resume', 'run', cwd=tmp_path), f'process {p.pid} on')
    assert p.poll() is None
    p.kill(); p.communicate()
    assert (tmp_path/'run/running.json').exists()                     # what the dead one left behind
    step = int(checkpoints(tmp_path/'run')[-1].name[5:]) + 3
    r = run('gan_train', '--resume', 'run', '--steps', step, cwd=tmp_path)
    assert r.returncode == 0 and not (tmp_path/'run/running.json').exists(), r.stderr

def test_a_reader_at_any_moment(tmp_path):
    """A run that saves at every step, and somebody who loads it again and again: always a whole checkpoint, never an
    older one than before"""
    p = start(*SMALL, '--steps', 100000, '--save-every', 1, '--out', 'run', cwd=tmp_path)
    wait_for(tmp_path, 'run/checkpoints/step_*1', p)
    steps = [load_run(tmp_path/'run', device='cpu').steps_done for _ in range(60)]
    p.kill(); p.communicate()
    assert steps == sorted(steps) and steps[-1] > steps[0] + 10, steps

def test_killed_with_workers(tmp_path, photos):
    "Workers outlive a killed process for some seconds, and hold its lock: the next waits for them"
    code = f"""if 1:
        from gan_nb.all import *
        data = load_data({str(photos)!r}, 8, stream=True)
        data.workers = 2
        gan = recipe('rpgan_mlp', width=8, batch_size=4).trainer(data, device='cpu')
        gan.fit(100000, [Checkpoint('run', every=5)])"""
    p = subprocess.Popen([sys.executable, '-W', 'ignore', '-c', code], cwd=tmp_path, env=ENV, stderr=subprocess.PIPE,
                         text=True)
    wait_for(tmp_path, 'run/checkpoints/step_*5', p)
    p.kill(); p.wait()
    step = int(checkpoints(tmp_path/'run')[-1].name[5:]) + 3
    r = run('gan_train', '--resume', 'run', '--steps', step, cwd=tmp_path)
    assert r.returncode == 0, r.stderr

def test_a_file_vanishes_in_mid_run(tmp_path, photos):
    "The run stops in a line that names the file and the last checkpoint; with the file back it goes on"
    code = f"""if 1:
        from gan_nb.all import *
        import os
        data = load_data({str(photos)!r}, 8, stream=True)
        data.workers = 0
        class Thief(Callback):
            def after_step(self, t):
                if t.steps_done == 7: os.rename({str(photos/'3.png')!r}, 'stolen')
        gan = recipe('rpgan_mlp', width=8, batch_size=4).trainer(data, device='cpu')
        try: gan.fit(100, [Checkpoint('run', every=5), Thief()])
        except DataError as e: print(e)"""
    r = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, env=ENV, capture_output=True, text=True, timeout=120)
    line, = r.stdout.splitlines()
    assert '3.png' in line and 'no such file' in line and 'step_00000005' in line, r.stderr
    os.rename(tmp_path/'stolen', photos/'3.png')
    assert run('gan_train', '--resume', 'run', '--steps', 12, cwd=tmp_path).returncode == 0

def mounted(path, options='size=4m'):
    if os.geteuid() or subprocess.run(['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', path],
                                      capture_output=True).returncode:
        pytest.skip('needs the right to mount a tmpfs')

def test_the_disk_fills_up_while_samples_are_drawn(tmp_path):
    "The last checkpoint stays whole, and with room again the run goes on"
    disk = tmp_path/'disk'
    disk.mkdir()
    mounted(disk)
    try:
        p = start(*SMALL, '--steps', 100000, '--recipe', 'dcgan', '--sample-every', 1, '--save-every', 1000000,
                  '--out', 'run', cwd=disk)
        wait_for(disk, 'run/samples/*.png', p)
        (disk/'filler').write_bytes(b'')
        with open(disk/'filler', 'wb', buffering=0) as f:
            try:
                while f.write(bytes(4096)): pass
            except OSError: pass
        out, err = p.communicate(timeout=60)
        assert p.returncode == 2 and len(err.strip().splitlines()) >= 1 and 'Traceback' not in err, err
        assert 'No space left' in err and 'last good checkpoint' in err, err
        for line in (disk/'run/log.jsonl').read_text().splitlines() if (disk/'run/log.jsonl').exists() else []:
            json.loads(line)
        (disk/'filler').unlink()
        step = load_run(disk/'run', device='cpu').steps_done
        r = run('gan_train', '--resume', 'run', '--steps', step + 2, cwd=disk)
        assert r.returncode == 0, r.stderr
    finally: subprocess.run(['umount', '-l', disk])

def test_a_folder_that_may_only_be_read(tmp_path):
    "One line, and sampling to elsewhere still works"
    assert run('gan_train', *SMALL, '--steps', 2, '--out', 'disk/run', cwd=tmp_path).returncode == 0
    disk = tmp_path/'disk'
    if os.geteuid() or subprocess.run(['mount', '--bind', disk, disk], capture_output=True).returncode:
        pytest.skip('needs the right to mount')
    try:
        subprocess.run(['mount', '-o', 'remount,ro,bind', disk], check=True)
        refused(run('gan_train', '--resume', 'disk/run', '--steps', 4, cwd=tmp_path), 'Read-only')
        refused(run('gan_sample', 'disk/run', cwd=tmp_path), 'Read-only')
        assert run('gan_sample', 'disk/run', '--out', 'grid.png',
                   cwd=tmp_path).returncode == 0 and (tmp_path/'grid.png').exists()
    finally: subprocess.run(['umount', '-l', disk])

POISON = """if 1:
    import os, sys
    from fastcore.script import _run_cli
    from gan_nb.cli import gan_train
    from gan_nb.training import Trainer
    step, times = Trainer.step, int(os.environ['TIMES'])
    def poisoned(self):
        rolled_back = self.remembered.get('Checkpoint', {}).get('rollbacks', 0)
        if self.steps_done == 7 and rolled_back < times: next(self.D.parameters()).data.fill_(float('nan'))
        return step(self)
    Trainer.step = poisoned
    _run_cli(gan_train.__wrapped__, False, ['source'])
"""

@pytest.mark.parametrize('times, args, status, says',
                         [(1, [], 2, 'at step 7'), (2, ['--on-nan', 'rollback'], 0, 'half the learning rate (2 of 3)'),
                          (9, ['--on-nan', 'rollback'], 2, 'half the learning rate (3 of 3)')])
def test_a_loss_that_is_no_number(times, args, status, says, tmp_path):
    "Stop, naming term, step and checkpoint; or go back at half the learning rate, three times at most"
    r = subprocess.run([sys.executable, '-c', POISON, *SMALL, '--steps', '12', '--save-every', '5', '--out', 'run',
                        *args], cwd=tmp_path, env=ENV | dict(TIMES=str(times)),
                       capture_output=True, text=True, timeout=120)
    assert r.returncode == status and says in r.stderr and 'Traceback' not in r.stderr, r.stderr
    t = load_run(tmp_path/'run', device='cpu')
    assert t.steps_done == (5 if status else 12)
    if status: assert 'step_00000005' in r.stderr.splitlines()[-1]
    else: assert t.players['G'].opt.param_groups[0]['initial_lr'] == 1e-3/4
