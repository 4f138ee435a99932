"""benchmarks/modes.py: a run that was stopped goes on as if it had not been, and its scores are what they say"""
import math, sys
from pathlib import Path

import pytest, torch

sys.path.insert(0, str(Path(__file__).parent.parent/'benchmarks'))
from modes import *

def test_goes_on(tmp_path):
    s, data = settings('d2l', 'rpgan_r1_r2', 5, 24) | dict(batch_size=16), points('ring', 'd2l', True)
    def score(t, average): return scores(t.sample(200, seed=1, ema=average), data, None)
    _, whole, _ = train(s, data, 0, tmp_path/'whole', 8, score)
    t = trainer(s, data, 0)
    t.total_steps = 24
    # stopped between two checkpoints
    t.fit(11, [Scores(tmp_path/'part', 8, score), Checkpoint(tmp_path/'part', every=8, keep=1)])
    _, part, error = train(s, data, 0, tmp_path/'part', 8, score)
    numbers = [[{k: r[k] for k in ('step', 'now', 'average')} for r in rows] for rows in (whole, part)]
    assert numbers[0] == numbers[1] and [r['step'] for r in part] == [8, 16, 24] and error is None

@pytest.mark.parametrize('task, protocol', [('ring', 'd2l'), ('grid', 'd2l'), ('ring', 'pacgan'), ('grid', 'pacgan')])
def test_unit_spread_keeps_the_scores(task, protocol):
    own, unit = (points(task, protocol, u) for u in (False, True))
    x = own.sample(2000, generator=torch.Generator().manual_seed(0))
    assert abs(spread(unit) - 1) < 1e-4
    assert scores(x, own, None) == pytest.approx(scores(x/spread(own), unit, None), abs=1e-3)

class Reader:
    "Reads the digit that an image is filled with"
    def __call__(self, x):
        self.probabilities = torch.nn.functional.one_hot(x[:, 0, 0, 0].long()//25, 10).double()
        return self

def test_stacked_scores():
    digits = torch.cartesian_prod(*[torch.arange(10)]*3)                                               # every mode once
    images = (25*digits.to(torch.uint8))[:, :, None, None].expand(-1, -1, 28, 28)
    assert stacked_scores(images, Reader()) == pytest.approx(dict(modes=1000, kl=0.))
    assert stacked_scores(images[:10], Reader()) == pytest.approx(dict(modes=10, kl=math.log(100)))

@pytest.mark.parametrize('recipe', [g for g in games if g != 'real'])
@pytest.mark.parametrize('protocol', protocols)
def test_every_game_plays_in_every_protocol(protocol, recipe):
    s = settings(protocol, recipe, len(rungs[protocol]) - 1, 2) | dict(batch_size=8)
    digits = StackedDigits(ImageData(torch.randint(256, (50, 1, 28, 28), dtype=torch.uint8)))
    t = trainer(s, digits if protocol in tasks['stacked_mnist'] else points('ring', protocol, s['unit']), 0)
    t.fit(1)
    assert t.sample(4, seed=0).shape == (4, *t.data.shape)
