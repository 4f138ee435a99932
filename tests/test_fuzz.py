"Anything at all, thought up by hypothesis: it works, or it is refused in one line"
import io, json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image

from gan_nb.runs import CheckpointError, checkpoints
from gan_nb.checkpoint import load_run, save_run
from gan_nb.shell import parse_size
from gan_nb.files import DataError
from gan_nb.data import load_data, ring
from gan_nb.recipes import Recipe, recipe
from gan_nb.players import Schedule

few = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
anything = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
                        lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text(max_size=8), x, max_size=4),
                        max_leaves=8)
fields = st.sampled_from(sorted(Recipe.__dataclass_fields__))

def one_line(e): assert 0 < len(str(e).splitlines()) <= 1, str(e)

@few
@given(st.text(max_size=12) | st.from_regex(r'\d{1,4}(x\d{1,4})?', fullmatch=True))
def test_sizes(text):
    try: size = parse_size(text)
    except ValueError: return
    assert min(size if isinstance(size, tuple) else (size,)) >= 8

@few
@given(st.text(max_size=10) | st.sampled_from(['linear', 'cosine', 'constant']), st.floats() | anything,
       st.floats(0, 1))
def test_schedules(name, to, progress):
    try: s = Schedule(name, to)
    except (ValueError, TypeError): return
    assert min(1, to) <= s(progress) <= max(1, to)

@few
@given(st.dictionaries(fields | st.text(max_size=5), anything, max_size=3) | anything)
def test_recipes(changes):
    "What reads as a recipe gives a trainer or a ValueError that tells"
    d = json.loads(recipe('rpgan_mlp').to_json()) | dict(width=4, batch_size=4)
    try: text = json.dumps(d | changes if isinstance(changes, dict) else changes)
    except ValueError: return
    try:
        r = Recipe.from_json(text)
        if all(isinstance(n, int) and n < 1000 for n in (r.width, r.latent_dim, r.batch_size)):
            r.trainer(ring(), device='cpu').step()
    except (ValueError, TypeError) as e: one_line(e)

@pytest.fixture(scope='module')
def a_run(tmp_path_factory):
    path = tmp_path_factory.mktemp('run')/'run'
    t = recipe('rpgan_mlp', width=4, latent_dim=2, batch_size=4).trainer(ring(), device='cpu')
    t.fit(2)
    save_run(t, path)
    return path

@few
@given(st.sampled_from(['config.json', 'state.json']), st.text(max_size=8), anything)
def test_json_of_a_run(a_run, file, key, value):
    "An entry more, without the checksum: the run loads, or says what is wrong"
    path = a_run/file if file == 'config.json' else checkpoints(a_run)[-1]/file
    kept = path.read_bytes()
    x = json.loads(kept)
    x.pop('checksum')
    target = x['trainer'] if file == 'config.json' and key else x
    try:
        path.write_text(json.dumps(target | {k: value for k in (key, *list(target)[:len(key) % 5])} if target is x
                                   else x | dict(trainer=target | {list(target)[len(key) % len(target)]: value})))
        t = load_run(a_run, device='cpu')
        assert t.sample(2, seed=0).shape == (2, 2)
    except CheckpointError as e: one_line(e)
    finally: path.write_bytes(kept)

@few
@given(st.binary(max_size=300), st.sampled_from(['png', 'jpg', 'gif', 'webp', 'tif', 'bmp', 'ico']), st.integers(1, 9),
       st.integers(1, 9), st.integers(0, 400))
def test_pictures(noise, ending, w, h, at):
    "A good picture with noise written into it, beside a good one"
    buf = io.BytesIO()
    Image.new('RGB', (w, h), 'red').save(buf, format=dict(jpg='jpeg', tif='tiff').get(ending, ending)
                                         if ending != 'ico' else 'png')
    x = buf.getvalue()
    with TemporaryDirectory() as d:
        (Path(d)/f'a.{ending}').write_bytes(x[:at] + noise + x[at + len(noise):])
        Image.new('L', (3, 3)).save(f'{d}/b.png')
        try: data = load_data(d, 8)
        except DataError as e: one_line(e); assert f'a.{ending}' in str(e)
        else: assert data.images.shape[2:] == (8, 8)
