#!/usr/bin/env python3
"""Check the docs site, as far as that goes without Quarto: one line for each thing that is wrong, exit status 1 if
there is any.

    python .ci/check_site.py

nbdev processes a copy of the notebooks, as it does before it hands them to Quarto. The pages that come out are read:
front matter, figures, every name that nbdev linked, every line of source it points to, and every link of ours. It
changes nothing here.
"""
import ast, difflib, os, posixpath, re, subprocess, sys, tempfile
from pathlib import Path

import yaml

from check_book import copy, entries, join, links, load, notebooks, plain

# What nbdev makes of the notebooks

PROCESS = """
import warnings
from pathlib import Path
from nbdev.serve import proc_nbs
warnings.simplefilter('ignore')
wrong = open('wrong.txt', 'w')
for p in sorted(Path('nbs').rglob('*.ipynb')):
    try: proc_nbs(n_workers=0, file_glob=p.name)
    except Exception as e:
        why = repr(e.__cause__ or e).splitlines()[0]
        print(f'{p}: nbdev cannot process it: {why}. Only exported cells and cells with an import are run', file=wrong)
"""

def process(top, there):
    "Copy what nbdev reads, let it process that, and give back what it could not"
    copy(top, there)
    env = {k: v for k, v in os.environ.items()
           if k != 'IN_TEST'} | dict(PYTHONPATH=str(there), XDG_CONFIG_HOME=str(there/'none'), MPLBACKEND='agg')
    run = subprocess.run([sys.executable, '-c', PROCESS], cwd=there, env=env, stdin=subprocess.DEVNULL,
                         capture_output=True, text=True)
    return (
        (there / 'wrong.txt').read_text().splitlines()
        if run.returncode == 0
        else [f'nbs: nbdev stops: {run.stderr.strip().splitlines()[-1]}']
    )

def identifier(heading):
    "The id that Pandoc gives a heading"
    if own := re.search(r'\{#([\w.-]+)', heading): return own[1]
    text = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', heading).strip().lower()
    return re.sub(r'^[^a-z]+', '', re.sub(r'\s+', '-', re.sub(r'[^\w\s.-]', '', text))) or 'section'

class Page:
    "A processed notebook: its front matter, address, texts and headings"
    def __init__(self, path, root):
        self.name, self.cells = path.relative_to(root).as_posix(), load(path)['cells']
        front = re.match(r'---\n(.*?)\n---\s*\Z', join(self.cells[0]['source']),
                         re.S) if self.cells and self.cells[0]['cell_type'] == 'raw' else None
        self.front = yaml.safe_load(front[1]) if front else {}
        self.url = posixpath.join(posixpath.dirname(self.name), self.front.get('output-file', ''))
        self.prose = [join(c['source']) for c in self.cells if c['cell_type'] == 'markdown']
        shown = [(c, join(o['data']['text/markdown'])) for c in self.cells for o in c.get('outputs', [])
                 if 'text/markdown' in o.get('data', {})]
        self.docs = [t for c, t in shown if 'show_doc(' in join(c['source'])]
        self.outputs = [t for c, t in shown if 'show_doc(' not in join(c['source'])]
        self.texts = self.prose + self.docs + self.outputs
        self.headings = [h for t in self.texts for h in re.findall(r'^(#+ .*)', re.sub(r'(?ms)^```.*?^```', '', t),
                                                                   re.M)]
        self.ids = {identifier(h.lstrip('# ')) for h in self.headings}

# What the package defines

def modules(top):
    return {p.stem: ast.parse(p.read_text(encoding='utf-8')).body for p in sorted((top/'gan_nb').glob('[!_]*.py'))}

def public(nodes):
    "The names that a module exports"
    return next((ast.literal_eval(n.value) for n in nodes if isinstance(n, ast.Assign)
                 and ast.unparse(n.targets[0]) == '__all__'), [])

def patched(node):
    return isinstance(node, ast.FunctionDef) and any(ast.unparse(d).startswith('patch') for d in node.decorator_list)
def documented(nodes):
    return {n.name for n in nodes if isinstance(n, (ast.ClassDef, ast.FunctionDef))
            and not patched(n)} & set(public(nodes))

def members(mods):
    """Class -> what may follow its dot: methods, fields, what a method sets. None where it inherits from a class that
    is not ours"""
    nodes = [n for nodes in mods.values() for n in nodes]
    classes, extra = {n.name: n for n in nodes if isinstance(n, ast.ClassDef)}, {}
    for n in filter(patched, nodes): extra.setdefault(ast.unparse(n.args.args[0].annotation), set()).add(n.name)
    def of(name):
        if name not in classes: return None
        bases = [of(ast.unparse(b)) for b in classes[name].bases]
        if None in bases: return None
        text = ast.unparse(classes[name])
        return extra.get(name, set()).union(re.findall(r'\bself\.(\w+)', text),
                                            re.findall(r'^    (?:def |class )?(\w+)', text, re.M), *bases)
    return {name: of(name) for name in classes}

# The checks

def front_matter(pages):
    "Each page has a title, a description and an address of its own"
    for p in pages:
        for k in ('title', 'description'):
            if not p.front.get(k):
                yield f'nbs/{p.name}: no {k}. Its first markdown cell is `# Title`, an empty line, `> description`'
        for h in p.headings:
            if h.startswith('# '): yield f'nbs/{p.name}: a second title: {h}'
        for k, mine in (('title', p.front.get('title')), ('address', p.url)):
            if mine in [q.front.get('title') if k == 'title' else q.url for q in pages[:pages.index(p)]]:
                yield f'nbs/{p.name}: another page has the {k} {mine}'

def figures(pages):
    """A chapter, the engine room and the two about files aside, has a figure that the reader sees, a picture has words
    for who does not see it, and no output is an error"""
    files = '14_runs', '15_store'
    for p in pages:
        outputs = [(c, o) for c in p.cells for o in c.get('outputs', [])]
        drawn = [c for c, o in outputs if any(k.startswith('image/') for k in o.get('data', {}))]
        if re.match(r'[0-3]\d', p.name) and not p.name.startswith(files) and not drawn: yield f'nbs/{p.name}: no figure'
        for c, o in outputs:
            if o['output_type'] == 'error':
                yield f'nbs/{p.name}: a stored output is an error, {o.get("ename")}: {o.get("evalue")}'
        for t in p.prose:
            for m in re.findall(r'!\[\s*\]\([^)]*\)|<img(?![^>]*\balt=)[^>]*>', plain(t)):
                yield f'nbs/{p.name}: no alternative text: {m[:60]}'

SHOWS = {'show_images', 'show_points', 'show_curves', 'show', 'display', 'print'}

def speaks(statements):
    "Does one of these statements, or of those under an `if` or a `for`, show something?"
    return any(isinstance(s, ast.Expr) and isinstance(s.value, ast.Call)
               and ast.unparse(s.value.func).split('.')[-1] in SHOWS or isinstance(s, (ast.If, ast.For))
               and speaks(s.body) for s in statements)

def silent(page):
    "A cell that shows something has its output stored"
    for c in page.cells:
        source = join(c['source'])
        if (
            c['cell_type'] == 'code'
            and not c['outputs']
            and 'plt.close' not in source
            and speaks(ast.parse(source).body)
        ):
            first = source.splitlines()[0][:60]
            yield (f'nbs/{page.name}: no output is stored of the cell {first!r}. '
                   'Run nbdev-test with --save, and --flags where it is slow')

def addresses(page, pages, site, repo, top):
    "Links into the site and into the repository, absolute or relative, lead to a page, a heading, a file"
    by_url, by_name = {q.url: q for q in pages}, {q.name: q for q in pages}
    for t in page.texts:
        urls = re.findall(r'\]\(<?(https?:[^)\s>]+)', plain(re.sub(r'\[`[^`]*`\]\(', '[](', t)))
        for url in [u for u in urls if u.startswith((site, repo + '/blob/', repo + '/tree/'))]:
            file, _, fragment = url.partition('#')
            if url.startswith(repo): there = (top/file.removeprefix(repo).split('/', 3)[3]).exists()
            else:
                to = by_url.get(file.removeprefix(site).strip('/') or 'index.html')
                there = to and (not fragment or fragment in to.ids) or file.endswith('/llms.txt')
            if not there: yield f'nbs/{page.name}: {url} leads nowhere'
        for link in links(t):
            file, _, fragment = link.partition('#')
            to = by_name.get(posixpath.normpath(posixpath.join(posixpath.dirname(page.name), file))) if file else page
            if not to and re.search(r'\.(png|jpe?g|gif|svg|mp4)$',
                                    file) and (top/'nbs'/posixpath.dirname(page.name)/file).exists():
                continue
            if not to:
                yield (f'nbs/{page.name}: {link} is no page of the site. '
                       f'Link to a file of the repository as {repo}/blob/main/...')
            elif fragment and fragment not in to.ids:
                near = ', '.join(difflib.get_close_matches(fragment, to.ids, 3, 0))
                yield f'nbs/{page.name}: {link}: {to.name} has no such heading; near is {near}'

def doclinks(page):
    "nbdev linked what was meant to be linked: no row of a table by chance, no link inside of a link or of code"
    for t in page.texts:
        for m in re.findall(r'\[[^\[\]]*\[`([^`]*)`\]\([^)]*\)[^\[\]]*\]\(', t):
            yield (f'nbs/{page.name}: the text of a link holds `{m}`, which nbdev makes a link too. '
                   'Take the backticks off')
        for m in re.findall(r'`\[`([^`]*)`\]\(', t):
            yield f'nbs/{page.name}: nbdev made a link of `{m}` between double backticks. Put a space at both ends'
    for t in page.outputs:
        for m in re.findall(r'^\| *\[`([^`]*)`\]\(\S+?(\w+\.html)', t, re.M):
            yield (f'nbs/{page.name}: an output is a table with `{m[0]}` in the first column, and nbdev links it to '
                   f'{m[1]}. Between double backticks and spaces it stays what it is')

def sources(page, repo, top):
    "The source link over each definition leads to the line that defines it"
    for t in page.docs:
        link, name = re.search(r'\[source\]\((\S+?)\)', t), re.search(r'^### (\S+)', t, re.M)
        if not link or not name: yield f'nbs/{page.name}: no source link over {name[1] if name else t[:40]}'; continue
        file, _, line = link[1].split('/', 7)[-1].partition('#L')
        lines = (top/file).read_text(encoding='utf-8').splitlines() if (top/file).exists() else []
        if not line.isdigit() or int(line) > len(lines) or not re.search(rf'\b(def|class) {name[1].split(".")[-1]}\b',
                                                                         lines[int(line) - 1]):
            yield f'nbs/{page.name}: the source link of {name[1]} leads to {file}#L{line}'

def names(top, pages):
    "Each public name has an entry on the page of its chapter, a row on the page of all names, and one meaning"
    homes, by_name = {}, {p.name: p for p in pages}
    chapter = {m[1]: p.name for p in notebooks(top/'nbs')
               for m in re.finditer(r'#\| *default_exp (\w+)', p.read_text(encoding='utf-8'))}
    stored = [join(o['data']['text/markdown']) for c in load(top/'nbs/api.ipynb')['cells']
              for o in c.get('outputs', []) if 'text/markdown' in o.get('data', {})]
    rows = set(re.findall(r'^\| \[<code>(\w+)</code>\]', '\n'.join(stored), re.M))
    for module, nodes in modules(top).items():
        for n in public(nodes):
            if homes.setdefault(n, module) != module:
                yield f'gan_nb: {n} is public in {homes[n]} and in {module}; a link cannot tell which is meant'
        page = by_name.get(chapter.get(module))
        for n in sorted(documented(nodes)) if page else []:
            if identifier(n) not in page.ids: yield f'nbs/{page.name}: {n} is public and has no entry'
    if homes.keys() != rows:
        odd = ', '.join(sorted(homes.keys() ^ rows))
        yield f'nbs/api.ipynb: {odd}: listed or public, not both. Run nbdev-test nbs/api.ipynb --save'

ELSEWHERE = {'AveragedModel', 'dog', 'grid_sample'}     # what prose names and no code of ours has

def spoken(top):
    """Each name between backticks is a name that some code has, and what follows the dot of a class belongs to it:
    prose outlives functions"""
    code = [p.read_text(encoding='utf-8') for d in ('gan_nb', 'tests', 'benchmarks', '.ci') for p in (top/d).rglob('*')
            if p.suffix in ('.py', '') and p.is_file()]
    code += [(top/f).read_text(encoding='utf-8') for f in ('settings.ini', 'pyproject.toml', '.gitignore')]
    nbs = {p: load(p)['cells'] for p in notebooks(top/'nbs')}
    code += [join(c['source']) for cells in nbs.values() for c in cells if c['cell_type'] == 'code']
    words, classes = ELSEWHERE.union(*(re.findall(r'\w+', c) for c in code)), members(modules(top))
    for p, cells in nbs.items():
        prose = '\n\n'.join(join(c['source']) for c in cells if c['cell_type'] == 'markdown')
        prose = re.sub(r'(?ms)^ *(`{3,}|~{3,}).*?^ *\1 *$', '', prose)
        for name in sorted(set(re.findall(r'`([A-Za-z_]\w*(?:\.\w+)*)(?:\([^`]*\))?`', prose))):
            first, *rest = name.split('.')
            gone = [w for w in (first, *rest)
                    if w not in words] or [r for r in rest[:1] if r not in (classes.get(first) or {r})]
            if gone: yield f'{p.relative_to(top)}: `{name}`: no code of ours has this {gone[0]}'

def last_words(page):
    "What a page says at its end, exercises and readings among it"
    prose = '\n\n'.join(page.prose)
    return prose[prose.rfind('\n## What '):] if '\n## What ' in prose else page.prose[-1]

def order(top, pages):
    "The sidebar has each page once, the chapters by their numbers, and each chapter ends with a link to the next"
    site = yaml.safe_load((top/'_quarto.yml').read_text(encoding='utf-8'))
    listed = entries(site['website']['sidebar'])
    chapters = [e for e in listed if re.match(r'\d', e)]
    if listed[:1] != ['index.ipynb']: yield '_quarto.yml: the sidebar does not begin with index.ipynb'
    if chapters != sorted(chapters): yield f'_quarto.yml: the chapters are not in order: {", ".join(chapters)}'
    for e in {e for e in listed if listed.count(e) > 1}: yield f'_quarto.yml: {e} stands twice in the sidebar'
    by_name = {p.name: p for p in pages}
    for a, b in zip(chapters, chapters[1:]):
        if a in by_name and b not in links(last_words(by_name[a])): yield f'nbs/{a}: its last words do not lead to {b}'

def settings(top, pages):
    "What the site promises, the files that _quarto.yml names, and the pages that llms.txt names"
    site = yaml.safe_load((top/'_quarto.yml').read_text(encoding='utf-8'))
    html, web = site['format']['html'], site['website']
    promised = {'a light and a dark theme': {'light', 'dark'} <= set(html['theme']),
                'mathematics': 'html-math-method' in html, 'search': web['navbar'].get('search'),
                'links to the source': web.get('repo-actions')}
    yield from (f'_quarto.yml: the site has lost {what}' for what, kept in promised.items() if not kept)
    css = [html['css']] if 'css' in html else []
    for f in [*site.get('metadata-files', []), *site['project'].get('resources', []), *css]:
        if not (top/'nbs'/f).exists(): yield f'_quarto.yml: {f} is no file under nbs/'
    for url in re.findall(r'/(\w+\.html)\.md\)', (top/'nbs/llms.txt').read_text(encoding='utf-8')):
        if url not in [p.url for p in pages]: yield f'nbs/llms.txt: {url} is no page'

def check(top):
    "Everything that is wrong, a line each"
    with tempfile.TemporaryDirectory() as d:
        there = Path(d)
        yield from (wrong := process(top, there))
        if wrong: return
        pages = [Page(p, there/'_proc') for p in notebooks(there/'_proc')]
    web = yaml.safe_load((top/'nbs/nbdev.yml').read_text(encoding='utf-8'))['website']
    site, repo = web['site-url'], web['repo-url']
    if not any(site in t for p in pages for t in p.texts):
        yield 'nbs: nbdev links no name at all. Is gan_nb installed? pip install -e .'
    yield from front_matter(pages)
    yield from figures(pages)
    for p in pages:
        yield from silent(p)
        yield from addresses(p, pages, site, repo, top)
        yield from doclinks(p)
        yield from sources(p, repo, top)
    yield from names(top, pages)
    yield from spoken(top)
    yield from order(top, pages)
    yield from settings(top, pages)

def described(top):
    "How many figures there are, and how many have words for who does not see them"
    cells = [c for p in notebooks(top/'nbs') for c in load(p)['cells'] for o in c.get('outputs', [])
             if any(k.startswith('image/') for k in o.get('data', {}))]
    return len(cells), sum('#| fig-alt:' in join(c['source']) for c in cells)

if __name__ == '__main__':
    top = Path(__file__).resolve().parent.parent
    wrong = list(dict.fromkeys(check(top)))
    for line in wrong: print(line)
    drawn, told = described(top)
    print(f'{len(notebooks(top/"nbs"))} pages, {drawn} figures ({told} with fig-alt), {len(wrong)} problems')
    sys.exit(bool(wrong))
