"""Which modes a GAN finds, in published protocols: a ring of 8 Gaussians, a grid of 25, and the 1,000 modes of Stacked
MNIST

    python benchmarks/modes.py grid --protocol d2l --recipe rpgan_r1_r2 --rung 4 --seeds 0,1,2
    python benchmarks/modes.py stacked_mnist --protocol unrolled4 --recipe rpgan_r1_r2 --rung 3 --seeds 0,1 --root DATA

Each run has its own folder below --out, with checkpoints; each finished run is one JSON file in --results, for images
with a picture, and modes.md beside it is the table of all of them. A command that was killed goes on where its last
checkpoint stands; what is finished is not run again.
"""
import json, math, platform, statistics, time
from collections import defaultdict
from functools import partial
from pathlib import Path

import torch
from fastcore.script import call_parse
from torch import nn
from torchvision import datasets

from gan_nb.all import *
from gan_nb.files import write_atomic

# ---- data

class StackedDigits(DataSet):
    "Three digits, drawn afresh each time, as the colours of one image: 1,000 modes"
    shape = (3, 28, 28)
    def __init__(self, digits): self.digits, self.config = digits, dict(source='stacked digits', of=digits.config)
    def __len__(self): return len(self.digits)
    def batches(self, batch_size, seed=0, device=None):
        device = check_device(device)
        def draw(n, generator):
            rows = torch.randint(len(self.digits), (n, 3), generator=generator)
            return to_floats(self.digits.images[rows, 0], device)                         # (B, 3, 28, 28)
        return drawn_batches(draw, batch_size, seed, device)

def spread(mixture):
    "Root of the mean square of a mixture's coordinates"
    return (mixture.modes.square().mean() + mixture.std**2).sqrt().item()

def points(task, protocol, unit):
    "The mixture of a protocol; if `unit`, in units of its spread: every score stays what it is"
    radius, std = (1., .01) if protocol == 'pacgan' else (2., .02)
    s = spread(ring(8, radius, std) if task == 'ring' else grid()) if unit else 1.
    return ring(8, radius/s, std/s) if task == 'ring' else grid(5, 2/s, .05/s)

# ---- networks that the library does not have

class Packed(nn.Module):
    "Let a discriminator judge `m` samples at once (Lin et al. 2018)"
    def __init__(self, D, m, shape): super().__init__(); self.D, self.pack, self.shape = D, m, shape
    def forward(self, x): return self.D(x.reshape(len(x)//self.pack, -1, *x.shape[2:]))             # (B/m,)

class StdMLP(nn.Module):
    "A dense discriminator with `MinibatchStd` before its last layer"
    def __init__(self, shape, width, depth):
        super().__init__()
        self.shape, self.body, self.std, self.out = (
            shape,
            MLPDiscriminator(shape, width, depth).net[:-1],
            MinibatchStd(),
            nn.Linear(width + 1, 1),
        )
    def forward(self, x): return self.out(self.std(self.body(x)[..., None, None]).flatten(1)).squeeze(1)

class PacGenerator(nn.Module):
    "2-400-400-400-400-2 with batch norm"
    latent_dim, n_classes, shape = 2, 0, (2,)
    def __init__(self):
        super().__init__()
        hidden = [l for i in range(4) for l in (nn.Linear(400 if i else 2, 400, bias=False), nn.BatchNorm1d(400),
                                                nn.ReLU())]
        self.net = init_dcgan(nn.Sequential(*hidden, nn.Linear(400, 2)))
    def forward(self, z): return self.net(z)

class PacDiscriminator(nn.Module):
    "Three layers of 200 maxout units with 5 pieces each"
    def __init__(self, n_in):
        super().__init__()
        self.hidden, self.out = nn.ModuleList(nn.Linear(200 if i else n_in, 1000) for i in range(3)), nn.Linear(200, 1)
        init_dcgan(self)
    def forward(self, x):
        for l in self.hidden: x = l(x).unflatten(1, (200, 5)).amax(2)
        return self.out(x).squeeze(1)

class TinyGenerator(nn.Module):
    "The generator of Unrolled GANs (Metz et al. 2017) for Stacked MNIST, from PyTorch's first weights"
    latent_dim, n_classes, shape = 256, 0, (3, 28, 28)
    def __init__(self):
        super().__init__()
        def up(i, o, extra):
            return [nn.ConvTranspose2d(i, o, 3, 2, 1, output_padding=extra, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
        self.project = nn.Sequential(nn.Linear(256, 64*4*4, bias=False), nn.BatchNorm1d(64*4*4), nn.ReLU(),
                                     nn.Unflatten(1, (64, 4, 4)))
        self.net = nn.Sequential(*up(64, 32, 0), *up(32, 16, 1), *up(16, 8, 1), nn.Conv2d(8, 3, 3, padding=1),
                                 nn.Tanh())
    def forward(self, z): return self.net(self.project(z))

class TinyDiscriminator(nn.Module):
    """Its discriminator: `width`, twice and four times as many feature maps; `he`: first weights that keep the size of
    a signal (He et al. 2015), which no batch norm restores"""
    def __init__(self, channels, width, norm, std, he):
        super().__init__()
        def down(i, o):
            return [nn.Conv2d(i, o, 3, 2, 1), nn.BatchNorm2d(o) if norm else nn.Identity(), nn.LeakyReLU(.3)]
        layers = [*down(channels, width), *down(width, 2*width), *down(2*width, 4*width), *[MinibatchStd()]*std]
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear((4*width + std)*4*4, 1))
        for m in self.net if he else []:
            if isinstance(m, (nn.Conv2d, nn.Linear)): nn.init.kaiming_normal_(m.weight, a=.3); nn.init.zeros_(m.bias)
    def forward(self, x): return self.net(x).squeeze(1)

class WideGenerator(nn.Module):
    """The DCGAN of VEEGAN and PacGAN for Stacked MNIST (Srivastava et al. 2017, Lin et al. 2018). Differs: latents from
    a normal distribution, images in [-1, 1]"""
    latent_dim, n_classes, shape = 100, 0, (3, 28, 28)
    def __init__(self):
        super().__init__()
        def up(i, o, extra):
            return [nn.ConvTranspose2d(i, o, 5, 2, 2, output_padding=extra, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
        project = [nn.Linear(100, 512*2*2, bias=False), nn.Unflatten(1, (512, 2, 2)), nn.BatchNorm2d(512), nn.ReLU()]
        self.net = init_dcgan(nn.Sequential(*project, *up(512, 256, 1), *up(256, 128, 0), *up(128, 64, 1),
                                            nn.ConvTranspose2d(64, 3, 5, 2, 2, output_padding=1), nn.Tanh()))
    def forward(self, z): return self.net(z)

class WideDiscriminator(nn.Module):
    "Its discriminator"
    def __init__(self, channels, norm, std):
        super().__init__()
        def down(i, o, norm):
            return [nn.Conv2d(i, o, 5, 2, 2), nn.BatchNorm2d(o) if norm else nn.Identity(), nn.LeakyReLU(.2)]
        layers = [l for i, o in zip((channels, 64, 128, 256), (64, 128, 256, 512))
                  for l in down(i, o, norm and i != channels)]
        self.net = init_dcgan(nn.Sequential(*layers, *[MinibatchStd()]*std, nn.Flatten(),
                                            nn.Linear((512 + std)*2*2, 1)))
    def forward(self, x): return self.net(x).squeeze(1)

# ---- protocols, what we change in them rung by rung, and games

_unrolled = dict(nets='tiny', batch_size=128, steps=500_000, lr_G=1e-4, lr_D=2e-4, betas=(.5, .99), gamma=1., gp=10.,
                 norm_D=True, he=False, n_eval=25_600)
protocols = dict(
    d2l=dict(nets='mlp', batch_size=256, steps=20_000, lr_G=2e-4, lr_D=2e-4, betas=(0., .99), gamma=1., gp=.1,
             n_eval=10_000),
    pacgan=dict(nets='maxout', batch_size=100, steps=400_000, lr_G=1e-4, lr_D=1e-4, betas=(.8, .999), gamma=1., gp=.1,
                n_eval=2500),
    unrolled4=dict(_unrolled, width_D=2), unrolled2=dict(_unrolled, width_D=4),      # D = 1/4 G and D = 1/2 G
    veegan=dict(nets='wide', batch_size=64, steps=100_000, lr_G=2e-4, lr_D=2e-4, betas=(.5, .999), gamma=1., gp=10.,
                norm_D=True, n_eval=26_000))      # for a GPU; G moves once in a step, not twice

_points = [('as published', {}), ('data of unit spread', dict(unit=True)), ('γ 0.1', dict(gamma=.1)),
           ('learning rate 1e-3, falling as a cosine', dict(lr_G=1e-3, lr_D=1e-3, lr_to=.02)),
           ('γ falling to 5 %', dict(gamma_to=.05)), ('γ 0.02, falling to 5 %', dict(gamma=.02))]
_tiny = [('as published', {}), ("no batch norm in D, He's first weights", dict(norm_D=False, he=True)),
         ('Adam without momentum', dict(betas=(0., .99))),
         ('D ten times as fast: 2e-3', dict(lr_D=2e-3)), ('γ 0.1', dict(gamma=.1)),
         ('γ falling to 5 %', dict(gamma_to=.05))]
_wide = [('as published', {}), ('no batch norm in D', dict(norm_D=False)),
         ('Adam without momentum', dict(betas=(0., .99))), ('γ 1 falling to 5 %', dict(gamma_to=.05))]
rungs = dict(d2l=_points, pacgan=_points, unrolled4=_tiny, unrolled2=_tiny, veegan=_wide)
# the first is the default
tasks = dict(ring=['d2l', 'pacgan'], grid=['d2l', 'pacgan'], stacked_mnist=['unrolled4', 'unrolled2', 'veegan'])

games = dict(
    ns=dict(loss='nonsaturating'), ns_r1_r2=dict(loss='nonsaturating', penalties='r1_r2'),
    rpgan=dict(loss='rpgan'), rpgan_r1=dict(loss='rpgan', penalties='r1'),
    rpgan_r1_r2=dict(loss='rpgan', penalties='r1_r2'),
    wgan=dict(loss='wasserstein'), wgan_gp=dict(loss='wasserstein', penalties='gp'),
    wgan_gp5=dict(loss='wasserstein', penalties='gp', n_critic=5),
    ns_std=dict(loss='nonsaturating', std=True), ns_pac2=dict(loss='nonsaturating', pack=2),
    ns_pac4=dict(loss='nonsaturating', pack=4),
    rpgan_r1_r2_std=dict(loss='rpgan', penalties='r1_r2', std=True),
    rpgan_r1_r2_pac2=dict(loss='rpgan', penalties='r1_r2', pack=2), real={})

def settings(protocol, recipe, rung, steps):
    "Everything that decides a run but its data and seed"
    s = dict(unit=False, n_critic=1, pack=1, std=False, penalties='', lr_to=None, gamma_to=None) | protocols[protocol]
    for _, change in rungs[protocol][:rung + 1]: s |= change
    return s | games[recipe] | dict(published_steps=s['steps'], steps=steps or s['steps'])

def networks(s, shape):
    "Generator and discriminator"
    n_in, std, pack = (shape[0]*s['pack'], *shape[1:]), s['std'], s['pack']
    if s['nets'] == 'mlp': G, D = MLPGenerator(64, shape, 256, 2), (StdMLP if std else MLPDiscriminator)(n_in, 256, 2)
    elif s['nets'] == 'maxout': G, D = PacGenerator(), PacDiscriminator(n_in[0])
    elif s['nets'] == 'wide': G, D = WideGenerator(), WideDiscriminator(n_in[0], s['norm_D'], std)
    else: G, D = TinyGenerator(), TinyDiscriminator(n_in[0], s['width_D'], s['norm_D'], std, s['he'])
    return G, Packed(D, pack, shape) if pack > 1 else D

def trainer(s, data, seed):
    "A run at its beginning"
    seed_everything(seed)
    G, D = networks(s, data.shape)
    penalties = {'': [], 'r1': [r1(s['gamma'])], 'r1_r2': [r1(s['gamma']), r2(s['gamma'])],
                 'gp': [wgan_gp(s['gp'])]}[s['penalties']]
    opt = {name: partial(torch.optim.Adam, lr=s[f'lr_{name}'], betas=s['betas']) for name in ('G', 'D')}
    fall = dict(lr=s['lr_to'], penalty=s['gamma_to'])
    schedules = {k: cosine(v) for k, v in fall.items() if v}
    return Trainer(Game(G, D, s['loss'], penalties), data, opt=opt, times=dict(D=s['n_critic']),
                   batch_size=s['batch_size']*s['pack'], seed=seed, precision='fp32', schedules=schedules)

# ---- scores

def digit_classifier(root, folder):
    "A classifier of digits, trained once and kept in `folder`; its notes tell its accuracy on MNIST's test images"
    if (folder/'features.json').exists(): return Features.load(folder)
    features = Features.fit(load_data('mnist', size=28, root=root), steps=6000, width=16)
    test = datasets.MNIST(root, train=False)
    right = features(test.data[:, None]).probabilities.argmax(1) == test.targets
    features.notes['test_accuracy'] = right.double().mean().item()
    features.save(folder)
    return features

def stacked_scores(images, classifier):
    "Modes that stacked digits show, of 1,000, and KL(shown || uniform) in nats"
    digit = classifier(to_image(images).flatten(0, 1)[:, None]).probabilities.argmax(1).view(-1, 3)      # (N, 3)
    p = (digit @ torch.tensor([100, 10, 1])).bincount(minlength=1000).double()/len(digit)
    return dict(modes=(p > 0).sum().item(), kl=math.log(1000) + torch.xlogy(p, p).sum().item())

def scores(x, data, classifier):
    "Numbers for samples"
    if classifier: return stacked_scores(x, classifier)
    return dict(zip(('modes', 'high_quality', 'reverse_kl'), map(float, mode_coverage(x, data))))

class Scores(Callback):
    """Scores the generator and its average every so many steps; rows and clock are kept in scores.json of the run
    folder, the clock five times as often"""
    def __init__(self, path, every, score):
        self.file, self.every, self.often, self.score, self.rows = (
            path / 'scores.json',
            every,
            max(1, every // 5),
            score,
            [],
        )
    def clock(self):
        return dict(seconds=round(time.time() - self.start[0], 1),
                    cpu_seconds=round(time.process_time() - self.start[1], 1))
    def keep(self): write_atomic(self.file, json.dumps(dict(clock=self.clock(), rows=self.rows)).encode())
    def before_fit(self, trainer):
        kept = (
            json.loads(self.file.read_text())
            if trainer.steps_done and self.file.exists()
            else dict(clock=dict(seconds=0, cpu_seconds=0), rows=[])
        )
        self.rows = [r for r in kept['rows'] if r['step'] <= trainer.steps_done]
        self.start = time.time() - kept['clock']['seconds'], time.process_time() - kept['clock']['cpu_seconds']
    def after_step(self, trainer):
        if trainer.steps_done % self.every == 0 or trainer.steps_done == trainer.total_steps:
            self.rows.append(dict(step=trainer.steps_done, **self.clock(), now=self.score(trainer, False),
                                  average=self.score(trainer, True)))
            print(self.rows[-1], flush=True)
        if trainer.steps_done % self.often == 0: self.keep()
    def after_fit(self, trainer): self.keep()

# ---- runs and tables

def machine():
    "What the numbers were made on"
    info = Path('/proc/cpuinfo')
    name = next((l.split(':')[1].strip() for l in info.read_text().splitlines() if 'model name' in l),
                '') if info.exists() else ''
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return dict(name=gpu or name or platform.machine(), threads=torch.get_num_threads(), torch=str(torch.__version__),
                date=time.strftime('%Y-%m-%d'))

def train(s, data, seed, path, every, score):
    """Train a run to its end, from its last checkpoint if it has one; the trainer, the scores along the way, and what
    broke it off, if anything did"""
    t = trainer(s, data, seed)
    if checkpoints(path): t = load_run(path, data=data, G=t.G, D=t.D)
    log = Scores(path, every, score)
    error = None
    try: t.fit(s['steps'] - t.steps_done, cbs=[log, Checkpoint(path, every=log.often, keep=1)])
    except TrainingError as e: error = str(e).split('. The last')[0]
    return t, log.rows, error

def _mean(values):
    "Mean and standard error, as text"
    m = statistics.fmean(values)
    return f'{m:.4g}' + (f' ± {statistics.stdev(values)/len(values)**.5:.2g}' if len(values) > 1 else '')

def table(folder):
    "All results in `folder` as Markdown, one row for each task, protocol, recipe and rung"
    groups = defaultdict(list)
    for r in map(json.loads, (p.read_text() for p in sorted(folder.glob('*.json')))):
        groups[r['task'], r['protocol'], r['recipe'], r['rung'], r['step']].append(r)
    lines = ['| task | protocol | recipe | settings | steps | published | seeds | modes | high quality | KL | '
             'averaged: modes | high quality | KL | processor minutes |', '| --- '*14 + '|']
    for (task, protocol, recipe, rung, steps), rs in groups.items():
        def cell(which, k): return _mean([r[which][k] for r in rs]) if all(k in r[which] for r in rs) else '-'
        label = rs[0]['rung_label'] + ''.join(sorted({f'; {r["error"]}' for r in rs if r['error']}))
        how = ['', '', ''] if recipe == 'real' else [label, f'{steps:,}', f'{rs[0]["settings"]["published_steps"]:,}']
        kl = 'kl' if task == 'stacked_mnist' else 'reverse_kl'
        lines.append('| ' + ' | '.join([task, protocol, recipe, *how, ', '.join(str(r['seed']) for r in rs),
                                        *(cell(w, k) for w in ('now', 'average')
                                          for k in ('modes', 'high_quality', kl)),
                                        '' if recipe == 'real' else _mean([r['cpu_seconds']/60 for r in rs])]) + ' |')
    return '\n'.join(lines) + '\n'

@call_parse
def main(
    task: str,  # ring, grid or stacked_mnist
    protocol: str = None,  # d2l, pacgan for points, unrolled4, unrolled2, veegan for Stacked MNIST (default: the first)
    recipe: str = 'rpgan_r1_r2',  # a name in `games`
    rung: int = 0,  # how many of our changes to the protocol: 0 is the protocol itself
    seeds: str = '0',  # separated by commas
    steps: int = None,  # generator updates (default: those of the protocol)
    every: int = None,  # steps between two scores; checkpoints: five times as often (default: a tenth of the run)
    out: Path = Path('runs/modes'),  # run folders
    results: Path = Path(__file__).parent / 'results' / 'modes',  # finished results
    root: Path = None,  # where torchvision's MNIST lies
):
    "Train, score and tabulate; what is finished is not run again."
    def choose(what, name, known):
        if name not in known: raise SystemExit(f'modes.py: {what} {name}: choose one of {", ".join(known)}')
        return name
    stacked = choose('task', task, tasks) == 'stacked_mnist'
    protocol = choose('--protocol', protocol or tasks[task][0], tasks[task])
    if choose('--recipe', recipe, games) and rung not in range(len(rungs[protocol])):
        raise SystemExit(f'modes.py: --rung {rung}: {protocol} has 0 to {len(rungs[protocol]) - 1}')
    s = settings(protocol, recipe, rung, steps)
    data = StackedDigits(load_data('mnist', size=28, root=root)) if stacked else points(task, protocol, s['unit'])
    classifier = digit_classifier(root, out/'classifier') if stacked else None
    def score(t, average): return scores(t.sample(s['n_eval'], seed=1, ema=average), data, classifier)
    results.mkdir(parents=True, exist_ok=True)
    for seed in map(int, seeds.split(',')):
        name = f'{task}-{protocol}-{recipe}-{rung}-{s["steps"]}-seed{seed}'
        if (results/f'{name}.json').exists(): continue
        print(name, flush=True)
        if recipe == 'real':
            now = scores(next(data.batches(s['n_eval'], seed=seed))[0], data, classifier)
            rows, error = [dict(step=0, now=now, average=now, seconds=0)], None
        else:
            t, rows, error = train(s, data, seed, out/name, every or max(1, s['steps']//10), score)
            if stacked: save_images(t.sample(20, seed=1), results/f'{name}.png', ncols=10)
        result = dict(task=task, protocol=protocol, recipe=recipe, rung=rung, rung_label=rungs[protocol][rung][0],
                      seed=seed, settings=s, error=error, machine=machine(),
                      classifier=classifier and classifier.notes,
                      **(rows[-1] if rows else dict(step=0, now={}, average={}, seconds=0)), history=rows)
        write_atomic(results/f'{name}.json', (json.dumps(result, indent=1) + '\n').encode())
    write_atomic(results.parent/'modes.md', table(results).encode())
