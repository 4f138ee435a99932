"""Settings that make no sense: of the commands, and of recipes in JSON.

What counts as held: the command works, or refuses in one line within ten seconds and two gigabytes, and a refused one
leaves nothing behind; a recipe is refused by a ValueError or TrainingError of one line, or trains. A command that has
announced its run within that time is a large one, which is not wrong.
"""
import json, random, shutil
from functools import partial
from pathlib import Path

from gan_nb.runs import CheckpointError
from gan_nb.files import DataError
from gan_nb.data import digits
from gan_nb.recipes import Recipe, recipe, recipes
from gan_nb.callbacks import TrainingError

from edits import any_value, at, judge, nan, nasty, nest, summary, walk
from forks import attempt, command, in_lanes
from runs import make_data

# ---- recipes

# Recipes are written flat: the settings of a recipe itself, and nasty values for them.
nasty_fields = dict(batch_size=[0, -1, 10**9, 65536, 1.5, True, None], n_critic=[0, -1, 65536, 1.5, True],
                    clip=[-1, 0, nan, True, 'x', 1e300], ema=[1, 2, -1, nan, True, None, 0],
                    aux=[[1], [1, 2, 3], [-1, 1], True, 'ab', [nan, 1], [True, True]], unroll=[-1, 1.5, True, 65536],
                    loss=['x', None, 5, [], 'wasserstein'], generator=[None, {}, [], 5], discriminator=[None, {}, 5],
                    penalties=[None, {}, 5, [None], [5], [[]]], schedules=[None, [], 5, dict(x={}), dict(lr=5)],
                    augment=[None, 5, [], dict(name=5)], opt_G=[None, {}, 5, []], network=['x', None, 5, ''],
                    conditional=[None, 1, 'x', True], seed=[1], x=[1])

# Fields that are parts of their own, and the list of `nasty` that is meant for them.
_fields = dict(generator='network', discriminator='network', opt_G='optimizer', opt_D='optimizer', penalties='penalty',
               schedules='schedule', augment='augment')

def small_recipe(rng):
    "A recipe as JSON data, so small that a step takes a moment"
    r = json.loads(recipe(rng.choice(list(recipes()))).to_json()) | dict(width=8, batch_size=4, latent_dim=4,
                                                                         n_critic=1)
    for net in ('generator', 'discriminator'): r[net] |= {'width': 8} if 'width' in r[net] else {}
    return r

def change(r, rng):
    "Change one thing in a recipe; (the way to it, its new value)"
    how = rng.choice(['part', 'part', 'trainer', 'leaf', 'add', 'remove'])
    if how == 'part':
        field = rng.choice(list(_fields))
        key = rng.choice(list(nasty[_fields[field]]))
        value, parts = rng.choice(nasty[_fields[field]][key]), r[field]
        if field in ('penalties', 'schedules') and not parts:
            parts = r[field] = (
                [dict(at='real', target=0.0, weight=1.0)]
                if field == 'penalties'
                else dict(lr=dict(name='linear', to=0.0))
            )
        inner = (
            []
            if field not in ('penalties', 'schedules')
            else [rng.randrange(len(parts))]
            if field == 'penalties'
            else [rng.choice(list(parts))]
        )
        way = (field, *inner, key)
    elif how == 'trainer':
        key = rng.choice(list(nasty_fields))
        way, value = (key,), rng.choice(nasty_fields[key])
    else:
        way, old = rng.choice([(p, v) for p, v in walk(r) if p])
        value = any_value(rng)
        if how == 'add': way = (*way[:-1], f'{way[-1]}_') if isinstance(at(r, way[:-1]), dict) else way
        if how == 'remove':
            del at(r, way[:-1])[way[-1]]
            return way, 'removed'
    at(r, way[:-1])[way[-1]] = value
    return way, value

def try_recipe(text):
    "Read a recipe and take a step with it"
    try:
        r = Recipe.from_json(text)
        t = r.trainer(digits(8), device='cpu', precision='fp32')
        if max(t.batch_size, r.n_critic, r.unroll) > 64: return 'large', []
        t.fit(1)
        return 'works', []
    except (ValueError, TrainingError, CheckpointError, DataError) as e: return 'refused', str(e)

# ---- commands

words = ['0', '1', '-1', '8', '12', '8x12', '7', '13', '1e9', 'nan', 'inf', '', ' ', 'x', '0x10', '٣', '\n', '../..',
         '99999999999999999999', '100000', 'best', 'None', 'null', 'true', 'cuda', 'cpu', 'meta',
         'mps', 'compile', 'graph', 'fp16', 'bf16', 'raise', 'skip', '[]', '{}', '[1', '1'*5000, '"', '{"a":'*2000,
         '-', '--', '8x8x8', '0x8', '8,8', '1_000', '１６']
sources = ['digits', 'ring', 'grid', 'images', 'images.zip', 'digitz', 'data', '/dev/null', '/dev/zero', '.', '',
           'runs', 'nowhere/at/all', 'images/0', '\x1b[31m', 'mnist\n', 'x'*300]
options = dict(gan_train=['size', 'channels', 'batch-size', 'seed', 'recipe', 'device', 'precision', 'on-error',
                          'save-every', 'sample-every', 'on-nan', 'step', 'score-every', 'resume', 'set', 'steps',
                          'out', 'engine'],
               gan_sample=['n', 'seed', 'step', 'device', 'out', 'label', 'walk'],
               gan_eval=['n', 'seed', 'features', 'step', 'device', 'source', 'root'])
# What is many megabytes to learn or cannot be had here: not an attack.
_elsewhere = {'inception', 'mnist', 'cifar10', 'fashion_mnist'}

def wild_set(rng):
    "NAME=VALUE for --set, of an entry of some recipe"
    r = small_recipe(rng)
    way, value = change(r, rng)
    name = '.'.join(map(str, way))
    if rng.random() < .1:
        name = rng.choice(['', '.', '..', f'{name}.', f'{name}.x.y', f'.{name}', 'generator.x', 'penalties.9.weight',
                           'penalties.x', 'name', 'x'*300])
    return f'{name}={value if isinstance(value, str) else json.dumps(value)}'

def wild_arguments(rng):
    "A command and arguments, at least one of which makes no sense"
    name = rng.choice(['gan_train']*4 + ['gan_sample', 'gan_eval'])
    if name != 'gan_train':
        arguments = [rng.choice(['run', 'run', 'run', 'images', 'nowhere', '', 'run/config.json', 'run/checkpoints'])]
        for o in rng.sample(options[name], rng.randint(1, 2)):
            arguments += [f'--{o}' if len(o) > 1 else f'-{o}', rng.choice(words)]
        return name, arguments
    r = small_recipe(rng)
    if rng.random() < .15: arguments = ['--resume', rng.choice(['run', 'run', 'run', 'images', 'nowhere', '', '.'])]
    else:
        arguments = [rng.choice(sources)] if rng.random() < .3 else [rng.choice(['digits', 'images', 'images.zip',
                                                                                 'ring'])]
        small = ['--size', '8', '--batch-size', '4', '--recipe', r['name'], '--set', 'width=8', '--set',
                 'latent_dim=4', '--set', 'n_critic=1']
        for net in ('generator', 'discriminator'): small += ['--set', f'{net}.width=8']*('width' in r[net])
        arguments += small + ['--out', 'out']
    if '--resume' not in arguments: arguments += ['--steps', '1']
    for _ in range(rng.choice([0, 1, 1, 2])): arguments += ['--set', wild_set(rng)]
    for o in rng.sample(options[name], rng.choice([0, 1, 1, 2])): arguments += [f'--{o}', rng.choice(words)]
    if rng.random() < .03:
        arguments += rng.choice([['--no-such-option'], ['extra'], ['--set'], ['--set', 'ema'], ['-h']])
    return name, arguments

def listing(folder):
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob('*') if not p.name.startswith('.lock'))

def by_command(rng, where, data, run):
    "Call a command in a folder with a run and some data; judge it, and what it leaves"
    name, arguments = wild_arguments(rng)
    shutil.copytree(data, where, dirs_exist_ok=True)
    shutil.copytree(run, where/'run')
    before = listing(where)
    ended = attempt(partial(command, name, *arguments), where, limit=10, memory=2)
    result = dict(what=[name, *[a if len(a) < 200 else f'{a[:60]}... ({len(a)} characters)' for a in arguments]])
    if ended.hang and 'run folder' in ended.out: return result | dict(outcome='large')
    # argparse refuses in its own way, of two lines
    usage = 'usage:' in ended.err
    result |= judge(ended, not usage) if not usage or ended.traceback or ended.hang else dict(outcome='refused')
    left = [n for n in listing(where) if n not in before]
    if result['outcome'] == 'refused' and left: return result | dict(outcome='left something', evidence=left[:10])
    return result

# ---- the campaign

def mutated(task):
    i, seed, data, run, where = task
    rng, where = random.Random(f'{seed} setting {i}'), Path(where)
    where.mkdir()
    try:
        if i % 3: return dict(setting=i, **by_command(rng, where, data, run))
        r = small_recipe(rng)
        way, value = change(r, rng)
        if rng.random() < .05:
            text = rng.choice(['', '[]', 'null', '{', '[' * 10**5, json.dumps(nest('dict', 900)), '{"name": 5}', '"x"',
                               '1'*5000])
        else: text = json.dumps(r)
        ended = attempt(partial(try_recipe, text), where, limit=10, memory=2)
        return dict(setting=i, what=f'{r.get("name")}: {".".join(map(str, way))} = {repr(value)[:80]}', **judge(ended))
    finally: shutil.rmtree(where, ignore_errors=True)

good = ('works', 'refused', 'large')

def fine(result): return result['outcome'] in good

def make_run(folder):
    command('gan_train', 'digits', '--size', 8, '--batch-size', 4, '--set', 'width=8', '--set', 'latent_dim=4',
            '--steps', 2, '--out', folder, '--device', 'cpu')

def campaign(n, seed, lanes, where, say, short=False):
    "`n` commands and recipes with settings that were changed at random"
    make_data(where/'data')
    ended = attempt(partial(make_run, where/'run'), where)
    if ended.status: raise RuntimeError(ended.err)
    results = in_lanes(lanes, [(i, seed, str(where/'data'), str(where/'run'), str(where/f'setting_{i}'))
                               for i in range(n)], mutated, say)
    return summary(results, 'left something')

def table(found):
    text = (
        f'{found["works"]} work, {found["refused"]} refused in a line'
        + f', {found["large"]} begun but large' * bool(found['large'])
    )
    bad = ', '.join(f'{found[k]} {k}' for k in ('traceback', 'hang', 'crash', 'memory', 'executed', 'more than a line',
                                                'left something'))
    return [('a command or a recipe with settings changed at random', found['tried'], f'{text}; {bad}')]

def held(found): return found['tried'] == sum(found[k] for k in good)
