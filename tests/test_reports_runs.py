"""What people reported of other libraries' checkpoints, and what attacks brought to light, tried on runs: each test is
named after the symptom"""
import json, os, subprocess, sys, time, warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gan_nb import checkpoint as ours, store
from gan_nb.checkpoint import Checkpoint, load_run, save_run
from gan_nb.runs import CheckpointError, checkpoints, read_config
from gan_nb.core import seed_everything
from gan_nb.data import digits, ring
from gan_nb.discriminator import MLPDiscriminator
from gan_nb.generator import MLPGenerator
from gan_nb.losses import hinge, nonsaturating
from gan_nb.penalties import GradientPenalty, r1
from gan_nb.runs import seal, sha256_of
from gan_nb.callbacks import Callback
from gan_nb.game import Game
from gan_nb.training import Trainer
from gan_nb.players import cosine

SHAPE = (1, 8, 8)
Adam = torch.optim.Adam

def make(G=None, D=None, data=None, penalties=(r1(1.),), augment=None, **kw):
    "A small trainer: what a game is made of, and settings of the trainer"
    seed_everything(0)
    G, D = G or MLPGenerator(4, SHAPE, width=8), D or MLPDiscriminator(SHAPE, width=8)
    settings = dict(batch_size=8, device='cpu', precision='fp32') | kw
    return Trainer(Game(G, D, nonsaturating, penalties, augment), data or digits(8), **settings)

def load(path, **kw): return load_run(path, device='cpu', data=kw.pop('data', digits(8)), **kw)

@pytest.fixture
def run(tmp_path):
    "The folder of a run of three steps"
    gan = make(schedules=dict(lr=cosine()))
    gan.fit(3)
    save_run(gan, tmp_path/'run')
    return tmp_path/'run'

def refused(text, f):
    with pytest.raises(CheckpointError) as e: f()
    assert text in str(e.value) and len(str(e.value).splitlines()) == 1, str(e.value)

def warned(f):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        f()
    return [str(w.message) for w in seen]

# Kills

def test_a_kill_after_the_first_checkpoint_leaves_a_run(tmp_path, monkeypatch):
    "Between the first checkpoint and the run's config.json a kill left a folder that said it was no run"
    import gan_nb.checkpoint as module
    gan = make()
    gan.fit(1)
    def killed(*args): raise KeyboardInterrupt
    publish = module.publish_checkpoint
    monkeypatch.setattr(module, 'publish_checkpoint', lambda *args: (publish(*args), killed()))
    with pytest.raises(KeyboardInterrupt): save_run(gan, tmp_path/'run')
    assert load(tmp_path/'run').steps_done == 1

# Who writes and who reads

@pytest.mark.parametrize('kw', [dict(batch_size=np.int64(8)), dict(ema=np.float32(.5)),
                                dict(penalties=[GradientPenalty('real', 0., 1e5)]),
                                dict(opt=dict(G=partial(Adam, lr=np.float32(1e-3)))), dict(augment='adaptive')])
def test_numbers_that_train_are_numbers_that_load(kw, tmp_path):
    "NumPy numbers as settings, a heavy penalty, and adaptive augmentation with its own defaults could not be saved"
    from gan_nb.augment import AdaptiveAugment
    if 'augment' in kw: kw = dict(augment=AdaptiveAugment())
    gan = make(**kw)
    gan.fit(1)
    save_run(gan, tmp_path/'run')
    assert load(tmp_path/'run').steps_done == 1

def test_large_batches_of_points_can_be_saved(tmp_path):
    gan = make(MLPGenerator(2, (2,), width=4), MLPDiscriminator((2,), width=4), ring(), batch_size=100_000)
    save_run(gan, tmp_path/'run')
    assert load(tmp_path/'run', data=ring()).batch_size == 100_000

def test_settings_changed_on_resume_are_those_of_the_next_checkpoint(run):
    "Settings handed to load_run were forgotten when the run was saved: the next load had the old ones"
    gan = load(run, batch_size=16, penalties=[r1(5.)], loss=hinge, schedules={})
    gan.fit(1)
    said = warned(lambda: save_run(gan, run))
    assert any('batch_size 8 -> 16' in s and 'penalties' in s and 'loss nonsaturating -> hinge' in s
               for s in said), said
    again = load(run)
    assert (again.batch_size, again.game.loss, again.schedules) == (16, hinge, {})
    assert again.game.penalties['penalty_real'].weight == 2.5
    assert load(run, step=3).batch_size == 8                                     # the older one is what it was
    assert read_config(run)['trainer']['batch_size'] == 16

def test_an_average_that_ends_on_resume(run):
    "ema=0 on resume made checkpoints without G_ema that could not be read, while the older, whole ones were pruned"
    gan = load(run, ema=0)
    gan.fit(1)
    warned(lambda: save_run(gan, run))
    assert load(run).G_ema is None and load(run, step=3).G_ema is not None
    assert load(run, ema=.9).G_ema is not None                                   # and begins again where it is wanted

def test_an_optimizer_handed_over_on_resume_takes_effect(run):
    "opt=dict(G=partial(Adam, lr=1e-5)) was ignored without a word"
    gan = load(run, opt=dict(G=partial(Adam, lr=1e-5, betas=(0., .9))), schedules={})
    group = gan.players['G'].opt.param_groups[0]
    assert (group['lr'], group['betas']) == (1e-5, (0., .9))
    assert len(gan.players['G'].opt.state) > 0 and gan.players['D'].opt.param_groups[0]['lr'] != 1e-5
    gan.fit(1)
    assert gan.players['G'].opt.param_groups[0]['lr'] == 1e-5

def test_an_engine_is_part_of_the_description(run):
    assert read_config(run)['trainer']['engine'] == 'eager'

class Five(Adam):
    "An optimizer of one's own that keeps five numbers for each weight"
    def step(self, closure=None):
        out = super().step(closure)
        for p in self.param_groups[0]['params']:
            if p.grad is not None: self.state[p] |= {f'more_{i}': torch.ones_like(p) for i in range(3)}
        return out

def test_an_optimizer_with_many_states_loads_again(tmp_path):
    "It saved, and was then larger than anything that belongs to a run"
    five = partial(Five, lr=1e-3, fused=False)
    gan = make(MLPGenerator(4, SHAPE, width=300), opt=dict(G=five))
    gan.fit(2)
    save_run(gan, tmp_path/'run')
    again = load(tmp_path/'run', opt=dict(G=five))
    assert all(len(s) == 6 for s in again.players['G'].opt.state.values())

class Tied(MLPGenerator):
    def __init__(self):
        super().__init__(8, SHAPE, width=8)
        self.net[2].weight = self.net[4].weight

def test_tied_weights_can_be_saved(tmp_path):
    "'Some tensors share memory'"
    gan = make(Tied())
    gan.fit(2)
    save_run(gan, tmp_path/'run')
    again = load(tmp_path/'run', G=Tied())
    assert again.G.net[2].weight is again.G.net[4].weight and torch.equal(again.G.net[2].weight, gan.G.net[2].weight)

class Extra(MLPGenerator):
    def get_extra_state(self): return dict(count=3)
    def set_extra_state(self, state): pass

def test_an_extra_state_that_is_no_tensor(tmp_path):
    "A raw AttributeError"
    refused('_extra_state is a dict and no tensor', lambda: save_run(make(Extra(4, SHAPE, width=8)), tmp_path/'run'))

def test_nothing_is_published_that_could_not_be_read(run, monkeypatch):
    "A state that the reader would refuse is refused by the writer, and the older checkpoint stays"
    gan = load(run)
    gan.fit(1)
    gan.players['G'].opt.param_groups[0]['eps'] = -1.
    refused('eps must', lambda: save_run(gan, run))
    assert [p.name for p in checkpoints(run)] == ['step_00000003'] and load(run).steps_done == 3
    assert [p.name for p in (run/'checkpoints').iterdir()] == ['step_00000003']

# Whose data

class Named:
    "Data with a fingerprint of its own"
    def __init__(self, **fingerprint): self.data, self.fingerprint = digits(8), fingerprint
    def __getattr__(self, name): return getattr(self.data, name)
    def __len__(self): return len(self.data)

def test_other_data_on_resume_is_refused_with_what_differs(tmp_path):
    "A renamed class folder, images removed, another folder: accepted, and label 0 was another class"
    kept = dict(images=10, classes=['cat', 'dog'], names='aa')
    save_run(make(data=Named(**kept)), tmp_path/'run')
    load(tmp_path/'run', data=Named(**kept))
    refused('9 images for 10', lambda: load(tmp_path/'run', data=Named(**kept | dict(images=9))))
    refused('classes without cat and with cats',
            lambda: load(tmp_path/'run', data=Named(**kept | dict(classes=['cats', 'dog']))))
    refused('classes in another order', lambda: load(tmp_path/'run', data=Named(**kept | dict(classes=['dog', 'cat']))))
    refused('other_data=True', lambda: load(tmp_path/'run', data=Named(**kept | dict(names='bb'))))
    gan = load(tmp_path/'run', data=Named(**kept | dict(images=9)), other_data=True)
    gan.fit(1)
    warned(lambda: save_run(gan, tmp_path/'run'))
    load(tmp_path/'run', data=Named(**kept | dict(images=9)))                    # and is the run's data from now on

# The best, and what is kept

class Scores(Callback):
    def __init__(self, *values): self.values = iter(values)
    def after_log(self, trainer, record): record['fid'] = next(self.values)

def test_a_first_score_that_is_no_number_is_not_the_best(tmp_path):
    "best='fid' whose first score was NaN stayed NaN for ever"
    gan = make()
    gan.fit(3, [Scores(float('nan'), 5., 6.), Checkpoint(tmp_path/'run', every=1, best='fid')], log_every=1)
    assert gan.remembered['Checkpoint']['best'] == dict(name='fid', value=5., step=2)

def test_a_kill_between_publishing_and_pruning_leaves_no_more_checkpoints(tmp_path, monkeypatch):
    "Two killed runs ended with another set of checkpoints than the undisturbed one"
    def train(path, gan, steps): gan.fit(steps, [Checkpoint(path, every=1, keep=2)])
    train(tmp_path/'whole', make(), 4)
    gan = make()
    # from step 2 on, nothing is pruned any more
    with monkeypatch.context() as m:
        m.setattr(store, 'remove_checkpoint', lambda folder: None)
        train(tmp_path/'killed', gan, 4)
    assert len(checkpoints(tmp_path/'killed')) == 5
    load(tmp_path/'killed').fit(0, [Checkpoint(tmp_path/'killed', every=1, keep=2)])
    assert [p.name for p in checkpoints(tmp_path/'killed')] == [p.name for p in checkpoints(tmp_path/'whole')]

# What is left behind

def test_temporary_files_of_dead_processes_go_with_the_next_command(run):
    "Files that a killed process was writing stayed for ever, in the folder and in samples/, features/ and checkpoints/"
    code = "import sys; from gan_nb.files import temporary; [temporary(p).write_bytes(b'half') for p in sys.argv[1:]]"
    for name in ('samples', 'features'): (run/name).mkdir()
    places = [run/'samples.png', run/'samples/step_1.png', run/'features/features.json',
              run/'checkpoints/step_00000004']
    subprocess.run([sys.executable, '-c', code, *map(str, places)], check=True)
    assert len([p for p in run.rglob('.*.tmp-*')]) == 4
    load(run).fit(0, [Checkpoint(run)])
    assert not [p for p in run.rglob('.*.tmp-*')]

def test_the_entry_of_a_new_run_in_its_folder_reaches_the_disk(tmp_path, monkeypatch):
    "The folder that holds a new run folder was never synced"
    seen = []
    sync = ours.sync_path
    monkeypatch.setattr(ours, 'sync_path', lambda path: seen.append(Path(path)) or sync(path))
    save_run(make(), tmp_path/'run')
    assert tmp_path in seen

# Edited by hand

def sealed(x):
    x.pop('checksum', None)
    return seal(x).decode()

class Merged(dict):
    "Entries that are changed in a dict, or added to it; the others stay"

def edit(run, file, *keys_and_value):
    "Change an entry of a file of the newest checkpoint, and make all checksums right again"
    *keys, value = keys_and_value
    folder = checkpoints(run)[-1]
    x = json.loads((folder/file).read_text())
    place = x
    for k in keys[:-1]: place = place[k]
    place[keys[-1]] = place[keys[-1]] | value if isinstance(value, Merged) else value
    (folder/file).write_text(sealed(x))
    sign(folder, file)

def sign(folder, file):
    if file == 'state.json': return
    state = json.loads((folder/'state.json').read_text())
    state['sha256'][file], state['bytes'][file] = sha256_of(folder/file), (folder/file).stat().st_size
    (folder/'state.json').write_text(sealed(state))

GROUP = ('players', 'G', 'opt', 'param_groups', 0)
EDITS = [('state.json', *GROUP, name, value) for name, values in dict(
    lr=[-1., 1e300, True, 'fast', None, float('nan')], betas=[[.5], [.1, .2, .3], None, [1., .9], [.5, -.1]],
    eps=[-1., None], weight_decay=[-1e30],
    maximize=[True], amsgrad=[True], initial_lr=[-1., 'x'], scheduled_lr=[None]).items() for value in values]
EDITS += [('state.json', name, value) for name, values in dict(
    steps_done=[-1, 2.5, True, None], total_steps=['x'], position=[-1, []], unread=[7, [[1]], [['a', {}]]],
    callbacks=[7, [], dict(Checkpoint=7)], players=[None, [], {}], sha256=[None, []], bytes=[None, {}, []]).items()
    for value in values]
EDITS += [('state.json', 'players', 'D', name, value) for name, values in dict(
    opt=[None, [], {}], updates=[-1, 1.5, True, None]).items() for value in values]
EDITS += [('state.json', 'callbacks', 'Checkpoint', dict(best=best))
          for best in (7, dict(name='fid'), dict(name='fid', value=float('nan'), step=1))]
EDITS += [('state.json', 'callbacks', 'Checkpoint', dict(rollbacks=n)) for n in (-1, 'x', None)]
EDITS += [('config.json', 'trainer', name, value) for name, values in dict(
    batch_size=[0, 1e9, 2.5, True, 10**12], ema=[1., -1, 'x'], clip=[dict(D=0), dict(D=-1.), 7],
    times=[dict(D=0), dict(D=10**9), dict(X=1), [], 7], seed=['x', -1], precision=['fp8'], engine=['steam'],
    schedules=[dict(lr=dict(name='steep')), dict(lr=7), 7], game=[None, [], {}, 7, dict(name='os.system')],
    opt=[dict(G=x) for x in (dict(name='Adam', lr=-1.), dict(name='Adam', lr=1e300), dict(name='SGLD'), [])]
        + [7, [], dict(X={})]).items() for value in values]
DENSE = dict(part='network', name='MLPGenerator', latent_dim=4, shape=[1, 8, 8])
PENALTY = dict(part='penalty', name='GradientPenalty', at='real', target=0., weight=1.)
EDITS += [('config.json', 'trainer', 'game', name, value) for name, values in dict(
    name=['os.system', 'ACGame', 7, None], loss=['hing', 7, dict(part='loss', name='hing'), dict(part='network')],
    penalties=[7, [PENALTY | dict(target=True)], [PENALTY | dict(at='middle')], [dict(part='os', name='system')]],
    G=[dict(part='network', name='os.system'), DENSE | dict(depth=65536), DENSE | dict(width=10**9), [], None, 'G'],
    D=[[], None, DENSE], augment=[7, dict(part='augment', name='blur')], terms=[7, dict(x=7)], unroll=[2]).items()
    for value in values]
EDITS += [('config.json', 'trainer', 'game', Merged(game)) for game in (
    dict(name='UnrolledGame', unroll=-1), dict(name='UnrolledGame', unroll=1000), dict(name='ACGame', weights=7),
    dict(name='ACGame', weights=[1.]))]

@pytest.mark.parametrize('change', EDITS, ids=lambda c: f'{c[0]}-{c[-2]}-{str(c[-1])[:24]}')
def test_an_edited_checkpoint_is_refused_in_a_line(change, run):
    """Tracebacks, hangs, and numbers that no optimizer would take: checksums made right, so that only the check of the
    part itself is left"""
    start = time.process_time()
    edit(run, *change)
    refused('', lambda: load(run))
    # a hang is what this is about, and no measurement
    assert time.process_time() - start < 10

def test_an_optimizer_state_of_another_shape(run):
    folder = checkpoints(run)[-1]
    x = load_file(folder/'opt_D.safetensors')
    save_file(x | {'0.exp_avg': torch.zeros(1)}, folder/'opt_D.safetensors')
    sign(folder, 'opt_D.safetensors')
    refused('for a weight of shape', lambda: load(run))

def test_checksums_are_compared_before_anything_is_built(run, monkeypatch):
    "Both networks were built before a changed file was noticed"
    built = []
    init = MLPGenerator.__init__
    monkeypatch.setattr(MLPGenerator, '__init__', lambda self, *a, **kw: built.append(1) or init(self, *a, **kw))
    file = checkpoints(run)[-1]/'random.safetensors'
    file.write_bytes(file.read_bytes()[:-1] + b'x')
    refused('random.safetensors: damaged', lambda: load(run))
    assert not built

def test_a_signal_while_a_checkpoint_is_flushed(run, monkeypatch):
    "A SIGTERM within os.fsync was a raw OSError: the save is finished, and then the run ends"
    import signal
    fsync, sent = os.fsync, []
    class Ends(Callback):
        def after_step(self, trainer):
            if trainer.steps_done == 4:
                monkeypatch.setattr(os, 'fsync', lambda fd: sent.append(signal.raise_signal(signal.SIGTERM))
                                    or fsync(fd))
    gan = load(run)
    with pytest.raises(SystemExit): gan.fit(3, [Ends(), Checkpoint(run, every=4)])
    monkeypatch.undo()
    assert sent and load(run).steps_done == 4
