"""benchmarks/step_speed.py: both sides of the comparison compute the same"""
import os, shutil, sys
from functools import partial
from pathlib import Path

import pytest, torch
from torch._dynamo.utils import counters

sys.path.insert(0, str(Path(__file__).parent.parent/'benchmarks'))
from step_speed import *

adam, sgd = partial(torch.optim.Adam, lr=2e-4, betas=(.5, .99)), partial(torch.optim.SGD, lr=1e-2)

# Rounding grows from step to step; and Adam divides by the size of a gradient, also where that is rounding alone (a bias before a batch norm), so that its two runs part sooner
@pytest.mark.parametrize('opt, most', [(sgd, 2e-3), (adam, .1)])
@pytest.mark.parametrize('task', ['dcgan_32', 'resnet_32'])
def test_same_mathematics(task, opt, most):
    "The same first weights, batches and noise for twenty steps: how far apart, as a share of the way?"
    (G0, D0, loss, penalty, plain), (G1, D1, *_), first = (pair(task, 8) for _ in range(3))
    data = digits(32, channels=3)
    t = Trainer(G0, D0, data, loss=loss, penalties=[penalty], batch_size=16, opt_G=opt, opt_D=opt, ema=0, device='cpu', precision='fp32')
    ref = Reference(G1, D1, loss, plain, torch.device('cpu'), torch.Generator().manual_seed(0))
    ref.opt_G, ref.opt_D = opt(G1.parameters()), opt(D1.parameters())
    batches = data.batches(16, seed=0, device='cpu')
    for _ in range(20): t.step(); ref.step(next(batches)[0].contiguous())
    for ours, theirs, start in zip((G0, D0), (G1, D1), first):
        a, b, c = (torch.cat([p.detach().flatten() for p in n.parameters()]) for n in (ours, theirs, start))
        assert (a - c).norm() > 1e-3 and (a - b).norm() < most*(a - c).norm()

def test_compiled_in_earnest():
    "Twenty steps by the real compiler: one graph for the fakes, one for D with the penalty and its derivatives, one for G, and the same run up to rounding"
    if os.name == 'posix' and not (os.environ.get('CXX') or shutil.which('g++') or shutil.which('clang++')): pytest.skip('the compiler of PyTorch needs one for C++')
    torch._dynamo.reset(); counters.clear()
    ends = []
    for engine in ('eager', 'compile'):
        G, D, loss, penalty, _ = pair('dcgan_32', 8)
        t = Trainer(G, D, digits(32, channels=3), loss=loss, penalties=[penalty], batch_size=16, opt_G=sgd, opt_D=sgd, ema=0, device='cpu', precision='fp32', engine=engine)
        for _ in range(20): t.step()
        assert t.engine == engine
        ends.append((G, D))
    assert counters['stats']['unique_graphs'] == 3 and not counters['graph_break']
    for ours, theirs, start in zip(*ends, pair('dcgan_32', 8)):
        a, b, c = (torch.cat([p.detach().flatten() for p in n.parameters()]) for n in (ours, theirs, start))
        assert (a - c).norm() > 1e-3 and (a - b).norm() < 2e-3*(a - c).norm()
