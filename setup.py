"Hands settings.ini and gan_nb.__version__ to setuptools; the static facts are in pyproject.toml"
import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

root = Path(__file__).parent
cfg = ConfigParser(delimiters=['='])
cfg.read(root/'settings.ini', encoding='utf-8')
cfg = cfg['DEFAULT']
lines = lambda key: [o for o in cfg[key].splitlines() if o.strip()]
init = (root/'gan_nb/__init__.py').read_text(encoding='utf-8')

setup(version=re.search(r'^__version__\s*=\s*[\'"]([^\'"]+)', init, re.M)[1],
      install_requires=lines('requirements'),
      extras_require={'dev': lines('dev_requirements')},
      entry_points={'console_scripts': lines('console_scripts'), 'nbdev': ['gan_nb = gan_nb._modidx:d']})
