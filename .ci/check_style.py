#!/usr/bin/env python3
"""Check how the code is written: one line for each thing that is wrong, exit status 1 if there is any.

    python .ci/check_style.py                     # everything
    python .ci/check_style.py metrics recipes     # these modules, their chapters, and tests and scripts of these names

What is measured, and why, stands in CONTRIBUTING.md under "What a line and a module may hold".
"""
import argparse, ast, json, re, subprocess, sys
from collections import namedtuple
from pathlib import Path

import yaml

from check_book import entries, join, load, notebooks

WIDTH, WIDEST, SHARE_WIDE = 120, 140, .01      # characters; the share of lines that may be over WIDTH
DENSITY, LINES, METHODS, SHOWN = 7, 350, 12, .95
PACKAGE = 'gan_nb'
NO_CHAPTER = {'__init__', '_modidx', 'all'}

Problem = namedtuple('Problem', 'module where what')

# Lines of code

def is_directive(line): return line.lstrip().startswith('#|')

def generated(tree):
    "The numbers of the lines that nbdev writes: the docstring of a module, made of prose, and `__all__`"
    found = set()
    for n in tree.body:
        names = [ast.unparse(t) for t in getattr(n, 'targets', [])]
        prose = isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)
        if prose or names == ['__all__']: found.update(range(n.lineno, n.end_lineno + 1))
    return found

def wide(text, skip=()):
    "(number, length) of each line over `WIDTH`, and how many lines there are at all: blank ones and directives aside"
    lines = [(i, len(l)) for i, l in enumerate(text.splitlines(), 1) if l.strip() and not is_directive(l)]
    lines = [(i, n) for i, n in lines if i not in skip]
    return [(i, n) for i, n in lines if n > WIDTH], len(lines)

SYNTAX = (ast.expr_context, ast.operator, ast.unaryop, ast.cmpop, ast.boolop)   # they come along with other nodes

def density(text):
    "Syntax nodes in each line of code: lines that are blank or hold a comment alone are not counted"
    lines = [l for l in text.splitlines() if l.strip() and not l.strip().startswith('#')]
    nodes = sum(not isinstance(n, SYNTAX) for n in ast.walk(ast.parse(text)))
    return nodes/max(len(lines), 1)

# Imports

Import = namedtuple('Import', 'module name line alias lazy')     # name: what of the module; None for all of it

def imports(tree):
    "What a module imports of the package"
    functions = [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    lazy = {id(m) for f in functions for m in ast.walk(f)}
    for n in ast.walk(tree):
        if isinstance(n, ast.Import):
            for a in n.names:
                if a.name.startswith(PACKAGE + '.'):
                    yield Import(a.name.split('.')[1], None, n.lineno, a.asname or a.name, id(n) in lazy)
        if not isinstance(n, ast.ImportFrom): continue
        if not n.level and (n.module or '').split('.')[0] != PACKAGE: continue
        path = ((n.module or '') if n.level else n.module[len(PACKAGE):].lstrip('.'))
        for a in n.names:
            if path: yield Import(path.split('.')[0], a.name, n.lineno, a.asname or a.name, id(n) in lazy)
            elif not a.name.startswith('__'): yield Import(a.name, None, n.lineno, a.asname or a.name, id(n) in lazy)

def is_private(name): return name.startswith('_') and not name.endswith('__')

def private(tree):
    "(line, name) of each private name that is taken from another module: imported, or as an attribute of the module"
    found = list(imports(tree))
    for i in found:
        if i.name and is_private(i.name): yield i.line, f'{i.module}.{i.name}'
    whole = {i.alias for i in found if i.name is None}
    for n in ast.walk(tree):
        if isinstance(n, ast.Attribute) and is_private(n.attr) and ast.unparse(n.value) in whole:
            yield n.lineno, ast.unparse(n)

def circles(graph):
    "Each circle in module -> modules that it imports, once, beginning with the name that comes first"
    found = []
    def visit(name, path):
        if name in path:
            circle = path[path.index(name):]
            k = circle.index(min(circle))
            if (circle := circle[k:] + circle[:k]) not in found: found.append(circle)
            return
        if name in done: return
        for other in sorted(graph.get(name, ())): visit(other, [*path, name])
        done.add(name)
    done = set()
    for name in sorted(graph): visit(name, [])
    return found

# Cells

def directives(cell): return {m[1] for m in re.finditer(r'^#\|\s*([\w-]+)', join(cell['source']), re.M)}
def body(cell): return '\n'.join(l for l in join(cell['source']).splitlines() if not is_directive(l))

def is_exported(cell): return cell['cell_type'] == 'code' and directives(cell) & {'export', 'exports', 'exporti'}

def only_imports(cell):
    "Whether a code cell holds imports and nothing else, or nothing at all"
    return all(isinstance(n, (ast.Import, ast.ImportFrom)) for n in statements(cell))

def statements(cell):
    "The statements of a code cell; lines for IPython, which begin with % or !, are left out"
    text = '\n'.join('pass' if l.startswith(('%', '!')) else l for l in body(cell).splitlines())
    return ast.parse(text).body

def unshown(cells):
    "Indices of the exported cells without a demo or a test within three cells, and how many exported cells there are"
    code = [i for i, c in enumerate(cells) if is_exported(c) and not only_imports(c)]
    def shows(c): return c['cell_type'] == 'code' and not is_exported(c) and not only_imports(c)
    return [i for i in code if not any(shows(c) for c in cells[i + 1:i + 4])], len(code)

# Classes

def public_methods(trees):
    "Class -> names of its public methods, also of those that a `patch` adds in another module; properties are none"
    found = {}
    for n in (n for tree in trees for n in tree.body):
        if isinstance(n, ast.ClassDef):
            own = [m for m in n.body if isinstance(m, ast.FunctionDef)]
            found.setdefault(n.name, set()).update(m.name for m in own if is_public_method(m))
        if not isinstance(n, ast.FunctionDef) or not is_public_method(n): continue
        if not any(d.startswith('patch') for d in decorators(n)): continue
        annotation = n.args.args[0].annotation
        for cls in re.findall(r'\w+', ast.unparse(annotation)) if annotation else []:
            found.setdefault(cls, set()).add(n.name)
    return found

def decorators(f): return [ast.unparse(d) for d in f.decorator_list]

PROPERTY = re.compile(r'(functools\.)?(cached_)?property$|\w+\.(setter|deleter)$|patch.*as_prop=True|patch_property')

def is_public_method(f):
    "Whether a function in a class, or one that is patched into one, is called; a property is looked up"
    return not f.name.startswith('_') and not any(map(PROPERTY.match, decorators(f)))

# The checks

class Book:
    "What is read, once: the modules of the package, the chapters, and which of them comes first"
    def __init__(self, top):
        self.top = top
        paths = [p for p in sorted((top/PACKAGE).glob('*.py')) if p.stem not in NO_CHAPTER]
        self.texts = {p.stem: p.read_text(encoding='utf-8') for p in paths}
        self.trees = {name: ast.parse(text) for name, text in self.texts.items()}
        self.cells = {p.relative_to(top).as_posix(): load(p)['cells'] for p in notebooks(top/'nbs')}
        self.module_of = {p: self.exports(cells) or Path(p).stem for p, cells in self.cells.items()}
        site = yaml.safe_load((top/'_quarto.yml').read_text(encoding='utf-8'))
        listed = [f'nbs/{e}' for e in entries(site['website']['sidebar'])]
        self.order = [self.module_of[e] for e in listed if e in self.module_of]

    def exports(self, cells):
        "The module that a notebook makes"
        names = [re.search(r'^#\|\s*default_exp\s+(\w+)', join(c['source']), re.M) for c in cells]
        return next((m[1] for m in names if m), None)

    def stands(self, module): return self.order.index(module) if module in self.order else len(self.order)

def ruff(book):
    "Unused imports and names that are nowhere defined; in tests and scripts also long lines. The rules: pyproject.toml"
    command = [sys.executable, '-m', 'ruff', 'check', '--output-format', 'json']
    command += [PACKAGE, 'nbs', 'tests', 'benchmarks', '.ci']
    run = subprocess.run(command, cwd=book.top, capture_output=True, text=True)
    if run.returncode > 1 or not run.stdout:
        yield Problem(None, 'ruff', run.stderr.strip().splitlines()[-1])
        return
    for d in json.loads(run.stdout):
        path = Path(d['filename']).relative_to(book.top).as_posix()
        in_book = path.startswith((PACKAGE, 'nbs'))
        if in_book and d['code'] == 'E501': continue             # these are counted in `widths`
        cell = f', cell {d["cell"]}' if d.get('cell') else ''
        yield Problem(book.module_of.get(path, Path(path).stem), f'{path}{cell}:{d["location"]["row"]}', d['message'])

def widths(book, chosen):
    "Package and notebooks: hardly a line over 120 characters, none over 140"
    found, total = [], 0
    for name, text in book.texts.items():
        if not chosen(name): continue
        lines, n = wide(text, generated(book.trees[name]))
        found += [Problem(name, f'{PACKAGE}/{name}.py:{i}', size) for i, size in lines]
        total += n
    for path, cells in book.cells.items():
        if not chosen(book.module_of[path]): continue
        for k, c in enumerate(cells, 1):
            if c['cell_type'] != 'code': continue
            lines, n = wide(join(c['source']))
            found += [Problem(book.module_of[path], f'{path}, cell {k}:{i}', size) for i, size in lines]
            total += n
    share = len(found)/max(total, 1)
    for p in found:
        if share > SHARE_WIDE or p.what > WIDEST: yield p._replace(what=f'{p.what} characters, over {WIDTH}')
    if share > SHARE_WIDE:
        what = f'{share:.1%} of the lines are over {WIDTH} characters, at most {SHARE_WIDE:.0%}'
        yield Problem(None, f'{PACKAGE} and notebooks', what)

def excused(book):
    "Modules that CONTRIBUTING.md lets be longer, each with a reason: `- name: reason` under the heading Long modules"
    text = (book.top/'CONTRIBUTING.md').read_text(encoding='utf-8')
    section = re.search(r'^#+ Long modules\n(.*?)(?=^#|\Z)', text, re.M | re.S)
    return set(re.findall(r'^- `(\w+)`: \w+', section[1], re.M)) if section else set()

def modules(book):
    "No module is too long, too dense, or takes what is private of another"
    long = excused(book)
    for name, text in book.texts.items():
        path, lines, nodes = f'{PACKAGE}/{name}.py', len(text.splitlines()), density(text)
        if lines > LINES and name not in long: yield Problem(name, path, f'{lines} lines, at most {LINES}')
        if nodes > DENSITY: yield Problem(name, path, f'{nodes:.2f} syntax nodes a line, at most {DENSITY}')
        for line, what in private(book.trees[name]): yield Problem(name, f'{path}:{line}', f'{what} is private')

def directions(book):
    "Imports go in one direction"
    found = {name: [i for i in imports(tree) if i.module in book.texts] for name, tree in book.trees.items()}
    graph = {name: {i.module for i in those} for name, those in found.items()}
    for circle in circles(graph):
        way = ' -> '.join([*circle, circle[0]])
        yield Problem(circle[0], f'{PACKAGE}/{circle[0]}.py', f'a circle of imports: {way}')
    for name, those in found.items():
        for i in those:
            if not i.lazy or book.stands(i.module) <= book.stands(name): continue
            what = f'a function imports {i.module}, which stands later in the book'
            yield Problem(name, f'{PACKAGE}/{name}.py:{i.line}', what)

def demos(book, chosen):
    "Nearly every exported cell has a demo or a test within three cells"
    found, total = [], 0
    for path, cells in book.cells.items():
        if not chosen(book.module_of[path]): continue
        missing, n = unshown(cells)
        total += n
        where = [f'{path}, cell {i + 1}' for i in missing]
        what = 'no demo or test within three cells'
        found += [Problem(book.module_of[path], w, what) for w in where]
    if len(found) > (1 - SHOWN)*total: yield from found

def classes(book):
    "The trainer stays small"
    names = public_methods(book.trees.values()).get('Trainer', set())
    if len(names) > METHODS:
        what = f'Trainer has {len(names)} public methods, at most {METHODS}'
        yield Problem('training', f'{PACKAGE}/training.py', what)

def check(top, only=()):
    "Everything that is wrong, or what is wrong with these modules"
    book = Book(top)
    def chosen(module): return not only or module in only
    found = [*ruff(book), *widths(book, chosen), *modules(book), *directions(book), *demos(book, chosen),
             *classes(book)]
    return [p for p in found if p.module is None or chosen(p.module)]

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description='Check how the code is written.')
    parser.add_argument('modules', nargs='*', help='names of modules, tests or scripts (default: all)')
    wrong = check(Path(__file__).resolve().parent.parent, parser.parse_args().modules)
    for p in wrong: print(f'{p.where}: {p.what}')
    print(f'{len(wrong)} problems')
    sys.exit(bool(wrong))
