#!/usr/bin/env python3
"""Write README.md from nbs/index.ipynb, and its pictures into index_files/. With --check, write nothing and fail if
they differ.

    python .ci/readme.py [--check]

Cells marked `hide` or `include: false` are left out, `echo: false` leaves out the source, `output: false` the outputs;
any other directive only loses its line. Links stay relative, seen from here: `02_data.ipynb` becomes
`nbs/02_data.ipynb`. So they work in a clone, in a fork and on every branch, and lead to the notebook of the same
commit, which GitHub renders.
"""
import base64, json, posixpath, re, sys
from pathlib import Path

MARK = '<!-- Written by .ci/readme.py from nbs/index.ipynb: edit the notebook. -->'
FOLDER = 'index_files'

def join(s): return s if isinstance(s, str) else ''.join(s)

def directives(cell):
    "The cell's directives, from its metadata and its `#|` lines, and its source without those lines"
    found = {k: str(v) for k, v in cell.get('metadata', {}).get('nbdev', {}).items()}
    lines = join(cell['source']).strip('\n').split('\n')
    while lines and (m := re.match(r'#\|\s*([\w-]+)\s*:?\s*(.*)', lines[0])):
        found[m[1].replace('_', '-')] = m[2].strip('" \'')
        lines = lines[1:]
    return found, '\n'.join(lines).strip('\n')

def relink(target):
    "A link seen from nbs/, seen from the top"
    if re.match(r'[a-z][a-z0-9+.-]*:|[#/]', target, re.I): return target
    path, *fragment = target.split('#', 1)
    return '#'.join([posixpath.normpath(posixpath.join('nbs', path)), *fragment])

def prose(text):
    "Markdown with its links seen from the top; code is left alone"
    code = r'(?ms)^ *(?P<f>`{3,}|~{3,}).*?^ *(?P=f) *$|(?<!`)(?P<t>`+)(?!`)(?:(?!\n\n).)*?(?<!`)(?P=t)(?!`)'
    link = r'(\]\(|\b(?:href|src)=["\'])([^)\s"\']+)'
    out, at = [], 0
    for m in [*re.finditer(code, text), None]:
        out.append(re.sub(link, lambda l: l[1] + relink(l[2]), text[at:m.start() if m else None]))
        if m: out, at = [*out, m[0]], m.end()
    return ''.join(out)

def opening(text):
    "The first cell without its front matter: a YAML block, or `- key: value` lines under title and quote"
    text = re.sub(r'\A---\n.*?\n---\n', '', text, flags=re.S)
    return re.sub(r'\A(# .*\n(?:[ ]*\n|>.*\n)*)(?:- [\w-]+: .*(?:\n|\Z))+', r'\1', text).strip('\n')

def fence(text, lang=''):
    "A code block, in a fence longer than any inside"
    ticks = '`' * max([3, *(len(f) + 1 for f in re.findall(r'`{3,}', text))])
    return f'{ticks}{lang}\n{text}\n{ticks}'

def shown(output, name, alt, pictures):
    "One output as markdown; its picture is put into `pictures`"
    data = output.get('data', {})
    if 'image/png' in data:
        pictures[name] = base64.b64decode(join(data['image/png']))
        return f'![{alt}]({FOLDER}/{name})'
    if 'text/markdown' in data: return prose(join(data['text/markdown']).strip('\n'))
    if output.get('name') == 'stderr': return ''
    text = re.sub(r'\x1b\[[0-9;]*m', '', join(data.get('text/plain', output.get('text', '')))).rstrip()
    return fence(text) if text else ''

def readme(notebook):
    "README's text, and its pictures by name"
    blocks, pictures = [], {}
    for cell in json.loads(notebook.read_text(encoding='utf-8'))['cells']:
        d, source = directives(cell)
        if 'hide' in d or d.get('include') == 'false' or cell['cell_type'] == 'raw': continue
        if cell['cell_type'] == 'markdown':
            blocks.append(prose(source if blocks else opening(source)))
            continue
        if source and d.get('echo') != 'false': blocks.append(fence(source, 'python'))
        if d.get('output') == 'false': continue
        for i, output in enumerate(cell.get('outputs', [])):
            name = f'{cell["id"]}-{i}.png' if i else f'{cell["id"]}.png'
            blocks.append(shown(output, name, d.get('fig-alt') or d.get('fig-cap') or '', pictures))
    return '\n\n'.join([MARK, *filter(None, blocks)]) + '\n', pictures

def differences(top, text, pictures):
    "The files that are not as the notebook gives them"
    file, have = top/'README.md', {p.name: p for p in (top/FOLDER).glob('*')}
    if not file.exists() or file.read_text(encoding='utf-8') != text: yield file.name
    for name in sorted({*have, *pictures}):
        if name not in have or name not in pictures or have[name].read_bytes() != pictures[name]:
            yield f'{FOLDER}/{name}'

def write(top, text, pictures):
    "Write README.md and its pictures; remove pictures that it shows no more"
    folder = top/FOLDER
    (top/'README.md').write_text(text, encoding='utf-8')
    folder.mkdir(exist_ok=True)
    for name, png in pictures.items(): (folder/name).write_bytes(png)
    for p in folder.glob('*'):
        if p.name not in pictures: p.unlink()
    if not pictures: folder.rmdir()

def main(args):
    if args not in ([], ['--check']): sys.exit('usage: python .ci/readme.py [--check]')
    top = Path(__file__).resolve().parent.parent
    text, pictures = readme(top/'nbs/index.ipynb')
    if not args: write(top, text, pictures)
    elif diff := list(differences(top, text, pictures)):
        sys.exit(f'{", ".join(diff)}: not what nbs/index.ipynb gives. Run `python .ci/readme.py`')

if __name__ == '__main__': main(sys.argv[1:])
