#!/usr/bin/env python3
"""Break runs on purpose, thousands of times, and count what survives.

    python benchmarks/faults.py --out benchmarks/results/faults.json

Four kinds of faults: `kill -9` at random moments of a real process; damage to the files of a checkpoint; bad input of
every kind; and time, which is not a fault but finds leaks. Every random choice comes from --seed. Inputs are tried in
forked processes, so that a hang, a crash or a gigabyte of memory is seen and counted. Linux only.
"""
import io, json, os, pickle, platform, random, resource, shutil, signal, struct, subprocess, sys, tempfile, time
import warnings, zipfile
from pathlib import Path

os.environ['OMP_NUM_THREADS'] = '1'                     # forked children must not share a pool of threads

import numpy as np
import torch
from fastcore.script import _run_cli, call_parse
from PIL import Image

from gan_nb.checkpoint import Checkpoint, load_run
from gan_nb.runs import CheckpointError, checkpoints
from gan_nb.cli import gan_eval, gan_sample, gan_train
from gan_nb.core import seed_everything
from gan_nb.files import DataError
from gan_nb.data import digits, load_data
from gan_nb.discriminator import MLPDiscriminator
from gan_nb.generator import MLPGenerator
from gan_nb.losses import rpgan
from gan_nb.penalties import r1, r2
from gan_nb.recipes import Recipe, recipe, recipes
from gan_nb.runs import is_whole, seal, sha256_of, step_of
from gan_nb.game import Game
from gan_nb.training import Trainer
from gan_nb.callbacks import TrainingError

def small(seed=0, width=16):
    "A trainer whose steps take a few milliseconds"
    seed_everything(seed)
    G, D = MLPGenerator(4, (1, 8, 8), width=width), MLPDiscriminator((1, 8, 8), width=width)
    return Trainer(Game(G, D, rpgan, [r1(1.), r2(1., every=3)]), digits(8), batch_size=8, device='cpu', seed=seed)

# kill -9

def child(folder, steps, every):
    "The process that gets killed: it goes on with a run, or starts it, and says when training begins"
    folder = Path(folder)
    try: t = load_run(folder, device='cpu', data=digits(8))
    except CheckpointError: t = small()                   # killed before the first checkpoint was whole
    class Ready(Checkpoint):
        def before_fit(self, trainer): print('ready', trainer.steps_done, flush=True); super().before_fit(trainer)
    t.fit(steps - t.steps_done, [Ready(folder, every=every)], log_every=1)

def logged(folder):
    "The losses in log.jsonl, by step; raises if a line is not whole"
    lines = (folder/'log.jsonl').read_text().splitlines() if (folder/'log.jsonl').exists() else []
    rows = [json.loads(l) for l in lines]
    return {r['step']: {k: v for k, v in r.items() if k not in ('seconds', 'memory')} for r in rows}

def same(a, b):
    "Whether two states of a trainer are equal to the bit"
    if torch.is_tensor(a): return torch.is_tensor(b) and torch.equal(a, b)
    if isinstance(a, dict): return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)): return len(a) == len(b) and all(map(same, a, b))
    return a == b

def kills(n, rng, where, every=4, first=40):
    "Kill a run again and again, until it is through; compare it with one that nobody disturbed"
    folder, steps, found = where/'killed', first*(n + 1), dict(kills=0, during_a_save=0, resumed=0, damaged=0,
                                                               most_steps_lost=0, save_interval=every, half_lines=0)
    kept_at = 0
    while True:
        p = subprocess.Popen([sys.executable, __file__, 'child', str(folder), str(steps), str(every)],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        word, *at = p.stdout.readline().split() or ['nothing']
        assert word == 'ready', p.stderr.read()
        # each process after a kill goes on from what was kept
        found['resumed'] += found['kills'] > 0 and int(at[0]) >= kept_at
        if found['kills'] < n:
            time.sleep(rng.uniform(0, .5))
            p.kill()
        err = p.communicate()[1]
        if p.returncode != -signal.SIGKILL: break
        found['kills'] += 1
        half = list((folder/'checkpoints').glob('.*'))
        found['during_a_save'] += bool(half)
        kept = checkpoints(folder)
        found['damaged'] += sum(not is_whole(c) for c in kept)
        try: reached = max(logged(folder), default=0)
        except ValueError: found['half_lines'] += 1; reached = 0
        kept_at = step_of(kept[-1]) if kept else 0
        found['most_steps_lost'] = max(found['most_steps_lost'], reached - kept_at)
    assert p.returncode == 0, err
    whole = where/'whole'
    child(whole, steps, every)
    a, b = (load_run(f, device='cpu', data=digits(8)) for f in (folder, whole))
    same_losses = logged(folder) == logged(whole)
    return found | dict(steps=steps, same_weights=same(a.state(), b.state()), same_losses=same_losses)

# damaged checkpoints

def damage(folder, rng):
    "Do one bad thing to one file of the newest checkpoint, or to config.json; say what"
    files = [*checkpoints(folder)[-1].iterdir(), folder/'config.json']
    f, kind = rng.choice(files), rng.choice(['truncate', 'flip', 'flip', 'flip', 'swap', 'older', 'delete', 'empty',
                                             'append', 'noise', 'zeros'])
    x = bytearray(f.read_bytes())
    if kind == 'delete': f.unlink(); return kind, f
    if kind == 'swap': x = rng.choice([g for g in files if g != f]).read_bytes()
    elif kind == 'older': x = (checkpoints(folder)[0]/f.name if f.name != 'config.json' else f).read_bytes()
    elif kind == 'truncate': x = x[:rng.randrange(len(x))]
    elif kind == 'flip': x[rng.randrange(len(x))] ^= 1 << rng.randrange(8)
    elif kind == 'empty': x = b''
    elif kind == 'append': x += rng.randbytes(rng.randint(1, 100))
    elif kind == 'noise': i = rng.randrange(len(x)); x[i:i + 64] = rng.randbytes(len(x[i:i + 64]))
    elif kind == 'zeros': i = rng.randrange(len(x)); x[i:i + 512] = bytes(len(x[i:i + 512]))
    f.write_bytes(x)
    return kind, f

def corrupted(n, rng, where):
    """Damage a run in `n` ways: each must be noticed, unless what is loaded is the same all the same, and the
    checkpoint before must still load"""
    base, bad = where/'base', where/'bad'
    t = small()
    t.fit(4, [Checkpoint(base, every=2)])
    good, before = load_run(base, device='cpu'), load_run(base, device='cpu', step=2)
    found = dict(damaged=0, noticed=0, harmless=0, unnoticed=0, offered=0, previous_loads=0, more_than_a_line=0)
    while found['damaged'] < n:
        shutil.rmtree(bad, ignore_errors=True)
        shutil.copytree(base, bad)
        kind, file = damage(bad, rng)
        if file.exists() and file.read_bytes() == (base/file.relative_to(bad)).read_bytes(): continue
        found['damaged'] += 1
        try:
            loaded = load_run(bad, device='cpu')
            ok = same(loaded.state(), good.state()) and [loaded.steps_done, loaded.players['D'].updates,
                                         loaded.seed] == [good.steps_done, good.players['D'].updates, good.seed]
            found['harmless' if ok else 'unnoticed'] += 1
        except CheckpointError as e:
            found['noticed'] += 1
            found['more_than_a_line'] += len(str(e).splitlines()) != 1
            if file.name == 'config.json': continue
            found['offered'] += 'step=2' in str(e)
            found['previous_loads'] += same(load_run(bad, device='cpu', step=2).state(), before.state())
    return found

# bad input

class Canary:
    "Unpickling this would leave a file behind"
    def __init__(self, path): self.path = str(path)
    def __reduce__(self): return os.system, (f'touch {self.path}',)

def picture(rng):
    "The bytes of some picture, rarely an ordinary one, and a name for it"
    mode, fmt = rng.choice([('1', 'png'), ('L', 'png'), ('LA', 'png'), ('P', 'png'), ('RGB', 'png'), ('RGBA', 'png'),
                            ('I;16', 'png'), ('L', 'jpeg'), ('RGB', 'jpeg'), ('CMYK', 'jpeg'),
                            ('P', 'gif'), ('RGB', 'webp'), ('RGBA', 'webp'), ('F', 'tiff'), ('I;16', 'tiff'),
                            ('CMYK', 'tiff'), ('RGB', 'tiff'), ('RGB', 'bmp'), ('RGB', 'ppm'), ('RGBA', 'tga'),
                            ('RGBA', 'ico')])
    w, h = rng.choice([(1, 1), (1, 200), (300, 1), (rng.randint(1, 64), rng.randint(1, 64)),
                       (rng.randint(1, 64), rng.randint(1, 64))])
    a = np.frombuffer(rng.randbytes(w*h*4), np.uint8).reshape(h, w, 4)
    im = (
        Image.fromarray(a[..., 0].astype(np.uint16) * 257)
        if mode == 'I;16'
        else Image.fromarray(a[..., 0].astype(np.float32) * rng.choice([1.0, 1e30, np.nan]))
        if mode == 'F'
        else Image.fromarray(a, 'RGBA').convert('RGB').convert(mode)
        if mode in ('CMYK', 'P', '1')
        else Image.fromarray(a, 'RGBA').convert(mode)
    )
    kw, buf = {}, io.BytesIO()
    if fmt in ('png', 'gif', 'webp', 'tiff') and rng.random() < .3:
        kw = dict(save_all=True, append_images=[im.copy() for _ in range(rng.randint(1, 3))])
    if fmt in ('jpeg', 'webp', 'png') and rng.random() < .4:
        exif = Image.Exif()
        exif[0x0112] = rng.choice([1, 2, 3, 4, 5, 6, 7, 8, 0, 99])
        kw['exif'] = exif
    try: im.save(buf, format=fmt, **kw)
    # an icon of a single pixel, for one
    except ValueError: im.save(buf, format='png')
    # often mislabelled
    return buf.getvalue(), rng.choice([fmt.replace('jpeg', 'jpg'), fmt, 'png', 'jpg', 'gif', 'tif'])

def spoil(x, rng):
    "Bytes, damaged or not"
    x, kind = bytearray(x), rng.choice(['whole', 'whole', 'flip', 'cut', 'noise', 'text', 'empty', 'huge'])
    if kind == 'flip':
        for _ in range(rng.randint(1, 20)): x[rng.randrange(len(x))] ^= 1 << rng.randrange(8)
    if kind == 'cut': x = x[:rng.randrange(len(x))]
    if kind == 'noise': i = rng.randrange(len(x)); x[i:i + 100] = rng.randbytes(len(x[i:i + 100]))
    if kind == 'text': x = b'no picture at all'
    if kind == 'empty': x = b''
    if kind == 'huge':                                                              # a PNG that claims a billion pixels
        import zlib
        head = b'IHDR' + struct.pack('>IIBBBBB', 40_000, 25_000, 8, 2, 0, 0, 0)
        x = b'\x89PNG\r\n\x1a\n' + struct.pack('>I', 13) + head + struct.pack('>I', zlib.crc32(head)) + bytes(x)
    return bytes(x)

def file_name(rng, i):
    "A name for a file, some of them such as no person would choose"
    return os.fsencode(rng.choice([f'{i}', f'{i}', f'{i} with spaces', f'ünï-{i}-日本', f'new\nline{i}', f'{i}' +
                                   'x'*200, f'-{i}', f'{i}%s{{}}'])) + (b'\xff' if rng.random() < .05 else b'')

def bad_folder(rng, d):
    "A folder of pictures with everything that is found in such folders"
    root = d/'pictures'
    root.mkdir()
    for i in range(rng.randint(0, 5)):
        x, ending = picture(rng)
        sub = root/rng.choice(['', '', 'cats', 'dogs/deep', '.hidden', 'train', 'test'])
        sub.mkdir(parents=True, exist_ok=True)
        Path(os.fsdecode(os.path.join(os.fsencode(sub), file_name(rng, i) + b'.' +
                                      ending.encode()))).write_bytes(spoil(x, rng))
    for what in rng.sample(['loop', 'dangling', 'pipe', 'unreadable', 'folder.png', 'to itself', 'pickle'],
                           rng.randint(0, 2)):
        if what == 'loop': (root/'loop').symlink_to(root)
        if what == 'dangling': (root/'gone.png').symlink_to(d/'nowhere')
        if what == 'pipe': os.mkfifo(root/'pipe.png')
        if what == 'unreadable': (root/'closed').mkdir(mode=0)
        if what == 'folder.png': (root/'folder.png').mkdir()
        if what == 'to itself': (root/'self.png').symlink_to(root/'self.png')
        if what == 'pickle':
            (root/'evil.png').write_bytes(pickle.dumps(Canary(d/'canary')))
    return root

def bad_zip(rng, d):
    "A zip of pictures, with names that lead out of it, lies about sizes, and damage"
    path = d/'pictures.zip'
    with (
        warnings.catch_warnings(),
        zipfile.ZipFile(path, 'w', rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as z,
    ):
        warnings.simplefilter('ignore')
        for i in range(rng.randint(0, 4)):
            x, ending = picture(rng)
            z.writestr(rng.choice(['', '../', '../../evil/', '/etc/', 'C:\\', 'a/../../']) +
                       f'{rng.randint(0, 2)}.{ending}', spoil(x, rng))
        if rng.random() < .2: z.writestr('bomb.png', b'\x89PNG\r\n\x1a\n' + bytes(20_000_000))
    if rng.random() < .5: path.write_bytes(spoil(path.read_bytes(), rng))
    return path

def wild(rng, depth=0):
    "Any JSON value"
    if depth < 2 and rng.random() < .3:
        return rng.choice([lambda: [wild(rng, depth + 1) for _ in range(rng.randint(0, 3))],
                           lambda: {rng.choice(['name', 'lr', 'x']): wild(rng, depth + 1)}])()
    return rng.choice([None, True, False, 0, 1, -1, 2, 7, 1.5, -.5, 1e30, 10**12, 10**400, float('nan'), float('inf'),
                       '', 'digits', 'MLPGenerator', 'os.system', '__import__("os")', '../..', '/etc/passwd', 'x'*5000])

def mutate(x, rng):
    "A JSON value with something in it changed, added or left out"
    keys = list(x) if isinstance(x, dict) else list(range(len(x)))
    if not keys: return wild(rng)
    k = rng.choice(keys)
    if isinstance(x[k], (dict, list)) and x[k] and rng.random() < .8: x[k] = mutate(x[k], rng)
    else:
        how = rng.random()
        if how < .7: x[k] = wild(rng)
        elif isinstance(x, dict): x.pop(k) if how < .85 else x.update({f'{k}_': wild(rng)})
        else: x.append(wild(rng))
    return x

def bad_run(rng, d, base):
    """A run folder that somebody changed who knows about checksums, or one with links, or with a pickle in place of a
    file"""
    run = d/'run'
    shutil.copytree(base, run)
    newest, how = checkpoints(run)[-1], rng.choice(['config', 'config', 'config', 'state', 'state', 'text', 'link',
                                                    'pickle', 'deep'])
    file = run/'config.json' if how in ('config', 'deep') else newest/'state.json'
    if how in ('config', 'state'):
        x = json.loads(file.read_text())
        x.pop('checksum')
        for _ in range(rng.randint(1, 2)): x = mutate(x, rng)
        if isinstance(x, dict) and rng.random() < .9: x = json.loads(seal(x))
        file.write_text(json.dumps(x))
    if how == 'text': file.write_bytes(spoil(file.read_bytes(), rng))
    if how == 'deep': file.write_text('['*100_000)
    if how == 'link':
        at = rng.choice([run/'log.jsonl', run/'samples', newest/'G.safetensors', run/'checkpoints'])
        shutil.rmtree(at) if at.is_dir() else at.unlink(missing_ok=True)
        at.symlink_to(d)
    if how == 'pickle':
        at = rng.choice([newest/'G.safetensors', newest/'random.safetensors', run/'config.json'])
        torch.save(Canary(d/'canary'), at)
        x = json.loads((newest/'state.json').read_text()); x.pop('checksum')
        if at.name in x['sha256']: x['sha256'][at.name] = sha256_of(at); (newest/'state.json').write_bytes(seal(x))
    return run

def bad_arguments(rng, d, base):
    "A command with arguments, most of which make no sense"
    value = lambda: rng.choice(['0', '1', '-1', '8', '12', '8x12', '7', '1e9', 'nan', '', 'x', '0x10', '٣', '\n',
                                '../..', '99999999999999999999', '100000', 'best', 'None', 'cuda', 'cpu', 'meta'])
    command = rng.choice([gan_train, gan_train, gan_sample, gan_eval])
    options = dict(gan_train='size channels batch-size seed recipe device precision on-error save-every sample-every '
                             'on-nan step root score-every resume set'.split(),
                   gan_sample=['N', 'seed', 'step', 'device', 'out'],
                   gan_eval=['N', 'seed', 'features', 'step', 'device', 'source'])[command.__name__]
    args = [] if command is gan_train else [str(rng.choice([base, d, 'nowhere', '']))]
    if command is gan_train:
        args = rng.choice([[], ['digits'], ['ring'], ['grid'], ['digitz'], [str(d)], ['/dev/null'], ['.'], [''],
                           ['a', 'b']]) + ['--steps', '1', '--out', str(d/'out')]
        if rng.random() < .8: args += ['--size', '8', '--batch-size', '4']
    for o in rng.sample(options, rng.randint(0, 3)): args += [f'--{o}' if len(o) > 1 else f'-{o.lower()}', value()]
    if rng.random() < .05: args += ['--no-such-option']
    return command, args

kinds = ['images', 'images', 'zip', 'run', 'run', 'recipe', 'command']
expected = (DataError, TrainingError, CheckpointError)
code = {'pickle.find_class', 'os.system', 'subprocess.Popen', 'os.exec', 'os.posix_spawn', 'os.spawn'}

def attempt(kind, rng, d, base):
    "Try one bad input as a user would; 'works' or 'refused', or an exception that nobody should see"
    refusals = expected
    if kind == 'command':
        command, args = bad_arguments(rng, d, base)
        sys.argv = [command.__name__, *args]
        try: _run_cli(command.__wrapped__, False, ['source'] if command is gan_train else None)
        except SystemExit as e:
            if e.code not in (None, 0): return 'refused'
        return 'works'
    # the control: this one must be seen
    if kind == 'trap': return pickle.loads(pickle.dumps(Canary(d/'canary'))) and 'works' or 'works'
    try:
        if kind in ('images', 'zip'):
            source, size = (bad_folder if kind == 'images' else bad_zip)(rng, d), rng.choice([8, (5, 9)])
            data = load_data(source, size=size, channels=rng.choice([None, 1, 2, 3, 4]),
                             on_error=rng.choice(['raise', 'skip']), stream=rng.choice([None, True, False]))
            if hasattr(data, 'workers'): data.workers = 0
            x, _ = next(data.batches(4, device='cpu'))
            assert x.shape == (4, *data.shape) and x.isfinite().all() and x.abs().max() <= 1
        if kind == 'run':
            run = bad_run(rng, d, base)
            t = load_run(run, device='cpu', data=digits(8))
            assert t.sample(2, seed=0).shape == (2, 1, 8, 8)
            if t.batch_size <= 64 and t.players['D'].times <= 8: t.fit(1, [Checkpoint(run)])
        if kind == 'recipe':
            # from Python, wrong arguments are ValueErrors
            refusals = (ValueError, TypeError, TrainingError)
            r = json.loads(recipe(rng.choice(list(recipes()))).to_json()) | dict(width=8, batch_size=4, latent_dim=4)
            for k in ('generator', 'discriminator'): r[k] |= {'width': 8} if 'width' in r[k] else {}
            r = Recipe.from_json(json.dumps(mutate(r, rng)))
            # large is not wrong, it only takes long
            if any(isinstance(v, (int, float)) and v > 1000 for v in (r.width, r.latent_dim, r.batch_size, r.n_critic)):
                return 'works'
            r.trainer(digits(8), device='cpu').fit(1)
        return 'works'
    except refusals as e:
        if len(str(e).splitlines()) != 1: raise RuntimeError(f'{len(str(e).splitlines())} lines: {e!r}') from e
        return 'refused'

def in_a_process(kind, seed, d, base, limit=60):
    "What came of an attempt in a process of its own: (outcome, what was printed, peak memory in MB)"
    out = open(d.with_suffix('.txt'), 'w+')
    pid = os.fork()
    if not pid:
        os.dup2(out.fileno(), 1); os.dup2(out.fileno(), 2)
        sys.stdout, sys.stderr = open(1, 'w', buffering=1), open(2, 'w', buffering=1, errors='backslashreplace')
        os.environ.pop('IN_TEST', None)
        sys.addaudithook(lambda event, args: print('EXECUTED', event, args, file=sys.stderr) if event in code else None)
        status = 3
        try:
            os.chdir(d)
            warnings.simplefilter('ignore')
            status = dict(works=0, refused=2)[attempt(kind, random.Random(seed), d, base)]
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush(); sys.stderr.flush()
            os._exit(status)
    end, usage = time.time() + limit, None
    while time.time() < end:
        got, status, usage = os.wait4(pid, os.WNOHANG)
        if got: break
        time.sleep(.002)
    else:
        os.kill(pid, signal.SIGKILL)
        usage = os.wait4(pid, 0)[2]
        return 'hang', '', usage.ru_maxrss/1024
    out.seek(0)
    text = out.read()
    out.close()
    outcome = {0: 'works', 2: 'refused'}.get(os.waitstatus_to_exitcode(status), 'traceback' if 'Traceback' in text
                                             else 'crash')
    return outcome, text, usage.ru_maxrss/1024

def fuzz(n, seed, where, verbose=True):
    "Try `n` bad inputs, each in its own folder and process"
    base = where/'fuzzed'
    small().fit(2, [Checkpoint(base, every=1)])
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024
    found = dict(tried=0, works=0, refused=0, traceback=0, crash=0, hang=0, more_than_a_line=0, left_something=0,
                 executed=0, most_memory_mb=0) | {k: 0 for k in sorted(set(kinds))}
    (where/'control').mkdir()
    assert (
        'EXECUTED' in in_a_process('trap', seed, where / 'control', base)[1] and (where / 'control/canary').exists()
    ), 'a pickle that runs is not noticed'
    for i in range(n):
        kind, d = kinds[i % len(kinds)], where/f'input_{i}'
        d.mkdir()
        outcome, text, memory = in_a_process(kind, f'{seed}.{i}', d, base)
        lines = [l for l in text.splitlines() if l.startswith(('gan_train:', 'gan_sample:', 'gan_eval:'))]
        usage = 'usage:' in text                                                      # argparse says it in its own way
        found['tried'] += 1; found[outcome] += 1; found[kind] += 1
        found['executed'] += 'EXECUTED' in text or (d/'canary').exists()
        if kind == 'command' and outcome == 'refused':
            found['more_than_a_line'] += not usage and len(lines) != 1
            found['left_something'] += any(d.iterdir())
        found['most_memory_mb'] = max(found['most_memory_mb'], round(memory - start))
        if verbose and (outcome not in ('works', 'refused') or 'EXECUTED' in text
                        or (kind == 'command' and outcome == 'refused'
                            and ((not usage and len(lines) != 1) or any(d.iterdir())))):
            print(f'input {i}, {kind}, {outcome}:\n{text[-1500:]}', file=sys.stderr)
        for p in d.rglob('*'):
            if p.is_dir() and not p.is_symlink(): p.chmod(0o700)
        shutil.rmtree(d); d.with_suffix('.txt').unlink()
    return found

# time

def open_files(): return len(os.listdir('/proc/self/fd'))

def resident():
    "Resident memory in MB"
    return int(Path('/proc/self/statm').read_text().split()[1])*os.sysconf('SC_PAGE_SIZE')/2**20

def flat(steps, saves, where):
    "Resident memory between the 500th and the last step, open files over many saves"
    t = small(width=64)
    class Look(Checkpoint):
        seen = {}
        def after_step(self, trainer):
            super().after_step(trainer)
            if trainer.steps_done in (min(500, steps//2), steps):
                self.seen[trainer.steps_done] = (resident(), open_files())
    look = Look(where/'long', every=max(1, steps//saves))
    t.fit(steps, [look])
    (early, files), (late, files_late) = look.seen.values()
    return dict(steps=steps, saves=steps//look.every, mb_early=round(early, 1), mb_late=round(late, 1),
                growth=round(late/early - 1, 4), files_early=files, files_late=files_late)

if __name__ == '__main__' and sys.argv[1:2] == ['child']:
    child(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    sys.exit()

@call_parse
def main(
    kill: int = 40, # times that a process is killed
    damaged: int = 200, # checkpoints that are damaged
    inputs: int = 2000, # bad inputs
    saves: int = 100, # saves over which open files are counted
    steps: int = 10_000, # steps over which memory is measured
    seed: int = 0, # of every random choice
    out: Path = None, # a JSON file for the numbers
):
    "Break runs on purpose, and count what survives"
    began, where = time.time(), Path(tempfile.mkdtemp())
    try:
        found = dict(kills=kills(kill, random.Random(seed), where),
                     checkpoints=corrupted(damaged, random.Random(seed), where), inputs=fuzz(inputs, seed, where),
                     time=flat(steps, saves, where))
    finally: shutil.rmtree(where, ignore_errors=True)
    found |= dict(seed=seed, seconds=round(time.time() - began), date=time.strftime('%Y-%m-%d'),
                  machine=f'{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, torch '
                          f'{torch.__version__}')
    text = json.dumps(found, indent=1)
    print(text)
    if out: Path(out).write_text(text + '\n')
