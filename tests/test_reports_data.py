"""Faults of loading that people have met here or in other libraries: folders, archives, pictures, labels, worker
processes"""
import io, multiprocessing, os, struct, subprocess, sys, warnings, zipfile, zlib

import numpy as np
import pytest
import torch
from PIL import Image

import gan_nb.data as D
import gan_nb.stream as S
from gan_nb.archives import is_run
from gan_nb.files import DataError
from gan_nb.data import ImageData, Mixture, digits, grid, load_data, ring
from gan_nb.stream import ImageStream

pytestmark = pytest.mark.filterwarnings('ignore:.*fork:DeprecationWarning', 'ignore:Truncated File Read',
                                        'ignore:Corrupt EXIF', 'ignore:Image size')

def picture(value=90, size=(8, 8), mode='L'): return Image.new(mode, size, value)

def put(path, value=90, **kw):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(value).save(path, **kw)
    return path

def album(root, *names):
    for i, n in enumerate(names): put(root/n, 10*i)
    return root

def png(value=90, before=(), after=()):
    "A PNG with further chunks, (kind, data), before and after its pixels"
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    buf = io.BytesIO()
    picture(value).save(buf, 'png')
    x = buf.getvalue()
    end = x.index(b'IEND') - 4
    return x[:33] + b''.join(chunk(*c) for c in before) + x[33:end] + b''.join(chunk(*c) for c in after) + x[end:]

def zipped(path, *names, folders=()):
    with zipfile.ZipFile(path, 'w') as z:
        for f in folders: z.writestr(f, b'')
        for i, n in enumerate(names): z.writestr(n, png(10*i))
    return path

def first(data): return data.images[:, 0, 0, 0].tolist()
def refused(kind, call, *says):
    "The message of what was raised: one line that says all of that"
    with pytest.raises(kind) as e: call()
    assert len(str(e.value).splitlines()) == 1 and all(s in str(e.value) for s in says), e.value
    return str(e.value)

# ---- our own output is no data

def a_run(folder):
    album(folder, 'samples/step_00000100.png', 'samples.png', 'checkpoints/step_00000100/seen.png')
    (folder/'config.json').write_text('{"format": 2, "trainer": {}}')

@pytest.mark.parametrize('stream', [False, True])
@pytest.mark.parametrize('place', ['runs/photos-rpgan', 'run'])
def test_a_run_among_the_photographs_is_no_data(tmp_path, place, stream):
    "`cd photos; gan_train .` puts a run among the photographs; later looks at them find the same ones as the first"
    before = load_data(album(tmp_path, 'a.png', 'b.png'), 8, stream=stream)
    a_run(tmp_path/place)
    after = load_data(tmp_path, 8, stream=stream)
    assert (len(after), after.n_classes, after.shape) == (2, 0, (1, 8, 8))
    assert after.fingerprint == before.fingerprint
    assert f'left out: {place} (a run)' in repr(after) and 'left out' not in repr(before)

def test_a_run_that_begins_is_no_data(tmp_path):
    "Before its first checkpoint, a run's folder holds its lock alone"
    album(tmp_path, 'a.png', 'run/odd.png')
    for name in ('.lock', 'running.json'): (tmp_path/'run'/name).touch()
    assert len(load_data(tmp_path, 8)) == 1
    assert is_run(tmp_path/'run') and not is_run(tmp_path) and not is_run(tmp_path/'gone')

def test_a_run_in_a_zip_is_no_data(tmp_path):
    z = zipped(tmp_path/'a.zip', 'p/1.png', 'p/r/samples.png')
    with zipfile.ZipFile(z, 'a') as f:
        for n in ('p/r/config.json', 'p/r/checkpoints/step_00000100/state.json'): f.writestr(n, '{}')
    assert len(load_data(z, 8)) == 1

def test_a_run_itself_is_refused(tmp_path):
    a_run(tmp_path/'run')
    refused(DataError, lambda: load_data(tmp_path/'run', 8), 'holds a run')
    assert len(load_data(tmp_path/'run/samples', 8)) == 1      # named, its samples are images

# ---- the range of values belongs to the set

def floats(root, *arrays, dtype=np.float32):
    root.mkdir(exist_ok=True)
    for i, a in enumerate(arrays):
        Image.fromarray(np.full((8, 8), 0, dtype) + np.asarray(a, dtype)).save(root/f'{i}.tif')
    return root

@pytest.mark.parametrize('stream', [False, True])
def test_a_float_picture_just_above_one_is_not_black(tmp_path, stream):
    "A maximum of 1.0001, as resizing leaves it, turned a whole picture black"
    data = load_data(floats(tmp_path, np.linspace(0, 1.0001, 8), .5), 8, stream=stream)
    if stream: data.workers = 0
    x = next(data.batches(2, device='cpu'))[0]
    assert x.amax() == 1 and x.amin() == -1 and any(abs(m) < .01 for m in x.mean((1, 2, 3)).tolist())

@pytest.mark.parametrize('stream', [False, True])
def test_floats_from_minus_one_to_one(tmp_path, stream):
    data = load_data(floats(tmp_path, -1, 0, 1), 8, stream=stream)
    if stream: data.workers = 0
    assert sorted(next(data.batches(3, device='cpu'))[0][:, 0, 0, 0].tolist()) == pytest.approx([-1, 0, 1], abs=.005)
    assert data.config['value_range'] == [-1, 1] and 'values from -1 to 1' in repr(data)

def test_a_dark_picture_among_floats_stays_dark(tmp_path):
    "A picture of a set that runs to 255 was taken for one that runs to 1 if it was dark itself"
    assert first(load_data(floats(tmp_path, 1, 255), 8)) == [1, 255]
    os.remove(tmp_path/'1.tif')
    assert first(load_data(tmp_path, 8, value_range=(0, 255))) == [1]

def test_the_range_of_floats_is_kept(tmp_path):
    "Data that a run makes again has the range of the first time, though the brightest picture is gone"
    data = load_data(floats(tmp_path, 1, 200), 8)
    os.remove(tmp_path/'1.tif')
    assert first(load_data(**data.config)) == [1]

def test_floats_of_a_range_of_their_own(tmp_path):
    "Values up to 4095 were clipped to white"
    assert first(load_data(floats(tmp_path, 0, 2047.5, 4095), 8)) == [0, 128, 255]
    refused(ValueError, lambda: load_data(tmp_path, 8, value_range=(1, 0)), 'black below white')

@pytest.mark.parametrize('stream', [False, True])
def test_floats_of_any_size(tmp_path, stream):
    data = load_data(floats(tmp_path, -3e38, 0, 3e38), 8, stream=stream)
    if stream: data.workers = 0
    assert sorted(next(data.batches(3, device='cpu'))[0][:, 0, 0, 0].tolist()) == pytest.approx([-1, 0, 1], abs=.005)

def test_integers_of_16_bits_go_by_their_type(tmp_path):
    "A dark picture of 16 bits stays dark, alone in its folder"
    Image.fromarray(np.full((8, 8), 514, np.uint16)).save(tmp_path/'a.png')
    assert first(load_data(tmp_path, 8)) == [2]

def test_a_stream_of_ones_own_finds_the_range(tmp_path):
    stream = ImageStream(floats(tmp_path, -1, .5), 8, 1, workers=0)
    assert stream.value_range == [-1, 1] and stream.config['value_range'] == [-1, 1]

# ---- notes beside a picture

turned = [None, *(Image.Transpose[k] for k in ('FLIP_LEFT_RIGHT', 'ROTATE_180', 'FLIP_TOP_BOTTOM', 'TRANSPOSE',
                                               'ROTATE_90', 'TRANSVERSE', 'ROTATE_270'))]

@pytest.mark.parametrize('kind', ['tiff', 'png', 'jpeg', 'webp'])
def test_all_orientations(tmp_path, kind):
    "With Pillow 10.0, TIFFs were turned twice"
    up = Image.fromarray(np.array([[10, 200, 90], [60, 120, 30]], np.uint8).repeat(8, 0).repeat(8, 1))
    for i, turn in enumerate(turned):
        exif = Image.Exif()
        exif[274] = i + 1
        stored = up if turn is None else up.transpose(turn)
        stored.save(tmp_path/f'{i}.{kind}', kind, exif=exif, **(dict(lossless=True) if kind == 'webp' else {}))
    x = load_data(tmp_path, (16, 24), channels=1).images[:, 0].int()
    assert (x - torch.from_numpy(np.array(up)).int()).abs().max() <= (8 if kind == 'jpeg' else 1)

def exif_block(*entries):
    return b'II*\0' + struct.pack('<IH', 8, len(entries)) + b''.join(struct.pack('<HHI', *e[:3]) + e[3]
                                                                     for e in entries) + b'\0'*4

@pytest.mark.parametrize('kind', range(16))
def test_an_exif_tag_of_odd_type_is_ignored(tmp_path, kind):
    "A photograph was refused for the type of some EXIF entry; its orientation is read all the same"
    exif = exif_block((0x100, kind, 1, b'\1\0\0\0'), (274, 3, 1, b'\6\0\0\0'), (0x11a, kind, 1, b'\xff\0\0\0'))
    wide = Image.fromarray(np.repeat(np.array([[0, 255]], np.uint8), 8, 0).repeat(4, 1))
    wide.save(tmp_path/'a.jpg', exif=b'Exif\0\0' + exif, quality=100)
    x = load_data(tmp_path, 8).images[0, 0]
    assert x[0].max() < 20 and x[-1].min() > 235               # turned to the right: what was left is above

large = b'note\0\0' + zlib.compress(b'x'*3_000_000)

@pytest.mark.parametrize('chunk', [(b'eXIf', b'junk junk'), (b'eXIf', b''), (b'zTXt', large), (b'iCCP', large),
                                   (b'pHYs', b'x'), (b'cHRM', b'x'), (b'acTL', b'x')],
                         ids=['exif', 'empty exif', 'text', 'profile', 'pHYs', 'cHRM', 'acTL'])
@pytest.mark.parametrize('place', ['before', 'after'])
def test_notes_in_a_png_do_not_sink_it(tmp_path, chunk, place):
    "Pillow refuses a PNG for a long text or colour profile, or a broken note"
    (tmp_path/'a.png').write_bytes(png(77, **{place: [chunk]}))
    assert first(load_data(tmp_path, 8)) == [77]

def test_notes_in_a_jpeg_do_not_sink_it(tmp_path):
    buf = io.BytesIO()
    picture(77).save(buf, 'jpeg', quality=100)
    for i, note in enumerate([b'ICC_PROFILE\0', b'MPF\0junk', b'Exif\0\0MM', b'Photoshop 3.0\x008BIM\4']):
        marker = [0xe2, 0xe2, 0xe1, 0xed][i]
        x = buf.getvalue()
        (tmp_path/f'{i}.jpg').write_bytes(x[:2] + bytes([0xff, marker]) + struct.pack('>H', len(note) + 2) + note +
                                          x[2:])
    assert first(load_data(tmp_path, 8)) == [77]*4

def test_a_broken_picture_is_still_refused(tmp_path):
    x = png(77, before=[(b'zTXt', large)])
    (tmp_path/'a.png').write_bytes(x[:-30])
    refused(DataError, lambda: load_data(tmp_path, 8), 'a.png')

# ---- large pictures

def test_a_large_jpeg_is_decoded_smaller(tmp_path, monkeypatch):
    "A telephone's 108 megapixels are beyond Pillow's limit, and a JPEG can be decoded at an eighth"
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10_000)
    picture(77, (180, 180)).save(tmp_path/'a.jpg', quality=100)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert first(load_data(tmp_path, 16)) == [77]
        # not small enough
        refused(DataError, lambda: load_data(tmp_path, 96), '180 x 180 pixels exceed', 'store it smaller')
    picture(77, (180, 180)).save(tmp_path/'a.jpg', progressive=True)
    refused(DataError, lambda: load_data(tmp_path, 16), 'store it smaller')
    picture(77, (300, 300)).save(tmp_path/'a.jpg')
    refused(DataError, lambda: load_data(tmp_path, 16), '300 x 300')

@pytest.mark.parametrize('side', [120, 180])
def test_other_large_pictures_name_the_way_out(tmp_path, monkeypatch, side):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10_000)
    picture(77, (side, side)).save(tmp_path/'a.png')
    refused(DataError, lambda: load_data(tmp_path, 16), 'MAX_IMAGE_PIXELS', 'store it smaller')

# ---- what a data set is

def test_fingerprints(tmp_path):
    "What tells data from other data: a renamed class, a removed image"
    album(tmp_path/'p', 'cats/1.png', 'cats/2.png', 'dogs/3.png')
    one = load_data(tmp_path/'p', 8).fingerprint
    assert one['images'] == 3 and one['classes'] == ['cats', 'dogs'] and len(one['names']) == 64
    assert load_data(tmp_path/'p', 8, flip=True, stream=True).fingerprint == one
    with zipfile.ZipFile(tmp_path/'p.zip', 'w') as z:
        for f in sorted((tmp_path/'p').rglob('*.png')): z.write(f, f.relative_to(tmp_path))
    assert load_data(tmp_path/'p.zip', 8).fingerprint == one    # wherever they lie
    (tmp_path/'p/cats').rename(tmp_path/'p/ants')
    assert load_data(tmp_path/'p', 8).fingerprint != one
    assert digits(8).fingerprint == dict(images=1797, classes=[str(i) for i in range(10)], names=None)
    assert ring().fingerprint == ring().fingerprint != grid().fingerprint != ring(std=.1).fingerprint
    assert ring().fingerprint['modes'] == 8

def test_what_is_no_data_set_says_so():
    "A DataLoader given as data: a raw AttributeError"
    from torch.utils.data import DataLoader
    for what in (DataLoader([1]), torch.zeros(3, 3), 'photos', None, [1]):
        refused(ValueError, lambda: D.check_data(what), f'a {type(what).__name__} has no', '`batches`', 'load_data')
    for data in (digits(8), ring(), ImageData(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))): D.check_data(data)
    class Half(D.DataSet): shape = (2,)
    refused(ValueError, lambda: D.check_data(Half()), 'a Half has no `__len__`, `batches`')
    class Odd(Half):
        shape = 2
        def __len__(self): return 1
        def batches(self, batch_size, seed=0, device=None): pass
    refused(ValueError, lambda: D.check_data(Odd()), 'Odd.shape')

# ---- splits and classes

@pytest.mark.parametrize('train, judge', [('train', 'test'), ('Train', 'Test'), ('training', 'testing'),
                                          ('TRAIN', 'VAL'), ('train', 'eval'), ('train', 'validation'),
                                          ('Training', 'Valid'), ('train2017', 'val2017'), ('seg_train', 'seg_test'),
                                          ('train_images', 'test_images'),
                                          ('TrainSet', 'TestSet'), ('train', 'test_set'), ('train-data', 'dev-data')])
def test_test_images_are_not_trained_on(tmp_path, train, judge):
    "Train/Test, training/testing and the like became two classes"
    data = load_data(album(tmp_path, f'{train}/cats/1.png', f'{train}/dogs/2.png', f'{judge}/cats/3.png',
                           f'{judge}/dogs/4.png', f'{judge}/dogs/5.png'), 8)
    assert (len(data), data.classes) == (2, ['cats', 'dogs'])
    assert f'left out: {judge} (3 images)' in repr(data)

def test_two_heaps_of_an_unpaired_set(tmp_path):
    "trainA, trainB, testA, testB: four classes"
    data = load_data(album(tmp_path, 'trainA/1.png', 'trainB/2.png', 'testA/3.png', 'testB/4.png'), 8)
    assert (data.classes, data.labels.tolist(), data.left_out) == (['A', 'B'], [0, 1], dict(testA=1, testB=1))

def test_a_split_below_the_classes(tmp_path):
    data = load_data(album(tmp_path, 'cats/train/1.png', 'cats/test/2.png', 'dogs/train/3.png', 'dogs/test/4.png',
                           'dogs/masks/5.png'), 8)
    assert (data.names, data.classes) == (['cats/train/1.png', 'dogs/train/3.png'], ['cats', 'dogs'])

def test_folders_that_are_no_split_are_classes(tmp_path):
    data = load_data(album(tmp_path, 'train/1.png', 'bus/2.png', 'test tubes/3.png', 'valley/4.png'), 8)
    assert data.classes == ['bus', 'test tubes', 'train', 'valley'] and not data.left_out

def test_splits_without_training_are_no_classes(tmp_path):
    assert load_data(album(tmp_path, 'val/1.png', 'test/2.png'), 8).n_classes == 0

@pytest.mark.parametrize('stream', [False, True])
def test_classes_are_numbered_as_people_count(tmp_path, stream):
    "Folders 0 to 11: label 2 was folder 10"
    data = load_data(album(tmp_path, *(f'{i}/a.png' for i in range(12))), 8, stream=stream)
    assert data.classes == [str(i) for i in range(12)]
    of = {n: data.labels[i].item() for i, n in enumerate(data.names)}
    assert of['2/a.png'] == 2 and of['10/a.png'] == 10
    assert D.load_again(data.config).classes == data.classes

def test_an_older_run_keeps_its_numbers(tmp_path):
    "The config of a run saved before says nothing of an order: its classes are numbered as they were"
    album(tmp_path, *(f'{i}/a.png' for i in range(12)))
    old = dict(source=str(tmp_path), size=[8, 8], channels=1)
    again = D.load_again(old)
    assert again.classes == sorted(map(str, range(12))) and D.load_again(again.config).classes == again.classes
    assert D.load_again(ring().config).config == ring().config

def test_what_is_left_out_or_laid_on_white_is_said(tmp_path):
    "SVGs beside PNGs were passed over, and transparency was laid on white, without a word"
    Image.new('RGBA', (8, 8), (255, 0, 0, 0)).save(put(tmp_path/'a.png'))
    (tmp_path/'b.svg').touch()
    data = load_data(tmp_path, 8)
    assert '1 with transparency, shown on white; left out: *.svg (1 images)' in repr(data)
    assert 'white' not in repr(load_data(tmp_path, 8, channels=4))

# ---- archives

@pytest.mark.parametrize('form', ['./{}', 'top//{}', '/{}', '../{}', './/top/./{}'])
def test_names_of_a_zip_in_other_forms(tmp_path, form):
    "The `tar` of macOS and Windows writes ./a/1.png: no picture could be read"
    z = zipped(tmp_path/'a.zip', *(form.format(n) for n in ('cats/1.png', 'dogs/2.png')), folders=('d.png/', 'cats/'))
    for stream in (False, True):
        data = load_data(z, 8, stream=stream)
        assert (len(data), data.classes) == (2, ['cats', 'dogs'])
        if stream: data.workers = 0
        assert len(next(data.batches(2, device='cpu'))[0]) == 2

@pytest.mark.parametrize('system', [0, 3, 10])
def test_backslashes_in_a_zip_part_folders(tmp_path, system):
    "PowerShell 5.1 and .NET write cats\\1.png: the classes were lost"
    with zipfile.ZipFile(tmp_path/'a.zip', 'w') as z:
        for i, n in enumerate(['cats\\', 'cats\\1.png', 'dogs\\2.png']):
            info = zipfile.ZipInfo(n)
            info.create_system = system
            z.writestr(info, png(10*i) if n.endswith('png') else b'')
    assert load_data(tmp_path/'a.zip', 8).classes == ['cats', 'dogs']

def test_a_zip_has_one_budget(tmp_path):
    "200 files of 200 MB in 40 MB, 40 GB to inflate, were inflated"
    z = zipped(tmp_path/'a.zip', *(f'{i}.png' for i in range(3)))
    x = bytearray(z.read_bytes())
    at = -1
    # what the directory says of their sizes
    while (at := x.find(b'PK\1\2', at + 1)) >= 0: x[at + 24:at + 28] = struct.pack('<I', 2**31 - 1)
    z.write_bytes(x)
    refused(DataError, lambda: load_data(z, 8), f'inflate to {3*(2**31 - 1):,} bytes', 'unpack it', 'budget=')
    zipped(z, '1.png', '2.png')
    refused(DataError, lambda: load_data(z, 8, budget=100), '100 are the most')
    assert load_data(z, 8, budget=10_000).config['budget'] == 10_000
    refused(ValueError, lambda: load_data(z, 8, budget=1e9), 'budget')

# ---- names and numbers

def test_a_folder_called_digits_is_spoken_of(tmp_path, monkeypatch):
    "The folder was not looked at, without a word"
    album(tmp_path, 'digits/a.png')
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match=r'\./digits would be the folder'): assert len(load_data('digits', 8)) == 1797
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert len(load_data('./digits', 8)) == 1
        load_data('ring')

def five(): return torch.zeros(5, 1, 8, 8, dtype=torch.uint8)

@pytest.mark.parametrize('labels, says', [([0., .7, 1.2, 0, 1], 'float'), (torch.eye(5), 'float32 (5, 5)'),
                                          (np.ones(5), 'float64'), (list('abcde'), 'whole numbers'),
                                          ([0, 1, 2, 3, 10**12], '1000000')])
def test_labels_are_whole_numbers(labels, says):
    "0.7 became class 0"
    refused(ValueError, lambda: ImageData(five(), labels), 'labels must', says)

def test_labels_of_numpy():
    for kind in (np.uint8, np.int16, np.uint16, np.int64):
        assert ImageData(five(), np.arange(5, dtype=kind)).n_classes == 5
    assert ImageData(five(), range(5), np.array(list('abcde'))).classes == list('abcde')

@pytest.mark.parametrize('images, says', [(torch.rand(5, 1, 8, 8), 'to_image'),
                                          (torch.rand(5, 7), 'vectors are no images'),
                                          (five()[:, 0], 'images[:, None]'),
                                          (torch.zeros(5, 8, 8, 3, dtype=torch.uint8), 'permute(0, 3, 1, 2)'),
                                          ([picture()], 'images must be'), ('photos', 'images must be')])
def test_what_is_no_tensor_of_bytes_says_what_to_do(images, says):
    refused(ValueError, lambda: ImageData(images), 'images must be', says)

def test_numbers_of_numpy_are_numbers():
    data = digits(np.int64(8), np.int32(1))
    assert (data.config['size'], data.config['channels']) == ([8, 8], 1) and type(data.config['channels']) is int
    it = data.batches(np.int64(4), np.int64(3), 'cpu')
    assert torch.equal(next(it)[0], next(data.batches(4, 3, 'cpu'))[0])
    it.position = np.int64(8)
    assert type(it.position) is int and type(it.batch_size) is int
    assert (
        type(ring(np.int64(5), np.float32(2)).config['n']) is int
        and type(ring(np.int64(5), np.float32(2)).config['radius']) is float
    )

not_counts = [
    lambda: digits(8.), lambda: digits(8, 1.), lambda: digits('8'), lambda: digits(True), lambda: digits(8).batches(4.),
    lambda: digits(8).batches(4, 1.5), lambda: digits(8).batches(4, -1), lambda: ring(8.), lambda: grid(5.),
    lambda: ring(std='a'),
    lambda: ring(std=float('nan')), lambda: Mixture([[0, 0]], 1, 1e4),
    lambda: setattr(digits(8).batches(4), 'position', 8.)]

@pytest.mark.parametrize('make', not_counts)
def test_floats_count_nothing(make): refused(ValueError, make)

# ---- worker processes

def photos(tmp_path): return album(tmp_path/'photos', 'cats/1.png', 'dogs/2.png', 'dogs/3.png')

def of_a_stream(folder): return len(next(load_data(folder, 8, stream=True).batches(4, device='cpu'))[0])

def test_a_stream_in_a_pool(tmp_path):
    "Processes of a Pool may have no children: AssertionError"
    folder = photos(tmp_path)
    with multiprocessing.get_context('fork').Pool(1) as pool:
        assert pool.apply_async(of_a_stream, (folder,)).get(60) == 4

def test_a_script_without_a_main_guard_is_told(tmp_path):
    "Each worker imports the script and begins to train: pages of traceback"
    (tmp_path/'train.py').write_text(f'''
import multiprocessing
from gan_nb.data import load_data
multiprocessing.set_start_method("spawn", force=True)
data = load_data({str(photos(tmp_path))!r}, 8, stream=True)
data.workers = 1
print(len(next(data.batches(4, device="cpu"))[0]))
''')
    r = subprocess.run([sys.executable, tmp_path/'train.py'], capture_output=True, text=True, timeout=240)
    last = r.stderr.strip().splitlines()[-1]
    assert r.returncode == 1 and "if __name__ == '__main__'" in last and 'workers = 0' in last, r.stderr
    assert 'bootstrapping' not in r.stderr

class Loader:
    "Stands for a DataLoader whose processes end after some items"
    def __init__(self, items, error, num_workers=1):
        self.items, self.error, self.num_workers = items, error, num_workers
    def __iter__(self):
        yield from self.items
        raise self.error

@pytest.mark.parametrize('method', ['fork', 'spawn', 'forkserver'])
@pytest.mark.parametrize('items', [[], [1]])
@pytest.mark.parametrize('error', [RuntimeError('worker (pid(s) 7) exited unexpectedly'),
                                   BrokenPipeError(32, 'Broken pipe'), EOFError()])
def test_workers_that_end_are_spoken_of(monkeypatch, method, items, error):
    "A raw RuntimeError of the loader; only before the first batch is the guard a likely reason"
    if items and not isinstance(error, RuntimeError): return
    monkeypatch.setattr(multiprocessing, 'get_start_method', lambda: method)
    guard = not items and method != 'fork'
    refused(DataError, lambda: list(S._decoded(Loader(items, error), 'photos')), 'workers', '__main__' if guard
            else 'want of memory')

def test_other_errors_of_a_loader_stay_what_they_are():
    with pytest.raises(RuntimeError, match='CUDA'): list(S._decoded(Loader([1], RuntimeError('CUDA error')), 'photos'))
    with pytest.raises(RuntimeError, match='exited'): list(S._decoded(Loader([], RuntimeError('exited'), 0), 'photos'))

def test_a_png_of_a_million_empty_parts_is_refused_soon(tmp_path):
    "Leaving out notes must not become a way to keep us busy"
    (tmp_path/'a.png').write_bytes(png(77)[:33] + (b'\0\0\0\0aaaa\0\0\0\0')*1_000_000)
    refused(DataError, lambda: load_data(tmp_path, 8), 'a.png')
