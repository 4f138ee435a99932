#!/usr/bin/env python3
"""Attack the commands and the run folders of gan_nb, and count what holds.

    python benchmarks/attack kills --n 200 --lanes 2 --out benchmarks/results/attack.json
    python benchmarks/attack all --out benchmarks/results/attack.json
    python benchmarks/attack all --short

Each attempt is a process forked from this one. Every random choice comes from --seed. Results of other attacks that
--out holds stay there.
"""
import json, os, platform, shutil, subprocess, sys, tempfile, time
from pathlib import Path

os.environ['OMP_NUM_THREADS'] = '1'                     # forked children must not share a pool of threads

import torch
from fastcore.script import call_parse

import gan_nb.all, gan_nb.cli                           # once for all attempts
import edits, kills, pipes, settings, signals, zips

# Name -> (module, number of attempts, number in short)
attacks = dict(kills=(kills, 200, 6), edits=(edits, 1000, 60), settings=(settings, 500, 40),
               signals=(signals, 100, 15), pipes=(pipes, 39, 4), zips=(zips, 300, 20))

def machine():
    "Where these numbers come from"
    package = Path(gan_nb.__file__).parent
    def git(*words):
        return subprocess.run(['git', '-C', str(package), *words], capture_output=True, text=True).stdout.strip()
    changed = '+changes'*bool(git('status', '--porcelain', '--untracked-files=no', '.'))
    return dict(commit=git('rev-parse', '--short=7', 'HEAD') + changed, date=time.strftime('%Y-%m-%d'),
                machine=f'{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, torch '
                        f'{torch.__version__}')

def show(what, module, found):
    print(f'\n| {what} | times | what came of it |\n| --- | --- | --- |')
    for row in module.table(found): print('| ' + ' | '.join(map(str, row)) + ' |')
    print(f'{"held" if module.held(found) else "NOT HELD"}; {found["seconds"]} s, commit {found["commit"]}', flush=True)

@call_parse
def main(
    what: str, # kills, edits, settings, signals, pipes, zips, or all
    n: int = None, # attempts (default: as many as the book reports)
    seed: int = 0, # of every random choice
    lanes: int = 1, # processes side by side
    out: Path = None, # a JSON file for the numbers
    short: bool = False, # few attempts: some minutes for all
    quiet: bool = False # do not print each attempt that falls
):
    "Attack the commands and the run folders of gan_nb, and count what holds"
    if what != 'all' and what not in attacks: sys.exit(f'{what}: choose one of {", ".join(attacks)}, all')
    results = json.loads(out.read_text()) if out and out.exists() else {}
    for name in attacks if what == 'all' else [what]:
        module, many, few = attacks[name]
        began, where = time.time(), Path(tempfile.mkdtemp(prefix='attack_'))
        def say(result):
            if not quiet and not module.fine(result): print(json.dumps(result), file=sys.stderr, flush=True)
        try: found = module.campaign(n or (few if short else many), seed, lanes, where, say, short=short)
        finally: shutil.rmtree(where, ignore_errors=True)
        results[name] = found | dict(held=module.held(found), seed=seed, lanes=lanes,
                                     seconds=round(time.time() - began)) | machine()
        show(name, module, results[name])
        if out: out.write_text(json.dumps(results, indent=1) + '\n')
    sys.exit(0 if all(results[name]['held'] for name in (attacks if what == 'all' else [what])) else 1)
