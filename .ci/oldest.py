#!/usr/bin/env python3
"""Print constraints for pip: the oldest version of each requirement that settings.ini allows.

    python .ci/oldest.py > oldest.txt
    pip install -c oldest.txt -e '.[dev]'

So what settings.ini promises and what CI installs cannot drift apart. A requirement of the library without a lower
bound is one whose oldest version nobody has tested: it is named, and the exit status is 1. Of a tool for development
without one, the newest will do.
"""
import re, sys
from configparser import ConfigParser
from pathlib import Path

BOUND = re.compile(r'(?P<name>[\w.-]+)\s*>=\s*(?P<version>[\w.]+)')

def lines(path, key):
    "The requirements that stand under `key`"
    cfg = ConfigParser(delimiters=['='])
    cfg.read(path, encoding='utf-8')
    return [line.strip() for line in cfg['DEFAULT'][key].splitlines() if line.strip()]

def oldest(requirement):
    "`torch>=2.6` as `torch==2.6`; None where there is no lower bound"
    found = BOUND.match(requirement)
    return f'{found["name"]}=={found["version"]}' if found else None

if __name__ == '__main__':
    settings = Path(__file__).resolve().parent.parent/'settings.ini'
    library, tools = lines(settings, 'requirements'), lines(settings, 'dev_requirements')
    untested = [line for line in library if not oldest(line)]
    if untested:
        sys.exit(f'settings.ini: no lower bound, so none that is tested: {", ".join(untested)}. Write name>=version')
    print('\n'.join(o for o in map(oldest, library + tools) if o))
