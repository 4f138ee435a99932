"What people reported of other GAN libraries, tried on training: each test is named after the symptom"
import copy, signal, warnings
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, spectral_norm, weight_norm
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader

from gan_nb.augment import AdaptiveAugment
from gan_nb.core import seed_everything
from gan_nb.data import digits, ring
from gan_nb.discriminator import DCGANDiscriminator, MLPDiscriminator
from gan_nb.generator import DCGANGenerator, MLPGenerator
from gan_nb.losses import hinge, nonsaturating, wasserstein
from gan_nb.penalties import GradientPenalty, r1
from gan_nb.recipes import recipe
from gan_nb.callbacks import Callback, TrainingError
from gan_nb.players import Schedule, cosine
from gan_nb.game import Game
from gan_nb.training import Trainer

SHAPE = (1, 8, 8)
Adam = torch.optim.Adam

def make(G=None, D=None, data=None, loss=nonsaturating, penalties=(), **kw):
    "A small trainer: what a game is made of, and settings of the trainer"
    seed_everything(0)
    G, D = G or MLPGenerator(4, SHAPE, width=8), D or MLPDiscriminator(SHAPE, width=8)
    settings = dict(batch_size=8, device='cpu', precision='fp32') | kw
    return Trainer(Game(G, D, loss, penalties), data or digits(8), **settings)

def refused(text, f):
    "One line that holds `text`"
    with pytest.raises((ValueError, TrainingError)) as e: f()
    assert text in str(e.value) and len(str(e.value).splitlines()) == 1, str(e.value)

def said(f, text):
    "How often `text` was warned of while `f` ran"
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        f()
    return sum(text in str(w.message) for w in seen)

class FlatG(nn.Module):
    "A generator of one's own: a layer between the latents and 8x8 pixels"
    latent_dim = 4
    def __init__(self, layer): super().__init__(); self.layer = layer
    def forward(self, z): return self.layer(z).view(-1, *SHAPE).tanh()

class FlatD(nn.Module):
    "A discriminator of one's own, likewise"
    def __init__(self, *layers): super().__init__(); self.layers = nn.Sequential(nn.Flatten(), *layers)
    def forward(self, x): return self.layers(x).squeeze(1)

# Numbers

def test_steps_as_a_float_are_refused_before_training():
    "fit(1e4) trained, saved, and made a run that could never be loaded"
    gan = make()
    for steps in (1e1, .5*len(digits(8))/64, True, '3'): refused('steps must be a whole number', lambda: gan.fit(steps))
    assert gan.steps_done == 0

def test_numbers_of_numpy_and_torch_become_numbers():
    "np.int64 for a batch size and np.float32 for a decay ended in a raw TypeError at the first save"
    gan = make(batch_size=np.int64(8), ema=np.float32(.5), times=dict(D=torch.tensor(2)), clip=dict(D=np.float32(.5)),
               penalties=[r1(np.float32(2.))])
    gan.fit(np.int64(2), log_every=torch.tensor(1))
    D, penalty = gan.players['D'], gan.game.penalties['penalty_real']
    numbers = gan.batch_size, gan.ema, D.times, D.clip, penalty.config['weight']
    assert [type(v) for v in numbers] == [int, float, int, float, float]

def test_large_numbers_that_make_sense_are_valid():
    "One bound for all numbers of all parts refused 500,000 images, its own default, and batches of 100,000 points"
    assert AdaptiveAugment().config['images'] == 500_000
    GradientPenalty('real', 0., 1e5)
    make(MLPGenerator(2, (2,), width=8), MLPDiscriminator((2,), width=8), ring(), batch_size=100_000)

def test_a_network_larger_than_any_machine_is_refused_at_once():
    "depth=65536 took 457 MiB and half a minute before it was refused"
    refused('the largest that works', lambda: MLPGenerator(2, SHAPE, depth=65536))
    refused(
        'plain must lie in', lambda: recipe('sngan', discriminator=dict(plain=1000)).trainer(digits(8), device='cpu')
    )

def test_optimizers_that_cannot_descend():
    "Rates of -1 and 1e300, maximize=True: refused by the part that makes them"
    for kw, text in ((dict(lr=-1.), 'learning rate'), (dict(lr=1e300), 'lr must'),
                     (dict(lr=1e-3, maximize=True), 'maximize'), (dict(lr=1e-3, eps=float('inf')), 'eps')):
        refused(text, lambda: make(opt=dict(G=partial(Adam, **kw))))

def test_a_penalty_whose_target_is_true(): refused('target must be a number', lambda: GradientPenalty('real', True, 1.))

def test_a_constant_schedule_that_ends_elsewhere():
    "`to` was ignored without a word"
    refused("'constant'", lambda: Schedule('constant', to=.3))

def test_unread_losses_do_not_grow_without_end():
    "log_every=10**9 kept every loss on the device, and in a state that was too large to be loaded"
    refused('log_every must lie in [1, 10000]', lambda: make().fit(1, log_every=10**9))

# What belongs to the user

SCHEDULERS = dict(
    StepLR=partial(torch.optim.lr_scheduler.StepLR, step_size=2, gamma=.5),
    Cosine=partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=6),
    OneCycle=partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=.1, total_steps=8),
    Lambda=partial(torch.optim.lr_scheduler.LambdaLR, lr_lambda=lambda step: 1/(1 + step)))

@pytest.mark.parametrize('name', SCHEDULERS)
def test_schedulers_of_pytorch_take_effect(name):
    "A scheduler on an optimizer was overwritten at each step; OneCycleLR froze at max_lr/25 (lightning-thunder#9)"
    gan, alone = make(), Adam([nn.Parameter(torch.zeros(1))], lr=2e-4, betas=(.5, .99))
    theirs, reference, rates, want = SCHEDULERS[name](gan.players['G'].opt), SCHEDULERS[name](alone), [], []
    for _ in range(6):
        gan.step(); alone.step()
        rates.append(gan.players['G'].opt.param_groups[0]['lr']); want.append(alone.param_groups[0]['lr'])
        theirs.step(); reference.step()
    assert rates == want

def test_a_rate_set_by_hand_stays():
    gan = make()
    gan.step()
    gan.players['D'].opt.param_groups[0]['lr'] = 1e-5
    gan.step()
    assert gan.players['D'].opt.param_groups[0]['lr'] == 1e-5

def test_two_hands_on_one_rate_are_refused():
    gan = make(schedules=dict(lr=cosine()))
    gan.total_steps = 4
    gan.step()
    gan.players['G'].opt.param_groups[0]['lr'] = 1.
    refused('leave the schedule out', gan.step)

def test_a_layer_frozen_during_training_stays_frozen():
    "Freezing was undone after a step (FreezeD#6, pytorch-CycleGAN-and-pix2pix#594)"
    gan = make()
    gan.step()
    for p in gan.D.net[0].parameters(): p.requires_grad_(False)
    kept = copy.deepcopy(gan.D.net[0].state_dict())
    for _ in range(2): gan.step()
    assert not any(p.requires_grad for p in gan.D.net[0].parameters())
    assert all(torch.equal(v, kept[k]) for k, v in gan.D.net[0].state_dict().items())

def test_a_layer_thawed_during_training_learns():
    D = MLPDiscriminator(SHAPE, width=8)
    for p in D.net[0].parameters(): p.requires_grad_(False)
    gan = make(D=D)
    kept = D.net[0].weight.detach().clone()
    gan.step()
    assert torch.equal(D.net[0].weight, kept)
    for p in D.net[0].parameters(): p.requires_grad_(True)
    gan.step()
    assert D.net[0].weight.requires_grad and not torch.equal(D.net[0].weight, kept)

def test_a_backbone_in_eval_keeps_its_statistics():
    "A frozen batch norm inside of D was put into training, and its running mean moved (lightning#18930)"
    D = FlatD(nn.BatchNorm1d(64), nn.Linear(64, 1))
    D.layers[1].eval()
    gan = make(D=D)
    for _ in range(2): gan.step()
    gan.sample(2)
    assert not D.layers[1].training and D.training and D.layers[1].running_mean.abs().sum() == 0

def test_sampling_gives_each_part_its_own_mode_back():
    G = FlatG(nn.Sequential(nn.Linear(4, 64), nn.BatchNorm1d(64)))
    G.layer[1].eval()
    gan = make(G, ema=0)
    gan.sample(2)
    assert G.training and G.layer[0].training and not G.layer[1].training

def test_clipping_leaves_frozen_weights_alone():
    D = MLPDiscriminator(SHAPE, width=8)
    D.net[0].weight.requires_grad_(False).fill_(.5)
    make(D=D, loss=wasserstein, clip=dict(D=.01)).step()
    assert (D.net[0].weight == .5).all()

class Reentrant(FlatG):
    def forward(self, z): return checkpoint(self.layer, z, use_reentrant=True).view(-1, *SHAPE).tanh()

def test_weights_without_a_gradient_are_named():
    "Layers behind reentrant checkpointing at the start of G never train, and nothing said so (pytorch#51743)"
    gan = make(Reentrant(nn.Linear(4, 64)))
    gan.G.extra = nn.Parameter(torch.zeros(1))
    with pytest.raises(RuntimeError): gan.step()          # nothing in G has a gradient: PyTorch says so itself
    G = FlatG(nn.Linear(4, 64))
    G.unused = nn.Linear(2, 2)
    gan = make(G)
    assert said(lambda: [gan.step() for _ in range(3)], 'unused.weight, unused.bias got no gradient') == 1

# The average

@pytest.mark.parametrize('norm', [parametrizations.spectral_norm, spectral_norm])
def test_the_average_of_a_spectrally_normalised_generator_is_one(norm):
    "Averaged vectors were no unit vectors, and the largest singular value rose above 1 (miles-credit#394)"
    gan = make(FlatG(norm(nn.Linear(4, 64))), opt=dict(G=partial(Adam, lr=.05)))
    for _ in range(30): gan.step()
    gan.sample(2)
    layer = gan.G_ema.layer
    for name, v in layer.named_buffers(): assert abs(v.norm().item() - 1) < 1e-5, name
    assert torch.linalg.matrix_norm(layer.weight.detach(), 2).item() < 1.001

class Complex(nn.Module):
    def __init__(self): super().__init__(); self.w = nn.Parameter(torch.randn(4, 64, dtype=torch.complex64))
    def forward(self, z): return (z.to(torch.complex64) @ self.w).abs() - 1

class Volume(nn.Module):
    "A 3d convolution: weights with five dimensions"
    def __init__(self): super().__init__(); self.conv = nn.Conv3d(1, 16, (1, 2, 2), padding=(0, 1, 1))
    def forward(self, z): return self.conv(z.view(-1, 1, 1, 2, 2).expand(-1, 1, 1, 2, 2)).flatten(1)[:, :64]

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.out = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 64)
        self.b.weight, self.scale = self.a.weight, nn.Parameter(torch.ones(()))
    def forward(self, z): return self.scale*self.out(self.b(self.a(z).relu()))

@pytest.mark.parametrize('layer', [Complex, Volume, Tied, lambda: spectral_norm(nn.Linear(4, 64)),
                                   lambda: weight_norm(nn.Linear(4, 64))],
                         ids=['complex', '5d', 'tied and 0d', 'old spectral norm', 'old weight norm'])
def test_weights_of_every_kind_are_trained_and_averaged(layer):
    gan = make(FlatG(layer()))
    before = [p.detach().clone() for p in gan.G_ema.parameters()]
    for _ in range(3): gan.step()
    gan.sample(2)
    assert all(not torch.equal(a, b) for a, b in zip(before, gan.G_ema.parameters()))

def test_weights_in_16_bits_are_refused():
    "Their average lagged behind: small updates are lost in 8 bits of mantissa"
    refused("precision='bf16'", lambda: make(FlatG(nn.Linear(4, 64).bfloat16())))

# Shapes and wrong parts

class FlatScalar(nn.Linear):
    "One number for the whole batch"
    def __init__(self): super().__init__(64, 1)
    def forward(self, x): return super().forward(x.flatten(1)).mean().view(1)

@pytest.mark.parametrize('D, text', [(FlatD(nn.Linear(64, 2)), 'D gives (2, 2)'), (FlatScalar(), 'D gives (1,)'),
                                     (nn.Linear(3, 1), 'D (Linear) does not take')])
def test_a_discriminator_that_does_not_give_a_logit_each(D, text): refused(text, lambda: make(D=D))

def test_a_discriminator_of_patches_is_welcome():
    gan = make(D=nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 1, 3)), penalties=[r1(1.)])
    gan.step()

def test_a_generator_of_another_size():
    refused('G draws (1, 16, 16), the data has (1, 8, 8)', lambda: make(nn_G16(), D=nn.Conv2d(1, 1, 3)))

def nn_G16():
    G = nn.Sequential(nn.Linear(4, 256), nn.Unflatten(1, (1, 16, 16)))
    G.latent_dim = 4
    return G

def test_parts_of_the_wrong_kind_are_told_in_a_line():
    """DataParallel, a DataLoader, an optimizer in place of what makes one, no latent_dim, a loss and a schedule that
    are none"""
    refused('wrapped in DataParallel', lambda: make(nn.DataParallel(MLPGenerator(4, SHAPE, width=8))))
    refused('a DataLoader has no `shape`', lambda: make(data=DataLoader(torch.zeros(4, *SHAPE))))
    G = MLPGenerator(4, SHAPE, width=8)
    refused('give what makes an optimizer', lambda: make(G, opt=dict(G=Adam(G.parameters()))))
    refused('has no latent_dim', lambda: make(nn.Sequential(nn.Linear(4, 64), nn.Unflatten(1, SHAPE))))
    refused("did you mean 'hinge'?", lambda: make(loss='hing'))
    assert make(loss='hinge').game.loss is hinge
    refused('is not built yet', lambda: make(D=nn.Sequential(nn.Flatten(), nn.LazyLinear(1))))
    refused('no function of progress', lambda: make(schedules=dict(lr=.5)))

def test_batch_norm_and_a_single_image():
    "gp_gan --batch-size 1 ended in a page of traceback"
    refused(
        'batch norm needs a batch_size of at least 2',
        lambda: recipe('gp_gan', batch_size=1, generator=dict(width=(8, 8), norm='batch')).trainer(
            digits(8), device='cpu'
        ),
    )

def test_making_a_trainer_leaves_no_trace_in_the_networks():
    "The trial of the shapes moves neither statistics nor random numbers"
    G = DCGANGenerator(8, 1, latent_dim=4, width=4)
    D = DCGANDiscriminator(8, 1, width=4, norm=None, spectral_norm=True)
    kept, random = copy.deepcopy((G.state_dict(), D.state_dict())), torch.get_rng_state()
    Trainer(Game(G, D, nonsaturating), digits(8), batch_size=8, device='cpu')
    for net, state in zip((G, D), kept):
        for k, v in net.state_dict().items(): assert torch.equal(v, state[k]), k
    assert torch.equal(random, torch.get_rng_state())

# Watching

class Noisy(FlatG):
    def forward(self, z): return super().forward(z + .1*torch.randn_like(z))

def test_a_generator_that_draws_noise_gives_the_same_sample_for_a_seed():
    gan = make(Noisy(nn.Linear(4, 64)))
    gan.step()
    assert torch.equal(gan.sample(8, seed=1), gan.sample(8, seed=1))
    assert not torch.equal(gan.sample(8), gan.sample(8))

def test_watching_does_not_change_a_run_whose_networks_draw():
    layer = nn.Linear(4, 64)
    a, b = make(Noisy(layer)), make(Noisy(copy.deepcopy(layer)))
    seed_everything(1)
    for _ in range(3): a.step()
    seed_everything(1)
    for _ in range(3): b.step(); b.sample(3, seed=0); b.sample(2)
    assert all(torch.equal(p, q) for p, q in zip(a.G.parameters(), b.G.parameters()))

# The loop

class Broken(Callback):
    "Never comes to before_fit, so has no bar to close"
    def on_error(self, trainer, error): self.bar.close()

class Lock(Callback):
    freed = False
    def before_fit(self, trainer): self.held = True
    def on_error(self, trainer, error): self.freed = self.held

class Raises(Callback):
    def before_fit(self, trainer): raise TrainingError('the real error')

def test_an_error_in_on_error_hides_nothing():
    "A callback that was never started raised AttributeError in on_error: it hid the error, and others kept their locks"
    lock = Lock()
    with warnings.catch_warnings(record=True) as seen, pytest.raises(TrainingError, match='the real error'):
        warnings.simplefilter('always')
        make().fit(1, [Broken(), lock, Raises(), Broken()])
    assert lock.freed and sum("Broken.on_error" in str(w.message) for w in seen) == 1

def test_numbers_of_any_kind_in_a_record():
    class Puts(Callback):
        def after_log(self, trainer, record): record |= dict(a=np.float32(.5), b=torch.tensor(2.))
    class Reads(Callback):
        def after_log(self, trainer, record): self.found = record['a'], record['b']
    reads = Reads()
    make().fit(2, [Puts(), reads])
    assert reads.found == (.5, 2.) and [type(v) for v in reads.found] == [float, float]

def test_a_finished_run_that_goes_on_does_not_jump_back_to_a_high_rate():
    "fit(8) twice with a cosine: the rate went from 0.04 of its start back to 0.92"
    gan = make(schedules=dict(lr=cosine(.02)))
    gan.fit(8)
    end = gan.players['G'].opt.param_groups[0]['lr']
    assert said(lambda: gan.fit(4), 'stay at their end') == 1
    assert gan.players['G'].opt.param_groups[0]['lr'] == end
    again = make(schedules=dict(lr=cosine(.02)))
    again.fit(8)
    again.total_steps = 16
    again.fit(8)
    assert again.players['G'].opt.param_groups[0]['lr'] == end

def test_two_terminations_are_one_request():
    "A second SIGTERM, as systems send when they shut down, killed the process in the middle of its last save"
    class Twice(Callback):
        def after_step(self, trainer):
            if trainer.steps_done == 2:
                for _ in range(2): signal.raise_signal(signal.SIGTERM)
    gan = make()
    with pytest.raises(SystemExit) as e: gan.fit(5, [Twice()])
    assert (e.value.code, gan.steps_done) == (143, 2)
