#!/usr/bin/env python3
"""What a training step costs: the loop as it is commonly written against `Trainer`, in turn, in one run.

    python benchmarks/step_speed.py --quick
    python benchmarks/step_speed.py --out benchmarks/results/step_speed

Both sides have the same networks, losses, penalties, images and number of updates; the residual blocks of the reference
double, halve and convolve in turn. `Reference` reads PNG files through a `DataLoader` with two workers; `Trainer` makes
its batches itself; neither averages its generator. Sides take turns of some steps each, and the median of the ratios of
neighbouring turns is what is reported. Each side has a process of its own, which waits while the others run. An engine
that cannot be had leaves its side without numbers, and the table says so. A row that was measured before on the same
machine is replaced, the others stay, so a long table can be made in parts. `tests/test_speed.py` checks that both sides
compute the same.
"""
import json, os, platform, re, resource, statistics, sys, tempfile, time
from contextlib import ExitStack, suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
import torch.nn.functional as F
from fastcore.script import call_parse
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from torchvision import transforms

from gan_nb.all import *
from gan_nb.files import write_atomic

# ---- the loop as it is commonly written

class Pictures(Dataset):
    "Image files, decoded whenever they are asked for"
    def __init__(self, folder, size):
        self.files = sorted(Path(folder).glob('*.png'))
        self.transform = transforms.Compose([transforms.Resize(size), transforms.CenterCrop(size),
                                             transforms.ToTensor(), transforms.Normalize([.5]*3, [.5]*3)])
    def __len__(self): return len(self.files)
    def __getitem__(self, i): return self.transform(Image.open(self.files[i]).convert('RGB'))

def r1_plain(D, real, fake, gamma, generator):
    real = real.detach().requires_grad_()
    grad = torch.autograd.grad(D(real).sum(), real, create_graph=True)[0]
    return gamma/2*grad.pow(2).reshape(len(grad), -1).sum(1).mean()

def gp_plain(D, real, fake, weight, generator):
    alpha = torch.rand(len(real), 1, 1, 1, generator=generator).to(real.device)
    x = (alpha*real + (1 - alpha)*fake).detach().requires_grad_()
    out = D(x)
    grad = torch.autograd.grad(out, x, torch.ones_like(out), create_graph=True)[0]
    return weight*((grad.reshape(len(grad), -1).norm(2, dim=1) - 1)**2).mean()

def doubled(m, x): return F.conv2d(F.interpolate(x, size=m.size), m.weight, m.bias, padding=1)
def halved(m, x): return F.avg_pool2d(F.conv2d(x, m.weight, m.bias, padding=1), 2)

def as_written(net):
    "The same network, in which pictures are doubled before a convolution, and halved after one"
    for m in net.modules():
        if isinstance(m, (DoubledConv2d, HalvedConv2d)):
            m.forward = partial(doubled if isinstance(m, DoubledConv2d) else halved, m)
    return net

class Reference:
    """float32, contiguous, noise from the CPU, G's graph in D's update, D's gradients in G's, `.item()` at each step,
    Adam as it comes"""
    def __init__(self, G, D, loss, penalty, device, generator=None):
        self.G, self.D, self.loss, self.penalty, self.device, self.generator = (
            as_written(G).to(device).train(),
            as_written(D).to(device).train(),
            loss,
            penalty,
            device,
            generator,
        )
        self.opt_G, self.opt_D = (torch.optim.Adam(n.parameters(), lr=2e-4, betas=(.5, .99)) for n in (G, D))
    def noise(self, n): return torch.randn(n, self.G.latent_dim, generator=self.generator).to(self.device)
    def step(self, real):
        real = real.to(self.device)
        fake = self.G(self.noise(len(real)))
        d_loss = self.loss.d(self.D(real), self.D(fake.detach()))
        if self.penalty: d_loss = d_loss + self.penalty(self.D, real, fake, generator=self.generator)
        self.opt_D.zero_grad()
        d_loss.backward()
        self.opt_D.step()
        g_loss = self.loss.g(self.D(self.G(self.noise(len(real)))))
        self.opt_G.zero_grad()
        g_loss.backward()
        self.opt_G.step()
        return d_loss.item(), g_loss.item()

# ---- what is trained

def pair(task, width):
    "G, D, loss, its penalty, and that penalty written plainly"
    size = int(task.split('_')[1])
    seed_everything(0)
    if task.startswith('dcgan'):
        return (
            DCGANGenerator(size, 3, width=width),
            DCGANDiscriminator(size, 3, width=width),
            nonsaturating,
            r1(1.0),
            partial(r1_plain, gamma=1.0),
        )
    return (
        ResNetGenerator(size, 3, width=width),
        ResNetDiscriminator(size, 3, width=width),
        wasserstein,
        wgan_gp(10.0),
        partial(gp_plain, weight=10.0),
    )

tasks = dict(dcgan_32=64, resnet_32=32, resnet_64=32)                 # and their widths on a CPU

def write_pictures(folder, size, n=4096):
    "The digits in colour, as PNG files, some of them more than once"
    data = digits(size, channels=3)
    for i in range(n):
        Image.fromarray(data.images[i % len(data)].permute(1, 2, 0).numpy()).save(Path(folder)/f'{i:05}.png')

def endless(loader):
    while True: yield from loader

def sides(task, width, batch, penalty, device, folder):
    """name -> a function that makes what makes a step and what tells the engine in use; it makes None where auto is
    float32"""
    def reference():
        G, D, loss, _, plain = pair(task, width)
        ref = Reference(G, D, loss, plain if penalty else None, device)
        batches = endless(DataLoader(Pictures(folder, D.shape[1]), batch, shuffle=True, num_workers=2, drop_last=True,
                                     pin_memory=device.type == 'cuda', persistent_workers=True))
        return lambda: ref.step(next(batches)), lambda: 'eager'
    def trainer(precision, engine):
        G, D, loss, pen, _ = pair(task, width)
        t = Trainer(Game(G, D, loss, [pen]*penalty), digits(D.shape[1], channels=3),
                    batch_size=batch, ema=0, device=device, precision=precision, engine=engine)
        if precision == 'auto' and t.dtype is None: return None
        t.total_steps = 1_000_000
        return t.step, lambda: t.engine
    engines = dict(eager='', compile='_compile') | (dict(graph='_graph') if device.type == 'cuda' else {})
    return dict(reference=reference) | {p + name: partial(trainer, p, e) for p in ('fp32', 'auto') for e,
                                        name in engines.items()}

def engine_of(name):
    "The engine that a side is named after"
    return name.partition('_')[2] or 'eager'

# ---- measuring

def wait(device):
    if device.type == 'cuda': torch.cuda.synchronize(device)

def seconds(step, n, device, clock=time.perf_counter):
    "What `n` steps take"
    wait(device)
    start = clock()
    for _ in range(n): step()
    wait(device)
    return clock() - start

class Flops(TorchDispatchMode):
    "Count the multiplications and additions of matrix products and convolutions, also in a second backward"
    total = 0
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if (f := flop_registry.get(func._overloadpacket)): self.total += f(*args, **(kwargs or {}), out_val=out)
        return out

def rate(dtype, device, n, clock):
    "Multiplications and additions per second in a product of matrices, the best of ten"
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    return 2*n**3/min(seconds(lambda: a @ b, 3, device, clock)/3 for _ in range(10))

def peak(device):
    "The most bytes in use so far"
    if device.type == 'cuda': return torch.cuda.max_memory_allocated()
    # `getrusage` would hand down the peak of the process that started this one
    status = Path('/proc/self/status')
    if status.exists(): return 1024*int(status.read_text().split('VmHWM:')[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss*(1 if platform.system() == 'Darwin' else 1024)

def side(wire, name, clock, *args):
    """One side in a process of its own, as it would run by itself: makes `n` steps whenever it is told to, and says how
    long one took, by which engine"""
    device, made = args[4], sides(*args)[name]()
    if made is None: return wire.send(None)
    step, engine = made
    before = peak(device)
    # workers, buffers, the choice of kernels, programs, recordings
    seconds(step, 4, device)
    memory = peak(device) - before
    with Flops() as flops:
        if name == 'fp32': step()
    wire.send((memory, flops.total))
    with suppress(EOFError):                                          # the table is done, or given up
        while True:
            n = wire.recv()
            took = seconds(step, n, device, clock)
            wire.send((took/n, engine()))

def measure(task, width, batch, penalty, device, steps, rounds, rates, clock=time.perf_counter):
    "One row of the table"
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(folder, int(task.split('_')[1]))
        args, context, ready = (task, width, batch, penalty, device, folder), get_context('spawn'), {}
        with ExitStack() as stack:
            for k in sides(*args):
                wire, theirs = context.Pipe()
                process = context.Process(target=side, args=(theirs, k, clock, *args))
                process.start()
                theirs.close()
                stack.callback(process.join)
                stack.callback(wire.close)                            # first: it tells the process to end
                if found := wire.recv(): ready[k] = wire, *found
            gflop, times, engines = ready['fp32'][2]/1e9, {k: [] for k in ready}, {}
            for _ in range(rounds):
                for k, (wire, *_) in ready.items():
                    wire.send(steps)
                    took, engines[k] = wire.recv()
                    times[k].append(took)
    # A trainer that cannot have its engine warns and goes on without: what it then took is no number for that engine.
    without = [k for k in ready if engines[k] != engine_of(k)]
    row = dict(task=task, width=width, batch=batch, penalty=bool(penalty), gflop=round(gflop, 2), without=without)
    for k, (_, memory, _) in ready.items():
        if k in without: continue
        ratios = sorted(a/b for a, b in zip(times['reference'], times[k]))
        best = rates['bf16' if k.startswith('auto') else 'fp32']
        row[k] = dict(ms=round(1e3*statistics.median(times[k]), 2), speedup=round(statistics.median(ratios), 3),
                      worst=round(ratios[0], 3), best=round(ratios[-1], 3),
                      share=round(1e9*gflop/statistics.median(times[k])/best, 3))
        # there the compiler's own would be counted
        if device.type == 'cuda' or 'compile' not in k: row[k]['megabytes'] = round(memory/1e6, 1)
    return row

def table(found):
    "As Markdown, the machine below"
    lines = ['| networks | batch | penalty | side | times as fast | from - to | ms per step | of the matrix rate | '
             'peak MB |', '|' + ' --- |'*9]
    for r in found['rows']:
        for k, v in r.items():
            if not isinstance(v, dict): continue
            lines.append(f"| {r['task']}, width {r['width']} | {r['batch']} | {'yes' if r['penalty'] else 'no'} | {k} "
                         f"| {v['speedup']:.2f} | {v['worst']:.2f} - {v['best']:.2f} | "
                         f"{v['ms']:.1f} | {v['share']:.0%} | {v.get('megabytes', '')} |")
    m = found['machine']
    notes = [f"{m['name']}, {m['cores']} cores, {m['threads']} torch threads, torch {m['torch']}; a matrix product "
             f"runs at {m['fp32']} GFLOP/s in float32 and {m['bf16']} in bfloat16; {found['date']}.",
             'Times as fast: the median over turns of reference / side; the range is over turns.']
    notes.append('Of the matrix rate: the multiplications and additions that `Trainer` needs, on each side.')
    if found['processor_time']:
        notes.append('Measured on a machine that had other work: times are processor time of the training process, in '
                     'which decoding by the workers of the reference is not counted.')
    notes.append('`_compile`: with engine=\'compile\'; the writing of the program is not counted.')
    for r in found['rows']:
        for k in r.get('without', []):
            penalty = 'with' if r['penalty'] else 'without'
            which = f"{r['task']}, width {r['width']}, batch {r['batch']}, {penalty} a penalty"
            notes.append(f"`{k}` of {which}: not to be had here; the trainer went on with engine='eager'.")
    if not any('auto' in r for r in found['rows']):
        notes.append('`auto` is float32 here: this machine does not multiply bfloat16.')
    return '\n'.join([*lines, '', *notes]) + '\n'

def same(old, machine, processor_time):
    return old['processor_time'] == processor_time and all(old['machine'][k] == machine[k]
                                                           for k in ('name', 'cores', 'threads', 'torch'))

def listed(option, text, pattern, hint):
    "What an option lists, separated by commas; a word that is none of what it can be ends the script in one line"
    words = text.split(',')
    for word in words:
        if not re.fullmatch(pattern, word): sys.exit(f'step_speed.py: {option} {word!r}: {hint}')
    return words

@call_parse
def main(
    task: str = None,  # one of dcgan_32, resnet_32, resnet_64 (default: all)
    batch: str = '64,256',  # batch sizes
    penalty: str = 'yes,no',  # yes: with, no: without
    width: int = None,  # of the networks (default: 64 for DCGAN; for the residual ones 32 on a CPU, 128 on a GPU)
    steps: int = 20,  # in each turn: many, as the workers of the reference decode batches out of their turn too
    rounds: int = 7,  # turns of each side
    device: str = None,  # default: the fastest
    processor_time: bool = False,  # on a busy CPU: count the time of this process, not of the reference's workers
    quick: bool = False,  # DCGAN at batch 64 with a penalty only, few steps
    out: Path = None,  # numbers to OUT.json, the table to OUT.md
):
    "Time Trainer against the loop as it is commonly written"
    if quick: task, batch, penalty, steps, rounds = task or 'dcgan_32', '64', 'yes', 3, 5
    names = listed('--task', task or ','.join(tasks), '|'.join(tasks), f'give some of {", ".join(tasks)}')
    batches = [int(b) for b in listed('--batch', batch, '[1-9][0-9]{0,5}', 'give sizes, as in 64,256')]
    penalties = [p == 'yes' for p in listed('--penalty', penalty, 'yes|no', 'give yes, no, or yes,no')]
    device = torch.device(device or default_device())
    clock = time.process_time if processor_time else time.perf_counter
    rates = {k: rate(t, device, 8192 if device.type == 'cuda' else 1024, clock) for k,
             t in dict(fp32=torch.float32, bf16=torch.bfloat16).items()}
    name = (
        torch.cuda.get_device_name(device)
        if device.type == 'cuda'
        else next((l.split(':')[1].strip() for l in open('/proc/cpuinfo') if 'model name' in l), '')
        if Path('/proc/cpuinfo').exists()
        else platform.processor()
    )
    machine = dict(name=name, cores=os.cpu_count(), threads=torch.get_num_threads(), torch=torch.__version__,
                   **{k: round(r/1e9) for k, r in rates.items()})
    found = dict(rows=[])
    if out and Path(f'{out}.json').exists() and same(old := json.loads(Path(f'{out}.json').read_text()), machine,
                                                     processor_time):
        found = old
    found |= dict(machine=machine, processor_time=processor_time, date=time.strftime('%Y-%m-%d'))
    for t in names:
        w = width or (128 if device.type == 'cuda' and t.startswith('resnet') else tasks[t])
        for b in batches:
            for p in penalties:
                row = measure(t, w, b, p, device, steps, rounds, rates, clock)
                key = lambda r: (list(tasks).index(r['task']), r['width'], r['batch'], r['penalty'])
                found['rows'] = sorted([r for r in found['rows'] if key(r) != key(row)] + [row], key=key)
                print(json.dumps(row), flush=True)
                if out:
                    write_atomic(Path(f'{out}.json'), (json.dumps(found, indent=1) + '\n').encode())
                    write_atomic(Path(f'{out}.md'), table(found).encode())
    print('\n' + table(found))
