"""`kill -9`: at random moments of runs of every recipe on every kind of data, and ahead of each operation on a file of
each command.

What counts as held: a killed run, resumed until it ends, leaves a folder that equals that of a run which nobody
disturbed, byte for byte but for clocks; and once the next command has ended, no temporary file of the killed one is
left.
"""
import os, random, shutil, signal, sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from gan_nb.runs import checkpoints

from forks import attempt, command, in_lanes
from runs import Case, all_cases, differences, leftovers, make_data

# ---- how a process is killed

def kill_before(k):
    "Before its k-th operation on a file, a process names that operation and is gone"
    def watch(n, what):
        if n != k: return
        print(f'\nkilled before {what}', file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    return watch

def _at_random(rng, whole):
    """Keyword arguments of `attempt` that kill a process, at a moment or ahead of an operation of one that would end as
    `whole` did"""
    if rng.random() < .5: return dict(signals=[(rng.uniform(0, whole.seconds), signal.SIGKILL)])
    return dict(watch=kill_before(rng.randint(1, whole.operations)))

def _killed(ended): return ended.status == -signal.SIGKILL and not ended.hang

def where_killed(ended):
    place = [line for line in ended.err.splitlines() if line.startswith('killed before')]
    return place[-1] if place else f'killed after {ended.seconds:.2f} s'

# ---- a run that is killed and resumed until it ends

def finish(case, images, folder, kill=lambda: {}, limit=60.):
    """Go on with the run in `folder`/run until it has ended, with processes that `kill` decides about; says what
    happened"""
    found, run = dict(kills=0, places=[], began_again=0, refused=None), folder/'run'
    while True:
        begin = not run.exists()
        ended = attempt(partial(case.train, images) if begin else case.resume, folder, limit=limit, **kill())
        kept = checkpoints(run)
        if _killed(ended):
            found['kills'] += 1
            found['places'].append(('' if begin else 'resumed, ') + where_killed(ended))
        elif ended.hang: return found | dict(refused='hangs')
        elif ended.status == 0: return found
        elif ended.traceback: return found | dict(refused=ended.err[-1500:])
        # Killed before its first checkpoint was whole: the line that refuses says that it has to begin again.
        elif not kept and not begin and found['began_again'] < 20:
            found['began_again'] += 1
            shutil.rmtree(run)
        else: return found | dict(refused=ended.err[-1500:])

def killed_run(task):
    "Kill a run at up to `most` random moments; compare what is there at its end with one that nobody disturbed"
    case, seed, most, images, where = task
    rng, where = random.Random(seed), Path(where)
    (where/'whole').mkdir(parents=True)
    (where/'killed').mkdir()
    whole = attempt(partial(case.train, images), where/'whole')
    result = dict(case=str(case), kills=0, equal=False, differs=[], leftovers=[], refused=None, seconds=whole.seconds)
    if whole.status != 0: return _clean(where, result | dict(refused=f'not even undisturbed: {whole.err[-1500:]}'))
    more = iter([_at_random(rng, whole) for _ in range(most)])
    result |= finish(case, images, where/'killed', lambda: next(more, {}))
    return _clean(where, result | _compared(result, where/'whole/run', where/'killed/run'))

def _compared(result, whole, killed):
    if result['refused']: return {}
    differs = differences(whole, killed)
    return dict(differs=differs, leftovers=leftovers(killed), equal=not differs)

def _clean(where, result):
    shutil.rmtree(where, ignore_errors=True)
    return result

def control(task):
    "Two runs that nobody disturbs are equal, or the comparison means nothing"
    case, images, where = task
    where = Path(where)
    for name in 'ab':
        (where/name).mkdir(parents=True)
        attempt(partial(case.train, images), where/name)
    return _clean(where, dict(case=str(case), equal=(where/'a/run').exists()
                              and not differences(where/'a/run', where/'b/run')))

# ---- ahead of each operation on a file

_short = Case('rpgan_mlp', 'folder', scores=True, steps=8, save=4, sample=4)
_plain = replace(_short, scores=False)
_longer = replace(_short, steps=12, further=True)

def points(images, where):
    "For each command: what it starts from, what an undisturbed one leaves, and how many operations on files it takes"
    found, bases = {}, {}
    for name, case in dict(scored=_short, plain=_plain).items():
        (where/name).mkdir(parents=True)
        attempt(partial(case.train, images), where/name)
        bases[name] = where/name/'run'
    for name, (do, start) in _commands(images).items():
        folder = where/name.replace(' ', '_')
        folder.mkdir()
        if start: shutil.copytree(bases[start], folder/'run')
        ended = attempt(do, folder)
        if ended.status: raise RuntimeError(f'{name} fails undisturbed: {ended.err}')
        found[name] = (start and str(bases[start]), str(folder/'run'), ended.operations)
    return found

def _commands(images):
    "Name -> (what is called, the run it starts from)"
    sample = ('gan_sample', 'run', '-n', 4, '--device', 'cpu')
    return {'gan_train': (partial(_short.train, images), None), 'gan_train --resume': (_longer.resume, 'scored'),
            'gan_sample': (partial(command, *sample), 'plain'),
            'gan_sample --walk': (partial(command, *sample, '--walk', 'run/walk.gif'), 'plain'),
            'gan_eval': (partial(command, 'gan_eval', 'run', '-n', 20, '--device', 'cpu'), 'plain')}

def point(task):
    "Kill one command ahead of its k-th operation, run it again, and compare with a folder in which it ran once"
    name, k, start, end, images, where = task
    folder = Path(where)/'killed'
    folder.mkdir(parents=True)
    if start: shutil.copytree(start, folder/'run')
    do = _commands(images)[name][0]
    ended = attempt(do, folder, watch=kill_before(k))
    result = dict(case=name, operation=k, kills=int(_killed(ended)), places=[where_killed(ended)], began_again=0,
                  equal=False, differs=[], leftovers=[], refused=None)
    if name.startswith('gan_train'):
        again = finish(_short if name == 'gan_train' else _longer, images, folder)
        result |= {k: again[k] for k in ('refused', 'began_again')}
    else:
        again = attempt(do, folder)
        if again.status: result['refused'] = again.err[-1500:]
    return _clean(Path(where), result | _compared(result, Path(end), folder/'run'))

# ---- the campaign

def campaign(n, seed, lanes, where, say, short=False):
    "`n` kills of runs at random moments, and one ahead of each operation of each command; in short, of every 25th"
    rng, images = random.Random(f'{seed} kills'), where/'data'
    make_data(images)
    cases, most = all_cases(rng), 3
    tasks = [(cases[i % len(cases)], f'{seed} kill {i}', most, images, str(where/f'run_{i}'))
             for i in range(-(-n//most))]
    controls = in_lanes(lanes, [(case, images, str(where/f'control_{i}')) for i,
                                case in enumerate(cases[::12][:max(2, n//25)])], control, say)
    runs = in_lanes(lanes, tasks, killed_run, say)
    # A process may be through before it is hit: go on with further runs until the number is reached.
    while sum(r['kills'] for r in runs) < n and len(runs) < 3*n:
        i = len(runs)
        runs += in_lanes(1, [(cases[i % len(cases)], f'{seed} kill {i}', most, images, str(where/f'run_{i}'))],
                         killed_run, say)
    found = dict(kills=sum(r['kills'] for r in runs), **_summary(runs), controls=len(controls),
                 controls_equal=sum(c['equal'] for c in controls))
    ahead = points(images, where/'points')
    tasks = [(name, k, start, end, images, str(where/f'point_{j}_{k}'))
             for j, (name, (start, end, operations)) in enumerate(ahead.items())
             for k in range(1, operations + 1, 25 if short else 1)]
    by_point = in_lanes(lanes, tasks, point, say)
    return found | dict(points=dict(kills=sum(p['kills'] for p in by_point), **_summary(by_point)))

def _summary(runs):
    "Counts, and each run that did not hold"
    counts = dict(runs=len(runs), equal=sum(r['equal'] for r in runs),
                  refused=sum(r['refused'] is not None for r in runs),
                  began_again=sum(r['began_again'] for r in runs if 'began_again' in r),
                  leftovers=sum(bool(r['leftovers']) for r in runs))
    return counts | dict(fell=[{k: v for k, v in r.items() if v not in (None, [], 0, '')} for r in runs
                               if not r['equal'] or r['leftovers']])

def table(found):
    "Rows of (what was tried, how often, what came of it)"
    p = found['points']
    rows = []
    for what, f in (('`kill -9` at random moments, resumed until the end', found),
                    ('`kill -9` ahead of each operation on a file of a command, which is then run again', p)):
        rows.append((what, f'{f["kills"]} kills, {f["runs"]} runs', f'{f["equal"]} folders equal to undisturbed ones, '
                                                                    f'{f["runs"] - f["equal"]} not; {f["leftovers"]} '
                                                                    'with leftovers; '
                     f'{f["began_again"]} times killed before a first checkpoint'))
    return rows

def fine(result): return result['equal'] and not result.get('leftovers')

def held(found):
    return all(f['equal'] == f['runs'] and not f['leftovers']
               for f in (found, found['points'])) and found['controls'] == found['controls_equal']
