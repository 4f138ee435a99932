"""Streams that are closed, broken or full: what a shell does with `>&-`, `| head -1` and `> /dev/full`.

What counts as held: the command does its work, without a traceback; and its status is 0 wherever standard output could
be written.
"""
import shlex, shutil
from functools import partial
from pathlib import Path

from gan_nb.runs import checkpoints

from forks import attempt, become, command, in_lanes, script

# Redirection -> whether standard output can still be written.
redirections = {'>&-': False, '2>&-': True, '<&-': True, '>&- 2>&-': False, '<&- >&- 2>&-': False, '| head -1': False,
                '| true': False, '2>&1 | head -1': False, '2> >(true)': True,
                '2> >(head -c 1)': True, '> /dev/full': False, '2> /dev/full': True, '> /dev/full 2>&1': False}

_small = ['digits', '--size', 8, '--batch-size', 4, '--set', 'width=8', '--set', 'latent_dim=4']
_steps = 60

def _train(): command('gan_train', *_small, '--steps', 4, '--out', 'run')

def _done(name, where):
    if name == 'gan_train':
        return [p.name for p in checkpoints(where / 'new')][-1:] == [f'step_{_steps:08}'] and (
            where / 'new/samples.png'
        ).exists()
    return (where/dict(gan_sample='run/samples_seed5.png', gan_eval='run/metrics.json')[name]).exists()

def redirected(task):
    name, how, run, where = task
    where = Path(where)
    where.mkdir()
    shutil.copytree(run, where/'run')
    arguments = dict(gan_train=[*_small, '--steps', _steps, '--save-every', 20, '--out', 'new'],
                     gan_sample=['run', '--seed', 5], gan_eval=['run', '-n', 50, '--features', 'pixels'])[name]
    words = shlex.join(map(str, [*script(name), *arguments]))
    # Errors are kept apart, unless it is they that are redirected.
    errors = '' if '2>' in how else '2> errors'
    ended = attempt(partial(become, ['bash', '-c', f'{words} {errors} {how}; echo ${{PIPESTATUS[0]}} > status']), where)
    said = ended.out + ended.err + ((where/'errors').read_text() if (where/'errors').exists() else '')
    status = int((where/'status').read_text()) if (where/'status').exists() else None
    traceback = any(t in said for t in ('Traceback', 'Exception ignored'))
    done = _done(name, where)
    return dict(command=f'{name} {how}', status=status, done=done, traceback=traceback, hang=ended.hang, held=done
                and not traceback and not ended.hang and (status == 0 or not redirections[how]),
                said=said[-500:])

def fine(result): return result['held']

def campaign(n, seed, lanes, where, say, short=False):
    "Each command with each redirection, or the first `n` of all"
    tasks = [(name, how) for how in redirections for name in ('gan_train', 'gan_sample', 'gan_eval')]
    tasks = tasks[::len(tasks)//n] if n < len(tasks) else tasks
    ended = attempt(_train, where)
    if ended.status: raise RuntimeError(ended.err)
    results = in_lanes(lanes, [(*task, str(where/'run'), str(where/f'pipe_{i}')) for i, task in enumerate(tasks)],
                       redirected, say)
    return dict(tried=len(results), done=sum(r['done'] for r in results),
                traceback=sum(r['traceback'] for r in results), hang=sum(r['hang'] for r in results),
                fell=[r for r in results if not r['held']])

def table(found):
    return [('a stream that is closed, broken or full', found['tried'], f'{found["done"]} did their work; '
                                                                        f'{found["traceback"]} tracebacks, '
                                                                        f'{found["hang"]} hangs, {len(found["fell"])} '
                                                                        'fell')]

def held(found): return not found['fell']
