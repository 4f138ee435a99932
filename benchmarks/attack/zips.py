"""Zips that lie: about sizes, names, places, methods and numbers of files, and those that inflate to a thousand times
their size.

What counts as held: the images load, or the zip is refused in one line, within ten seconds and two gigabytes; and
nothing is written.
"""
import io, random, shutil, struct, warnings, zipfile, zlib
from functools import partial
from pathlib import Path

from PIL import Image

from gan_nb.runs import CheckpointError
from gan_nb.files import DataError
from gan_nb.data import load_data

from edits import judge, summary
from forks import attempt, in_lanes

# ---- files in a zip, as bytes

def picture(shade=100):
    Image.new('L', (8, 8), shade).save(buf := io.BytesIO(), format='png')
    return buf.getvalue()

def deflated_zeros(head, size):
    "`head` and zeros up to `size` bytes, compressed: (data, checksum), made a megabyte at a time"
    squeeze, crc, zeros = zlib.compressobj(9, zlib.DEFLATED, -15), zlib.crc32(head), bytes(2**20)
    out, left = [squeeze.compress(head)], size - len(head)
    while left:
        part = zeros[:left]
        out.append(squeeze.compress(part))
        crc, left = zlib.crc32(part, crc), left - len(part)
    return b''.join([*out, squeeze.flush()]), crc

def bitmap_head(width, height):
    "The beginning of a BMP of three bytes a pixel, black if zeros follow"
    size = width*height*3
    return b'BM' + struct.pack('<IHHI', 54 + size, 0, 0, 54) + struct.pack('<IiiHHIIiiII', 40, width, height, 1, 24, 0,
                                                                           size, 2835, 2835, 0, 0)

# ---- a zip, written by hand

def entry(name, data=None, **lies):
    "One file of a zip; `lies` are what its headers say otherwise"
    data = picture() if data is None else data
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = squeezed.compress(data) + squeezed.flush()
    name = name if isinstance(name, bytes) else name.encode('utf-8', 'surrogatepass')
    return dict(name=name, packed=packed, method=8, flags=0x800, crc=zlib.crc32(data), csize=len(packed),
                size=len(data), extra=b'', attributes=0, at=None, name_inside=name) | lies

def write_zip(path, files, comment=b'', before=b'', after=b'', **lies):
    "Write a zip; `lies` are what its end record says otherwise"
    out, directory = bytearray(before), bytearray()
    for e in files:
        at = len(out) if e['at'] is None else e['at']
        if e['at'] is None:
            out += struct.pack('<IHHHHHIIIHH', 0x04034b50, 20, e['flags'], e['method'], 0, 33, e['crc'], e['csize'],
                               e['size'], len(e['name_inside']), 0) + e['name_inside'] + e['packed']
        directory += struct.pack('<IHHHHHHIIIHHHHHII', 0x02014b50, 20, 20, e['flags'], e['method'], 0, 33, e['crc'],
                                 e['csize'], e['size'], len(e['name']), len(e['extra']), 0, 0, 0, e['attributes'], at)
        directory += e['name'] + e['extra']
    end = dict(entries=len(files), size=len(directory), at=len(out)) | lies
    out += directory + struct.pack('<IHHHHIIH', 0x06054b50, 0, 0, end['entries'] % 65536, end['entries'] % 65536,
                                   end['size'], end['at'], len(comment)) + comment + after
    path.write_bytes(out)

def named(*names): return [entry(n) for n in names]

def bombs(path, count, overlap):
    "Files of 192 MB, black bitmaps of 8000 x 8000 pixels, in some 200 kB each; or all in the same place"
    data, crc = deflated_zeros(bitmap_head(8000, 8000), 54 + 8000*8000*3)
    e = dict(packed=data, method=8, flags=0, crc=crc, csize=len(data), size=54 + 8000*8000*3, extra=b'', attributes=0)
    names = [f'{i:03}.bmp'.encode() for i in range(count)]
    write_zip(path, [e | dict(name=n, name_inside=n, at=0 if overlap and i else None) for i, n in enumerate(names)])

def of_zeros(path, size):
    data, crc = deflated_zeros(b'\x89PNG\r\n\x1a\n', size)
    write_zip(path, [entry('a.png'), dict(entry('b.png'), packed=data, crc=crc, csize=len(data), size=size)])

def by_method(path, method):
    with zipfile.ZipFile(path, 'w', method) as z: z.writestr('a.png', picture())

def damaged(path, change):
    write_zip(path, named('a.png', 'b.png'))
    path.write_bytes(change(path.read_bytes()))

def with_lies(**lies): return lambda p: write_zip(p, [entry('a.png'), entry('b.png', **lies)])

def with_end(**lies): return lambda p: write_zip(p, named('a.png', 'b.png'), **lies)

# Name -> what makes it at a path. The first is the control: it must load.
zips = {
    'honest': lambda p: write_zip(p, named('a.png', 'b/c.png')),
    'a size too small': with_lies(size=1), 'a size too large': with_lies(size=10**9),
    'a size of 4 GB': with_lies(size=2**32 - 1), 'packed size too large': with_lies(csize=10**9),
    'packed size 0': with_lies(csize=0), 'a size that is just allowed': with_lies(size=2**28 - 1),
    'wrong checksum': with_lies(crc=1), 'encrypted': with_lies(flags=1),
    'strongly encrypted': with_lies(flags=0x41), 'patched data': with_lies(flags=0x20),
    **{f'method {m}': with_lies(method=m) for m in (0, 1, 9, 12, 14, 93, 97, 99, 65535)},
    'bzip2': partial(by_method, method=zipfile.ZIP_BZIP2), 'lzma': partial(by_method, method=zipfile.ZIP_LZMA),
    'place beyond the end': with_lies(at=10**6), 'place of 4 GB': with_lies(at=2**32 - 1),
    'place within another file': with_lies(at=20), 'two in one place': with_lies(at=0),
    'another name inside': with_lies(name_inside=b'x.png'), 'too many counted': with_end(entries=65535),
    'none counted': with_end(entries=0), 'directory too large': with_end(size=10**6),
    'directory elsewhere': with_end(at=3), 'directory at 4 GB': with_end(at=2**32 - 1),
    'junk before': lambda p: write_zip(p, named('a.png'), before=b'x'*5000),
    'junk after': lambda p: write_zip(p, named('a.png'), after=b'x'*5000),
    'long comment': lambda p: write_zip(p, named('a.png'), comment=b'PK\x05\x06'*16000),
    'cut in half': partial(damaged, change=lambda x: x[:len(x)//2]),
    'cut at the end': partial(damaged, change=lambda x: x[:-1]), 'twice': partial(damaged, change=lambda x: x + x),
    'empty file': lambda p: p.write_bytes(b''), 'no files': lambda p: write_zip(p, []),
    'zip64 that lies': with_lies(size=2**32 - 1, csize=2**32 - 1, extra=struct.pack('<HHQQ', 1, 16, 2**62, 2**62)),
    'zip64 cut': with_lies(size=2**32 - 1, extra=struct.pack('<HH', 1, 16)),
    'extra field too long': with_lies(extra=b'\x01\x00\xff\xff'),
    'leads out': lambda p: write_zip(p, named('../../evil.png', '/etc/evil.png', 'C:\\evil.png',
                                              'a/../../../evil.png')),
                                              'no name': lambda p: write_zip(p, named('', '.png', '/', 'a.png')),
    'names with zeros': lambda p: write_zip(p, named('a\0b.png', 'b.png\0.txt')),
    'names of 60,000 letters': lambda p: write_zip(p, named('x'*60000 + '.png', 'a/'*30000 + 'b.png')),
    'names that are no text': lambda p: write_zip(p, [entry(b'\xff\xfe.png'), entry('\ud800.png'), entry('a.png')]),
    'names of control characters': lambda p: write_zip(p, named('\x1b[31mred.png', 'new\nline.png', '\u202egnp.png')),
    'one name twice': lambda p: write_zip(p, named('a.png', 'a.png', 'A.png')),
    'a folder as a picture': lambda p: write_zip(p, [entry('a.png/'), entry('a.png/b.png'),
                                                     entry('c.png', attributes=0x10)]),
    'links': lambda p: write_zip(p, [entry('a.png', b'/etc/passwd', attributes=0o120777 << 16), entry('b.png')]),
    'a device': with_lies(attributes=0o020666 << 16),
    'a zip in a zip': lambda p: write_zip(p, [entry('inner.zip', b'PK\x03\x04'), entry('a.png', b'PK\x03\x04'*100)]),
    '20,000 empty files': lambda p: write_zip(p, [entry(f'{i}.png', b'') for i in range(20_000)]),
    '20,000 files in one place': lambda p: write_zip(p, [entry('0.png')] + [dict(entry(f'{i}.png'), at=0)
                                                                            for i in range(1, 20_000)]),
    '300 MB of zeros': partial(of_zeros, size=300_000_000), '200 MB of zeros': partial(of_zeros, size=200_000_000),
    '200 bitmaps of 192 MB in 40 MB': partial(bombs, count=200, overlap=False),
    '200 bitmaps of 192 MB in one place': partial(bombs, count=200, overlap=True),
}

# ---- an attempt

def read(path, **how):
    "Load a zip and take a batch of it"
    warnings.simplefilter('ignore')
    try:
        data = load_data(path, size=8, **how)
        if hasattr(data, 'workers'): data.workers = 0
        x, _ = next(data.batches(4, device='cpu'))
        assert x.shape == (4, *data.shape) and x.isfinite().all() and x.abs().max() <= 1
        return 'works', []
    except (DataError, ValueError, CheckpointError) as e: return 'refused', str(e)

def loaded(task):
    name, how, where = task
    where = Path(where)
    (where/'in/a/folder').mkdir(parents=True)
    path = where/'lies.zip'
    zips[name](path)
    ended = attempt(partial(read, path, **how), where/'in/a/folder', limit=10, memory=2)
    result = dict(what=name, how=str(how), seconds=ended.seconds, memory=round(ended.memory)) | judge(ended)
    written = sorted(str(p.relative_to(where)) for p in where.rglob('*') if p.is_file() and p != path)
    if written: result |= dict(outcome='left something', evidence=written)
    if name == 'honest' and result['outcome'] != 'works': result |= dict(outcome='control')
    shutil.rmtree(where)
    return result

# ---- the campaign

def fine(result): return result['outcome'] in ('works', 'refused')

def campaign(n, seed, lanes, where, say, short=False):
    "Each zip, into memory and as a stream, with unreadable images refused or skipped; or `n` of these"
    tasks = [(name, dict(stream=stream, on_error=on_error)) for name in zips for stream in (None, True)
             for on_error in ('raise', 'skip')]
    random.Random(f'{seed} zips').shuffle(tasks)
    # The control and the largest first, so that a smaller number of attempts has them too.
    tasks.sort(key=lambda t: t[0] != 'honest' and 'bitmaps' not in t[0])
    return summary(in_lanes(lanes, [(*t, str(where/f'zip_{i}')) for i, t in enumerate(tasks[:n])], loaded, say),
                   'left something', 'control')

def table(found):
    bad = ', '.join(f'{found[k]} {k}' for k in ('traceback', 'hang', 'crash', 'memory', 'executed', 'more than a line',
                                                'left something'))
    return [('a zip that lies', found['tried'], f'{found["works"]} load, {found["refused"]} refused in a line; {bad}')]

def held(found): return found['tried'] == found['works'] + found['refused']
