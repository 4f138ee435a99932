"""What a step of each recipe costs, at its full width, on one processor core

    OMP_NUM_THREADS=1 python benchmarks/recipe_speed.py

Grey images of 32x32 pixels, points for `rpgan_points`, and `rpgan_mlp` at 16x16 pixels too, where it is the default.
A step is the processor time of some steps after the first. A recipe whose step would take minutes makes one with a
smaller batch, and its time is that one in proportion; the table says so.
"""
import json, time
from dataclasses import replace
from pathlib import Path

import torch
from fastcore.script import call_parse

from gan_nb.all import *
from gan_nb.files import write_atomic
from modes import machine

smaller = dict(r3gan=4, acgan=4, sngan=4, sngan_projection=4, hinge_sa=8)

def seconds(r, data, least):
    "Seconds of processor time per step, and how many steps were timed"
    t = r.trainer(data, device='cpu')
    t.fit(1)
    n, start = 0, time.process_time()
    while not n or time.process_time() - start < least:
        t.fit(1)
        n += 1
    return (time.process_time() - start)/n, n

def timed(r, data, least):
    "A row of the table"
    batch = smaller.get(r.name, r.batch_size)
    taken, n = seconds(replace(r, batch_size=batch), data, least)
    return dict(recipe=r.name, shape=list(data.shape), seconds=round(taken*r.batch_size/batch, 4), timed_steps=n,
                batch_size=r.batch_size, timed_batch=batch, steps=r.steps)

@call_parse
def main(
    least: float = 2., # seconds of a measurement
    results: Path = Path(__file__).parent/'results'/'recipe_speed.json' # where the rows go
):
    "Time and store."
    torch.set_num_threads(1)
    rows = []
    for name, r in recipes().items():
        sources = [ring()] if name == 'rpgan_points' else [digits(32)]
        if name == 'rpgan_mlp': sources.append(digits(16))
        for data in sources:
            rows.append(timed(r, data, least))
            print(rows[-1], flush=True)
    write_atomic(results, (json.dumps(dict(rows=rows, machine=machine()), indent=1) + '\n').encode())
