"""TERM, INT and HUP: one, two or three of them, at random moments from the first instant on, and at the same instant
within a save.

What counts as held: the command says in a line that it was stopped and ends with status 128 + the number of a signal
that it was sent (130 for Ctrl-C), or it was through before; and the run is whole: resumed until its end, its last
checkpoint and its pictures equal those of an undisturbed one. (A run that ends on request reads its losses and is
saved where it stands, so that its log has a line and its folder may have a checkpoint more.) A signal that the parent
had ignored, as `nohup` does, changes nothing.
"""
import random, shutil, signal
from functools import partial
from pathlib import Path

from forks import attempt, become, command, in_lanes, raise_together, script
from kills import finish
from runs import Case, differences, leftovers, make_data

numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_cases = [Case('rpgan_mlp', 'digits', steps=16), Case('rpgan_mlp', 'folder', scores=True, steps=12),
          Case('dcgan', 'zip', steps=12), Case('rpgan_points', 'ring', steps=16),
          Case('rpgan_mlp', 'stream', steps=12)]

def burst(rng, seconds, moment=None):
    "One to three signals, near one another or at the same instant: [(seconds, number)]"
    moment = rng.uniform(0, seconds) if moment is None else moment
    chosen, gap = [rng.choice(numbers) for _ in range(rng.choice([1, 1, 2, 3]))], rng.choice([0, 0, .002, .02, .2])
    return [(moment + i*gap, n) for i, n in enumerate(chosen)]

def send_before(k, chosen):
    "Ahead of its k-th operation on a file, a process gets all of these at the same instant"
    def watch(n, what):
        if n == k: raise_together(chosen)
    return watch

def stopped(ended, sent):
    "What came of a command that was sent signals, in a word"
    lines = [line for line in (ended.out + ended.err).replace('\r', '\n').splitlines()
             if line.startswith(('gan_', 'stopped')) and 'step/s]' not in line]
    if ended.hang: return 'hang'
    if ended.traceback or 'OSError' in ended.err: return 'traceback'
    if ended.status < 0: return 'killed without a word'
    if ended.status == 0: return 'through'
    if ended.status not in {128 + n for n in sent}: return f'status {ended.status}'
    return 'stopped' if lines else 'without a word'

def trained(task):
    "Send signals to a run; then go on with it and compare"
    i, seed, where, images, wholes = task
    rng, where = random.Random(f'{seed} signal {i}'), Path(where)
    where.mkdir()
    which = rng.randrange(len(_cases))
    case, (whole, seconds, operations) = _cases[which], wholes[which]
    how = rng.choice(['moment', 'moment', 'operation', 'ignored'])
    begin = partial(case.train, images)
    if how == 'operation':
        sent = rng.sample(numbers, rng.choice([1, 2, 3]))
        at = rng.randint(1, operations)
        ended = attempt(begin, where, watch=send_before(at, sent))
        at = f'before operation {at} of {operations}'
    else:
        plan = burst(rng, 1.05*seconds)
        sent, at = [n for _, n in plan], f'after {", ".join(f"{t:.3f}" for t, _ in plan)} of {seconds:.2f} s'
        if how == 'ignored':
            plan = [(t, signal.SIGHUP) for t, _ in plan]
            sent, begin = [], partial(_ignoring, begin)
        ended = attempt(begin, where, signals=plan)
    result = dict(case=str(case), signals=[signal.Signals(n).name for n in sent], at=at, how=how,
                  outcome=stopped(ended, sent), status=ended.status, refused=None, differs=[], leftovers=[])
    result['said'] = (ended.out + ended.err)[-400:]
    again = finish(case, images, where)
    if again['refused']: result |= dict(refused=again['refused'][-400:])
    else: result |= dict(differs=_unasked(differences(whole, where/'run')), leftovers=leftovers(where/'run'))
    shutil.rmtree(where)
    return result

def _unasked(differs):
    "Differences that no stop on request explains"
    return [d for d in differs if not d.startswith(('log.jsonl', 'report.html')) and not d.endswith('too much')]

def _ignoring(f):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return f()

def asked(task):
    "Send signals to a command that only reads a run; then call it again"
    i, seed, where, run = task
    rng, where = random.Random(f'{seed} asked {i}'), Path(where)
    where.mkdir()
    shutil.copytree(run, where/'run')
    do = partial(command, *rng.choice([('gan_sample', 'run', '-n', 64), ('gan_eval', 'run', '-n', 100),
                                       ('gan_sample', 'run', '--walk', 'run/walk.gif')]), '--device', 'cpu')
    plan = burst(rng, .6)
    ended = attempt(do, where, signals=plan)
    sent = [n for _, n in plan]
    result = dict(case=' '.join(map(str, do.args)), signals=[signal.Signals(n).name for n in sent],
                  at=f'after {plan[0][0]:.3f} s', how='asked', outcome=stopped(ended, sent), status=ended.status,
                  said=(ended.out + ended.err)[-400:], refused=None, differs=[], leftovers=[])
    again = attempt(do, where)
    if again.status: result['refused'] = again.err[-400:]
    result['leftovers'] = leftovers(where/'run')
    shutil.rmtree(where)
    return result

def starting(task):
    "Send signals to a new Python while it starts, imports, and begins a run"
    i, seed, where, seconds = task
    rng, where = random.Random(f'{seed} starting {i}'), Path(where)
    where.mkdir()
    words = [*script('gan_train'), 'digits', '--size', 8, '--batch-size', 4, '--set', 'width=8', '--steps', 400,
             '--save-every', 5, '--out', 'run']
    plan = burst(rng, 0, rng.uniform(.05, seconds))
    ended = attempt(partial(become, words), where, signals=plan)
    sent = [n for _, n in plan]
    result = dict(case='a new Python', signals=[signal.Signals(n).name for n in sent],
                  at=f'after {plan[0][0]:.2f} of {seconds:.2f} s', how='starting', outcome=stopped(ended, sent),
                  status=ended.status,
                  said=(ended.out + ended.err)[-400:], refused=None, differs=[], leftovers=[])
    if (where/'run').exists() and ended.status:
        again = attempt(partial(command, 'gan_train', '--resume', 'run', '--save-every', 100), where)
        if again.status: result['refused'] = again.err[-400:]
        else: result['leftovers'] = leftovers(where/'run')
    shutil.rmtree(where)
    return result

def fine(result):
    return result['outcome'] in ('stopped', 'through') and not (result['refused'] or result['differs']
                                                                or result['leftovers'])

def campaign(n, seed, lanes, where, say, short=False):
    "`n` bursts of signals: most of them to runs, a fifth to the other commands, a tenth to a new Python"
    images, wholes = where/'data', []
    make_data(images)
    for i, case in enumerate(_cases):
        (where/f'whole_{i}').mkdir()
        whole = attempt(partial(case.train, images), where/f'whole_{i}')
        wholes.append((str(where/f'whole_{i}/run'), whole.seconds, whole.operations))
    new = n//10
    (where/'new').mkdir()
    began = attempt(partial(become, [*script('gan_train'), '--help']), where/'new').seconds + 3
    results = in_lanes(lanes, [(i, seed, str(where/f'run_{i}'), images, wholes) for i in range(n - n//5 - new)],
                       trained, say)
    results += in_lanes(lanes, [(i, seed, str(where/f'asked_{i}'), wholes[0][0]) for i in range(n//5)], asked, say)
    results += in_lanes(lanes, [(i, seed, str(where/f'new_{i}'), began) for i in range(new)], starting, say)
    outcomes = sorted({r['outcome'] for r in results} | {'stopped', 'through'})
    return dict(tried=len(results), **{o: sum(r['outcome'] == o for r in results) for o in outcomes}, outcomes=outcomes,
                **{k: sum(bool(r[k]) for r in results) for k in ('refused', 'differs', 'leftovers')},
                fell=[r for r in results if not fine(r)])

def table(found):
    ends = ', '.join(f'{found[o]} {o}' for o in found['outcomes'])
    return [('one to three of TERM, INT and HUP', found['tried'], f'{ends}; then {found["refused"]} could not be gone '
                                                                  f'on with, {found["differs"]} ended with another '
                                                                  f'folder, {found["leftovers"]} left something')]

def held(found): return not found['fell']
