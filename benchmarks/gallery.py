"""What each recipe draws after the same minutes of one processor core, and how far it is from the data

    python benchmarks/gallery.py --minutes 3 --root DATA                                 # one grid per recipe
    python benchmarks/gallery.py --minutes 10 --recipes dcgan,rpgan --seeds 0,1,2 --root DATA

The number of steps follows from the measured speed, so that schedules end with the run. Each finished run is one JSON
file and one picture in --results; gallery.md beside them is the table of all. What is finished is not run again.
"""
import json, statistics, time
from dataclasses import asdict
from pathlib import Path

import torch
from fastcore.script import call_parse

from gan_nb.all import *
from gan_nb.files import write_atomic
from gan_nb.metrics import all_scores
from modes import machine

# networks of the published width would take a minute for each step here
narrower = dict(acgan=dict(width=32), sngan={'width': 32, 'generator.width': 64},
                sngan_projection={'width': 32, 'generator.width': 64}, hinge_sa=dict(width=32),
                r3gan=dict(width=32, batch_size=64))

def chosen(name):
    "A recipe, with networks that a processor can move"
    r = recipe(name)
    for k, v in narrower.get(name, {}).items(): r = r.change(k, v)
    return r

def cpu(f):
    "Seconds of processor time that `f` took"
    start = time.process_time()
    f()
    return time.process_time() - start

def speed(r, data):
    "Seconds of processor time per step, after a few steps"
    t = r.trainer(data, device='cpu')
    t.fit(2)
    n, taken = 0, 0.
    while taken < 5: n, taken = n + 1, taken + cpu(lambda: t.fit(1))
    return taken/n

def run(r, data, features, real, minutes, seed, n):
    "Train for so many minutes of processor time, and score"
    steps = max(1, round(60*minutes/speed(r, data)))
    t, error = r.trainer(data, seed=seed, device='cpu'), None
    try: taken = cpu(lambda: t.fit(steps))
    except TrainingError as e: taken, error = None, str(e)
    samples = t.sample(n, seed=1)
    parameters = {k: sum(p.numel() for p in getattr(t, k).parameters()) for k in 'GD'}
    return samples, dict(recipe=r.name, seed=seed, steps=t.steps_done, minutes=minutes, cpu_seconds=taken
                         and round(taken, 1), error=error, parameters=parameters,
                         scores=None if error else {s.name: s.value for s in all_scores(real, features(samples))},
                         changed=narrower.get(r.name, {}), settings=asdict(r), machine=machine())

def _cell(rs, name):
    "Mean over seeds, and its standard error"
    found = [r['scores'][name] for r in rs if r['scores']]
    if not found: return 'broke off'
    return f'{statistics.fmean(found):.3g}' + (f' ± {statistics.stdev(found)/len(found)**.5:.2g}' if len(found) > 1
                                               else '')

def table(folder):
    "All results as Markdown, the best first"
    groups = {}
    for r in map(json.loads, (p.read_text() for p in sorted(folder.glob('*.json')))):
        groups.setdefault((r['minutes'], r['recipe']), []).append(r)
    names = list(next(r for rs in groups.values() for r in rs if r['scores'])['scores'])
    best = sorted(
        groups.values(),
        key=lambda rs: (rs[0]['minutes'], statistics.fmean([r['scores']['FID'] if r['scores'] else 1e9 for r in rs])),
    )
    lines = [f'| minutes | recipe | seeds | steps | parameters of G | of D | {" | ".join(names)} |',
             '| --- '*(6 + len(names)) + '|']
    for rs in best:
        r, label = (
            rs[0],
            '' if not rs[0]['changed'] else f' ({", ".join(f"{k}={v}" for k, v in rs[0]["changed"].items())})',
        )
        lines.append(f"| {r['minutes']:g} | `{r['recipe']}`{label} | {', '.join(str(r['seed']) for r in rs)} | "
                     f"{round(statistics.fmean([r['steps'] for r in rs])):,} "
                     f"| {r['parameters']['G']:,} | {r['parameters']['D']:,} | "
                     f"{' | '.join(_cell(rs, n) for n in names)} |")
    return '\n'.join(lines) + '\n'

@call_parse
def main(
    recipes: str = ','.join(n for n in recipes() if n not in ('rpgan_points', 'r3gan')), # names, separated by commas
    minutes: float = 3., # of processor time, for each run
    seeds: str = '0', # separated by commas
    source: str = 'mnist', # what to learn, by name
    size: int = 32, # pixels
    n: int = 5000, # samples, and images, to compare
    root: Path = None, # where torchvision's MNIST lies
    out: Path = Path('runs/gallery'), # where the classifier is kept
    results: Path = Path(__file__).parent/'results'/'gallery' # finished results
):
    "Train, draw, score and tabulate."
    torch.set_num_threads(1)
    data = load_data(source, size=size, root=root)
    if (out/'features.json').exists(): features = Features.load(out)
    else: features = Features.fit(data); features.save(out)
    real = features(data, n)
    results.mkdir(parents=True, exist_ok=True)
    floor = {s.name: s.value for s in all_scores(real, features(ImageData(data.images[-n:])))}
    write_atomic(results/'real.txt', (json.dumps(floor, indent=1) + '\n').encode())
    for seed in map(int, seeds.split(',')):
        for name in recipes.split(','):
            file = results/f'{name}-{minutes:g}-seed{seed}.json'
            if file.exists(): continue
            print(name, seed, time.strftime('%H:%M:%S'), flush=True)
            samples, result = run(chosen(name), data, features, real, minutes, seed, n)
            save_images(samples[:40], file.with_suffix('.png'), ncols=20)
            write_atomic(file, (json.dumps(result, indent=1) + '\n').encode())
            write_atomic(results.parent/'gallery.md', table(results).encode())
            print(result['steps'], 'steps', result['cpu_seconds'], 's', result['scores'], result['error'], flush=True)
    print(table(results))
