"""What can be known of a GPU without having one: that a step keeps its tensors on one device, and that it does not make
the host wait.

On the device `meta` tensors have shapes and no numbers. An operation on a meta tensor and one that lies on the CPU
raises, as it would on a GPU, and so does everything that must read a value: `.item()`, `float(x)`, `if x > 0`. So a
step is played there as a whole. The losses, penalties, augmentations and optimizers are those of a run on a GPU; what
happens when a trainer is made, when data are loaded, and when losses are read for the log lies outside of a step.

The second test listens while steps run on the CPU. `_local_scalar_dense` is the operation by which the host reads a
number from a tensor, and for which it would have to wait for a GPU; each call of it is noted, with the line of this
repository that made it. A list (`tolist`) is read without it, and raises on meta. Not counted are the optimizers' own
counters: unless Adam is fused or capturable, it keeps them on the CPU on every machine, and reads them there.

What neither sees: operations whose result has a size that depends on the numbers (`x[x > 0]`, `nonzero`) wait for a GPU
and read no number on a CPU, though on meta most of them raise; copies between devices that wait (`.to('cuda')` of
memory that is not pinned; batches come by `to_device`); kernels that a GPU does not have, or computes otherwise;
callbacks, which may read as they like.
"""
import re, traceback
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import gan_nb.players, gan_nb.training
from gan_nb.augment import AdaptiveAugment, Augment
from gan_nb.data import digits, ring
from gan_nb.discriminator import DCGANDiscriminator
from gan_nb.game import Game
from gan_nb.generator import DCGANGenerator
from gan_nb.losses import AdversarialLoss, rpgan
from gan_nb.penalties import GradientPenalty, dragan, r1, r2, wgan_gp
from gan_nb.players import Average, cosine, linear, make_optimizer
from gan_nb.recipes import recipe, recipes
from gan_nb.training import Trainer

# Settings to be played

def narrow(r):
    "A recipe with small networks"
    parts = dict(generator=r.generator, discriminator=r.discriminator)
    small = {k: v | ({'width': 8} if 'width' in v else {}) for k, v in parts.items()}
    return replace(r, width=8, latent_dim=4, batch_size=6, **small)

def of_recipe(name, **kw):
    "A trainer of a recipe, on small images or on points"
    data = ring() if name == 'rpgan_points' else digits(12)
    return narrow(recipe(name)).trainer(data, precision='fp32', **kw)

ALL = dict(lr=cosine(), penalty=linear(), ema=linear(.5), beta2=cosine(.9))

def dcgan(loss=rpgan, penalties=(), augment=None, terms=None, game=Game, device='cpu',
          precision='fp32', **kw):
    "A trainer of small convolutional networks"
    torch.manual_seed(0)
    G, D = DCGANGenerator(8, 1, latent_dim=4, width=4), DCGANDiscriminator(8, 1, width=4, norm=None)
    played = game(G, D, loss, penalties, augment, terms)
    return Trainer(played, digits(8), batch_size=6, precision=precision, device=device, **kw)

estimated = GradientPenalty('real', 0., 1., estimator='finite_difference')
every_place = [r1(1.), r2(1.), wgan_gp(1.), dragan(1., every=2)]
rmsprop = partial(torch.optim.RMSprop, lr=1e-4)
sgd = partial(torch.optim.SGD, lr=1e-3, momentum=.5)

FURTHER = {
    'no penalties': dcgan,
    'every place': partial(dcgan, penalties=every_place),
    'finite differences': partial(dcgan, penalties=[estimated]),
    'schedules': partial(dcgan, penalties=every_place, schedules=ALL),
    'no average': partial(dcgan, ema=0., schedules=dict(lr=linear())),
    'clipping, five times': partial(dcgan, 'wasserstein', clip=dict(D=.01), times=dict(D=5)),
    'augmentation': lambda **kw: dcgan(augment=Augment(), schedules=dict(augment=linear(.5)), **kw),
    'bf16': partial(dcgan, penalties=every_place, precision='bf16'),
    'adaptive augmentation': lambda **kw: dcgan(augment=AdaptiveAugment(images=100), **kw),
    'RMSprop and SGD': partial(dcgan, opt=dict(D=rmsprop, G=sgd)),
    'Adam by operations': partial(dcgan, opt=partial(torch.optim.Adam, fused=False, foreach=True)),
}
PLAYED = {name: partial(of_recipe, name) for name in recipes()} | FURTHER

# On the device meta

class MetaGenerator(torch.Generator):
    "Draws on the CPU, and says that it draws on meta, where PyTorch has no generators"
    def __new__(cls, device=None): return super().__new__(cls)
    @property
    def device(self): return torch.device('meta')

@pytest.fixture
def meta(monkeypatch):
    "Lets trainers be made on meta"
    monkeypatch.setattr(gan_nb.training, 'usable_device', torch.device)
    monkeypatch.setattr(torch, 'Generator', MetaGenerator)
    monkeypatch.setattr(torch, 'autocast', lambda *args, **kw: nullcontext())
    # Fused kernels do not know meta.
    def make(factory, net, capturable): return make_optimizer(partial(factory, foreach=True), net, capturable)
    monkeypatch.setattr(gan_nb.players, 'make_optimizer', make)

@pytest.mark.parametrize('name', PLAYED)
def test_a_step_stays_on_its_device_and_reads_nothing(name, meta):
    t = PLAYED[name](device='meta')
    for _ in range(2): terms = t.step()
    for value in terms.values(): assert value.device.type == 'meta' and value.shape == ()

# On the CPU, listening

class Listener(TorchDispatchMode):
    "Notes from where the host reads a number, but for the counters that optimizers keep on the CPU"
    def __init__(self, trainer):
        super().__init__()
        self.trainer, self.heard = trainer, []

    def is_counter(self, x):
        states = [s for p in self.trainer.players.values() for s in p.opt.state.values()]
        return any(s['step'].data_ptr() == x.data_ptr() for s in states if torch.is_tensor(s.get('step')))

    def __torch_dispatch__(self, operation, types, args=(), kw=None):
        read = operation is torch.ops.aten._local_scalar_dense.default
        if read and not self.is_counter(args[0]): self.heard.append(reader())
        return operation(*args, **(kw or {}))

def reader():
    "The innermost line of this repository that is being executed"
    ours = [f for f in traceback.extract_stack() if re.search(r'(gan_nb|tests)/\w+\.py$', f.filename)]
    ours = [f for f in ours if f.name not in ('reader', '__torch_dispatch__')]
    return f'{ours[-1].name}: {ours[-1].line}'

def heard(t, steps=3):
    with Listener(t) as listener:
        for _ in range(steps): t.step()
    return listener.heard

@pytest.mark.parametrize('name', PLAYED)
def test_a_step_reads_no_number(name):
    assert heard(PLAYED[name](device='cpu')) == []

def test_an_optimizer_reads_its_own_counters_only_if_it_is_not_fused():
    "What is left out of the count, and that it is no more than that"
    def reads(**form):
        t, every = dcgan(opt=partial(torch.optim.Adam, **form)), []
        with Listener(t) as listener:
            listener.is_counter = lambda x: every.append(x.shape) or False
            t.step()
        return every, {name.split(':')[0] for name in listener.heard}
    assert reads(fused=True) == ([], set())
    sizes, where = reads(foreach=True)
    assert sizes and set(sizes) == {torch.Size()} and where == {'update'}

# What these tests must catch: the same trainers with a line that reads, or that makes a tensor on the CPU

class ReadingGame(Game):
    def cost_G(self, asked, real, y, rng, **knobs):
        cost, terms = super().cost_G(asked, real, y, rng, **knobs)
        return cost, terms if cost > -1e9 else {}

def reading_penalty(D, real, fake, y, generator):
    return D(real).square().mean()*(1. if real.std().item() > 0 else 2.)

def reading_term(game, fake, asked, real, y): return fake.mean()/max(float(fake.detach().std()), 1.)

def reading_augment(x, generator=None): return x if bool((x < 9).all()) else x/9

def careless_penalty(D, real, fake, y, generator):
    "Makes numbers where tensors are made unless one says where"
    return (torch.rand(len(real))*D(real).square()).mean()

reading_loss = AdversarialLoss('reads', d=lambda real, fake: fake - real/max(1., real.abs().max().item()),
                               g=lambda fake: -fake)

update = Average.update
def reading_update(self, weight):
    if next(self.net.parameters()).sum().item() < 1e9: update(self, weight)

READING = {
    'loss': partial(dcgan, reading_loss),
    'penalty': partial(dcgan, penalties=[reading_penalty]),
    'term': partial(dcgan, terms=dict(spread=reading_term)),
    'augment': partial(dcgan, augment=reading_augment),
    'game': partial(dcgan, game=ReadingGame),
    'average': dcgan,
}

@pytest.mark.parametrize('what', READING)
def test_a_read_is_heard(what, monkeypatch):
    if what == 'average': monkeypatch.setattr(Average, 'update', reading_update)
    found = heard(READING[what](device='cpu'), steps=1)
    assert found and all(re.search('item|float|bool|cost >', line) for line in found), found

@pytest.mark.parametrize('what', READING)
def test_a_read_raises_on_meta(what, meta, monkeypatch):
    if what == 'average': monkeypatch.setattr(Average, 'update', reading_update)
    # Trying the networks, at the beginning, may read.
    monkeypatch.setattr(Game, 'try_out', lambda *args: None)
    t = READING[what](device='meta')
    with pytest.raises(RuntimeError, match='meta'): t.step()

def test_a_tensor_on_the_cpu_raises_on_meta(meta):
    t = dcgan(penalties=[careless_penalty], device='meta')
    with pytest.raises(RuntimeError, match='cpu|meta'): t.step()
