"What of gan_nb.data crosses a process boundary: workers that decode, their zip handles, and the errors they hand back"
import multiprocessing, os, zipfile

import pytest
import torch
from PIL import Image

from gan_nb.files import DataError
from gan_nb.stream import ImageStream
from gan_nb.data import digits, load_data

# Python 3.12 and later: fork beside threads
pytestmark = pytest.mark.filterwarnings('ignore:.*fork:DeprecationWarning')

@pytest.fixture
def folder(tmp_path):
    "Twenty digits, 16 x 24 pixels, in a folder for each class"
    data = digits((16, 24))
    for i in range(20):
        f = tmp_path/f'digits/{data.labels[i]}/{i:02}.png'
        f.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.images[i, 0].numpy()).save(f)
    return tmp_path/'digits'

@pytest.fixture
def archive(folder):
    path = folder.with_suffix('.zip')
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as z:
        for f in folder.rglob('*.png'): z.write(f, f.relative_to(folder))
    return path

def same(a, b): return all(torch.equal(s, t) for s, t in zip(a, b))

def stream_of(source, workers=2):
    data = load_data(source, (16, 24), stream=True, flip=True)
    assert isinstance(data, ImageStream)
    data.workers = workers
    return data

def test_workers_give_what_memory_gives(folder):
    memory, stream = load_data(folder, (16, 24), flip=True), stream_of(folder)
    a, b = (d.batches(7, seed=3, device='cpu') for d in (memory, stream))
    state = torch.get_rng_state()
    assert all(same(next(a), next(b)) for _ in range(8))       # 56 images: an epoch is 40
    assert torch.equal(torch.get_rng_state(), state)           # the global generator is left alone

def test_position_moves_the_workers(folder):
    a, b = (d.batches(6, seed=1, device='cpu') for d in (load_data(folder, (16, 24), flip=True), stream_of(folder)))
    next(b), next(b)
    a.position = b.position = 33
    assert all(same(next(a), next(b)) for _ in range(3)) and b.position == 51

@pytest.mark.parametrize('method, workers', [(m, w) for m, w in (('fork', 2), ('spawn', 1), ('forkserver', 1))
                                             if m in multiprocessing.get_all_start_methods()])
def test_zip_is_read_by_workers(archive, method, workers):
    stream, before = stream_of(archive, workers), multiprocessing.get_start_method()
    stream.files.open(stream.names[0]).close()                 # a handle is open here when the workers start
    a, b = (d.batches(16, device='cpu') for d in (load_data(archive, (16, 24), flip=True), stream))
    multiprocessing.set_start_method(method, force=True)
    try: assert all(same(next(a), next(b)) for _ in range(6))
    finally: multiprocessing.set_start_method(before, force=True)

@pytest.mark.parametrize('workers', [0, 2])
def test_vanished_file_is_named(folder, workers):
    stream = stream_of(folder, workers)
    gone = stream.names[7]
    (folder/gone).unlink()
    batches = stream.batches(5, device='cpu')
    for _ in range(2):                                         # the error comes again: no silent end
        with pytest.raises(DataError, match='no such file') as e:
            for _ in range(8): next(batches)
        assert gone in str(e.value) and len(str(e.value).splitlines()) == 1
    Image.new('L', (16, 24)).save(folder/gone)                 # restored, the same iterator goes on
    next(batches)

def test_vanished_zip_is_named(archive):
    stream = stream_of(archive)
    os.remove(archive)
    with pytest.raises(DataError, match='digits.zip'): next(stream.batches(5, device='cpu'))
