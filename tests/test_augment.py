"An augmentation in a trainer: before every kind of network, inside the penalties, and through a checkpoint"
from functools import partial

import pytest
import torch
from torch import nn

from gan_nb.augment import AdaptiveAugment
from gan_nb.checkpoint import load_run, save_run
from gan_nb.core import seed_everything
from gan_nb.data import digits
from gan_nb.discriminator import DCGANDiscriminator, MLPDiscriminator
from gan_nb.generator import DCGANGenerator, MLPGenerator
from gan_nb.losses import hinge, nonsaturating, rpgan, wasserstein
from gan_nb.penalties import r1, r2, wgan_gp
from gan_nb.r3 import R3Discriminator, R3Generator
from gan_nb.resnet import ResNetDiscriminator, ResNetGenerator
from gan_nb.game import Game
from gan_nb.training import Trainer

SHAPE = 1, 8, 8
PLAIN = dict(precision='fp32', device='cpu')

def dense(): return MLPGenerator(16, SHAPE), MLPDiscriminator(SHAPE), nonsaturating, [r1(1.)]
def dcgan():
    return DCGANGenerator(8, 1, 16, width=16), DCGANDiscriminator(8, 1, width=16, norm=None), nonsaturating, [r1(1.)]
def layer_norm():
    return (
        ResNetGenerator(8, 1, 16, width=16),
        ResNetDiscriminator(8, 1, width=16, norm='layer'),
        wasserstein,
        [wgan_gp(1.0)],
    )
def spectral_norm():
    G = ResNetGenerator(8, 1, 16, width=16, n_classes=10)
    return G, ResNetDiscriminator(8, 1, width=16, spectral_norm=True, n_classes=10), hinge, []
def r3():
    G = R3Generator(8, 1, 16, width=16, blocks=1, n_classes=10)
    return G, R3Discriminator(8, 1, width=16, blocks=1, n_classes=10), rpgan, [r1(1.), r2(1.)]

@pytest.mark.parametrize('make', [dense, dcgan, layer_norm, spectral_norm, r3])
def test_every_kind_of_network_learns_behind_an_augmentation(make):
    data = digits(8)
    mean = (data.images/127.5 - 1).mean(0)
    seed_everything(0)
    G, D, loss, penalties = make()
    adam = partial(torch.optim.Adam, lr=2e-3, betas=(0., .99))
    gan = Trainer(Game(G, D, loss, penalties, augment=AdaptiveAugment(images=2000)), data,
                  opt=adam, batch_size=32, ema=.9, **PLAIN)
    far = (gan.sample(200, seed=0).mean(0) - mean).square().mean()
    for _ in range(40): gan.step()
    near = gan.sample(200, seed=0)
    assert near.isfinite().all() and (near.mean(0) - mean).square().mean() < .6*far

def test_a_penalty_sees_the_augmentation():
    def term(augment):
        seed_everything(0)
        D = MLPDiscriminator(SHAPE, width=1, depth=1); D.net[1] = nn.Identity()                 # linear
        game = Game(MLPGenerator(4, SHAPE), D, nonsaturating, [r1(1.), wgan_gp(1.)], augment)
        return Trainer(game, digits(8), **PLAIN).move('D')
    one, two, none = (term(lambda x, generator=None: k*x) for k in (1, 2, 0))
    assert two['penalty_real']/one['penalty_real'] == pytest.approx(4, rel=1e-4)
    assert (none['penalty_real'], none['penalty_between']) == (0, 1)

def test_a_resumed_run_has_the_probability_of_the_first(tmp_path):
    def run():
        seed_everything(0)
        augment = AdaptiveAugment(('translation',), target=0., images=2000)
        game = Game(MLPGenerator(8, SHAPE), MLPDiscriminator(SHAPE), nonsaturating, [r1(1.)], augment)
        return Trainer(game, digits(8), **PLAIN)
    whole, half = run(), run()
    for _ in range(20): whole.step()
    for _ in range(10): half.step()
    save_run(half, tmp_path)
    again = load_run(tmp_path, device='cpu', data=digits(8))
    for _ in range(10): again.step()
    ours, theirs = again.game.augment, whole.game.augment
    assert ours.config == theirs.config and 0 < theirs.p < 1
    assert (ours.p, ours.sign) == (theirs.p, theirs.sign)
    assert all(torch.equal(p, q) for p, q in zip(whole.D.parameters(), again.D.parameters()))
