"""Twenty steps of every recipe, and of nine settings beside them, give the weights that they gave before the code was
moved.

The numbers in data/weights.json were written by commit cc96630, on the machine and with the PyTorch that the file
names. There the weights must be equal to the bit; elsewhere sums are added up in another order, and what is compared is
what the networks answer, within a tolerance.

    python tests/test_same_weights.py        # write the numbers anew, after a change that is meant to change them
"""
import hashlib, json, platform, sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gan_nb.data import digits, ring
from gan_nb.recipes import recipe, recipes

FILE = Path(__file__).parent/'data/weights.json'
SMALL = dict(latent_dim=4, batch_size=6, steps=20)
STEPS = 20

R1_LAZY = dict(at='real', target=0., weight=1., every=3)
COSINE = dict(name='cosine', to=.1, start=1., until=1.)
FURTHER = {                                                    # name -> (recipe, its changes, precision)
    'lazy penalties': ('rpgan', dict(penalties=(R1_LAZY, R1_LAZY | dict(at='fake', every=2))), 'fp32'),
    'all schedules': ('rpgan', dict(schedules=dict(lr=COSINE, penalty=COSINE, beta2=COSINE, ema=COSINE)), 'fp32'),
    'clipping': ('rpgan_mlp', dict(clip=.05, loss='wasserstein', penalties=(), n_critic=3), 'fp32'),
    'bf16': ('rpgan', {}, 'bf16'),
    'augmentation': ('rpgan', dict(augment=dict(name='Augment', p=.5)), 'fp32'),
    'adaptive augmentation': ('rpgan', dict(augment=dict(name='AdaptiveAugment', images=100)), 'fp32'),
    'unrolled': ('gan', dict(unroll=2), 'fp32'),
    'finite differences': ('rpgan_mlp', dict(penalties=(dict(at='real', target=0., weight=1.,
                                                             estimator='finite_difference'),)), 'fp32'),
    'no average': ('wgan_gp', dict(ema=0.), 'fp32'),
}
# Pixels lie in [-1, 1] and logits around 1. Without vector instructions, most answers move by 1e-6. Some settings
# enlarge rounding errors:
# a difference quotient divides by a small number, and biases before the batch norm of residual blocks wander (see
# `answers`). Seen: 2e-2 for
# acgan, 2e-3 for the other residual networks, 3e-3 for finite differences, 2e-4 in bfloat16. These tolerances are five
# to ten times that.
LOOSE = {'acgan': .1, 'sngan': .02, 'sngan_projection': .02, 'hinge_sa': .02, 'finite differences': .03, 'bf16': 2e-3}

DROPOUT = 'dcgan64', 'lsgan_dcgan'

CASES = {name: (name, {}, 'fp32') for name in recipes()} | FURTHER

def narrow(r):
    "The same recipe with small networks"
    parts = dict(generator=r.generator, discriminator=r.discriminator)
    return replace(r, width=8, **{k: v | ({'width': 8} if 'width' in v else {}) for k, v in parts.items()})

def trained(case):
    name, changes, precision = CASES[case]
    data = ring() if name == 'rpgan_points' else digits(12)
    t = narrow(recipe(name, **SMALL, **changes)).trainer(data, seed=1, device='cpu', precision=precision)
    t.total_steps = STEPS
    for _ in range(STEPS): t.step()
    return t

def networks(t): return dict(G=t.G, D=t.D) | (dict(G_ema=t.G_ema) if t.G_ema is not None else {})

def digest(net):
    "The bits of all weights and buffers, in the order of their names"
    state = net.state_dict()
    return hashlib.sha256(b''.join(state[k].contiguous().numpy().tobytes() for k in sorted(state))).hexdigest()

def answers(t):
    """What the networks say of fixed inputs: some of G's pixels for four latents, D's logits for eight images.

    Weights themselves are no measure from machine to machine: one whose exact gradient is 0, such as a bias before
    batch norm, follows the rounding errors, which Adam enlarges to whole steps, and nothing that the network computes
    depends on it."""
    z, y = torch.randn(4, t.G.latent_dim, generator=torch.Generator().manual_seed(0)), torch.arange(8)
    x = next(t.data.batches(8, seed=2, device='cpu'))[0]
    with torch.no_grad():
        logits = t.D.eval()(x, y) if getattr(t.D, 'n_classes', 0) else t.D.eval()(x)
        pixels = [t.sample(4, z=z, ema=ema).flatten(1)[:, ::17].flatten() for ema in (False, True)]
    return [round(v, 6) for v in torch.cat([*pixels, logits.flatten()]).tolist()]

def machine():
    cpu = next((l.split(':')[1].strip() for l in open('/proc/cpuinfo') if l.startswith('model name')),
               '') if sys.platform == 'linux' else platform.processor()
    return dict(cpu=cpu, capability=torch.backends.cpu.get_cpu_capability(), torch=torch.__version__.split('+')[0],
                threads=torch.get_num_threads())

def result(case):
    t = trained(case)
    return dict(sha256={name: digest(net) for name, net in networks(t).items()}, answers=answers(t))

@pytest.mark.parametrize('case', CASES)
def test_same_weights(case):
    kept, found = json.loads(FILE.read_text()), result(case)
    if machine() == kept['machine']: assert found['sha256'] == kept['cases'][case]['sha256']
    if case in DROPOUT and machine()['torch'] != kept['machine']['torch']:
        pytest.skip('another PyTorch draws other numbers for dropout')
    answers, expected = torch.tensor(found['answers']), torch.tensor(kept['cases'][case]['answers'])
    torch.testing.assert_close(answers, expected, rtol=0, atol=LOOSE.get(case, 2e-5))

if __name__ == '__main__':
    found = {case: result(case) for case in CASES}
    FILE.write_text(json.dumps(dict(machine=machine(), cases=found)) + '\n')
