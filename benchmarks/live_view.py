#!/usr/bin/env python3
"""What watching costs: the default run in a Jupyter kernel, with `LiveView` and without, in turn.

    python benchmarks/live_view.py --out benchmarks/results/live_view.json

The kernel draws and sends everything that a browser would show; nobody has to look. One trainer goes on through all
parts, so that both sides do the same work; the median of the ratios of neighbouring parts is what is reported. First
and last look of a part are counted, so a long run pays less.
"""
import json, os, platform, statistics, time
from pathlib import Path

from fastcore.script import call_parse
from jupyter_client.manager import start_new_kernel

PART = """
from gan_nb.all import *
import json, time
gan = recipe('{recipe}').trainer(digits({size}), device='cpu')
gan.fit(50)
seconds = []
for i in range({pairs}):
    for callbacks in ([], [LiveView()]):
        start = time.perf_counter()
        gan.fit({steps}, callbacks)
        seconds.append(time.perf_counter() - start)
print('seconds', json.dumps(seconds))
"""

def run(code):
    "What a kernel prints for some code"
    manager, client = start_new_kernel(env={k: v for k, v in os.environ.items() if k != 'IN_TEST'})
    texts = []
    try:
        reply = client.execute_interactive(
            code, timeout=1200, output_hook=lambda m: texts.append(m['content'].get('text', ''))
        )
    finally: client.stop_channels(); manager.shutdown_kernel(now=True)
    if reply['content']['status'] != 'ok': raise SystemExit('\\n'.join(reply['content']['traceback']))
    return ''.join(texts)

@call_parse
def main(
    recipe: str = 'rpgan_mlp', # what is trained
    size: int = 16, # pixels
    steps: int = 500, # in each part
    pairs: int = 6, # parts without and with a live view
    out: Path = None # a JSON file for the numbers
):
    "Time a run with a live view against one without"
    seconds = json.loads(run(PART.format(**locals())).split('seconds', 1)[1].splitlines()[0])
    plain, live = seconds[::2], seconds[1::2]
    ratios = sorted(b/a for a, b in zip(plain, live))
    found = dict(recipe=recipe, size=size, steps=steps, ratios=[round(r, 4) for r in ratios],
                 median=round(statistics.median(ratios), 4), seconds_plain=round(statistics.median(plain), 2),
                 machine=f'{os.cpu_count()} cores, {platform.machine()}', date=time.strftime('%Y-%m-%d'))
    print(json.dumps(found, indent=1))
    if out: Path(out).write_text(json.dumps(found, indent=1) + '\n')
