"""The runs that are attacked: every recipe on every kind of data, so small that they end in a second; and what makes
two folders equal."""
import json, re, sys, zipfile
from dataclasses import dataclass
from functools import wraps
from pathlib import Path

from PIL import Image

from gan_nb.data import digits, load_data
from gan_nb.features import Features
from gan_nb.recipes import recipes
from gan_nb.training import Trainer

from forks import command

# ---- data

kinds = ('digits', 'folder', 'stream', 'zip', 'ring')

def make_data(where):
    "A folder and a zip of 40 digits, a folder for each class"
    where, d = Path(where), digits(8)
    (where/'images').mkdir(parents=True)
    chosen = [i for label in range(10) for i in (d.labels == label).nonzero().flatten()[:4].tolist()]
    for i in chosen:
        folder = where/f'images/{d.labels[i]}'
        folder.mkdir(exist_ok=True)
        Image.fromarray(d.images[i, 0].numpy()).save(folder/f'{i}.png')
    with zipfile.ZipFile(where/'images.zip', 'w') as z:
        for p in sorted((where/'images').rglob('*.png')): z.write(p, p.relative_to(where/'images'))

# ---- a run

@dataclass(frozen=True)
class Case:
    "A run that is attacked"
    recipe: str
    data: str               # one of `kinds`
    scores: bool = False    # whether the FID is computed on the way
    size: int = 8           # pixels
    steps: int = 16
    save: int = 4           # steps between two checkpoints
    sample: int = 5         # steps between two pictures
    workers: int = 0        # processes that decode a stream
    further: bool = False   # whether it goes on beyond where it was bound for

    def __str__(self):
        extras = [f'{self.data}', f'{self.size} pixels'] if self.data != 'ring' else ['ring']
        return ', '.join([self.recipe, *extras, *['scores']*self.scores,
                          *[f'{self.workers} workers']*(self.workers > 0)])

    def source(self, where):
        return dict(digits='digits', ring='ring', zip=where/'images.zip').get(self.data, where/'images')

    def train(self, where):
        "Begin the run in ./run"
        r = recipes()[self.recipe]
        narrow = dict(width=8, latent_dim=4, n_critic=min(2, r.n_critic))
        narrow |= {f'{net}.width': 8 for net in ('generator', 'discriminator') if 'width' in getattr(r, net)}
        sets = [word for name, value in narrow.items() for word in ('--set', f'{name}={value}')]
        images = [] if self.data == 'ring' else ['--size', self.size]
        _hurry(self)
        command('gan_train', self.source(where), '--recipe', self.recipe, *sets, *images, '--batch-size', 6,
                '--precision', 'fp32', '--device', 'cpu',
                '--seed', 3, '--steps', self.steps, *self._every(), '--out', 'run')

    def resume(self):
        "Go on with the run in ./run"
        _hurry(self)
        command('gan_train', '--resume', 'run', '--device', 'cpu', *self._every(),
                *['--steps', self.steps]*self.further)

    def _every(self):
        every = ['--save-every', self.save, '--sample-every', self.sample]
        return every + ['--score-every', 4]*self.scores

def all_cases(rng):
    """Every recipe on every kind of data that it can learn, in random order; half of those of images with scores on,
    which need labels"""
    found = []
    for name, r in recipes().items():
        for data in kinds:
            if data == 'ring' and r.conditional: continue
            found.append((name, data))
    rng.shuffle(found)
    cases = []
    for i, (name, data) in enumerate(found):
        size, workers = rng.choice([8, 8, 12]), 2*(data == 'stream' and rng.random() < .1)
        cases.append(Case(name, data, scores=data != 'ring' and i % 2 == 0, size=size, steps=rng.randint(12, 24),
                          save=rng.randint(2, 6), sample=rng.randint(3, 8), workers=workers))
    return cases

def _hurry(case):
    """In a process of its own: read the losses every four steps, train the classifier behind scores for a moment only,
    and decode as the case says"""
    fit, train_classifier = Trainer.fit, Features.fit.__func__
    @wraps(fit)
    def often(self, steps, cbs=(), log_every=4): return fit(self, steps, cbs, 4)
    Trainer.fit = often
    Features.fit = classmethod(wraps(train_classifier)(lambda cls, data, steps=20,
                                                       **kw: train_classifier(cls, data, steps=20, **kw)))
    def load(*args, **kw):
        if case.data == 'stream': kw['stream'] = True
        data = load_data(*args, **kw)
        if hasattr(data, 'workers'): data.workers = case.workers
        return data
    for module in [m for name, m in sys.modules.items() if name.startswith('gan_nb')]:
        if getattr(module, 'load_data', None) is load_data: module.load_data = load

# ---- two folders

# Entries of JSON files that tell of the time, the process or the machine's memory, and not of the run.
clocks = {'seconds', 'memory', 'since', 'pid', 'date', 'time', 'began', 'ended', 'saved', 'created'}

def _still(x):
    "JSON data without its clocks, and without checksums that count them in"
    if isinstance(x, list): return [_still(v) for v in x]
    if not isinstance(x, dict): return x
    kept = {k: _still(v) for k, v in x.items() if k not in clocks}
    if kept != x: kept.pop('checksum', None)
    return kept

def _without_clocks(path):
    "The bytes of a file, but for what a clock decides"
    data = path.read_bytes()
    try:
        if path.suffix == '.json': return json.dumps(_still(json.loads(data))).encode()
        if path.suffix == '.jsonl':
            return '\n'.join(json.dumps(_still(json.loads(line))) for line in data.splitlines()).encode()
    except ValueError: return data
    if path.name == 'report.html':
        data = re.sub(rb'<div><dt>(time|steps per second|peak memory)</dt><dd>[^<]*</dd></div>', b'', data)
        return re.sub(rb'<footer>.*?</footer>', b'', data, flags=re.S)
    return data

def _files(folder): return {str(p.relative_to(folder)): p for p in sorted(Path(folder).rglob('*')) if not p.is_dir()}

def leftovers(folder):
    "Names in a run folder that only a run in progress, or one that was broken off, has need of"
    names = [str(p.relative_to(folder)) for p in sorted(Path(folder).rglob('*'))]
    hidden = [n for n in names if any(part.startswith('.') for part in Path(n).parts) and n != '.lock']
    return hidden + [n for n in names if n == 'running.json' or re.search(r'_old$', n)]

def differences(whole, other):
    "The files in which a run folder differs from an undisturbed one, clocks and leftovers aside"
    a, b = ({n: p for n, p in _files(f).items() if n not in leftovers(f)} for f in (whole, other))
    # A checkpoint that only one of them has is one difference and not eight.
    def brief(names): return {re.sub(r'^(checkpoints/[^/]+)/.*', r'\1', n) for n in names}
    missing = [f'{n} missing' for n in brief(a) - brief(b)]
    more = [f'{n} too much' for n in brief(b) - brief(a)]
    other = [f'{n} other' for n in a.keys() & b.keys() if _without_clocks(a[n]) != _without_clocks(b[n])]
    within = [f'{n} in one of both' for n in a.keys() ^ b.keys() if brief([n]) <= brief(a) & brief(b)
              and brief([n]) != {n}]
    return sorted(missing + more + other + within)
