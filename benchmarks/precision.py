#!/usr/bin/env python3
"""Does 16-bit arithmetic cost quality? The same runs in float32 and in bfloat16, over several seeds.

    python benchmarks/precision.py --quick
    python benchmarks/precision.py --out benchmarks/results/precision

Digits: a DCGAN with the pairing loss, R1 and R2, judged by FID in the features of a small classifier, all 1,797 scans
against as many samples of the averaged generator; `other real images` is the FID of one half of the scans against the
other half, no floor for the samples but a measure of what is small. The ring: dense networks with the settings of the
recipe `rpgan_points`, judged by modes and by the share of 2,500 samples within three standard deviations. Bfloat16
works on every CPU, slowly where the hardware has it not, so quality can be measured where speed cannot.
"""
import json, platform, statistics, time
from functools import partial
from pathlib import Path

import torch
from fastcore.script import call_parse

from gan_nb.all import *
from gan_nb.files import write_atomic

def digits_run(data, precision, seed, steps):
    "A trained DCGAN"
    gan = recipe('rpgan', width=24, batch_size=64).trainer(data, seed=seed, device='cpu', precision=precision)
    gan.fit(steps)
    return gan

def ring_run(data, precision, seed, steps):
    "A trained pair of dense networks"
    seed_everything(seed)
    adam = partial(torch.optim.Adam, lr=3e-3, betas=(0., .99))
    game = Game(MLPGenerator(8, (2,), width=128), MLPDiscriminator((2,), width=128), rpgan, [r1(.02), r2(.02)])
    gan = Trainer(game, data, opt=adam, batch_size=128, seed=seed, schedules=dict(lr=cosine(), penalty=cosine(.05)),
                  device='cpu', precision=precision)
    gan.fit(steps)
    return gan

def table(found):
    "Mean and standard error over the seeds"
    def mean(v):
        return f'{statistics.fmean(v):.3g}' + (f' ± {statistics.stdev(v)/len(v)**.5:.1g}' if len(v) > 1 else '')
    lines = ['| data | score | float32 | bfloat16 | seeds | steps |', '|' + ' --- |'*6]
    for name, t in found['tasks'].items():
        for score in t['runs']['fp32'][0]:
            lines.append(f"| {name} | {score} | {mean([r[score] for r in t['runs']['fp32']])} | "
                         f"{mean([r[score] for r in t['runs']['bf16']])} | {len(t['runs']['fp32'])} | {t['steps']:,} |")
    return '\n'.join([*lines, '', f"FID between two halves of the scans: {found['halves']:.3g}. {found['machine']}, "
                                  f"{found['date']}."]) + '\n'

@call_parse
def main(
    seeds: str = '0,1,2', # separated by commas
    steps: int = 1500, # of each run
    quick: bool = False, # 30 steps and two seeds
    out: Path = None # numbers to OUT.json, the table to OUT.md
):
    "Train in both precisions, and score"
    seeds, steps = ([0, 1], 30) if quick else ([int(s) for s in seeds.split(',')], steps)
    scans, points = digits(16), ring()
    features = Features.fit(scans, steps=60 if quick else 1500)
    real = features(scans.images)
    half = torch.randperm(len(scans), generator=torch.Generator().manual_seed(0))
    n = len(scans)//2
    def fid_of(gan): return dict(FID=fid(real, features(to_image(gan.sample(len(scans), seed=1)))).value)
    def points_of(gan):
        return dict(zip(('modes', 'within 3σ, %'),
                        (float(v)*f for v, f in zip(mode_coverage(gan.sample(2500, seed=1), points), (1, 100)))))
    found = dict(tasks={}, halves=fid(features(scans.images[half[:n]]), features(scans.images[half[n:]])).value,
                 machine=f'{platform.machine()}, {torch.get_num_threads()} torch threads, torch {torch.__version__}',
                 date=time.strftime('%Y-%m-%d'))
    for name, data, train, score in (('digits', scans, digits_run, fid_of), ('ring', points, ring_run, points_of)):
        runs = dict(fp32=[], bf16=[])
        for seed in seeds:
            for precision in runs:
                runs[precision].append(score(train(data, precision, seed, steps)))
                print(name, precision, seed, runs[precision][-1], flush=True)
        found['tasks'][name] = dict(steps=steps, runs=runs)
    print('\n' + table(found))
    if out:
        write_atomic(Path(f'{out}.json'), (json.dumps(found, indent=1) + '\n').encode())
        write_atomic(Path(f'{out}.md'), table(found).encode())
