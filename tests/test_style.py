"The counters of .ci/check_style.py, on examples small enough to count by hand"
import ast, sys
from pathlib import Path

import pytest

ci = str(Path(__file__).resolve().parent.parent/'.ci')
sys.path.insert(0, ci)
check_style = pytest.importorskip('check_style')
sys.path.remove(ci)

def cell(source, kind='code'): return dict(cell_type=kind, source=source)

def test_wide_lines_are_code_that_somebody_wrote():
    text = '\n'.join(['x'*121, '', '#| fig-alt: ' + 'x'*200, 'y'*120, '    ' + 'z'*137])
    assert check_style.wide(text) == ([(1, 121), (5, 141)], 3)
    module = '"""' + 'x'*130 + '"""\n__all__ = [' + "'a', "*40 + ']\na = 1'
    assert check_style.wide(module, check_style.generated(ast.parse(module))) == ([], 1)

def test_density_counts_what_is_thought():
    # Module, Assign, Name, Constant: the context of a name is none of its own
    assert check_style.density('x = 1') == 4
    # Module, Assign, Name, BinOp, Constant, Constant: the + belongs to the BinOp
    assert check_style.density('# one\n\nx = 1 + 2') == 6
    assert check_style.density('x = 1\ny = 2') == 7/2

def test_imports_say_where_from_what_and_when():
    tree = ast.parse('''
import json, gan_nb.core
from .data import ring, _ready
from . import files as f, __version__
from gan_nb.parts import part
from os import path
def later():
    from .augment import Augment
''')
    found = [(i.module, i.name, i.alias, i.lazy) for i in check_style.imports(tree)]
    assert sorted(found, key=str) == [('augment', 'Augment', 'Augment', True), ('core', None, 'gan_nb.core', False),
                                      ('data', '_ready', '_ready', False), ('data', 'ring', 'ring', False),
                                      ('files', None, 'f', False), ('parts', 'part', 'part', False)]

@pytest.mark.parametrize('text, found', [
    ('from .data import _ready', ['data._ready']), ('from gan_nb.data import ring, _why', ['data._why']),
    ('from . import data\ndata._ready(x)', ['data._ready']), ('import gan_nb.data as d\nd._why', ['d._why']),
    ('import gan_nb.data\ngan_nb.data._why', ['gan_nb.data._why']), ('from . import __version__', []),
    ('from .data import ring\nring._modes\nself._x', []), ('from os import _exit', [])])
def test_private_names_stay_in_their_module(text, found):
    assert [name for _, name in check_style.private(ast.parse(text))] == found

def test_circles():
    assert check_style.circles(dict(a={'b'}, b={'c'}, c=set())) == []
    assert check_style.circles(dict(a={'b', 'c'}, b={'d'}, c={'d'}, d=set())) == []
    assert check_style.circles(dict(a={'b'}, b={'c'}, c={'b'})) == [['b', 'c']]
    assert check_style.circles(dict(c={'a'}, a={'b'}, b={'c'})) == [['a', 'b', 'c']]

def test_demos_stand_within_three_cells():
    imports, empty = cell('#| export\nimport math'), cell('#| default_exp x')
    f, g = cell('#| exports\ndef f(): pass'), cell('#| export\ndef g(): pass')
    words, demo, hidden = cell('So it is.', 'markdown'), cell('f()'), cell('#| hide\nassert not f()')
    assert check_style.unshown([empty, imports, f, words, demo]) == ([], 1)
    assert check_style.unshown([f, words, words, hidden]) == ([], 1)
    assert check_style.unshown([f, words, words, words, demo]) == ([0], 1)
    assert check_style.unshown([f, g, cell('import os'), words, demo]) == ([0], 2)
    assert check_style.unshown([f, cell('%matplotlib inline\nf()'), cell('!ls')]) == ([], 1)

def test_methods_of_a_class_are_counted_wherever_they_stand():
    here = ast.parse('class T:\n    def __init__(self): pass\n    def a(self): pass\n    def _b(self): pass')
    there = ast.parse('@patch\ndef c(self: T): pass\n@patch(cls_method=True)\ndef d(cls: T|U): pass\ndef e(t: T): pass')
    assert check_style.public_methods([here, there]) == dict(T={'a', 'c', 'd'}, U={'d'})

def test_properties_are_no_methods():
    here = ast.parse('''
class T:
    @property
    def a(self): pass
    @a.setter
    def a(self, value): pass
    @cached_property
    def b(self): pass
    @staticmethod
    def c(): pass
''')
    there = ast.parse('@patch(as_prop=True)\ndef d(self: T): pass\n@patch\ndef e(self: T): pass')
    assert check_style.public_methods([here, there]) == dict(T={'c', 'e'})
