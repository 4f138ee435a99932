"""Games of other kinds, written as somebody would write them who has only installed gan_nb: pix2pix, CycleGAN, a GAN
with an encoder as third player (BiGAN), and a GAN of texts.

Parts are registered, `Game` is inherited from, and only public methods are overridden. Of each game we check that every
player moves while nobody else's weights change, that a run of it can be described and made again, and that a run that
was saved after three steps goes on, to the bit, as the one that was not interrupted.
"""
import json
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import l1_loss

from gan_nb.batches import drawn_batches, fixed_batch
from gan_nb.callbacks import Callback
from gan_nb.checkpoint import Checkpoint, load_run
from gan_nb.core import latents
from gan_nb.data import DataSet, load_data
from gan_nb.descriptions import assemble, describe
from gan_nb.game import Game, check_logits, check_network, try_network
from gan_nb.live import LiveView, SampleGrid
from gan_nb.losses import lsgan
from gan_nb.parts import register
from gan_nb.penalties import wgan_gp
from gan_nb.training import Trainer

SIZE, DIM, LENGTH, ALPHABET = 8, 3, 12, 'abcdef '
adam = partial(torch.optim.Adam, lr=1e-3, betas=(.5, .9))

# Networks, a data set for each game

@register('network', 'test_translator')
class Translator(nn.Module):
    "Images to images of the same size, with batch norm"
    def __init__(self, width=4):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
                                    nn.Conv2d(width, 1, 3, padding=1), nn.Tanh())
    def forward(self, x): return self.layers(x)

@register('network', 'test_patches')
class Patches(nn.Module):
    "A logit for each patch of an image"
    def __init__(self, channels=1, width=4):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(channels, width, 4, 2, 1), nn.BatchNorm2d(width), nn.LeakyReLU(.2),
                                    nn.Conv2d(width, 1, 3, padding=1))
    def forward(self, x): return self.layers(x).squeeze(1)                 # (B, 4, 4)

@register('network', 'test_dense')
class Dense(nn.Module):
    "Vectors to vectors; a single output loses its dimension"
    def __init__(self, inputs, outputs, latent_dim=None, width=8):
        super().__init__()
        if latent_dim: self.latent_dim = latent_dim
        self.layers = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs))
    def forward(self, x):
        x = self.layers(x)
        return x.squeeze(1) if x.shape[1] == 1 else x

@register('network', 'test_writer')
class Writer(nn.Module):
    "Latents to texts: for each place, the probability of each letter"
    def __init__(self, letters, length, latent_dim=4, width=8):
        super().__init__()
        self.latent_dim, self.shape = latent_dim, (letters, length)
        self.first, self.width, self.length = nn.Linear(latent_dim, width*length), width, length
        self.last = nn.Conv1d(width, letters, 5, padding=2)
    def forward(self, z):
        h = self.first(z).view(-1, self.width, self.length)
        return self.last(h.relu()).softmax(1)                              # (B, V, L)

@register('network', 'test_reader')
class Reader(nn.Module):
    "A logit for each text"
    def __init__(self, letters, length, width=8):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv1d(letters, width, 5, padding=2), nn.ReLU(), nn.Flatten(),
                                    nn.Linear(width*length, 1))
    def forward(self, x): return self.layers(x).squeeze(1)

class Drawn(DataSet):
    "A data set that is drawn afresh by a function of a number and a generator"
    def __init__(self, shape, draw): self.shape, self.draw = shape, draw
    def __len__(self): return 1000
    def batches(self, batch_size, seed=0, device=None): return drawn_batches(self.draw, batch_size, seed, device)

@register('data', 'test_pairs')
def pairs():
    "Blots, and beside each what it shall become: its negative"
    def draw(n, rng):
        source = torch.rand(n, 1, SIZE, SIZE, generator=rng)*2 - 1
        return -source, source
    return Drawn((1, SIZE, SIZE), draw)

@register('data', 'test_heaps')
def heaps():
    "Images of two kinds that do not belong together: dark ones, and bright ones in the place of y"
    def draw(n, rng):
        dark, bright = torch.rand(2, n, 1, SIZE, SIZE, generator=rng)
        return dark - 1, bright
    return Drawn((1, SIZE, SIZE), draw)

@register('data', 'test_cloud')
def cloud():
    "Points in five dimensions"
    return Drawn((5,), lambda n, rng: torch.randn(n, 5, generator=rng))

class Texts(Drawn):
    "Random texts, a letter at each place as a one among zeros"
    def __init__(self): super().__init__((len(ALPHABET), LENGTH), self.write)
    def write(self, n, rng):
        letters = torch.randint(len(ALPHABET), (n, LENGTH), generator=rng)
        return nn.functional.one_hot(letters, len(ALPHABET)).transpose(1, 2).float()       # (n, V, L)
    def picture(self, x):
        return '\n'.join(''.join(ALPHABET[i] for i in letters) for letters in x.argmax(1).tolist())

register('data', 'test_texts', Texts)

# Games

@register('term', 'TestL1')
@dataclass
class TestL1:
    "How far G's answer is from the target"
    __test__ = False
    weight: float = 100.
    def __call__(self, game, fake, asked, real, y): return self.weight*l1_loss(fake, real)

@register('game', 'test_pix2pix')
class Pix2Pix(Game):
    "G is asked with the source y, D sees the source and the target"
    def ask(self, n, y, rng, z=None): return (y,)
    def wants_batch(self, player): return True
    def judge(self, x, y=None, D=None): return super().judge(torch.cat([y, x], 1), None, D)
    def example(self, n, shape, device): return torch.randn(2, n, *shape, device=device)

@register('game', 'test_cyclegan')
class CycleGAN(Game):
    "Two generators, A to B and back, and a discriminator for each kind; x of a batch is of A, and y of B"
    averaged = 'AB', 'BA'

    def __init__(self, AB, BA, DA, DB, loss, cycle=10.):
        super().__init__(AB, DB, loss)
        self.cycle = cycle
        self.players = {name: check_network(net, name) for name, net in dict(DA=DA, DB=DB, AB=AB, BA=BA).items()}

    def wants_batch(self, player): return True

    def ask(self, n, y, rng, z=None): return (y,)

    def example(self, n, shape, device): return torch.randn(2, n, *shape, device=device)

    def answer(self, name, x):
        with torch.no_grad(): return self.players[name](x)

    def draw_DA(self, n, batch, update, rng): return dict(real=batch[0], fake=self.run(self.answer, 'BA', batch[1]))
    def draw_DB(self, n, batch, update, rng): return dict(real=batch[1], fake=self.run(self.answer, 'AB', batch[0]))
    def draw_AB(self, n, batch, update, rng): return dict(a=batch[0], b=batch[1])
    def draw_BA(self, n, batch, update, rng): return dict(a=batch[0], b=batch[1])

    def cost_of_D(self, name, real, fake):
        D = self.players[name]
        loss = self.loss.d(D(real), D(fake))
        return loss, {f'{name}_loss': loss}
    def cost_DA(self, real, fake, **knobs): return self.cost_of_D('DA', real, fake)
    def cost_DB(self, real, fake, **knobs): return self.cost_of_D('DB', real, fake)

    def cost_of_G(self, name, back, D, here, there):
        forth, back, D = self.players[name], self.players[back], self.players[D]
        fake = forth(here)
        cycles = l1_loss(back(fake), here) + l1_loss(forth(back(there)), there)
        terms = {f'{name}_loss': self.loss.g(D(fake)), f'{name}_cycle': self.cycle*cycles}
        return sum(terms.values()), terms
    def cost_AB(self, a, b, **knobs): return self.cost_of_G('AB', 'BA', 'DB', a, b)
    def cost_BA(self, a, b, **knobs): return self.cost_of_G('BA', 'AB', 'DA', b, a)

@register('game', 'test_bigan')
class BiGAN(Game):
    "An encoder plays beside G: D tells (x, E(x)) from (G(z), z)"
    def __init__(self, G, D, E, loss):
        super().__init__(G, D, loss)
        self.players = dict(D=D, E=check_network(E, 'E'), G=G)

    def wants_batch(self, player): return player != 'G'

    def judge(self, x, z): return self.D(torch.cat([x, z], 1))

    def try_out(self, shape, n_classes, device='cpu', batch_size=64):
        x, z = torch.randn(2, *shape, device=device), torch.randn(2, self.G.latent_dim, device=device)
        fake, code = try_network(self.G, (z,), 'G'), try_network(self.players['E'], (x,), 'E')
        if fake.shape != x.shape or code.shape != z.shape: raise ValueError('G and E must be inverse to one another')
        check_logits(self.judge(x, z), 2)

    def pairs(self, real, z):
        with torch.no_grad(): return (real, self.players['E'](real)), (self.G(z), z)

    def draw_D(self, n, batch, update, rng):
        real, _ = batch
        ours, theirs = self.run(self.pairs, real, latents(n, self.G.latent_dim, generator=rng))
        return dict(real=ours, fake=theirs)
    def draw_E(self, n, batch, update, rng): return dict(real=batch[0])

    def cost_D(self, real, fake, **knobs):
        loss = self.loss.d(self.judge(*real), self.judge(*fake))
        return loss, dict(d_loss=loss)
    def cost_E(self, real, **knobs):
        # For D the fakes of E are the reals, so E wants the lower logits.
        loss = self.loss.g(-self.judge(real, self.players['E'](real)))
        return loss, dict(e_loss=loss)
    def cost_G(self, asked, **knobs):
        loss = self.loss.g(self.judge(self.G(*asked), *asked))
        return loss, dict(g_loss=loss)

# What is played: name -> (a new game, the name of its data, the terms in its record)

def pix2pix():
    return Pix2Pix(Translator(), Patches(channels=2), 'nonsaturating', terms=dict(g_l1=TestL1()))

def cyclegan(): return CycleGAN(Translator(), Translator(), Patches(), Patches(), lsgan)

def bigan(): return BiGAN(Dense(DIM, 5, latent_dim=DIM), Dense(5 + DIM, 1), Dense(5, DIM), 'nonsaturating')

def text():
    size = len(ALPHABET), LENGTH
    return Game(Writer(*size), Reader(*size), 'wasserstein', [wgan_gp(10.)])

GAMES = dict(
    pix2pix=(pix2pix, 'test_pairs', {'d_loss', 'real_logits', 'fake_logits', 'g_loss', 'g_l1'}),
    cyclegan=(cyclegan, 'test_heaps', {'DA_loss', 'DB_loss', 'AB_loss', 'AB_cycle', 'BA_loss', 'BA_cycle'}),
    bigan=(bigan, 'test_cloud', {'d_loss', 'e_loss', 'g_loss'}),
    text=(text, 'test_texts', {'d_loss', 'real_logits', 'fake_logits', 'penalty_between', 'g_loss'}))

def trainer(name):
    make, data, _ = GAMES[name]
    torch.manual_seed(3)
    return Trainer(make(), load_data(data), opt=adam, batch_size=6, device='cpu', seed=1)

def weights(t):
    "All tensors of all players and averages, copied"
    nets = {name: p.net for name, p in t.players.items()} | {f'{name}_ema': a.net for name, a in t.averages.items()}
    return {(name, k): v.clone() for name, net in nets.items() for k, v in net.state_dict().items()}

def changed(before, after): return {name for name, k in before if not before[name, k].equal(after[name, k])}

class Records(Callback):
    def __init__(self): self.rows = []
    def after_log(self, trainer, record): self.rows.append(dict(record))

# The tests, each for every game

every_game = pytest.mark.parametrize('name', GAMES)

@every_game
def test_each_player_moves_and_holds_the_others_still(name):
    t = trainer(name)
    for player in t.players:
        before = weights(t)
        t.move(player)
        assert changed(before, weights(t)) == {player}
        assert t.players[player].updates == 1
    before = weights(t)
    t.step()
    assert changed(before, weights(t)) == {*t.players, *(f'{name}_ema' for name in t.averages)}

@every_game
def test_description_and_back(name):
    t = trainer(name)
    described = json.loads(json.dumps(describe(t)))
    assert '"part": null' not in json.dumps(described)
    again = assemble(described, t.data, device='cpu')
    assert describe(again) == described
    assert type(again.game) is type(t.game) and list(again.players) == list(t.players)
    again.load_state(t.state())
    assert not changed(weights(t), weights(again))
    t.step()
    again.step()
    assert not changed(weights(t), weights(again))

@every_game
def test_a_saved_run_goes_on_to_the_bit(name, tmp_path):
    whole, begun, rows = trainer(name), trainer(name), Records()
    whole.total_steps = begun.total_steps = 6
    whole.fit(6, [rows], log_every=1)
    begun.fit(3, [Checkpoint(tmp_path/'run')], log_every=1)
    # By registered names alone, the data too.
    config = json.loads((tmp_path/'run/config.json').read_text())['data']
    gone_on, more = load_run(tmp_path/'run', device='cpu', data=load_data(**config)), Records()
    assert not changed(weights(begun), weights(gone_on))
    gone_on.fit(3, [more, Checkpoint(tmp_path/'run')], log_every=1)
    assert not changed(weights(whole), weights(gone_on))
    assert more.rows == rows.rows[3:]
    logged = [json.loads(line) for line in (tmp_path/'run/log.jsonl').read_text().splitlines()]
    assert [line['step'] for line in logged] == [1, 2, 3, 4, 5, 6]
    for line in logged: assert GAMES[name][2] == line.keys() - {'step', 'seconds', 'memory'}
    for name in whole.players: assert gone_on.players[name].updates == 6

@pytest.mark.parametrize('name', ['bigan', 'text'])
def test_samples_of_a_loaded_run(name, tmp_path):
    t = trainer(name)
    t.fit(3, [Checkpoint(tmp_path/'run')])
    loaded, x = load_run(tmp_path/'run', device='cpu'), t.sample(5, seed=2)
    assert x.shape == (5, *t.data.shape)
    assert loaded.sample(5, seed=2).equal(x)
    # The average of G is what is asked.
    assert not x.equal(t.sample(5, seed=2, ema=False))

def test_translations_of_a_loaded_run(tmp_path):
    t = trainer('pix2pix')
    t.fit(3, [Checkpoint(tmp_path/'run')])
    target, source = next(t.data.batches(5, seed=8))
    loaded = load_run(tmp_path/'run', device='cpu')
    assert loaded.sample(5, y=source).equal(t.sample(5, y=source))
    assert t.logits(target, source).shape == (5, 4, 4)

def test_pictures_of_translations(tmp_path):
    "Who watches asks for translations of the data's own sources, the same ones each time"
    t, grids = trainer('pix2pix'), SampleGrid(every=2, n=3)
    t.fit(4, [grids, LiveView(every=0, n=4)])
    assert [x.shape for _, x in grids.grids] == [(3, 1, SIZE, SIZE)]*2
    _, source = fixed_batch(t.data, 3, t.device)
    assert t.sample(3).equal(t.sample(3, y=source))

def test_the_average_of_a_translator_is_asked(tmp_path):
    t = trainer('cyclegan')
    t.fit(3, [Checkpoint(tmp_path/'run')])
    a = next(t.data.batches(5, seed=8))[0]
    assert t.G_ema is t.averages['AB'].net
    x = t.sample(5, y=a)
    assert not x.equal(t.sample(5, y=a, ema=False))
    assert load_run(tmp_path/'run', device='cpu').sample(5, y=a).equal(x)

def test_texts_are_shown_as_texts():
    t = trainer('text')
    lines = t.data.picture(t.sample(4, seed=0)).split('\n')
    assert [len(line) for line in lines] == [LENGTH]*4 and set(''.join(lines)) <= set(ALPHABET)

@every_game
def test_what_does_not_fit_is_said_in_a_line(name):
    make, data, _ = GAMES[name]
    other = Drawn((2, 3), lambda n, rng: torch.randn(n, 2, 3, generator=rng))
    with pytest.raises(ValueError) as e: Trainer(make(), other, device='cpu')
    assert '\n' not in str(e.value)
