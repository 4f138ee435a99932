#!/usr/bin/env python3
"""What saving costs: the share of the default run's time that goes into its checkpoints, at the default interval.

    python benchmarks/save_cost.py --out benchmarks/results/save_cost.json

One run of `gan_train`'s default on the digits, every call of `save_run` timed; for a run of the same length the share
depends on the disk.
"""
import json, os, platform, statistics, tempfile, time
from pathlib import Path

import torch
from fastcore.script import call_parse

import gan_nb.checkpoint as checkpoint
from gan_nb.data import digits
from gan_nb.recipes import default_recipe

@call_parse
def main(
    steps: int = None, # of the run (default: the recipe's)
    every: int = 500, # steps between two checkpoints
    out: Path = None # a JSON file for the numbers
):
    "Time the checkpoints of the default run"
    data = digits(16)
    r = default_recipe(data.shape)
    gan, times, save = r.trainer(data), [], checkpoint.Checkpoint.save
    def timed(self, trainer):
        began = time.perf_counter()
        save(self, trainer)
        if time.perf_counter() - began > 1e-3: times.append(time.perf_counter() - began)
    checkpoint.Checkpoint.save = timed
    with tempfile.TemporaryDirectory() as d:
        began = time.perf_counter()
        gan.fit(steps or r.steps, [checkpoint.Checkpoint(Path(d)/'run', every=every)])
        whole = time.perf_counter() - began
        size = sum(p.stat().st_size for p in checkpoint.checkpoints(Path(d)/'run')[-1].iterdir())
    found = dict(recipe=r.name, steps=gan.steps_done, every=every, saves=len(times), megabytes=round(size/1e6, 1),
                 seconds=round(whole, 1), median_ms=round(1e3*statistics.median(times), 1),
                 share=round(sum(times)/whole, 4), threads=torch.get_num_threads(),
                 machine=f'{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}',
                 date=time.strftime('%Y-%m-%d'))
    print(json.dumps(found, indent=1))
    if out: Path(out).write_text(json.dumps(found, indent=1) + '\n')
