#!/usr/bin/env python3
"""What an image costs: time and memory of a training step against batch size, image size and width.

    python benchmarks/cost_growth.py --quick
    python benchmarks/cost_growth.py --out benchmarks/results/cost_growth

A DCGAN on the digits with R1. One of the three changes at a time, from 64 images of 32 pixels at width 32. Each
measurement is a process of its own, for peak memory is known only of a whole process; all are made in turn, several
times, and the median is kept. Then one long run, whose steps and memory should not grow. Numbers go to OUT.json, the
picture to OUT.png.
"""
import json, os, platform, statistics, time
from multiprocessing import get_context
from pathlib import Path

import matplotlib
matplotlib.use('Agg')
import matplotlib.pyplot as plt
from matplotlib.ticker import NullLocator
import torch
from fastcore.script import call_parse

from gan_nb.all import *
from gan_nb.files import write_atomic
from step_speed import peak

usual = dict(batch=64, size=32, width=32)
axes = dict(batch=[4, 8, 16, 32, 64, 128, 256], size=[8, 16, 32, 64, 128], width=[8, 16, 32, 64, 128])
quick_axes = dict(batch=[16, 64], size=[16, 32], width=[16, 32])

def point(at, device, precision, steps, queue):
    "Milliseconds per image, and megabytes beyond what is there before the first step"
    device = torch.device(device)
    seed_everything(0)
    s, w = at['size'], at['width']
    game = Game(DCGANGenerator(s, 1, width=w), DCGANDiscriminator(s, 1, width=w), nonsaturating, [r1(1.)])
    t = Trainer(game, digits(s), batch_size=at['batch'], device=device, precision=precision)
    t.total_steps, before, times = 1_000_000, peak(device), []
    for _ in range(steps + 2):
        start = time.perf_counter()
        t.step()
        if device.type == 'cuda': torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    queue.put((1e3*statistics.median(times[2:])/at['batch'], (peak(device) - before)/1e6))

def resident():
    "Bytes of memory that this process holds now"
    return int(Path('/proc/self/statm').read_text().split()[1])*os.sysconf('SC_PAGE_SIZE')

def long_run(steps, device, precision, queue):
    """Milliseconds per step, the median of each twentieth of a run, and resident megabytes after 500 steps and at the
    end; a log, samples and an average are kept as in any run"""
    seed_everything(0)
    game = Game(DCGANGenerator(16, 1, width=8), DCGANDiscriminator(16, 1, width=8, norm=None), rpgan, [r1(1.)])
    t = Trainer(game, digits(16), batch_size=32, device=device, precision=precision)
    times, memory = [], {}
    class Watch(Callback):
        def after_step(self, trainer):
            times.append(time.perf_counter())
            if trainer.steps_done in (500, steps): memory[trainer.steps_done] = resident()/1e6
    t.fit(steps, cbs=[Watch(), Recorder()])
    gaps = [1e3*(b - a) for a, b in zip(times, times[1:])]
    n = steps//20
    queue.put(dict(steps=steps, ms=[round(statistics.median(gaps[i*n:(i + 1)*n]), 3) for i in range(20)],
                   megabytes={k: round(v, 1) for k, v in memory.items()}))

def alone(f, *args):
    "`f` in a fresh process"
    queue = get_context('spawn').Queue()
    p = get_context('spawn').Process(target=f, args=(*args, queue))
    p.start()
    found = queue.get()
    p.join()
    return found

def draw(found, path):
    "Time and memory against each of the three; dotted, what a cost in proportion would be"
    fig, axs = plt.subplots(2, 3, figsize=(9, 4.6), dpi=80, sharey='row')
    power = dict(batch=(0, 1), size=(2, 2), width=(2, 1))                  # of time per image, of memory
    names = dict(batch='batch size', size='pixels, each side', width='width')
    for j, (k, rows) in enumerate(found['axes'].items()):
        x = [r[k] for r in rows]
        for i, y in enumerate(([r['ms_per_image'] for r in rows], [r['megabytes'] for r in rows])):
            p, ax = power[k][i], axs[i, j]
            ax.plot(x, y, 'o-')
            at = x.index(usual[k])
            ax.plot(x, [y[at]*(v/usual[k])**p for v in x], ':', c='grey',
                    label=['constant', 'in proportion', 'with the square'][p])
            ax.set(xscale='log', yscale='log', xlabel=names[k], xticks=x, xticklabels=x)
            ax.xaxis.set_minor_locator(NullLocator()); ax.legend(frameon=False)
    axs[0, 0].set_ylabel('ms per image'); axs[1, 0].set_ylabel('MB of a step')
    fig.tight_layout()
    fig.savefig(path)

@call_parse
def main(
    precision: str = 'fp32', # of the networks
    steps: int = 5, # timed in each measurement
    rounds: int = 3, # measurements of each point
    device: str = None, # default: the fastest
    quick: bool = False, # two points on each axis, once
    out: Path = None # numbers to OUT.json, the picture to OUT.png
):
    "Measure how the cost of an image grows"
    device = torch.device(device or default_device())
    todo, rounds, steps = (quick_axes, 1, 2) if quick else (axes, rounds, steps)
    points = {tuple(d.items()) for k, values in todo.items() for v in values if (d := usual | {k: v})}
    times = {p: [] for p in points}
    for _ in range(rounds):
        for p in sorted(points): times[p].append(alone(point, dict(p), str(device), precision, steps))
    def row(at):
        ms, mb = (statistics.median(v) for v in zip(*times[tuple(at.items())]))
        return at | dict(ms_per_image=round(ms, 4), megabytes=round(mb, 1))
    found = dict(axes={k: [row(usual | {k: v}) for v in values] for k, values in todo.items()}, precision=precision,
                 steps=steps, rounds=rounds,
                 machine=f'{torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()}, '
                         f'{os.cpu_count()} cores, {torch.get_num_threads()} torch threads, torch {torch.__version__}',
                         date=time.strftime('%Y-%m-%d'))
    if Path('/proc/self/statm').exists():
        found['long'] = alone(long_run, 1000 if quick else 10_000, str(device), precision)
    for rows in found['axes'].values():
        for r in rows: print(json.dumps(r))
    print(json.dumps(found.get('long')))
    if out:
        write_atomic(Path(f'{out}.json'), (json.dumps(found, indent=1) + '\n').encode())
        draw(found, f'{out}.png')
