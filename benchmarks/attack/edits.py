"""Checkpoints that somebody has edited who knows how their checksums are made.

Each attempt does one thing to a run folder: a number of another type or out of bounds, an entry missing or additional,
a list in the place of an object, a text of megabytes, a tensor of another shape or type or without finite numbers, a
header that lies. All checksums are made right again. Then a process of its own loads the run, takes a step, saves, and
loads again.

What counts as held: it works, or it is refused in one line, within ten seconds and two gigabytes; and of what was
loaded there is no number that the part it belongs to would refuse if it were made anew with that number.
"""
import copy, hashlib, inspect, json, random, shutil, struct
from dataclasses import asdict, fields, is_dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from gan_nb.checkpoint import Checkpoint, load_run
from gan_nb.runs import CheckpointError, checkpoints
from gan_nb.descriptions import assemble, describe
from gan_nb.files import DataError
from gan_nb.data import digits, ring
from gan_nb.recipes import recipe
from gan_nb.callbacks import TrainingError

from forks import attempt, command, in_lanes

# ---- the runs that are edited

_adam = dict(name='Adam', lr=1e-3, betas=(.5, .9))

def bases():
    "Name -> recipe: small, and together with every part that has numbers of its own"
    small = dict(width=8, latent_dim=4, batch_size=4)
    mlp = partial(recipe, 'rpgan_mlp', **small)
    found = dict(rpgan_mlp=mlp(), points=recipe('rpgan_points', **small),
                 sgd=mlp(opt_G=dict(name='SGD', lr=1e-3, momentum=.9, nesterov=True),
                         opt_D=dict(name='Adagrad', lr=1e-3)),
                 adamw=mlp(opt_G=dict(name='AdamW', lr=1e-3, amsgrad=True),
                           opt_D=dict(name='RMSprop', lr=1e-3, momentum=.5, centered=True)),
                 unrolled=mlp(unroll=2, penalties=(), opt_D=_adam),
                 adaptive=mlp(augment=dict(name='AdaptiveAugment', images=5000)))
    for name in ('wgan', 'dcgan64', 'acgan', 'sngan_projection', 'r3gan'):
        r = recipe(name, **small, n_critic=1)
        for net in ('generator', 'discriminator'):
            if 'width' in getattr(r, net): r = r.change(f'{net}.width', 8)
        found[name] = r
    return found

def data_of(name): return ring() if name == 'points' else digits(8)

def make_base(name, folder):
    "Three steps of a run, with two checkpoints"
    r = bases()[name]
    t = r.trainer(data_of(name), seed=1, device='cpu', precision='fp32')
    t.fit(3, [Checkpoint(folder, every=2, notes=dict(recipe=asdict(r)))], log_every=2)

# ---- JSON: where things are

def walk(x, path=()):
    "All (path, value) in JSON data"
    yield path, x
    for k, v in x.items() if isinstance(x, dict) else enumerate(x) if isinstance(x, list) else ():
        yield from walk(v, (*path, k))

def at(x, path):
    for k in path: x = x[k]
    return x

# Kind of part -> whether what lies at a path describes one.
_parts = dict(
    group=lambda path, x: path[-2:-1] == ('param_groups',),
    optimizer=lambda path, x: path[-3:-1] == ('trainer', 'opt'),
    schedule=lambda path, x: path[-3:-1] == ('trainer', 'schedules'),
    penalty=lambda path, x: path[-3:-1] == ('game', 'penalties'),
    network=lambda path, x: path[-2:] in (('game', 'G'), ('game', 'D')),
    augment=lambda path, x: path[-2:] == ('game', 'augment'),
    game=lambda path, x: path[-2:] == ('trainer', 'game'),
    trainer=lambda path, x: path[-1:] == ('trainer',),
    player=lambda path, x: path[-2:-1] == ('players',) and 'opt' in x,
    memory=lambda path, x: path[-2:] == ('callbacks', 'Checkpoint'),
    state=lambda path, x: not path and 'steps_done' in x,
    data=lambda path, x: path[-1:] == ('data',))

nan, inf, huge = float('nan'), float('inf'), 10**400

# Kind of part -> its entries, each with values that it should refuse, or take as what they are.
nasty = dict(
    group=dict(lr=[-1, 1e300, nan, inf, True, '1e-3', None, [1e-3], {}, huge],
               initial_lr=[-1., 1e300, nan, None, True, huge, 'x'],
               scheduled_lr=[-1., nan, None, True],
               betas=[[.9], [.9, .99, .999], None, [.9, 1.], [-.1, .9], ['a', 'b'], [nan, .9], .9, [True, False], []],
               initial_beta2=[-1, 2, 1e300, None, nan], eps=[-1, nan, None, True, 1e300],
               weight_decay=[-1e30, nan, True, None, '0'], maximize=[True, 1, 'yes', None],
               amsgrad=[True, None, 'x', 1], momentum=[-1, 1e300, None, True, nan], alpha=[-1, 2, nan, None],
               centered=[True, None], nesterov=[True, 'x'],
               dampening=[-1, nan, None], lr_decay=[-1, nan, None], initial_accumulator_value=[-1, nan],
               foreach=[True, 'x'], fused=[False, 'x', 7], capturable=[True, 'x'],
               differentiable=[True, 'x'], decoupled_weight_decay=[True, 'x'],
               params=[[], [0], [0, 0, 0], [99], None, -1, 'x', [-1]], unknown=[1, None]),
    optimizer=dict(name=['Adam', 'SGD', 'LBFGS', None, 5, 'x', [], 'os.system'],
                   lr=[-1, 1e300, nan, True, None, '1', []],
                   betas=[[.9], None, [2, .9], [.9, .9, .9], 'ab', [nan, nan]],
                   eps=[-1, nan, None], weight_decay=[-1e30, nan], maximize=[True], amsgrad=[True, 'x'],
                   foreach=[True], fused=[True, 'x'], capturable=[True], differentiable=[True], params=[[]], x=[1]),
    schedule=dict(to=[-1, 1e300, nan, True, '1', None, huge], start=[-1, 1e300, nan, True, None],
                  until=[0, -1, 2, nan, True, None], name=['x', None, 5, []], x=[1]),
    penalty=dict(target=[True, -1, nan, 1e300, '1', None], weight=[True, -1, nan, inf, None, '1', huge],
                 every=[0, -1, 1.5, 10**9, True, None, 1e300], sigma=[0, -1, nan, True],
                 one_sided=[1, 'x', None, True], estimator=['x', None, 'finite_difference'],
                 at=['x', None, [], 'around', 'between'], x=[1]),
    network=dict(depth=[65536, 10**9, -1, 0, 1.5, True, None], plain=[1000, 10**6, -1, True],
                 width=[10**9, 65536, 0, -1, [8]*1000, [8]*90, True, '8', [10**9], 1.5, [], {}],
                 latent_dim=[10**9, 65536, 0, -1, True, 1.5], blocks=[65536, 10**9, 0, -1],
                 halvings=[1000, 10**9, -1, True], widen=[10**6, -1, True], n_classes=[10**9, 65536, -1, True, 1.5],
                 shape=[[10**5, 10**5, 10**5], [1, 8], [1, 8, 8, 8], [], [-1, 8, 8], [1, 8, 65536], 'x', [2.5, 8, 8]],
                 size=[10**6, 65536, 0, [8, 65536], [8], [], True, -8], channels=[65536, 0, 5, True],
                 dropout=[-1, 2, nan, True, 'x'], norm=['x', 5, [], True], attention=[10**6, -1, True],
                 spectral_norm=[5, 'x', None], labels=['x', 5], name=['x', None, 5, [], 'MLPGenerator', 'os.system']),
    augment=dict(p=[-1, 2, nan, True, None, 'x'], kinds=[[], ['x'], 5, None, ['color']*90], target=[-2, nan, True],
                 images=[0, -1, nan, True, 1.5], name=['x', None]),
    game=dict(name=['x', None, 5, [], 'os.system', 'ACGame', 'UnrolledGame', 'Game'], part=['x', None, 5, 'network'],
              loss=['x', None, 5, [], {}, dict(part='loss', name='wasserstein'), dict(part='network', name='hinge'),
                    dict(part=None, type='Mine'), dict(part=None), dict(part='loss', name='hinge', x=1)],
              G=[None, {}, [], 5, 'x', dict(part='game', name='Game')], D=[None, {}, 5, [1]],
              penalties=[None, {}, 5, [None], [5], [[]], [{}], [dict(part='penalty')], [dict(part=None)]],
              augment=[None, 5, [], {}, dict(name=5), dict(part='augment', name=5), dict(part='loss', name='hinge')],
              terms=[None, 5, [], [1], dict(x=5), dict(x=None), dict(x=dict(part='term', name='x')), 'x'],
              weights=[[1], [1, 2, 3], [-1, 1], True, 'ab', [nan, 1], [True, True], None],
              unroll=[-1, 0, 1.5, True, 65536, None], x=[1]),
    trainer=dict(batch_size=[0, -1, 10**9, 65536, 1.5, True, None], ema=[1, 2, -1, nan, True, None, 0],
                 times=[None, {}, [], 5, 'x', dict(D=0), dict(D=-1), dict(D=65536), dict(D=1.5), dict(G=True),
                        dict(X=1), dict(D=None)],
                 clip=[None, {}, [], 5, dict(D=-1), dict(D=0), dict(D=nan), dict(D=True), dict(D='x'), dict(G=1e300),
                       dict(X=1)],
                 seed=[-1, 2**64, 1.5, None, True, huge], precision=['x', None, 5, 'fp16', 'bf16'],
                 engine=['x', 'compile', 'graph', None], game=[None, {}, [], 5, dict(name='Game'), dict(part=None)],
                 schedules=[None, [], 5, dict(x={}), dict(lr=5)],
                 opt=[None, {}, 5, [], dict(G=None), dict(G=[]), dict(G={}), dict(X={}), dict(G=dict(part=None))],
                 shape=[[], [1, 8], 5, None, [-1, 8, 8]], n_classes=[-1, None, True, 10**9], x=[1], device=['cuda'],
                 data=[None], generator=[{}], n_critic=[2]),
    player=dict(updates=[-1, 10**30, 1.5, None, True, '1', nan], opt=[{}, [], None, 5], x=[1],
                scaler=[{}, [], dict(scale=nan, _growth_tracker=0), 5, None]),
    memory=dict(best=[5, {}, [], dict(name='fid'), dict(name='fid', value=nan, step=3),
                      dict(name='fid', value=1., step=-1), dict(name=5, value='x', step=3)],
                rollbacks=[-1, 10**30, None, True, 'x'], x=[1]),
    state=dict(steps_done=[-1, 10**30, 1.5, True, None, '1', nan, 7], total_steps=[-1, 10**30, 1.5, True, None, 0],
               schedule_steps=[-1, 10**30, None, True], position=[-1, 10**30, 2**52, 1.5, None, True],
               unread=[5, None, [[0]], [[0, dict(d_loss='x')]], [[-1, {}]], [[0, dict(d_loss=nan)]], [[0, 5]],
                       [[1, {}]]*9999],
               callbacks=[5, None, [], dict(Checkpoint=5), dict(Checkpoint=None), dict(Recorder={}), dict(x=[1])],
               device=['cuda', 5, None, 'x'*10**6, 'meta'], format=[0, -1, 99, True, '2', None, 1, 1.5],
               sha256=[{}, [], None, 5], bytes=[{}, [], None, 5], players=[{}, [], None, 5, dict(G=5), dict(D={})],
               x=[1]),
    data=dict(source=['x', None, 5, '/etc', '', '\x00', '../..', 'x'*10**5, 'mnist-', 'grid'],
              size=[10**6, 0, -1, [8], [8, 12], 'x', True, None, nan], channels=[0, 5, True, 10**9, 'x', 3], x=[1],
              root=['/nowhere', 5, '\x00'], stream=['x', 5], flip=['x', 5, True], on_error=['x', 5],
              points=[0, -1, 10**12], std=[-1, nan, 1e300, True], modes=[10**9, -1, 0]))

def any_value(rng):
    return rng.choice([None, True, False, 0, 1, -1, 2, 7, 1.5, -.5, 1e30, 1e300, 10**12, huge, nan, inf, -inf, '',
                       'Adam', 'digits', 'os.system', '__import__("os")', '../..', 'x'*5000, [], {}, [1],
                       dict(name='x'), [[]]])

# ---- JSON: what is done

def nest(kind, depth):
    "Data as deep as `depth`"
    x = 1
    for _ in range(depth): x = [x] if kind == 'list' else dict(a=x)
    return x

def change_part(docs, rng, part, key, value):
    """Give one entry of one part another value, in one document or in all that have it; says what, or None where there
    is no such part"""
    places = [(doc, path) for doc, x in docs.items() for path, v in walk(x) if isinstance(v, dict)
              and _parts[part](path, v)]
    if not places: return None
    has = [(doc, path) for doc, path in places if key in at(docs[doc], path)]
    doc, path = rng.choice(has or places)
    everywhere = rng.random() < .7
    for other, p in places:
        if p == path and (everywhere or other == doc): at(docs[other], p)[key] = copy.deepcopy(value)
    return f'{"all" if everywhere else doc}: {".".join(map(str, path))}.{key} = {_brief(value)}'

def change_anything(docs, rng):
    "Change, remove, add or double something, wherever it is"
    doc = rng.choice(list(docs))
    path, x = rng.choice([(p, v) for p, v in walk(docs[doc]) if isinstance(v, (dict, list)) and v])
    k = rng.choice(list(x) if isinstance(x, dict) else range(len(x)))
    name, how = f'{doc}: {".".join(map(str, (*path, k)))}', rng.choice(['value', 'value', 'value', 'remove', 'add',
                                                                        'sibling', 'wrap', 'deep', 'long', 'many'])
    if how == 'value': new = any_value(rng)
    if how == 'sibling': new = copy.deepcopy(rng.choice([v for _, v in walk(docs[doc])]))
    if how == 'wrap': new = [x[k]] if rng.random() < .5 else dict(x=x[k])
    if how == 'deep': new = nest(rng.choice(['list', 'dict']), rng.choice([50, 400, 900]))
    if how == 'long': new = 'x'*rng.choice([5000, 10**6, 5*10**6])
    if how == 'many': new = [rng.random()]*rng.choice([200, 10**5])
    if how == 'remove':
        del x[k]
        return f'{name} removed'
    if how == 'add':
        new = any_value(rng)
        if isinstance(x, dict): x[f'{k}_'] = new
        else: x.append(new)
        return f'{name}_ added: {_brief(new)}'
    x[k] = new
    return f'{name} = {_brief(new)}'

def _brief(value):
    text = repr(value)
    return text if len(text) < 80 else f'{text[:60]}... ({len(text):,} characters)'

# ---- tensors: what is done

def change_tensors(file, rng):
    "Change values, type or shape of a tensor of a safetensors file, or the list of its tensors"
    tensors = load_file(file)
    k = rng.choice(list(tensors))
    x, how = tensors[k], rng.choice(['nan', 'inf', 'large', 'zero', 'negative', 'flat', 'row', 'empty', 'scalar',
                                     'type', 'type', 'drop', 'add', 'rename', 'index', 'swap', 'noise'])
    generator = torch.Generator().manual_seed(rng.randrange(2**31))
    def of(value):
        return torch.full_like(x, value) if x.is_floating_point() else torch.full_like(x, 255 if x.dtype == torch.uint8
                                                                                       else 2**40)
    if how == 'nan': tensors[k] = of(nan)
    elif how == 'inf': tensors[k] = of(inf)
    elif how == 'large': tensors[k] = of(3e38)
    elif how == 'zero': tensors[k] = torch.zeros_like(x)
    elif how == 'negative': tensors[k] = -x.abs() - 1 if x.is_floating_point() else x.flip(0) if x.ndim else x
    elif how == 'flat': tensors[k] = x.flatten().clone()
    elif how == 'row': tensors[k] = torch.cat([x, x]) if x.ndim else x.expand(2).clone()
    elif how == 'empty': tensors[k] = x.new_zeros(0)
    elif how == 'scalar': tensors[k] = x.flatten()[:1].reshape(()).clone() if x.numel() else x.new_zeros(())
    elif how == 'type':
        tensors[k] = x.to(rng.choice([torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool,
                                      torch.uint8]))
    elif how == 'drop': del tensors[k]
    elif how == 'add':
        tensors[rng.choice(['x', '0.x', '999.exp_avg', 'x.exp_avg', '-1.exp_avg', '0', '0.', ''])] = x.clone()
    elif how == 'rename': tensors[f'{k}_'] = tensors.pop(k)
    elif how == 'index': tensors[f'99.{k.split(".", 1)[-1]}'] = tensors.pop(k)
    elif how == 'swap': tensors[k] = rng.choice(list(tensors.values())).clone()
    elif how == 'noise': tensors[k] = torch.randint(0, 256, x.shape, generator=generator).to(x.dtype)
    save_file(tensors, file)
    return f'{file.name}: {k} {how}'

def change_header(file, rng):
    "Let the header of a safetensors file lie"
    data = file.read_bytes()
    n, = struct.unpack('<Q', data[:8])
    header, body = json.loads(data[8:8 + n]), data[8 + n:]
    names = [k for k in header if k != '__metadata__']
    k, how, raw, length = rng.choice(names), rng.choice(['dtype', 'shape', 'offsets', 'length', 'text', 'metadata',
                                                         'cut', 'append', 'deep', 'entry']), None, None
    if how == 'dtype': header[k]['dtype'] = rng.choice(['F4', 'F64', 'I64', 'BOOL', 'x', '', None, 5])
    elif how == 'shape':
        header[k]['shape'] = rng.choice([[-1], [10**18], [2**32, 2**32], [0], [], [1.5], ['1'], None, [1]*500,
                                         header[k]['shape'][::-1] + [1]])
    elif how == 'offsets':
        header[k]['data_offsets'] = rng.choice([[0, 4], [0, 2**62], [-4, 4], [8, 0], [], None, [0, len(body) + 8]])
    elif how == 'length': length = rng.choice([0, 2**63, 2**32, n - 1, n + 8, 8])
    elif how == 'text': raw = rng.choice([b'', b'{', b'[]', b'null', b'\xff'*n, b'{"a": NaN}'])
    elif how == 'metadata': header['__metadata__'] = rng.choice([dict(x='x'*10**7), 5, dict(x=5), []])
    elif how == 'cut': body = body[:rng.randrange(len(body))]
    elif how == 'append': body += bytes(rng.choice([1, 8, 10**7]))
    elif how == 'deep': raw = b'{"a":'*50_000
    elif how == 'entry': header[k] = rng.choice([None, 5, [], {}, 'x'])
    text = json.dumps(header).encode() if raw is None else raw
    file.write_bytes(struct.pack('<Q', len(text) if length is None else length) + text + body)
    return f'{file.name}: header, {how} of {k}'

# ---- checksums

def seal(x):
    "A document with the checksum that its reader computes, if it can be computed"
    x = {k: v for k, v in x.items() if k != 'checksum'}
    return x | dict(checksum=hashlib.sha256(json.dumps(x, sort_keys=True).encode()).hexdigest())

def documents(run):
    "The JSON files of a run and of its newest checkpoint, by their names in the folder"
    newest = checkpoints(run)[-1]
    return {str(p.relative_to(run)): json.loads(p.read_text())
            for p in (run/'config.json', *sorted(newest.glob('*.json')))}

def write(run, docs):
    "Write the documents, those that others have digests of first, and make all digests right"
    newest = checkpoints(run)[-1]
    for name, x in sorted(docs.items(), key=lambda d: d[0].endswith('state.json')):
        if name.endswith('state.json'): _digest_again(newest, x)
        (run/name).write_text(json.dumps(seal(x), indent=1))

def _digest_again(folder, state):
    "Let state.json speak of the files as they are now, where it still has something to say"
    for key, of in dict(sha256=lambda p: hashlib.sha256(p.read_bytes()).hexdigest(),
                        bytes=lambda p: p.stat().st_size).items():
        told = state.get(key)
        if isinstance(told, dict):
            for name in told:
                if isinstance(name, str) and (folder/Path(name).name).is_file(): told[name] = of(folder/Path(name).name)

# ---- an attempt

def plan(n, seed):
    "`n` edits: each of the nasty values once, if there are so many, and then whatever comes"
    rng = random.Random(f'{seed} edits')
    named = [('part', part, key, i) for part, keys in nasty.items() for key, values in keys.items()
             for i in range(len(values))]
    rng.shuffle(named)
    named = named[:max(1, round(.6*n))]
    others = [(rng.choice(['anything', 'anything', 'tensors', 'tensors', 'header', 'text']),)
              for _ in range(n - len(named))]
    return named + others

def edit(run, name, docs, rng, how):
    "Do one thing to the run folder; says what it was, or None if this run has no such part"
    newest = checkpoints(run)[-1]
    if how[0] == 'part': done = change_part(docs, rng, how[1], how[2], nasty[how[1]][how[2]][how[3]])
    elif how[0] == 'anything': done = change_anything(docs, rng)
    elif how[0] == 'text':
        file = run/rng.choice(list(docs))
        text, what = rng.choice([('['*100_000, 'deep'), ('{"a":'*100_000, 'deep'), ('', 'empty'), ('null', 'null'),
                                 ('[]', 'list'), ('\ud83d'.encode('utf-8', 'surrogatepass'), 'no text'),
                                 (json.dumps(nest('dict', 900)), 'nested'), ('{"format": 2, "format": 1}', 'twice'),
                                 (' '*20_000_000, '20 MB'), ('1'*5000, 'a number')])
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return f'{file.relative_to(run)}: {what}'
    else:
        done = (change_tensors if how[0] == 'tensors'
                else change_header)(rng.choice(sorted(newest.glob('*.safetensors'))), rng)
    if done: write(run, docs)
    return done

def edited(task):
    "Edit a copy of a run and see what comes of taking it up"
    i, seed, how, base_folder, where = task
    rng, where = random.Random(f'{seed} edit {i}'), Path(where)
    names = list(bases())
    rng.shuffle(names)
    for name in names:
        shutil.rmtree(where, ignore_errors=True)
        shutil.copytree(Path(base_folder)/name, where/'run')
        try: what = edit(where/'run', name, documents(where/'run'), rng, how)
        except Exception as e: raise RuntimeError(f'edit {i}, {how} of {name}') from e
        if what: break
    result = dict(edit=i, base=name, what=what, how=how[0])
    if not what: return _clean(where, result | dict(outcome='no such part'))
    through_command = what.startswith(('all: data', 'config.json: data', 'config.json: recipe'))
    words = rng.choice([('gan_train', '--resume', 'run', '--steps', 4), ('gan_sample', 'run', '-n', 4),
                        ('gan_eval', 'run', '-n', 20)])
    do = partial(command, *words, '--device', 'cpu') if through_command else partial(take_up, 'run', name)
    ended = attempt(do, where, limit=10, memory=2)
    return _clean(where, result | judge(ended, through_command))

def _clean(where, result):
    shutil.rmtree(where, ignore_errors=True)
    return result

def take_up(run, name):
    "Load a run, take a step, save and load again: (outcome, what was accepted that should not have been)"
    data = data_of(name)
    try:
        t = load_run(run, device='cpu', data=data)
        accepted = wrong_numbers(t)
        # large is not wrong, it only takes long
        times = [p.times for p in t.players.values()]
        if max(t.batch_size, *times, getattr(t.game, 'unroll', 0)) > 64: return 'large', accepted
        t.fit(1, [Checkpoint(run)])
        t = load_run(run, device='cpu', data=data)
        return 'works', sorted({*accepted, *wrong_numbers(t)})
    except (CheckpointError, TrainingError, DataError) as e: return 'refused', str(e)

# ---- what was accepted

def wrong_numbers(t):
    "The numbers of a loaded trainer with which its parts could not be made"
    return [*_of_optimizers(t), *_of_parts(t), *_of_counters(t)]

def _number(x): return isinstance(x, (int, float)) and not isinstance(x, bool)

def _fits(x):
    "Whether a number can be told to float32, which the weights are"
    return _number(x) and abs(x) < 3.4e38

def _of_optimizers(t):
    """Each group as its optimizer's own class and the trainer judge it, and by what no class of PyTorch refuses: to
    climb, and more than float32 can hold"""
    choices = {'params', 'fused', 'foreach', 'capturable', 'differentiable'}                            # of the machine
    for name, player in t.players.items():
        opt = player.opt
        for group in opt.param_groups:
            now = {k: group[k] for k in inspect.signature(type(opt)).parameters.keys() & group.keys() - choices}
            # The numbers of the next step are made from those at the start of the run.
            start = now | dict(lr=group['initial_lr'])
            if 'initial_beta2' in group: start['betas'] = (group['betas'][0], group['initial_beta2'])
            for k, v in [(k, v) for settings in (now, start) for k, v in settings.items()]:
                numbers = v if k == 'betas' and isinstance(v, (tuple, list)) else [v]
                if k in ('lr', 'betas', 'eps', 'weight_decay', 'momentum', 'alpha', 'dampening',
                         'lr_decay') and not all(_fits(x) and x >= 0 for x in numbers):
                    yield f'opt of {name}: {k} = {v!r}'
            if group.get('maximize'): yield f'opt of {name}: climbs, maximize = {group["maximize"]!r}'
            try:
                for settings in (now, start): type(opt)([torch.nn.Parameter(torch.zeros(1))], **settings)
                described = describe(t)
                described['opt'][name] = dict(name=type(opt).__name__, **start)
                assemble(described, device='cpu')
            except Exception as e: yield f'opt of {name}: {str(e).splitlines()[0]}'

def _of_parts(t):
    "Schedules and penalties, made anew, and their fields, which must be of the type they say; settings of the rest"
    for part in (*t.schedules.values(), *t.game.penalties.values()):
        if not is_dataclass(part): continue
        try: type(part)(**asdict(part))
        except Exception as e: yield f'{type(part).__name__}: {e}'
        for f in fields(part):
            value = getattr(part, f.name)
            if f.type in (float, 'float', int, 'int') and not _number(value):
                yield f'{type(part).__name__}: {f.name} = {value!r}'
    settings = [('batch_size', t.batch_size, 1, 2**53), ('ema', t.ema, 0, 1)]
    settings += [(f'times of {name}', p.times, 1, 2**53) for name, p in t.players.items()]
    if hasattr(t.game, 'unroll'): settings.append(('unroll', t.game.unroll, 1, 2**53))
    settings += [('weights', w, 0, 2**53) for w in getattr(t.game, 'weights', ())]
    for name, value, least, below in settings:
        if not (_number(value) and least <= value < below): yield f'{name} = {value!r}'
    for name, p in t.players.items():
        if p.clip is not None and not (_number(p.clip) and 0 < p.clip < 1e6): yield f'clip of {name} = {p.clip!r}'
    for name, f in dict(t.game.terms, augment=t.game.augment or len).items():
        if not callable(f): yield f'{name} = {f!r}'

def _of_counters(t):
    counters = {name: getattr(t, name) for name in ('steps_done', 'total_steps', 'schedule_steps')}
    counters |= {f'updates of {name}': p.updates for name, p in t.players.items()}
    counters['rollbacks'] = t.remembered.get('Checkpoint', {}).get('rollbacks', 0)
    for name, value in counters.items():
        if type(value) is not int or not 0 <= value < 2**53: yield f'{name} = {value!r}'

def judge(ended, through_command=False):
    "What came of an attempt, in a word, and the evidence"
    if ended.executed: return dict(outcome='executed', evidence=ended.err[-800:])
    if ended.hang: return dict(outcome='hang', seconds=ended.seconds)
    if ended.status < 0: return dict(outcome='crash', evidence=f'signal {-ended.status}: {ended.err[-800:]}')
    if 'MemoryError' in ended.err or ended.memory > 2048:
        return dict(outcome='memory', evidence=ended.err[-800:], memory=round(ended.memory))
    if ended.traceback: return dict(outcome='traceback', evidence=ended.err[-800:])
    if through_command:
        lines = [line for line in ended.err.splitlines() if line.startswith('gan_')]
        if ended.status == 0: return dict(outcome='works')
        return dict(outcome='refused' if ended.status == 2 and len(lines) == 1 and len(lines[0]) < 10_000
                    else 'more than a line', evidence=ended.err[-800:])
    if ended.chatty: return dict(outcome='more than a line', evidence='an answer of more than a million characters')
    outcome, about = ended.answer
    if outcome == 'refused':
        if len(about.splitlines()) != 1 or len(about) > 10_000:
            return dict(outcome='more than a line', evidence=about[:800])
        return dict(outcome='refused', evidence=about[:300])
    return dict(outcome='accepted', evidence='; '.join(about)[:800]) if about else dict(outcome=outcome)

# ---- the campaign

good = ('works', 'refused', 'large')

def fine(result): return result['outcome'] in good or result['outcome'] == 'no such part'

def campaign(n, seed, lanes, where, say, short=False):
    "`n` edits of checkpoints"
    for name in bases():
        ended = attempt(partial(make_base, name, where/'bases'/name), where)
        if ended.status: raise RuntimeError(f'{name}: {ended.err}')
    tasks = [(i, seed, how, str(where/'bases'), str(where/f'edit_{i}')) for i, how in enumerate(plan(n, seed))]
    results = in_lanes(lanes, tasks, edited, say)
    return summary(results)

def summary(results, *more):
    "Counts of outcomes, and each attempt that did not hold"
    outcomes = (*more, 'works', 'refused', 'large', 'accepted', 'traceback', 'hang', 'crash', 'memory', 'executed',
                'more than a line')
    tried = [r for r in results if r['outcome'] != 'no such part']
    counts = {o: sum(r['outcome'] == o for r in tried) for o in outcomes}
    return dict(tried=len(tried), **counts, fell=[r for r in tried if r['outcome'] not in good])

def table(found):
    good = (
        f'{found["works"]} work, {found["refused"]} refused in a line'
        + f', {found["large"]} loaded but too large to train here' * bool(found['large'])
    )
    bad = ', '.join(f'{found[k]} {k}' for k in ('traceback', 'hang', 'crash', 'memory', 'accepted', 'executed',
                                                'more than a line'))
    return [('a checkpoint edited by somebody who knows how checksums are made', found['tried'], f'{good}; {bad}')]

def held(found): return found['tried'] == sum(found[k] for k in good)
