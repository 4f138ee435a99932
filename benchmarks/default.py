"""The two default recipes on the embedded digits: how FID, precision and recall go, step by step

    OMP_NUM_THREADS=1 python benchmarks/default.py

Each run is scored on its way, with as many samples of the averaged generator as there are images. The clock is the
processor time of training alone. What is finished is not run again; --results holds all of it.
"""
import json, time
from pathlib import Path

import torch
from fastcore.script import call_parse

from gan_nb.all import *
from gan_nb.files import write_atomic
from gan_nb.metrics import all_scores
from modes import machine

# Recipe, steps, seed: the whole length of `rpgan_mlp`, `rpgan` for as many minutes, and once for its own whole length.
planned = [('rpgan_mlp', 4500, 0), ('rpgan', 1500, 0), ('rpgan_mlp', 4500, 1), ('rpgan', 1500, 1), ('rpgan', 4500, 0)]
NAMES = 'FID', 'precision', 'recall'

def scores_of(real, features, samples):
    found = {s.name: s.value for s in all_scores(real, features(samples))}
    return {name: round(found[name], 4) for name in NAMES}

def run(name, steps, data, features, real, seed, points=7):
    "Train, and score at so many places of the run"
    t, rows, seconds = recipe(name).trainer(data, seed=seed, device='cpu'), [], 0.
    marks = {round(steps*k/points) for k in range(1, points + 1)} | {100}
    class Score(Callback):
        def after_step(self, t):
            nonlocal seconds, start
            if t.steps_done not in marks: return
            seconds += time.process_time() - start
            found = scores_of(real, features, t.sample(len(data), seed=1))
            rows.append(dict(step=t.steps_done, seconds=round(seconds, 1), **found))
            start = time.process_time()
    start = time.process_time()
    t.fit(steps, [Score()])
    return dict(recipe=name, steps=steps, seed=seed, rows=rows)

@call_parse
def main(
    size: int = 16, # pixels
    at_most: int = 99, # runs to make now
    results: Path = Path(__file__).parent/'results'/'default.json' # finished runs
):
    "Train, score, store."
    torch.set_num_threads(1)
    data = digits(size)
    features = Features.fit(data)
    real = features(data)
    half = len(data)//2
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    halves = [features(ImageData(data.images[rows])) for rows in (order[:half], order[half:])]
    floor = {s.name: round(s.value, 4) for s in all_scores(*halves) if s.name in NAMES}
    kept = json.loads(results.read_text()) if results.exists() else dict(runs=[])
    kept |= dict(real=floor, images=len(data), size=size, machine=machine())
    done = {(r['recipe'], r['steps'], r['seed']) for r in kept['runs']}
    for name, steps, seed in planned:
        if (name, steps, seed) in done or not at_most: continue
        at_most -= 1
        kept['runs'].append(run(name, steps, data, features, real, seed))
        write_atomic(results, (json.dumps(kept, indent=1) + '\n').encode())
        print(kept['runs'][-1]['recipe'], steps, seed, kept['runs'][-1]['rows'][-1], flush=True)
