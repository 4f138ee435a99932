"""benchmarks/step_speed.py: both sides of the comparison compute the same, and the table says what ran"""
import multiprocessing, os, shutil, sys, threading
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import pytest, torch
import torch.nn.functional as F
from torch import nn
from torch._dynamo.utils import counters

sys.path.insert(0, str(Path(__file__).parent.parent/'benchmarks'))
import step_speed
from gan_nb import engines
from gan_nb.engines import why_not_compiled
from step_speed import *

# Adam divides by the size of a gradient, also where that is rounding alone (a bias before a batch norm); a larger eps
# keeps it from making a step of that
adam, sgd = partial(torch.optim.Adam, lr=2e-4, betas=(.5, .99), eps=1e-3), partial(torch.optim.SGD, lr=1e-3)

@pytest.fixture
def smooth(monkeypatch):
    """A ReLU has a kink, which two runs may meet on different sides for a rounding's sake, and jump apart: make pairs
    without kinks"""
    monkeypatch.setattr(torch.Tensor, 'relu', F.silu)
    def make(*args):
        G, D, *rest = pair(*args)
        for m in [*G.modules(), *D.modules()]:
            for name, child in m.named_children():
                if isinstance(child, (nn.ReLU, nn.LeakyReLU)): setattr(m, name, nn.SiLU())
        return G, D, *rest
    return make

def agree(ours, theirs, starts):
    "Whether both runs have moved, and are no further apart than rounding, as a share of the way"
    for nets in zip(ours, theirs, starts):
        a, b, c = (torch.cat([p.detach().flatten() for p in n.parameters()]) for n in nets)
        assert (a - c).norm() > 1e-3 and (a - b).norm() < 1e-4*(a - c).norm()                 # seen: 1e-6 to 1.4e-5

@pytest.mark.parametrize('opt', [sgd, adam])
@pytest.mark.parametrize('task', ['dcgan_32', 'resnet_32'])
def test_same_mathematics(task, opt, smooth):
    "The same first weights, batches and noise for twenty steps"
    (G0, D0, loss, penalty, plain), (G1, D1, *_), first = (smooth(task, 8) for _ in range(3))
    data = digits(32, channels=3)
    t = Trainer(Game(G0, D0, loss, [penalty]), data, opt=opt, batch_size=16, ema=0, device='cpu', precision='fp32')
    ref = Reference(G1, D1, loss, plain, torch.device('cpu'), torch.Generator().manual_seed(0))
    ref.opt_G, ref.opt_D = opt(G1.parameters()), opt(D1.parameters())
    batches = data.batches(16, seed=0, device='cpu')
    for _ in range(20): t.step(); ref.step(next(batches)[0].contiguous())
    agree((G0, D0), (G1, D1), first)

class Kernels(TorchDispatchMode):
    "Notes the largest side of a kernel, in backward convolutions too"
    largest = 0
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kernel = {torch.ops.aten.convolution: 1, torch.ops.aten.convolution_backward: 2}.get(func.overloadpacket)
        if kernel: self.largest = max(self.largest, *args[kernel].shape[2:])
        return func(*args, **kwargs or {})

@pytest.mark.parametrize('task', ['dcgan_32', 'resnet_32'])
def test_kernels_of_the_penalty(task):
    "The second backward of the trainer has the kernels of D; that of the reference convolves with feature maps"
    (G0, D0, loss, penalty, plain), (G1, D1, *_) = (pair(task, 8) for _ in range(2))
    t = Trainer(Game(G0, D0, loss, [penalty]), digits(32, channels=3),
                batch_size=4, ema=0, device='cpu', precision='fp32')
    ref = Reference(G1, D1, loss, plain, torch.device('cpu'))
    with Kernels() as ours: t.move('D')
    with Kernels() as theirs: ref.step(torch.randn(4, 3, 32, 32))
    assert ours.largest == 4 and theirs.largest >= 16

@pytest.mark.parametrize('task', ['dcgan_32', 'resnet_32'])
def test_compiled_in_earnest(task, smooth):
    """Twenty steps by the real compiler: one graph for the fakes, one for D with the penalty and its derivatives, one
    for G, and the same run"""
    if os.name == 'posix' and not (os.environ.get('CXX') or shutil.which('g++') or shutil.which('clang++')):
        pytest.skip('the compiler of PyTorch needs one for C++')
    torch._dynamo.reset(); counters.clear()
    ends = []
    for engine in ('eager', 'compile'):
        G, D, loss, penalty, _ = smooth(task, 8)
        t = Trainer(Game(G, D, loss, [penalty]), digits(32, channels=3),
                    opt=sgd, batch_size=16, ema=0, device='cpu', precision='fp32', engine=engine)
        if engine == 'eager' and (why := why_not_compiled(t)): pytest.skip(why)
        for _ in range(20): t.step()
        assert t.engine == engine
        ends.append((G, D))
    assert counters['stats']['unique_graphs'] == 3 and not counters['graph_break']
    agree(*ends, smooth(task, 8))

class Threads:
    "In place of a context of multiprocessing: the sides are threads of this process"
    Pipe = staticmethod(multiprocessing.Pipe)
    class Process(threading.Thread):
        def __init__(self, target, args):
            wire, *rest = args
            # as a process has it: `measure` closes the one it gave away
            wire = Connection(os.dup(wire.fileno()))
            super().__init__(target=target, args=(wire, *rest), daemon=True)

def test_an_engine_that_cannot_be_had_has_no_numbers(monkeypatch):
    """A trainer whose step cannot be compiled goes on with engine='eager'; the table must not give that time as the
    time of a compiled step"""
    monkeypatch.setattr(step_speed, 'get_context', lambda method: Threads)
    # without workers
    monkeypatch.setattr(step_speed, 'DataLoader', lambda data, batch, **kw: DataLoader(data, batch, drop_last=True))
    monkeypatch.setattr(step_speed, 'write_pictures', partial(write_pictures, n=16))
    monkeypatch.setattr(engines, 'why_not_compiled', lambda trainer: 'there is no compiler today')
    row = measure('dcgan_32', 8, 8, True, torch.device('cpu'), 1, 1, dict(fp32=1e9, bf16=1e9))
    assert {'reference', 'fp32'} <= row.keys() and not {'fp32_compile', 'auto_compile'} & row.keys()
    assert 'fp32_compile' in row['without']
    machine = dict(name='a machine', cores=1, threads=1, torch='2', fp32=1, bf16=1)
    text = table(dict(rows=[row], machine=machine, processor_time=False, date='today'))
    assert (
        '| fp32 |' in text
        and '| fp32_compile |' not in text
        and "`fp32_compile` of dcgan_32, width 8, batch 8, with a penalty: not to be had here" in text
    )

@pytest.mark.parametrize('option, word', [('penalty', 'with'), ('penalty', 'yes,'), ('batch', '64,x'), ('batch', '0'),
                                          ('task', 'dcgan_33')])
def test_a_wrong_option_is_one_line(option, word, monkeypatch):
    "`--penalty with` is not taken for no"
    monkeypatch.setattr(step_speed, 'measure', lambda *args: pytest.fail(f'measured, with {args}'))
    monkeypatch.setattr(step_speed, 'rate', lambda *args: 1e9)
    with pytest.raises(SystemExit) as e: main.__wrapped__(**dict(task='dcgan_32') | {option: word})
    assert len(e.value.code.splitlines()) == 1 and f'--{option}' in e.value.code
